"""The rubric-sppo claim end to end at a reduced size, its rows, and its rules on planted numbers."""

import json

import pytest

from studies.declare import declared
from studies.page import section
from studies.plot import draw
from studies.rubric_sppo.arm import UNIFORM, Size, write_rows
from studies.rubric_sppo.study import NAME, choose, findings, main, reduced, sweeps, trained, unit_of
from tests.studies.made import run_reduced
from windvane.datasets.prompts import read_prompts
from windvane.judges.rubric_pairs import read_rubrics
from windvane.runs.store import read_jsonl
from windvane.toy.values import family as values
from windvane.toy.values.messages import asked


@pytest.mark.slow
def test_one_seed_at_reduced_size(tmp_path, capsys):
    """Also `--judge rubric:` through the whole recipe: prompts with system messages, a file of rubrics, another judge that evaluates."""
    claim = run_reduced(main, NAME, 3, tmp_path / "run", capsys)
    assert set(claim.per_seed) == {"rubric", "uniform", "start"} and len(claim.per_prompt["rubric"][0]) == 24
    assert claim.per_prompt["rubric"] != claim.per_prompt["uniform"]
    course = claim.figures["arms"]["rubric"]["course"][0]
    assert len(course) == 2 and course[1]["kl"] > 0 and claim.figures["arms"]["start"]["course"] == [[]]
    text = section(claim, list(draw(claim)))
    assert "## rubric-sppo: undecided" in text and "| `uniform` |" in text and "rubric-sppo-iterations.svg" in text


def test_rows(tmp_path):
    """Every arm has the same prompts in the same order; the own rubrics are the system message's, another's share none, uniform ones are
    one set."""
    size, told = Size(2, 30, 3, 1, 1), {}
    for whose in ("own", "shuffled", "uniform"):
        write_rows(size, whose, 7, tmp_path / whose)
        told[whose] = [row for _, row in read_jsonl(tmp_path / whose)]
        assert len({(r["system"], r["prompt"]) for r in told[whose]}) == 60
        (tmp_path / f"{whose}.jsonl").write_bytes((tmp_path / whose).read_bytes())
        prompts = read_prompts(tmp_path / f"{whose}.jsonl").prompts
        assert (
            set(read_rubrics(tmp_path / f"{whose}.jsonl")) == {p.id for p in prompts} and len(prompts[0].messages) == 2
        )
    for own, other, same in zip(*told.values()):
        assert own["system"] == other["system"] == same["system"]
        keys = {
            w: {k for r in row["rubrics"] for k in values.named(r["criteria"])}
            for w, row in zip(told, (own, other, same))
        }
        assert (
            keys["own"] == set(asked(own["system"]))
            and not keys["own"] & keys["shuffled"]
            and keys["uniform"] == set(UNIFORM)
        )
    write_rows(size, "own", 8, tmp_path / "again")
    assert [r for _, r in read_jsonl(tmp_path / "again")] != told["own"]


def test_the_declaration():
    d = declared(NAME)
    assert d.primary == ("rubric", "uniform") and len(d.seeds) == 5 and len(d.learning_rates) == 3
    assert d.arms["rubric"].settings["objective_args"] == d.arms["uniform"].settings["objective_args"]
    assert trained(d) == ["rubric", "uniform", "shuffled", "dpo"] and len(sweeps(d)) == 12
    results = {u.key: {"adherence": {"seen": 0.4}} for u in sweeps(d)}
    results[unit_of(d, "dpo", 5e-4, d.development_seed, False).key] = {"adherence": {"seen": 0.5}}
    chosen = choose(d, results)
    assert chosen["dpo"]["learning_rate"] == 5e-4 and chosen["rubric"]["learning_rate"] == 2.5e-4, (
        "the lowest of equals"
    )
    assert (
        chosen["start"] == {"learning_rate": 0.0, "sweep": {}}
        and choose(reduced(d), {})["rubric"]["learning_rate"] == 1e-3
    )


def test_findings_are_paired_by_seed():
    def run(seen, malformed):
        return {
            "adherence": dict.fromkeys(("seen", "combinations", "recombined", "synonyms", "values"), seen),
            "malformed": malformed,
        }

    runs = {
        "rubric": [run(0.5, 0.02), run(0.6, 0.04), run(0.7, 0.03)],
        "uniform": [run(0.3, 0), run(0.4, 0), run(0.5, 0)],
        "start": [run(0.4, 0.02), run(0.5, 0.04), run(0.6, 0.03)],
    }
    found = findings(runs)
    assert found[0].numbers == "+0.100 [+0.100, +0.100], 3 seeds" and found[0].verdict == "holds"
    assert found[5].numbers.startswith("-0.100") and found[5].verdict == "holds", "less than the start, as it states"
    assert found[-1].verdict == "undecided", "not a bit more malformed"
    json.dumps([f.numbers for f in found])
