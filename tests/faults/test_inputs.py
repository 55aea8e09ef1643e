"""What is wrong is said in one line, with exit code 2, and nothing is lost or written half. Through the command line's main()."""

import json
import subprocess
import sys

import pytest

from tests import tiny
from windvane.cli.main import main


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return tiny.folder(tmp_path_factory.mktemp("models") / "mistral", window=256)


@pytest.fixture
def prompts(tmp_path):
    path = tmp_path / "prompts.jsonl"
    path.write_text("".join(json.dumps({"prompt": f"What is {i} plus one?"}) + "\n" for i in range(24)))
    return path


def line(capsys):
    """The one line on standard error."""
    told = capsys.readouterr().err.strip().splitlines()
    told = [t for t in told if t.startswith("windvane:") or "Traceback" in t]
    assert len(told) == 1 and "Traceback" not in told[0], told
    return told[0]


def run(model, prompts, out, *more):
    given = [
        "--model",
        str(model),
        "--prompts",
        str(prompts),
        "--judge",
        "world:styles:length",
        "--out",
        str(out),
        "--quiet",
    ]
    small = [
        "--iterations",
        "1",
        "--sampling.k",
        "2",
        "--sampling.max-new-tokens",
        "4",
        "--evaluate.max-new-tokens",
        "4",
    ]
    return main(["run", "sppo", *given, *small, "--threads", "1", "--device", "cpu", *more])


FAULTS = {
    "missing model": ({"model": "/nowhere/model"}, "model /nowhere/model: no such folder"),
    "missing prompts": ({"prompts": "nowhere.jsonl"}, "nowhere.jsonl: no such file"),
    "no such judge": ({"more": ["--judge", "oracle:x"]}, "judge oracle:x: not known"),
    "no such function": ({"more": ["--judge", "py:nowhere:f"]}, "py:nowhere:f"),
    "judge twice": (
        {"more": ["--evaluate.judge", "world:styles:length"]},
        "evaluate.judge: world:styles:length trains already",
    ),
    "no such objective": ({"more": ["--train.objective", "dppo"]}, "objective dppo: unknown"),
    "no such objective setting": ({"more": ["--train.objective-args", "tau", "1"]}, "objective sppo: no setting 'tau'"),
    "no such column": ({"more": ["--prompt-column", "question"]}, "no column 'question'"),
    "no such device": ({"more": ["--device", "warp"]}, "device warp"),
    "not enough prompts": ({"more": ["--prompts-per-iteration", "100"]}, "prompts are left for training"),
    "no room in the window": ({"more": ["--sampling.max-new-tokens", "300"]}, "lower --sampling.max-new-tokens 300"),
    "wrong type": ({"more": ["--train.lr", "fast"]}, "--train.lr: could not convert string to float: 'fast'"),
    "unknown flag": ({"more": ["--train.learning-rate", "1"]}, "not known: --train.learning-rate"),
    "out of range": ({"more": ["--train.warmup", "1.5"]}, "train.warmup: 1.5; must be in [0, 1)"),
    "judge twice, spelt otherwise": (
        {"more": ["--judge", "world:styles", "--evaluate.judge", "world:styles:proxy"]},
        "evaluate.judge: world:styles trains already",
    ),
    "negative seed": ({"more": ["--seed", "-1"]}, "seed: -1; must be 0 or more"),
    "too many iterations": ({"more": ["--iterations", "100000000000"]}, "1000 at most"),
    "too many answers": ({"more": ["--sampling.k", "3000000"]}, "4096 answers a prompt at most"),
    "temperature": ({"more": ["--sampling.temperature", "nan"]}, "temperature nan"),
    "all answers of pairs": (
        {"more": ["--answers", "all", "--train.objective", "dpo"]},
        "answers: all K go with an objective",
    ),
    "empty out": ({"out": ""}, "--out: is empty"),
    "no recipe": ({"more": ["--recipe", "nowhere.toml"]}, "nowhere.toml: no such file"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_one_line(tmp_path, capsys, model, prompts, name):
    given, expected = FAULTS[name]
    code = run(
        given.get("model", model),
        given.get("prompts", prompts),
        given.get("out", tmp_path / "run"),
        *given.get("more", []),
    )
    assert expected in line(capsys) and code == 2


def test_broken_row_17(tmp_path, capsys, model, prompts):
    rows = prompts.read_text().splitlines()
    rows[16] = rows[16][:-4]
    prompts.write_text("\n".join(rows))
    assert run(model, prompts, tmp_path / "run") == 2
    said = line(capsys)
    assert "prompts.jsonl" in said and "row 17" in said


def test_empty_prompt_in_row_17(tmp_path, capsys, model, prompts):
    rows = prompts.read_text().splitlines()
    rows[16] = '{"prompt": "  "}'
    prompts.write_text("\n".join(rows))
    assert run(model, prompts, tmp_path / "run") == 2
    said = line(capsys)
    assert "row 17" in said and "prompt" in said


def test_empty_file(tmp_path, capsys, model, prompts):
    prompts.write_text("")
    assert run(model, prompts, tmp_path / "run") == 2
    assert "prompts.jsonl" in line(capsys)


def test_prompt_longer_than_the_window(tmp_path, capsys, model, prompts):
    long = json.dumps({"prompt": "word " * 100})
    prompts.write_text(prompts.read_text() + long + "\n")
    assert run(model, prompts, tmp_path / "run") == 2
    said = line(capsys)
    assert "tokens" in said and "window of 256" in said
    assert not (tmp_path / "run" / "iter-1" / "responses.jsonl").exists()


def test_tokenizer_without_template(tmp_path, capsys, prompts):
    folder = tiny.folder(tmp_path / "plain")
    (folder / "chat_template.jinja").unlink()
    assert run(folder, prompts, tmp_path / "run") == 2
    assert "no chat template" in line(capsys)


def test_system_message_that_the_template_refuses(tmp_path, capsys, prompts):
    folder = tiny.folder(tmp_path / "strict")
    strict = "{% if messages[0].role == 'system' %}{{ raise_exception('no system role') }}{% endif %}" + tiny.TEMPLATE
    (folder / "chat_template.jinja").write_text(strict)
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]
    prompts.write_text(json.dumps({"messages": chat}) + "\n")
    assert run(folder, prompts, tmp_path / "run") == 2
    assert "system" in line(capsys)


def test_a_second_process_on_the_same_run(tmp_path, capsys, model, prompts):
    code = "import sys, time; from windvane.runs.store import RunFolder\n"
    code += "with RunFolder(sys.argv[1]): print('in', flush=True); time.sleep(120)"
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "run")], stdout=subprocess.PIPE, text=True)
    try:
        assert holder.stdout.readline() == "in\n"
        assert run(model, prompts, tmp_path / "run") == 2
        assert "another process is working on this run" in line(capsys)
    finally:
        holder.kill()
        holder.wait()


