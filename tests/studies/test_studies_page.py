"""docs/claims.md and its drawings are what the claims' files make, and nothing else."""

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import pytest

from studies.declare import declared
from studies.page import main, not_run, render, section
from studies.plot import dots, draw, powers, ticks
from studies.record import contrast, over_seeds, read_claim, verdict, write_claim
from tests.studies.made import made_claim
from windvane.core.errors import UserError

DOCS = Path(__file__).parents[2] / "docs"


def test_the_page_in_docs_has_not_drifted():
    for name, text in render(DOCS).items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, f"docs/{name}: run `python -m studies.page`"


@pytest.mark.parametrize("path", sorted((DOCS / "claims").glob("*.json")), ids=lambda p: p.stem)
def test_a_kept_claim_says_what_its_numbers_say(path):
    claim = read_claim(path)
    first, second = claim.primary
    found = contrast(claim.per_prompt[first], claim.per_prompt[second])
    assert (found.mean, found.low, found.high) == pytest.approx(
        (claim.interval.mean, claim.interval.low, claim.interval.high), abs=1e-5
    )
    assert claim.verdict == verdict(claim.interval) and not claim.reduced
    for arm, values in claim.per_seed.items():
        assert claim.mean[arm] == pytest.approx(over_seeds(values).mean, abs=1e-5)
        if arm in claim.per_prompt:
            assert values == pytest.approx([sum(p) / len(p) for p in claim.per_prompt[arm]], abs=1e-5)


def test_what_the_page_says():
    text = section(made_claim(), ["sppo-arms.svg", "sppo-cycle.svg"])
    assert text.startswith("## sppo: holds")
    assert "sppo - dpo: **+0.100**, 95% interval [+0.050, +0.150] over 3 seeds: **holds**" in text
    assert (
        "| `other`, 2 seeds | the arm other | 0.0005 | 0.0005: 0.700, 0.001: 0.600 | 0.525 | - | 0.500 0.550 |" in text
    )
    assert "| undecided | it rises | +0.1 [-0.1, +0.3] |" in text
    assert "0.300, 0.200" not in text and "| exact: `sppo` | 0.400, 0.100 | 0.400, 0.100 |" in text
    assert "28.53 / 31.02" in text, "the paper's own table stands beside it"
    assert "| `sppo`, seed 1 | 0.300 | 0.400 | 0.100 | 0.100 at 2 |" in text
    assert "15 minutes of CPU, 10 of waiting" in text


def test_what_was_declared_and_not_run_is_said():
    claim, d = made_claim(), declared("sppo")
    kept = not_run(replace(claim, seeds=d.seeds[:3], arms={a: {} for a in d.arms if a != "inpo"}))
    assert kept == "Declared and not run: the arms `inpo` and the seeds 504, 505."
    assert not_run(claim) in section(claim, []) and "the seeds 501" in not_run(claim)
    assert not_run(replace(claim, seeds=d.seeds, arms={arm: {} for arm in d.arms})) == ""
    assert "seeds" not in not_run(replace(claim, reduced=True)), "a reduced run has seeds of its own"


def test_numbers_move_the_page_and_the_drawings(tmp_path):
    claim = made_claim()
    (tmp_path / "claims").mkdir()
    write_claim(claim, tmp_path / "claims" / "sppo.json")
    assert main(["--docs", str(tmp_path)]) == 0
    first = {p.name: p.read_text() for p in tmp_path.rglob("*.svg")}
    assert set(first) == {f"sppo-{n}.svg" for n in ("arms", "iterations", "rate", "games", "cycle")}
    write_claim(
        replace(claim, per_seed={**claim.per_seed, "dpo": [0.6, 0.61, 0.65]}), tmp_path / "claims" / "sppo.json"
    )
    assert main(["--docs", str(tmp_path)]) == 0
    assert (tmp_path / "claims" / "sppo-arms.svg").read_text() != first["sppo-arms.svg"]
    assert "0.600 0.610 0.650" in (tmp_path / "claims.md").read_text()


def test_no_claim_there(tmp_path):
    with pytest.raises(UserError, match="no claim there"):
        render(tmp_path)


def test_drawings_are_whole_and_place_what_they_show():
    for text in draw(made_claim()).values():
        root = ET.fromstring(text)
        box = [float(v) for v in root.attrib["viewBox"].split()]
        for circle in root.iter("{http://www.w3.org/2000/svg}circle"):
            assert 0 <= float(circle.attrib["cx"]) <= box[2] and 0 <= float(circle.attrib["cy"]) <= box[3]
    circles = list(ET.fromstring(dots(made_claim())).iter("{http://www.w3.org/2000/svg}circle"))
    at = {c[0].text: float(c.attrib["cx"]) for c in circles}
    assert len(at) == 8 and at["sppo, seed 1: 0.700"] - at["dpo, seed 1: 0.600"] == pytest.approx(
        at["dpo, seed 1: 0.600"] - at["other, seed 1: 0.500"], abs=0.2
    )


def test_ticks():
    assert ticks(0.0, 1.0) == [0.0, 0.5, 1.0] and ticks(-0.21, 0.18) == [-0.2, -0.1, 0.0, 0.1]
    assert [round(10**v, 6) for v in powers(-1.5, 0.0)] == [0.05, 0.1, 0.2, 0.5, 1.0]
    assert powers(1.2, 4.2) == [2.0, 3.0, 4.0]
