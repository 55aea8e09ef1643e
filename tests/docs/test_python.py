"""The Python that pages show runs, with the names that a block takes for granted given to it.

docs/extending.md has a test of its own (test_extending.py). docs/judges.md's block opens PairRM's published weights, which are not here:
tests/judges/test_pairrm.py calls the same methods on tiny ones.
"""

import json
import re
from types import SimpleNamespace

import pytest
import torch

import windvane
from tests import tiny
from tests.docs.shown import PAGES, ROOT, page_of
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.share_prefixes import share_prefixes
from windvane.models.trees.tree import Tree
from windvane.toy.values import family as values

PYTHON = re.compile(r"^```python\n(.*?)^```", re.M | re.S)


def blocks(name):
    return PYTHON.findall(page_of(name).read_text(encoding="utf-8"))


def test_the_worlds():
    given = {
        "reply": "In simple words, the sea is wide and blue. Please take good care.",
        "prompt": values.cases(1, "seen", seed=0)[0].prompt,
        "text": "E: What do you like? C: I like the sea.",
    }
    shown = blocks("toy")
    assert len(shown) == 3
    for code in shown:
        exec(code, dict(given))


def test_the_engine_in_a_loop_of_ones_own():
    """The first block's log-probs are the plain forward's of chosen and rejected."""
    own, trl = blocks("performance")
    model = tiny.model()
    ids = {"prompt_ids": [1, 40, 41, 42], "chosen_ids": [50, 51, 2], "rejected_ids": [60, 2]}
    given = {"Scorer": Scorer, "Tree": Tree, "model": model, **ids}
    exec(own, given)
    for name in ("chosen", "rejected"):
        row = torch.tensor([ids["prompt_ids"] + ids[f"{name}_ids"]])
        every = model(input_ids=row).logits[0, :-1].log_softmax(-1).gather(1, row[0, 1:, None])[:, 0]
        assert given[name].tolist() == pytest.approx(every[3:].tolist(), abs=1e-4) and given[name].requires_grad
    exec(trl, {"share_prefixes": share_prefixes, "trainer": SimpleNamespace(model=tiny.model())})


def test_the_api_page_runs_and_names_everything_public(tmp_path, monkeypatch, capsys):
    """Each block runs as shown, in one folder, and every public name stands on the page."""
    monkeypatch.chdir(tmp_path)
    rows = [
        {"prompt": f"tell me of the {w} .", "chosen": "the sea is wide .", "rejected": "it is ."}
        for w in ("sea", "cat", "sun", "bird")
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    answer = "I live in a small town near the sea, and I like it because my friends live there too. " * 4
    (tmp_path / "talk.txt").write_text(f"Examiner: Where do you live?\nCandidate: {answer}\n")
    shown = blocks("api")
    assert len(shown) == 6
    printed = []
    for code in shown:
        exec(code, {})
        printed.append(capsys.readouterr().out)
    assert printed[0].split()[-1] == "RUN/model" and (tmp_path / "RUN/model/model.safetensors").exists()
    assert len(printed[1].splitlines()) == 2
    assert printed[3].splitlines()[0] == "pairs.jsonl: row 1 tell me of the sea . 2"
    text = page_of("api").read_text(encoding="utf-8")
    assert [name for name in windvane.__all__ if name != "__version__" and f"wv.{name}" not in text] == []


def test_no_other_page_shows_python():
    known = {"docs/api.md", "docs/toy.md", "docs/performance.md", "docs/extending.md", "docs/judges.md"}
    assert {p.relative_to(ROOT).as_posix() for p in PAGES if PYTHON.search(p.read_text(encoding="utf-8"))} == known


def test_targets_of_make_that_are_shown_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))
    shown = {name for p in PAGES for name in re.findall(r"(?:^|`)make ([a-z]+)", p.read_text(encoding="utf-8"), re.M)}
    assert "demo" in shown and shown <= targets
