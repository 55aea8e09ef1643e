"""Steerability: the figures by hand, controls that must fail, and the verb from cases to heat map."""

import json
import math
import xml.etree.ElementTree as ElementTree

import pytest

from windvane.core.errors import UserError
from windvane.core.protocols import Grade
from windvane.core.records import Response
from windvane.janus.steerability.cases import read_cases
from windvane.janus.steerability.command import main
from windvane.janus.steerability.plot import MOST, heat_maps
from windvane.janus.steerability.score import NONE, Row, matrix, summarise
from windvane.runs.store import read_jsonl


def row(prompt, case, asked, value, score, words=10, split="seen"):
    return Row(prompt, split if case else "", case, tuple(asked), value, value in asked, score, words)


def group(prompt="p", words=(10, 20)):
    """A asks for v, B for w: A's answer has v 5 and w 2, B's v 1 and w 4; without a message 2 and 3."""
    return [
        row(prompt, f"{prompt}A", ["v"], "v", 5, words[0]),
        row(prompt, f"{prompt}A", ["v"], "w", 2, words[0]),
        row(prompt, f"{prompt}B", ["w"], "v", 1, words[1]),
        row(prompt, f"{prompt}B", ["w"], "w", 4, words[1]),
        row(prompt, None, [], "v", 2),
        row(prompt, None, [], "w", 3),
    ]


def test_figures_by_hand():
    found = summarise(group())
    means = {
        k: found[k]["mean"]
        for k in ("own", "swapped", "none", "own_minus_swapped", "own_minus_none", "swapped_minus_none")
    }
    # v: 5, 1, 2; w: 4, 2, 3
    assert means == {
        "own": 4.5, "swapped": 1.5, "none": 2.5, "own_minus_swapped": 3, "own_minus_none": 2, "swapped_minus_none": -1,
    }  # fmt: skip
    # (5 - 1) + (4 - 2) > 0: right. Length: gaps 4 at log(1/2) and 2 at log 2: the line meets 0 at 3 with slope -1/log 2
    assert found["swap_accuracy"]["mean"] == 1
    assert found["at_equal_length"]["mean"] == pytest.approx(3)
    assert found["at_equal_length"]["slope"] == pytest.approx(-1 / math.log(2))
    assert (
        found["splits"][0]["split"] == "seen" and found["grades"] == 6 and found["prompts"] == 1 and found["cases"] == 2
    )


def test_length_is_taken_out():
    """Answers to A are longer, and the judge gives half a grade for each doubling: with no values at all A seems to be followed.
    gap = log2(own/other)/2 for A, and its negative for B: nothing at equal length, and the swap test cannot tell A from B."""
    rows = []
    for i, (a, b) in enumerate([(40, 10), (20, 10), (80, 10)]):
        grades = {"A": round(math.log2(a / 10)) + 1, "B": 1}
        for case, words in (("A", a), ("B", b)):
            rows += [row(f"p{i}", f"{i}{case}", ["v"] if case == "A" else ["w"], v, grades[case], words) for v in "vw"]
    only = [r for r in rows if not (r.case.endswith("B") and r.value == "w")]  # what B asks for is not measured in it
    assert summarise(only)["own_minus_swapped"]["mean"] == pytest.approx(2)  # (2 + 1 + 3) / 3
    assert summarise(only)["at_equal_length"]["mean"] == pytest.approx(0, abs=1e-9)
    whole = summarise(rows)
    assert whole["own_minus_swapped"]["mean"] == pytest.approx(0) and whole["swap_accuracy"]["mean"] == 0.5


def test_what_counts_as_a_swap():
    """A value that the other message asks for too is not swapped; unread grades are counted, not scored; targets alone count."""
    both = [
        row("p", "A", ["v", "w"], "v", 5),
        row("p", "B", ["v"], "v", 5),
        row("p", "A", ["v", "w"], "w", 5),
        row("p", "B", ["v"], "w", 1),
    ]
    found = summarise(both)
    assert (
        found["values_without_a_swap"] == 2
        and found["own_minus_swapped"]["n"] == 1
        and found["own_minus_swapped"]["mean"] == 4
    )
    assert found["swap_accuracy"] is None, "B asks for nothing that A does not"
    lost = Row("p", "seen", "B", ("w",), "v", False, None, 10, "x: key: no verdict")
    found = summarise([row("p", "A", ["v"], "v", 5), lost])
    assert found["unreadable"] == 1 and found["reasons"] == {"no verdict": 1} and found["own_minus_swapped"] is None
    assert summarise([Row("p", "s", "A", ("v",), "v", False, 5, 1)])["own"] is None


def test_splits_are_swapped_within_themselves():
    other = [
        Row(
            r.prompt, "values" if r.case else "", r.case and r.case + "x", r.asked, r.value, r.target, r.score and 3, 10
        )
        for r in group()
    ]
    found = summarise([*group(), *[r for r in other if r.case]])
    figures = {s["split"]: s["own_minus_swapped"]["mean"] for s in found["splits"]}
    assert figures == {"seen": 3, "values": 0} and found["own_minus_swapped"]["mean"] == 1.5


