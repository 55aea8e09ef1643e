"""InfiniteBench: generated tasks that can be solved from the prompt alone, files of any make, a model asked end to end."""

import itertools
import json
import re
from collections import Counter
from pathlib import Path

import pytest

from tests.evals.ruler_scripted import Scripted, small_tokenizer
from windvane.core.errors import UserError
from windvane.evals.infinitebench.command import compare_files, main, score_file
from windvane.evals.infinitebench.files import read_predictions
from windvane.evals.infinitebench.generate import RANKS, SIZES, generate_examples
from windvane.evals.infinitebench.run import Sizes, cut_middle, run_task
from windvane.evals.infinitebench.score import SCORERS
from windvane.evals.infinitebench.tasks import TASKS, prompt_text, read_task_file
from windvane.evals.ruler.models import prompt_ids
from windvane.runs.store import RunFolder

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "infinitebench"


def solve_line(start):
    return lambda prompt: re.search(start + r" (\d+)\. Remember", prompt).group(1)


def solve_kv(prompt):
    key = re.search(r'Key: "([^"]+)"', prompt).group(1)
    return json.loads(re.search(r"JSON data:\n(\{.*?\})", prompt, re.S).group(1))[key]


def solve_code(prompt):
    scope: dict = {}
    body = prompt[prompt.index("def ") : prompt.index("\n\nPlease")]
    exec(body, scope)
    return str(eval(re.search(r"func_\d+\(-?\d+\)", prompt[prompt.index("\n\nPlease") :]).group(), scope))


def solve_calc(prompt):
    parts = prompt.split("\n\n")[-1].split()
    value, values = int(parts[0]), []
    for sign, number in zip(parts[1::2], parts[2::2]):
        value += int(number) if sign == "+" else -int(number)
        values.append(value)
    return str(values)


