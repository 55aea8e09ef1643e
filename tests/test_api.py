"""The public API: exactly the names that it promises, imported lazily, and each doing what the command line does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import windvane as wv
from windvane.cli.main import main

NAMES = """Sppo LongPO Janus EvalYaks Train run RunResult generate judge pair score Tree Scorer share_prefixes load_model load_judge
load_generator read_rows RunFolder Prompt Response Verdict Group UserError __version__"""


def test_the_names_are_exported_on_purpose():
    assert set(wv.__all__) == set(NAMES.split()) and len(wv.__all__) == len(set(wv.__all__))
    assert set(wv._WHERE) == set(wv.__all__) - {"__version__"}
    for name in wv.__all__:
        assert getattr(wv, name) is not None
    assert wv.__version__.count(".") == 2
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        wv.nothing  # noqa: B018


def test_run_is_the_function_whatever_was_imported_before():
    """No room of the package has the name of a public function, so importing a room cannot replace one."""
    code = (
        "import windvane.runs.store, windvane.judges.names, windvane as wv; print(callable(wv.run), callable(wv.judge))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == [
        "True",
        "True",
    ]
    assert not {name for name in wv.__all__ if (Path(wv.__file__).parent / name).exists()}


def test_importing_and_naming_settings_loads_no_torch():
    code = "import sys, windvane as wv; wv.UserError; wv.Prompt; dir(wv); print('torch' in sys.modules, 'scipy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.split() == [
        "False",
        "False",
    ]


def longer(prompt, a, b):
    return 0.5 if len(a) == len(b) else 0.9 if len(a) > len(b) else 0.1


def test_stages_in_memory_equal_the_command_line(tmp_path, monkeypatch):
    """The same prompts through `windvane generate`, `judge` and `pair` give the same records."""
    monkeypatch.chdir(tmp_path)
    asked = ["tell me of the sea .", "tell me of the cat ."]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"prompt": p}) + "\n" for p in asked))
    flags = "--k 3 --max-new-tokens 12 --device cpu --quiet"
    assert main(f"generate prompts.jsonl --model world:styles --out R {flags}".split()) == 0
    kept = [json.loads(line) for line in (tmp_path / "R/iter-1/responses.jsonl").read_text().splitlines()]
    generator = wv.load_generator("world:styles", k=3, max_new_tokens=12, device="cpu")
    seed = _seed_of_the_command()
    responses = generator_responses(asked, generator, seed)
    assert {r.id: r.text for some in responses for r in some} == {row["id"]: row["text"] for row in kept}
    verdicts = wv.judge(asked, responses, "py:tests.test_api:longer")
    assert len(verdicts) == 2 * 3
    for verdict in verdicts:
        a, b = (
            next(r for some in responses for r in some if r.id == f"{verdict.prompt_id}-{i}")
            for i in (verdict.a, verdict.b)
        )
        assert verdict.p == pytest.approx(longer("", a.text, b.text)) and verdict.disagreement == pytest.approx(0)
    groups = wv.pair(responses, verdicts)
    assert [g.id for g in groups] == [some[0].prompt_id for some in responses]
    for group, some in zip(groups, responses):
        lengths = [len(r.text) for r in some]
        if group.status == "pair":
            assert len(some[group.chosen].text) == max(lengths) and len(some[group.rejected].text) == min(lengths)


def generator_responses(asked, generator, seed):
    return wv.generate(asked, generator, k=3, seed=seed)


def _seed_of_the_command():
    from windvane.core.records import seed_of

    return seed_of(42, "generate", 1)


def test_a_prompt_that_does_not_fit_is_refused_by_name():
    with pytest.raises(wv.UserError, match="longer than the window"):
        wv.generate(["the sea . " * 5000], "world:styles", max_new_tokens=8)


def test_a_run_from_python(tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    row = {"prompt": "tell me of the sea .", "chosen": "the sea is wide .", "rejected": "it is ."}
    pairs.write_text(
        "".join(json.dumps(row | {"prompt": f"tell me of the {w} ."}) + "\n" for w in ("sea", "cat", "sun", "bird"))
    )
    from dataclasses import replace

    settings = wv.Train(objective="dpo", model="world:styles", data=str(pairs), device="cpu", threads=1)
    settings = replace(settings, train=replace(settings.train, batch=2, lr=1e-4, warmup=0.0))
    result = wv.run(settings, tmp_path / "RUN", quiet=True)
    assert result.folder == tmp_path / "RUN" and result.model == tmp_path / "RUN" / "model"
    assert result.summary == json.loads((tmp_path / "RUN" / "summary.json").read_text())
    model, tokenizer = wv.load_model(str(result.model), device="cpu")
    assert not model.training and tokenizer.chat_template
    with pytest.raises(wv.UserError, match="use Sppo, LongPO"):
        wv.run(result, tmp_path / "OTHER")


def test_transcripts_are_scored_as_on_the_command_line(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    talk = tmp_path / "talk.txt"
    lines = "I live in a small town near the sea, and I like it because my friends live there too, so we often walk. "
    talk.write_text(f"Examiner: Where do you live?\nCandidate: {lines * 4}\n")
    (assessment,) = wv.score(talk, part=1)
    assert main(["score", "talk.txt", "--part", "1", "--out", "bands.csv"]) == 0
    kept = json.loads((tmp_path / "bands.jsonl").read_text().splitlines()[0])["assessment"]
    assert assessment.status == kept["status"]
    assert {b.criterion: b.expected for b in assessment.bands} == {b["criterion"]: b["expected"] for b in kept["bands"]}
    empty = tmp_path / "none.txt"
    empty.write_text("\n")
    with pytest.raises(wv.UserError, match=r"none\.txt"):
        wv.score(empty, part=1)