def test_intervals_draw_prompts_whole():
    """Six copies of one prompt's rows are one prompt still: no narrower than once; another prompt moves the interval's ends."""
    rows = group("p") + [
        Row(*(r.prompt + "q", r.split, r.case and "q" + r.case, r.asked, r.value, r.target, 3, 10)) for r in group("p")
    ]
    found = summarise(rows)["own_minus_swapped"]
    assert (found["low"], found["high"], found["prompts"]) == (0, 3, 2)


def test_matrix_and_heat_map():
    cells = {
        (c["asked"], c["measured"]): c
        for c in matrix([r for r in group() if r.case], [r for r in group() if not r.case])
    }
    assert {k: c["mean"] for k, c in cells.items()} == {
        (NONE, "v"): 2, (NONE, "w"): 3, ("v", "v"): 5, ("v", "w"): 2, ("w", "v"): 1, ("w", "w"): 4,
    }  # fmt: skip
    svg = heat_maps({"seen": list(cells.values())}, "A <model>", "said")
    tree = ElementTree.fromstring(svg)
    texts = ["".join(t.itertext()) for t in tree.iter("{http://www.w3.org/2000/svg}text")]
    assert sum(t[:3] in ("2.0", "3.0", "5.0", "1.0", "4.0") for t in texts) == 6 and "A &lt;model&gt;" in svg
    assert svg.count('class="own"') == 2 and "asked: v; measured: w: 2.00, 1 grades on 1 prompts" in svg
    many = [
        {"asked": str(i), "measured": str(i), "mean": 3, "low": None, "high": None, "n": 1, "prompts": 1}
        for i in range(MOST + 1)
    ]
    assert "too many for a heat map" in heat_maps({"seen": many}, "x")


def rubric(word):
    return {"criteria": f"Does it say {word}?", "score_descriptions": {str(i): f"{word} {i}" for i in range(1, 6)}}


def bench(path, prompts=4, **changes):
    """Each prompt under two messages: one asks for warm and long, the other for dry."""
    rows = []
    for i in range(prompts):
        for words in (["warm", "long"], ["dry"]):
            one = {
                "system": f"Be {' and '.join(words)}.",
                "prompt": f"Tell me {i}.",
                "rubrics": [rubric(w) for w in words],
            }
            rows.append({**one, "values": words, "split": "seen" if i % 2 else "wordings", **changes})
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


class Obeys:
    """Says its system message back; without one, nothing of it."""

    def __init__(self, sampling):
        pass

    def generate(self, prompts, indices, seed):
        return [
            [
                Response(f"{p.id}-{i}", p.id, i, p.messages[0].content if len(p.messages) > 1 else "Well.", (), "stop")
                for i in indices
            ]
            for p in prompts
        ]


class Reads:
    """5 where the answer has the rubric's word, else 1."""

    def grade(self, questions):
        found = []
        for q in questions:
            assert "Be " not in q.prompt.text and q.reference is None
            word = json.loads(q.rubric)["criteria"].removeprefix("Does it say ").removesuffix("?")
            found.append(Grade(q.key, 5 if word in q.response.text else 1, "told"))
        return found


class Prose:
    def grade(self, questions):
        return [
            Grade(q.key, None, "It is nice.", f"rubric:x: {q.key}: no line 'Score: N' in the answer") for q in questions
        ]


def argv(tmp_path, cases, judge="Reads", *more):
    named = [
        "--cases",
        cases,
        "--model",
        f"py:{__name__}:Obeys",
        "--judge",
        f"py:{__name__}:{judge}",
        "--out",
        tmp_path / "out",
        *more,
    ]
    return [*map(str, named), "--quiet"]