def solve_find(prompt):
    numbers = json.loads(re.search(r"\[[\d, ]+\]", prompt).group())
    ranked, order = sorted(set(numbers)), sorted(numbers)
    asked = re.search(r"The (.+?) of the list", prompt).group(1)
    if asked == "median":
        return str((order[(len(order) - 1) // 2] + order[len(order) // 2]) / 2)
    place = {
        "largest": -1,
        "second largest": -2,
        "third largest": -3,
        "smallest": 0,
        "second smallest": 1,
        "third smallest": 2,
    }
    return str(ranked[place[asked.removesuffix(" number")]])


SOLVERS = {
    "passkey": solve_line("The pass key is"),
    "number_string": solve_line("The sequence of digits is"),
    "kv_retrieval": solve_kv,
    "code_run": solve_code,
    "math_calc": solve_calc,
    "math_find": solve_find,
}


@pytest.mark.parametrize("task", SIZES)
def test_a_solver_that_reads_the_prompt_scores_100_and_silence_0(task):
    examples = generate_examples(task, n=14, size=60, seed=3)
    for example in examples:
        answer = SOLVERS[task](prompt_text(task, example, "chat"))
        assert SCORERS[task](answer, example.answer) == 1, (answer, example.answer)
        assert SCORERS[task]("", example.answer) == 0


@pytest.mark.parametrize("task", SIZES)
def test_generated_sets_are_repeatable_and_spread(task):
    assert generate_examples(task, 5, 40, 1) == generate_examples(task, 5, 40, 1)
    assert generate_examples(task, 5, 40, 1) != generate_examples(task, 5, 40, 2)
    assert TASKS[task].synthetic and len({e.id for e in generate_examples(task, 9, 40)}) == 9


def test_published_shapes():
    depths = [e.context.index("The pass key") // 90 for e in generate_examples("passkey", 59, 118)]
    assert depths == sorted(depths) and depths[0] == 0
    keys = [e.answer for e in generate_examples("number_string", 50, 4)]
    assert all(len(k) == 10 and any(a == b for a, b in itertools.pairwise(k)) for k in keys)
    calc = generate_examples("math_calc", 2, 3000)
    assert all(len(e.answer) == 2999 and min(e.answer) >= 0 and max(e.answer) <= 99 for e in calc)
    asked = Counter(re.search(r"The (.+?) of", e.input).group(1) for e in generate_examples("math_find", 70, 200))
    assert asked == dict.fromkeys(RANKS, 10)
    assert all(e.context.count("def func_") == 300 for e in generate_examples("code_run", 5, 300))


def test_a_task_without_generator_and_a_size_too_small_say_so():
    with pytest.raises(UserError, match="longbook_qa_eng: needs its published file"):
        generate_examples("longbook_qa_eng")
    with pytest.raises(UserError, match="no third smallest"):
        generate_examples("math_find", 1, 2)
    with pytest.raises(UserError, match="no chain of 6 calls"):
        generate_examples("code_run", 5, 4)


def write(path, *lines):
    path.write_text(
        "".join(line if isinstance(line, str) else json.dumps(line) + "\n" for line in lines), encoding="utf-8"
    )
    return path


def test_files_of_any_make(tmp_path):
    path = write(
        tmp_path / "p.jsonl",
        {"id": 0, "prediction": "7", "ground_truth": "7"},
        {"id": 1, "pred": "7", "label": "8", "ground_truth": "7"},  # pred goes with label
        {"id": 2, "prediction": None, "ground_truth": "7"},  # no answer: scored 0
        {"id": 3, "ground_truth": "7"},
        {"id": 4, "prediction": "7"},
        "[1, 2]\n",
        "\n",
        {"id": 0, "prediction": 7, "answer": [7]},
        '{"id": 188, "prediction": "x", "ground_truth": ["y"]}gi',
    )
    result = score_file(path, "passkey")
    assert (result["n"], result["score"], result["unreadable"], result["duplicate_ids"]) == (4, 50.0, 4, 1)
    assert result["left_out"] == {
        "no prediction": 1, "no usable label": 1, "no JSON object": 1, "not valid JSON": 1,
    }  # fmt: skip
    assert result["empty_predictions"] == 1


@pytest.mark.parametrize(
    "task, label, good",
    [("code_debug", ["f"], False), ("code_debug", ["f", "A"], True), ("code_run", "x", False), ("code_run", "4", True),
     ("math_calc", [[1, 2]], True), ("math_calc", [], False), ("math_find", None, False), ("longbook_qa_eng", ["", "a"], False),
     ("math_calc", ["3.5"], False), ("code_run", 1e400, False), ("code_run", 10**400, False), ("math_find", 3.5, True),
     ("passkey", "word", False), ("passkey", 12, True)],
)  # fmt: skip
def test_labels_that_no_scorer_could_use_are_left_out(tmp_path, task, label, good):
    path = write(tmp_path / "p.jsonl", {"prediction": "A", "label": label}, {"prediction": "A", "label": [1, 2]})
    assert read_predictions(path, task).left_out == ({} if good else {"no usable label": 1})


def test_one_line_for_what_cannot_be_scored(tmp_path):
    two = write(tmp_path / "two.jsonl", *({"prediction": "1", "label": "1", "model": m} for m in "ab"))
    with pytest.raises(UserError, match=r"two.jsonl: rows of 2 models in one file: a \(1 rows\), b \(1 rows\)"):
        score_file(two, "passkey")
    with pytest.raises(UserError, match="no row that passkey can score"):
        score_file(write(tmp_path / "empty.jsonl"), "passkey")
    with pytest.raises(UserError, match="cannot be read"):
        score_file(tmp_path / "absent.jsonl", "passkey")
    for flag in ("--samples", "--size", "--batch", "--max-new-tokens"):
        with pytest.raises(UserError, match=f"{flag} 0: must be at least 1"):
            main(["--model", "m", "--task", "passkey", flag, "0"])
    with pytest.raises(UserError, match="--task nonsense: no such task"):
        main([str(two), "--task", "nonsense"])


def test_command_line_prints_one_object(tmp_path, capsys):
    path = write(tmp_path / "p.jsonl", *({"id": i, "prediction": str(i % 2), "label": "1"} for i in range(8)))
    assert main([str(path), "--task", "passkey", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert (result["task"], result["score"], result["n"]) == ("passkey", 50.0, 8)
    # Wilson at 4 of 8: 0.5 -+ 1.96 sqrt(8 (0.25) + 0.9604) / (8 + 3.8415) = [0.2152, 0.7848]
    assert (result["low"], result["high"]) == pytest.approx((21.52, 78.48), abs=0.01)
    main([str(path), "--task", "passkey"])
    assert "Retrieve.PassKey (passkey): 50.00% [21.52, 78.48], 8 rows" in capsys.readouterr().out


def test_a_folder_of_predictions(tmp_path, capsys):
    """preds_TASK.jsonl, as the release leaves them; tasks that the other folder lacks, or asks otherwise, are told and not compared."""
    for name, right in (("a", "7"), ("b", "8")):
        (tmp_path / name).mkdir()
        write(tmp_path / name / "preds_passkey.jsonl", {"id": 0, "prediction": right, "ground_truth": "7"})
    write(tmp_path / "a" / "preds_number_string.jsonl", {"id": 0, "prediction": "5", "ground_truth": "5"})
    write(tmp_path / "a" / "preds_code_run.jsonl", {"id": 0, "prediction": "-5", "ground_truth": [-5]})
    write(tmp_path / "b" / "preds_code_run.jsonl", {"id": 0, "prediction": "-5", "ground_truth": [4]})
    folder, other = str(tmp_path / "a"), str(tmp_path / "b")
    assert main([folder, "--task", "all", "--against", other, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    tasks = {row["task"]: row for row in found["tasks"]}
    assert list(tasks) == ["passkey", "number_string", "code_run"] and found["mean"] == 100
    assert tasks["passkey"]["comparison"]["mean"] == 100
    assert "has no preds_number_string" in tasks["number_string"]["not_compared"]
    assert "no question of" in tasks["code_run"]["not_compared"]
    assert main([folder, "--task", "passkey", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["score"] == 100
    for argv, word in (
        ([folder, "--task", "passkey,kv_retrieval"], "has no preds_kv_retrieval"),
        ([str(tmp_path), "--task", "all"], "has no preds_TASK"),
        ([f"{folder}/preds_passkey.jsonl", "--task", "all"], "one file holds one task's"),
    ):
        with pytest.raises(UserError, match=word):
            main(argv)


def test_names_that_hold_nothing_give_way_to_those_that_do(tmp_path):
    """A table of mixed rows fills missing names with null; a prediction that is null alone is an empty answer."""
    path = write(
        tmp_path / "p.jsonl",
        {"id": None, "prediction": None, "ground_truth": None, "pred": "7", "label": "7"},
        {"id": None, "prediction": "7", "ground_truth": "7", "pred": None, "label": None},
        {"id": None, "prediction": None, "ground_truth": "7", "response": {"error": "7"}},
        {"model_output": "7", "gold": "7"},
    )
    result = score_file(path, "passkey")
    assert (result["n"], result["score"], result["empty_predictions"], result["duplicate_ids"]) == (4, 75, 1, 0)
    with pytest.raises(UserError, match=r"no prediction: 1; the keys of the first row: idx, said, gold\)"):
        score_file(write(tmp_path / "q.jsonl", {"idx": 1, "said": "7", "gold": "7"}), "passkey")


def test_paired_comparison_keeps_documents_together(tmp_path):
    def file(name, right):
        rows = ({"id": i, "prediction": "1" if right(i) else "0", "label": "1", "cluster": i // 2} for i in range(8))
        return write(tmp_path / name, *rows)

    gap = compare_files(file("a.jsonl", lambda i: True), file("b.jsonl", lambda i: i // 2 < 2), "passkey")
    # differences 0 0 0 0 1 1 1 1 in four documents: residual sums -1 -1 1 1, SE = sqrt(4/3 * 4) / 8
    assert gap["mean"] == 50 and gap["n"] == 8 and gap["clusters"] == 4
    assert gap["standard_error"] == pytest.approx(100 * (16 / 3) ** 0.5 / 8)
    assert gap["mde"] == pytest.approx(2.8016 * gap["standard_error"], rel=1e-4)


def test_a_pair_is_one_question_whatever_its_id(tmp_path):
    def file(name, *rows):
        return write(tmp_path / name, *({"id": i, "prediction": p, "label": label} for i, p, label in rows))

    ours = file("a.jsonl", (0, "11", "11"), (1, "22", ["22"]), (2, "33", "33"), (3, "44", "44"))
    # id 0 asks something else there; 22 and 33 stand under other ids; 44 stands twice, once under the same id
    theirs = file("b.jsonl", (0, "0", "99"), (2, "0", "22"), (1, "33", 33), (3, "0", "44"), (4, "0", "44"))
    gap = compare_files(ours, theirs, "passkey")
    assert (gap["n"], gap["paired_by_label"], gap["unpaired"]) == (3, 2, 3)
    assert gap["mean"] == pytest.approx(100 * (1 + 0 + 1) / 3)
    with pytest.raises(UserError, match=r"c\.jsonl: no question of"):
        compare_files(ours, file("c.jsonl", (0, "5", "5"), (1, "6", "6")), "passkey")


@pytest.mark.skipif(not DATA.exists(), reason="no published predictions beside the project")
def test_published_files_of_other_releases_are_not_paired_by_their_ids():
    gap = compare_files(
        *(DATA / m / "preds_longbook_choice_eng.jsonl" for m in ("gpt4", "chatglm3")), "longbook_choice_eng"
    )
    assert (gap["n"], gap["paired_by_label"], gap["unpaired"]) == (221, 213, 16)  # the books stand in another order
    with pytest.raises(UserError, match="no question of"):  # other keys and values under the same ids
        compare_files(*(DATA / m / "preds_kv_retrieval.jsonl" for m in ("gpt4", "yarn-mistral")), "kv_retrieval")


def test_a_loop_of_digits_is_an_answer_like_any_other(tmp_path):
    path = write(tmp_path / "p.jsonl", {"prediction": "5, 007, " + "1" * 6000, "label": [[5, 7, 12, 3]]})
    assert score_file(path, "math_calc")["score"] == 50


def test_ends_of_an_interval_are_exact(tmp_path):
    path = write(tmp_path / "p.jsonl", *({"id": i, "prediction": "1", "label": "1"} for i in range(500)))
    assert score_file(path, "passkey")["high"] == 100
    path = write(tmp_path / "p.jsonl", *({"id": i, "prediction": "2", "label": "1"} for i in range(500)))
    assert score_file(path, "passkey")["low"] == 0


def test_a_file_of_one_list(tmp_path):
    rows = [{"prediction": "1", "label": "1"}, {"prediction": "2", "label": "1"}, 7]
    for indent in (None, 1):
        path = write(tmp_path / "p.json", json.dumps(rows, indent=indent))
        assert (result := score_file(path, "passkey"))["n"] == 2 and result["left_out"] == {"no JSON object": 1}


def test_one_name_a_row_and_a_line_of_brackets(tmp_path):
    rows = ({"id": i, "prediction": "1", "label": "1", "model": "m", "generator": "engine"} for i in range(2))
    result = score_file(write(tmp_path / "p.jsonl", *rows, "[" * 100_000 + "\n"), "passkey")
    assert result["n"] == 2 and result["left_out"] == {"not valid JSON": 1}


def test_published_task_files(tmp_path):
    path = write(
        tmp_path / "t.jsonl",
        {"id": 7, "context": "A {book}.", "input": "Who?", "answer": ["Ann"], "options": ["Bob", "Ann", "Cy", "Di"]},
    )
    (example,) = read_task_file(path, "longbook_choice_eng")
    assert example.answer == ["Ann", "B"] and example.id == "7"
    text = prompt_text("longbook_choice_eng", example, "chat")
    assert "A {book}." in text and text.endswith("A. Bob\nB. Ann\nC. Cy\nD. Di")
    assert prompt_text("longbook_choice_eng", example, "completion").endswith("The letter of the correct answer is")
    bad = write(
        tmp_path / "bad.jsonl", {"id": 7, "context": "A.", "input": "Who?", "answer": ["Eve"], "options": ["Bob"]}
    )
    with pytest.raises(UserError, match="row 1: field 'options': needs four options"):
        list(read_task_file(bad, "longbook_choice_eng"))
    odd = write(tmp_path / "odd.jsonl", {"id": 7, "context": "A.", "input": "Who?", "answer": ["Eve"], "options": 3})
    with pytest.raises(UserError, match="row 1: field 'options': needs four options"):
        list(read_task_file(odd, "code_debug"))


def test_every_task_has_both_wordings():
    example = generate_examples("code_run", 1, 20)[0]
    for task in TASKS:
        for style in ("chat", "completion"):
            if task not in ("code_debug", "longbook_choice_eng"):
                assert prompt_text(task, example, style)


def test_the_middle_of_a_long_prompt_is_cut():
    tokenizer = small_tokenizer()
    text = "begin " + "word " * 400 + "end"

    def ids(t):
        return prompt_ids(tokenizer, t)

    assert cut_middle(tokenizer, text, len(ids(text)), ids) == (text, 0)
    short, cut = cut_middle(tokenizer, text, 200, ids)
    assert short.startswith("begin") and short.endswith("end") and len(ids(short)) <= 200 and cut > 0
    assert len(ids(short)) >= 195
    with pytest.raises(UserError, match="do not hold the chat template"):
        cut_middle(tokenizer, text, 5, ids)


@pytest.mark.parametrize("task", SIZES)
def test_a_model_is_asked_scored_and_asked_no_more(tmp_path, task):
    solver = Scripted(SOLVERS[task])
    sizes = Sizes(samples=7, size=50, length="64k", max_new_tokens=40, batch=2)
    with RunFolder(tmp_path) as run:
        path = run_task(run, solver, task, sizes)
        assert score_file(path, task)["score"] == 100
        asked = solver.asked
        assert run_task(run, solver, task, sizes) == path and solver.asked == asked
        with pytest.raises(UserError, match="started with other settings"):
            run_task(run, solver, task, Sizes(samples=8, size=50, length="64k", max_new_tokens=40, batch=2))
    silent = tmp_path / "silent"
    with RunFolder(silent) as run:
        assert score_file(run_task(run, Scripted(lambda p: ""), task, sizes), task)["score"] == 0