def test_a_judge_that_answers_nonsense_is_counted_not_scored(tmp_path, capsys, model, prompts, monkeypatch):
    (tmp_path / "nonsense.py").write_text("def f(prompt, a, b):\n    return 7.0\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert run(model, prompts, tmp_path / "run", "--judge", "py:nonsense:f") == 2
    told = line(capsys)
    assert "iter-1/verdicts: no pair of " in told and "the judge returned 7.0: not a probability in [0, 1]" in told
    assert not (tmp_path / "run/iter-1/verdicts.jsonl").exists(), "a mended judge is asked again"


def test_a_failed_start_binds_nobody(tmp_path, capsys, model, prompts):
    assert run("/nowhere/model", prompts, tmp_path / "run") == 2
    assert "no such folder" in line(capsys)
    assert run(model, prompts, tmp_path / "run", "--sampling.max-new-tokens", "300") == 2
    assert "--sampling.max-new-tokens 300" in line(capsys)
    assert run(model, "nowhere.jsonl", tmp_path / "run") == 2
    assert "nowhere.jsonl: no such file" in line(capsys)


def test_a_judge_that_exits(tmp_path, capsys, model, prompts, monkeypatch):
    (tmp_path / "leaving.py").write_text("def f(prompt, a, b):\n    raise SystemExit(0)\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert run(model, prompts, tmp_path / "run", "--judge", "py:leaving:f") == 2
    assert "py:leaving:f" in line(capsys)


def test_a_tokenizer_of_another_model(tmp_path, capsys, prompts):
    folder = tiny.folder(tmp_path / "small", vocab=100)
    assert run(folder, prompts, tmp_path / "run") == 2
    assert "its vocabulary ends at 99" in line(capsys)


def test_broken_recipe_toml(tmp_path, capsys, model, prompts):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "heldout.jsonl").write_text("")
    (tmp_path / "run" / "recipe.toml").write_text("seed = ")
    assert run(model, prompts, tmp_path / "run") == 2
    assert "recipe.toml: not valid TOML" in line(capsys)


def test_weights_that_training_ruins_are_not_published(tmp_path, capsys, model, prompts):
    ruin = ["--train.lr", "1e30", "--train.schedule", "constant", "--train.warmup", "0", "--train.batch", "64"]
    assert run(model, prompts, tmp_path / "run", *ruin, "--train.held-out", "0") == 2
    assert "not finite" in line(capsys)
    assert not (tmp_path / "run" / "iter-1" / "model").exists()


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["jump"], "no command 'jump'; there are demo"),
        (["run"], "run: name one of sppo"),
        (["run", "spo", "--x"], "no command 'run spo'"),
        (["run", "sppo"], "missing: --out, --model, --prompts, --judge"),
        (["export", "nowhere", "--format", "trl"], "nowhere"),
        (["export", "nowhere", "--fromat", "trl"], "unrecognized arguments: --fromat"),
        (["report", "nowhere"], "nowhere"),
    ],
)
def test_verbs(capsys, argv, expected):
    assert main(argv) == 2
    assert expected in line(capsys)


@pytest.mark.slow
def test_as_real_processes(tmp_path, model):
    """The same through the shell: exit code 2, one line, no traceback."""
    for argv in (["jump"], ["run", "sppo", "--model", "x"], ["run", "sppo", "--model", str(model), "--prompts", "nowhere.jsonl",
                 "--judge", "world:styles", "--out", str(tmp_path / "run")]):  # fmt: skip
        found = subprocess.run([sys.executable, "-m", "windvane", *argv], capture_output=True, text=True)
        assert found.returncode == 2 and found.stdout == ""
        assert len(found.stderr.strip().splitlines()) == 1 and found.stderr.startswith("windvane: ")


def test_help_is_quick_and_light():
    """Both spellings; the interpreter's own start is in the figure."""
    import time

    for command in (
        [sys.executable, "-m", "windvane", "--help"],
        [sys.executable, "-c", "from windvane.cli.main import main; main(['--help'])"],
    ):
        best = 9.0
        for _ in range(5):
            start = time.perf_counter()
            found = subprocess.run(command, capture_output=True, text=True)
            best = min(best, time.perf_counter() - start)
        assert found.returncode == 0 and "usage: windvane COMMAND" in found.stdout
        assert best < 0.4