def test_the_verb(tmp_path, capsys):
    asked = argv(tmp_path, bench(tmp_path / "b.jsonl"))
    assert main([*asked, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["own"]["mean"] == 5 and found["swapped"]["mean"] == found["none"]["mean"] == 1
    assert found["swap_accuracy"]["mean"] == 1 and [s["split"] for s in found["splits"]] == ["wordings", "seen"]
    assert found["grades"] == 4 * 3 * 3 and found["cases"] == 8
    assert main([*asked, "--json"]) == 0 and json.loads(capsys.readouterr().out) == found, "a finished run is read back"
    assert len(list(read_jsonl(tmp_path / "out/grades.jsonl"))) == 36
    # anyone can score the rows again, and gets the same
    assert main([str(tmp_path / "out/grades.jsonl"), "--out", str(tmp_path / "again")]) == 0
    again = json.loads((tmp_path / "again/result.json").read_text())
    assert all(again[k] == found[k] for k in ("own", "at_equal_length", "splits", "matrices"))
    assert [(g["split"], g["own_minus_swapped"], g["swap_accuracy"]) for g in found["groups"]] == [
        ("wordings", 4, 1),
        ("seen", 4, 1),
    ]
    text = capsys.readouterr().out
    assert "+4.00 [+4.00, +4.00]" in text and "8 system messages on 4 prompts, 36 grades" in text
    assert (tmp_path / "out/plot.svg").read_text().startswith("<svg")


class Weary(Reads):
    """Goes away after two batches, once."""

    left = 2

    def grade(self, questions):
        Weary.left -= 1
        if Weary.left == -1:
            raise RuntimeError("the machine went away")
        return super().grade(questions)


def test_broken_off_and_taken_up_again(tmp_path, capsys):
    """What was graded is not asked again, and the result is that of a run that was not broken off."""
    cases = bench(tmp_path / "b.jsonl")
    asked = argv(tmp_path, cases, "Weary", "--batch", "4")
    with pytest.raises(UserError, match="the machine went away"):
        main(asked)
    assert not (tmp_path / "out/result.json").exists()
    assert main([*asked, "--json"]) == 0 and Weary.left == -1 - 7, "9 batches of 36 grades, two of them kept"
    found = json.loads(capsys.readouterr().out)
    whole = [*argv(tmp_path, cases, "Weary", "--batch", "4"), "--out", str(tmp_path / "whole"), "--json"]
    assert main(whole) == 0 and json.loads(capsys.readouterr().out) == found
    assert (tmp_path / "whole/grades.jsonl").read_bytes() == (tmp_path / "out/grades.jsonl").read_bytes()


def test_every_value_may_be_measured(tmp_path, capsys):
    rows = [json.loads(line) for line in bench(tmp_path / "b.jsonl", 2).read_text().splitlines()]
    rows[3] |= {"values": ["blunt"], "rubrics": [rubric("blunt")], "system": "Be blunt."}
    (tmp_path / "b.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    assert main([*argv(tmp_path, tmp_path / "b.jsonl", "Reads", "--measure", "all"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["grades"] == 2 * 3 * 4 and any(
        c["asked"] == "dry" and c["measured"] == "blunt" for c in found["matrices"]["wordings"]
    )


def test_a_judge_that_answers_prose(tmp_path, capsys):
    assert main(argv(tmp_path, bench(tmp_path / "b.jsonl"), "Prose")) == 0
    told = capsys.readouterr().out
    assert "36 of 36 grades could not be read: 36 no line 'Score: N' in the answer" in told
    assert json.loads((tmp_path / "out/result.json").read_text())["own_minus_swapped"] is None


def test_the_worlds_cases():
    """Two messages a prompt and split that share no value; held-out values alone are targets of their split."""
    cases = read_cases("world:values:4:1")
    assert len(cases) == 4 * 5 * 2 and len({c.id for c in cases}) == 40
    for a, b in zip(cases[::2], cases[1::2]):
        assert (a.prompt, a.split) == (b.prompt, b.split) and not set(a.rubrics) & set(b.rubrics)
    assert {len(c.targets) for c in cases if c.split == "values"} == {1}
    assert {t.partition("/")[2] for c in cases if c.split == "values" for t in c.targets} <= {
        "emphasis",
        "child",
        "recap",
        "kindness",
    }
    assert {len(c.targets) for c in cases if c.split != "values"} == {4}


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"values": ["one"]}, "row 1: field 'values': 1 names for 2 rubrics"),
        ({"targets": ["blunt"]}, "row 1: field 'targets': 'blunt' is none of the row's values"),
        ({"rubrics": []}, "row 1: field 'rubrics': expected a list of rubrics"),
        ({"system": " "}, "row 1: field 'system': empty"),
        ({"values": None, "rubrics": [rubric("x")], "system": "S"}, "stands twice; rename one"),
    ],
)  # fmt: skip
def test_mistakes_in_cases(tmp_path, change, wrong):
    with pytest.raises(UserError) as error:
        read_cases(str(bench(tmp_path / "b.jsonl", **change)))
    assert wrong in str(error.value) and "b.jsonl: row" in str(error.value)


def test_mistakes(tmp_path):
    path = bench(tmp_path / "b.jsonl", 1)
    rows = path.read_text().splitlines()
    path.write_text(rows[0] + "\n")
    with pytest.raises(UserError, match="no prompt has two system messages in one split"):
        read_cases(str(path))
    other = json.loads(rows[1]) | {"values": ["warm"]}
    path.write_text(rows[0] + "\n" + json.dumps(other) + "\n")
    with pytest.raises(UserError, match="row 2: field 'values': 'warm' has another rubric in"):
        read_cases(str(path))
    with pytest.raises(UserError, match="there are: toy:values"):
        read_cases("world:styles")
    with pytest.raises(UserError, match="both of them numbers"):
        read_cases("world:values:x")
    with pytest.raises(UserError, match="--judge is needed"):
        main(["--cases", "x", "--model", "y"])
    (tmp_path / "g.jsonl").write_text(
        json.dumps(
            {
                "prompt": "p",
                "split": "",
                "case": "A",
                "asked": [],
                "value": "v",
                "target": True,
                "score": 9,
                "words": 1,
                "reason": None,
            }
        )
        + "\n"
    )
    with pytest.raises(UserError, match="row 1: field 'score': 9"):
        main([str(tmp_path / "g.jsonl")])
    with pytest.raises(UserError, match="gives no grades by a rubric"):
        main([*argv(tmp_path, bench(tmp_path / "b.jsonl"))[:4], "--judge", "reward:x", "--out", str(tmp_path / "o")])
