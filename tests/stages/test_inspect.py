"""`windvane inspect`: what it says of files that were written to be counted, of a template, of a run's row."""

import json

import pytest

from tests.finetune.rows import WORDS, chats, pairs, write
from tests.tiny import TEMPLATE, byte_tokenizer, folder
from windvane.core.errors import UserError
from windvane.datasets.fingerprints import _read as read_set
from windvane.datasets.fingerprints import known_sets, lines, overlaps, prompts_of, written
from windvane.stages.inspect.command import main


def overlap(text, tests):
    return overlaps(text, (tests,))[0]


def told(capsys, *argv):
    assert main([*map(str, argv), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("models") / "base", seed=1)


def test_counts_by_hand(tmp_path, capsys):
    rows = [
        {
            "prompt": f"say {w} to me now",
            "chosen": "yes I do",
            "rejected": "no",
            "score_chosen": 2,
            "score_rejected": 1,
            "x": 0,
        }
        for w in WORDS[:4]
    ]
    rows += [rows[0], {**rows[0], "chosen": "other"}, {**rows[1], "chosen": "no"}, {**rows[2], "prompt": ""}]
    found = told(capsys, write(tmp_path / "p.jsonl", rows))
    assert (found["layout"], found["unread"]) == ("pairs", ["x"])
    assert (found["rows"], found["usable"], found["prompts"]) == (8, 6, 4)
    assert (found["repeated_prompts"], found["repeated_rows"]) == (2, 1)
    assert (found["with_scores"], found["chosen_longer"], found["answers_a_prompt"]) == (6, 1.0, {"2": 6})
    assert found["lengths"]["prompt"] == {"min": 5, "median": 5, "p95": 6, "max": 6, "sum": 32}, (
        "words: 5 for rain and bread, 6 for the others"
    )
    assert [r["place"][-5:] for r in found["refused"]] == ["row 7", "row 8"]
    assert "the same as chosen" in found["refused"][0]["reason"]


def test_in_a_models_tokens_with_a_row_in_colour(base, tmp_path, capsys, monkeypatch):
    data = chats(tmp_path / "c.jsonl")
    found = told(capsys, data, "--model", base)
    # <s>, then the bytes of '[INST] ', 'hi rain', ' [/INST]': 1 + 7 + 7 + 8
    assert found["unit"] == "tokens" and found["lengths"]["prompt"]["min"] == 23
    (answer,) = found["example"]["answers"]
    assert [(p["text"], p["learnt"]) for p in answer["parts"]] == [
        (" hello rain</s>", True), ("[INST] and? [/INST]", False), (" rain</s>", True),
    ]  # fmt: skip
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert main([str(data), "--model", str(base), "--row", "2"]) == 0
    page = capsys.readouterr().out
    assert "\x1b[32m hello a cat</s>\x1b[0m\x1b[2m[INST] and? [/INST]\x1b[0m\x1b[32m a cat</s>\x1b[0m" in page
    monkeypatch.setenv("NO_COLOR", "1")
    assert main([str(data), "--model", str(base), "--row", "2"]) == 0
    page = capsys.readouterr().out
    assert "\x1b" not in page and "⟦ hello a cat</s>⟧[INST] and? [/INST]⟦ a cat</s>⟧" in page
    with pytest.raises(UserError, match="row 99: no such row; it cannot be shown"):
        main([str(data), "--model", str(base), "--row", "99"])


def test_control_characters_do_not_reach_the_terminal(base, tmp_path, capsys):
    data = write(tmp_path / "p.jsonl", [{"prompt": "a\x1b[31mb", "chosen": "\x07c", "rejected": "d"}])
    assert main([str(data), "--model", str(base)]) == 0
    page = capsys.readouterr().out
    assert "\x1b" not in page and "\x07" not in page and "a\\u001b[31mb" in page


def test_what_does_not_fit_is_refused_in_tokens(base, tmp_path, capsys):
    data = write(tmp_path / "p.jsonl", [{"prompt": "x" * n, "chosen": "yes", "rejected": "no"} for n in (3, 90)])
    found = told(capsys, data, "--model", base, "--max-length", "60")
    assert found["usable"] == 1 and "tokens with its answer, and --max-length is 60" in found["refused"][0]["reason"]


def test_a_template(base, capsys):
    assert main([str(base)]) == 0
    page = capsys.readouterr().out
    assert (
        "answers stop at </s>; window 4,096 tokens" in page
        and "✓ BOS: <s> once" in page
        and "✓ system role: known" in page
    )


def test_a_row_of_a_run(base, tmp_path, capsys):
    from windvane.finetune.recipe import main as train

    run = tmp_path / "run"
    argv = [
        "--objective",
        "orpo",
        "--model",
        base,
        "--data",
        pairs(tmp_path / "p.jsonl", 3),
        "--out",
        run,
        "--quiet",
        "--device",
        "cpu",
        "--train.batch",
        "1",
    ]
    assert train([*map(str, argv)]) == 0
    capsys.readouterr()
    id = json.loads((run / "iter-1/prompts.jsonl").read_text().splitlines()[0])["id"]
    found = told(capsys, run, "--id", id[:9])
    assert {f["file"] for f in found} == {f"iter-1/{n}.jsonl" for n in ("prompts", "responses", "groups")}
    assert {f["row"].get("prompt_id", f["row"]["id"]) for f in found} == {id}
    assert main([str(run), "--id", id]) == 0
    assert "user: tell me about" in capsys.readouterr().out
    with pytest.raises(UserError, match="no row has the id nought"):
        main([str(run), "--id", "nought"])
    with pytest.raises(UserError, match="name a row: --id ID"):
        main([str(run)])


def test_test_prompts_by_fingerprint(tmp_path):
    """A set of three prompts, of 20, 7 and 3 words: whole, inside other text, cut, and never."""
    long = " ".join(f"w{i}" for i in range(20))
    tests = read_set("# T: x\n" + "\n".join(lines([long, "Write a haiku about the grey sea.", "Who are you?"])) + "\n")
    assert (tests.name, tests.prompts, sorted(tests.sizes)) == ("T", 3, [7, 13])
    assert overlap(long.upper(), tests) == 1 and overlap(f"x {long} y", tests) == 1
    assert overlap("Please write a haiku about the grey sea, friend", tests) == 2
    assert overlap("who are you", tests) == 3 and overlap("Tell me who are you", tests) is None
    assert overlap(" ".join(f"w{i}" for i in range(15)), tests) == 1, "the first 13 words are there"
    assert overlap(" ".join(f"w{i}" for i in range(1, 13)), tests) is None
    assert overlap("", tests) is None


def test_alpaca_evals_prompts(tmp_path, capsys):
    (tests,) = [t for t in known_sets() if t.name == "AlpacaEval"]
    assert (tests.prompts, len(tests.whole)) == (805, 805)
    prompt = "What are the names of some famous actors that started their careers on Broadway?"
    data = write(
        tmp_path / "p.jsonl", [{"prompt": prompt, "response": "x"}, {"prompt": "What is rain?", "response": "x"}]
    )
    found, *others = told(capsys, data)["test_prompts"]
    assert (found["set"], found["rows"], found["places"]) == (
        "AlpacaEval",
        1,
        [{"place": f"{data}: row 1", "test_row": 1}],
    )
    assert [one["rows"] for one in others] == [0, 0, 0, 0]


def test_the_other_sets_are_whole_and_tell_what_they_hold():
    """A prompt of each, in other capitals and marks and inside another text; the sets' sizes are the published ones."""
    sets = {t.name: t for t in known_sets()}
    sizes = {
        "AlpacaEval": 805,
        "Arena-Hard v2.0": 750,
        "HumanEval": 164,
        "IFEval": 541,
        "MT-Bench": 160,
    }  # 80 of two turns
    assert {name: t.prompts for name, t in sets.items()} == sizes
    travel = (
        "Compose an engaging travel blog post about a recent trip to Hawaii, "
        "highlighting cultural experiences and must-see attractions."
    )
    assert overlap(f"Now: {travel.upper()} Thank you!", sets["MT-Bench"]) == 1
    assert overlap("Rewrite your previous response. Start every sentence with the letter A.", sets["MT-Bench"]) == 2
    article = "https://en.wikipedia.org/wiki/Raymond_III,_Count_of_Tripoli"
    assert overlap(f'Write a 300+ word summary of the wikipedia page "{article}".', sets["IFEval"]) == 1
    head = "from typing import List def has_close_elements(numbers: List[float], threshold: float) -> bool: Check if"
    assert overlap(head, sets["HumanEval"]) == 1
    form = "Your answer must contain a title, wrapped in double angular brackets, i.e. <<title>>."
    assert overlap(form, sets["IFEval"]) is None, "what several prompts share tells none of them"
    both = [sets["MT-Bench"], sets["AlpacaEval"]]
    assert overlaps(travel, both) == [overlap(travel, one) for one in both]


def test_a_sets_file_is_written_from_its_source(tmp_path):
    source = write(
        tmp_path / "q.jsonl", [{"turns": ["Tell me of the grey sea tonight.", "Shorter?"]}, {"turns": ["Why?"]}]
    )
    text = written(source, "turns", "Mine", "by me")
    assert text.startswith("# Mine: fingerprints of 3 prompts, by me; source SHA-256 ") and "grey" not in text
    assert [overlap(p, read_set(text)) for p in ("shorter", "WHY", "Oh, tell me of the grey sea tonight!")] == [2, 3, 1]
    with pytest.raises(UserError, match=r"row 2: field 'turns' is no text"):
        prompts_of(write(tmp_path / "r.jsonl", [{"turns": ["a"]}, {"turns": []}]), "turns")


def test_against_a_test_set_at_hand(tmp_path, capsys):
    tests = write(tmp_path / "t.jsonl", [{"prompt": "Name a colour of the sky today."}, {"prompt": "Who?"}])
    rows = [{"prompt": p, "response": "x"} for p in ("Please: name a colour of the sky, today!", "Why?")]
    data = write(tmp_path / "p.jsonl", rows)
    found = told(capsys, data, "--against", tests)["test_prompts"][-1]
    assert (found["rows"], found["places"]) == (1, [{"place": f"{data}: row 1", "test_row": 1}])


def test_a_system_message_that_the_template_would_lose_is_refused(base, tmp_path, capsys):
    silent = folder(tmp_path / "silent")
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace("{{ '[SYS] ' + m['content'] + ' [/SYS] ' }}", "")
    tokenizer.save_pretrained(silent)
    rows = [{"system": s, "prompt": "a", "response": "b"} for s in ("Be brief.", "")]
    data = write(tmp_path / "p.jsonl", rows)
    found = told(capsys, data, "--model", silent)
    (refused,) = found["refused"]
    assert refused["place"] == f"{data}: row 1" and "leaves the system message out in silence" in refused["reason"]
    assert told(capsys, data, "--model", silent, "--system", "merge")["usable"] == 2
    assert told(capsys, data, "--model", base)["usable"] == 2


def test_prompts_alone_are_counted_in_tokens_and_shown(tmp_path, capsys):
    """The README's `windvane inspect FILE --model MODEL` on prompts without answers; one that does not fit is refused by row."""
    path = tmp_path / "prompts.jsonl"
    rows = [{"prompt": "Tell me about tea."}, {"prompt": "Tell me about the moon."}, {"prompt": "word " * 400}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main([str(path), "--model", "world:styles", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["layout"], found["rows"], found["usable"]) == ("prompts", 3, 2)
    assert (
        len(found["refused"]) == 1
        and "row 3" in found["refused"][0]["reason"]
        and "window" in found["refused"][0]["reason"]
    )
    assert "Tell me about tea." in found["example"]["prompt"]["text"] and found["example"]["answers"] == []
    assert main([str(path), "--model", "world:styles"]) == 0
    assert "row 1 as the model would be asked" in capsys.readouterr().out
