"""RUN/evaluations/NAME in the page: the number first, the drawing without anything that acts, and one line for what is broken."""

import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.report.words import Words
from windvane.charts.sanitize import DEEPEST, ELEMENTS, LARGEST, clean
from windvane.cli.report import render
from windvane.core.errors import UserError
from windvane.evals.infinitebench.command import main as infinitebench
from windvane.evals.intransitivity.command import main as intransitivity
from windvane.evals.ruler.command import main as ruler
from windvane.report.evaluations import evaluations, number_at, written

HEAD = '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 10 10">'


def put(run, name, result, svg=HEAD + '<rect width="4" height="4"/></svg>'):
    folder = run / "evaluations" / name
    folder.mkdir(parents=True, exist_ok=True)
    if result is not None:
        (folder / "result.json").write_text(result if isinstance(result, str) else json.dumps(result))
    if svg is not None:
        (folder / "plot.svg").write_text(svg)
    return folder


@pytest.fixture
def copy(run, tmp_path) -> Path:
    shutil.copytree(run, tmp_path / "run")
    return tmp_path / "run"


def test_the_number_comes_first(copy):
    put(
        copy,
        "alpaca",
        {
            "name": "alpaca",
            "win_rate": 31.02,
            "length_controlled_winrate": 28.53,
            "lc_low": 26.1,
            "lc_high": 31.0,
            "n_total": 805,
        },
    )
    put(copy, "own", {"name": "mine", "headline": "Wins <b>twice</b>", "answers": 12, "notes": ["from /home/me/x/y"]})
    put(
        copy,
        "mt",
        {
            "name": "mt-bench",
            "models": [{"average": 7.25, "model": "ours", "n": 160}, {"average": 6.5, "model": "base", "n": 160}],
        },
    )
    found = {one.name: one for one in evaluations(copy)}
    alpaca, mine, mt = found["alpaca"], found["own (mine)"], found["mt (mt-bench)"]
    assert (alpaca.value, alpaca.what) == ("28.5%", "length-controlled win rate (95% interval 26.1% to 31.0%)")
    assert ("n total", "805") in alpaca.numbers and not alpaca.problems
    assert mine.sentence == "Wins <b>twice</b>" and mine.notes == ["from …/y"]
    assert (mt.value, mt.what) == ("7.25", "MT-Bench average, of 10, ours")
    assert mt.head == ["model", "average", "n"] and mt.rows == [["ours", "7.25", "160"], ["base", "6.5", "160"]]
    html = render(copy)
    assert "Wins &lt;b&gt;twice" in html and "<b>twice" not in html and '<template shadowrootmode="open">' in html
    text = Words(html).text
    assert text.index("28.5% length-controlled win rate") < text.index("Prompts and answers") and render(copy) == html


def test_labels_stand_beside_their_numbers(copy):
    """A live judge's figure must not be taken for the published one; a suite's number is its last model's."""
    put(
        copy,
        "live",
        {"name": "alpaca", "label": "not comparable with published ones", "win_rate": 61.5, "standard_error": 1.0},
    )
    models = {"start": {"mean": 0.5, "tasks": {}}, "iteration 1": {"mean": 0.625, "tasks": {}}}
    put(copy, "suite", {"name": "harness", "columns": {"arc": {"title": "ARC", "shots": 25}}, "models": models})
    live, suite = evaluations(copy)
    assert (live.value, live.what, live.sentence) == ("61.5%", "win rate", "not comparable with published ones")
    assert (suite.value, suite.what) == ("62.5%", "mean over tasks, iteration 1")
    assert suite.rows == [["start", "0.5"], ["iteration 1", "0.625"]] and not live.problems + suite.problems
    assert "61.5% win rate not comparable with published ones" in Words(render(copy)).text


def test_what_is_missing_or_broken_is_one_line(copy):
    put(copy, "a", None)
    put(copy, "b", "{broken", svg=None)
    put(copy, "c", "[1, 2]")
    put(copy, "d", '{"name": "x", "rate": NaN}', svg="<html/>")
    put(copy, "e", "[" * 100_000, svg="not a drawing")
    put(copy, "f", {"name": "x", "rate": 0.5}, svg=HEAD + "<g>" * (DEEPEST + 2) + "</g>" * (DEEPEST + 2) + "</svg>")
    (put(copy, "g", None, None) / "result.json").write_bytes(b"\xff\xfe{}")
    put(copy, "i", '{"name": "x", "a": ' + "[" * 600 + "]" * 600 + "}")
    put(copy, "j", '{"name": "x", "a": ' + '{"a": ' * 900 + "1" + "}" * 901)
    (copy / "evaluations" / "stray.txt").write_text("no folder")
    (copy / "evaluations" / "h" / "result.json").mkdir(parents=True)
    lines = {one.name[0]: " ".join(one.problems) for one in evaluations(copy)}
    assert "is not there" in lines["a"] and "not valid JSON" in lines["b"] and "plot.svg is not there" in lines["b"]
    assert "expected a table" in lines["c"] and "no number to show" in lines["d"] and "not an SVG" in lines["d"]
    assert "result.json" in lines["e"] and "not an SVG" in lines["e"] and "deep" in lines["f"]
    assert "cannot be read" in lines["g"] and "not there" in lines["h"]
    text = Words(render(copy)).text
    assert "result.json: not valid JSON" in text and "Traceback" not in text


def test_a_run_without_evaluations_says_how_to_get_them(run):
    assert evaluations(run) == [] and "windvane eval NAME … --out RUN/evaluations/NAME" in Words(render(run)).text


@pytest.mark.parametrize(
    "evil",
    [
        "<script>alert(1)</script>",
        '<rect onload="alert(1)" width="1"/>',
        '<a xlink:href="javascript:alert(1)"><text>x</text></a>',
        '<image href="http://evil.example/x.png"/>',
        '<use xlink:href="http://evil.example/x.svg#a"/>',
        '<use href="data:image/svg+xml,&lt;svg onload=alert(1)>"/>',
        "<foreignObject><body xmlns='http://www.w3.org/1999/xhtml'><script>alert(1)</script></body></foreignObject>",
        "<style>@import url(http://evil.example/x.css);</style>",
        "<style>rect{fill:u\\72l(http://evil.example/x)}</style>",
        "<style>&lt;/style>&lt;script>alert(1)&lt;/script></style>",
        "<style>:host{position:fixed;inset:0}</style>",
        '<rect style="background:url(http://evil.example/x)"/>',
        '<rect fill="url(http://evil.example/x)"/>',
        '<animate attributeName="href" values="javascript:alert(1)"/>',
        "<title>&lt;img src=x onerror=alert(1)></title>",
        "<title><h:img xmlns:h='http://www.w3.org/1999/xhtml' src='x' onerror='alert(1)'/></title>",
        "<h:iframe xmlns:h='http://www.w3.org/1999/xhtml' src='http://evil.example'/>",
        "<desc><x>&lt;/desc>&lt;script>alert(1)&lt;/script></x></desc>",
        "<text>&lt;/svg>&lt;script>alert(1)&lt;/script></text>",
        "<set attributeName='onclick' to='alert(1)'/>",
    ],
)
def test_nothing_in_a_drawing_acts(evil):
    made = str(clean(f"{HEAD}{evil}<circle r='1'/></svg>"))
    page = Words(made)
    names = {tag for tag, _ in page.tags}
    assert names <= {name.lower() for name in ELEMENTS} and "circle" in names
    for _, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on") and "evil.example" not in value and "javascript" not in value
    styles = made.partition("<style>")[2].partition("</style>")[0]
    assert "evil" not in styles and ":host" not in styles and "<script" not in made and "<img" not in made
    ElementTree.fromstring(made)


def test_titles_hold_words_alone_and_styles_no_markup():
    """HTML begins again inside a title, where a style would be the page's; a style that holds a tag is no style."""
    made = str(clean(f"{HEAD}<title>a<style>b</style><g>c</g>d</title><style>&lt;/style>rect{{}}</style></svg>"))
    assert "<title>a</title>" in made and "<style" not in made


def test_a_drawing_is_otherwise_kept():
    """Gradients, clips and reuse by their own ids, style rules, text and its entities; a plain DOCTYPE is nothing to fear."""
    text = (
        '<?xml version="1.0"?><!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">'
        f'{HEAD}<style>.a{{fill:url(#g)}} g > text{{fill:red}}</style><defs><path id="m" d="M0 0L1 1"/></defs>'
        '<g clip-path="url(#c)"><use xlink:href="#m" x="1"/><text x="1">a &lt; b &amp; c</text>tail</g></svg>'
    )
    made = str(clean(text))
    assert '<use href="#m" x="1">' in made and 'clip-path="url(#c)"' in made and "a &lt; b &amp; c" in made
    assert "fill:url(#g)" in made and "g &gt; text" in made and "tail" in made
    sized = str(clean('<svg xmlns="http://www.w3.org/2000/svg" width="640px" height="480"/>'))
    assert 'viewBox="0 0 640 480"' in sized


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "not an SVG"),
        ("<html></html>", "not an SVG"),
        (HEAD, "not an SVG"),
        ('<!DOCTYPE svg [<!ENTITY a "aaaa">]><svg>&a;</svg>', "declares entities"),
        ("x" * (LARGEST + 1), "characters"),
    ],
)
def test_no_drawing_is_said(text, says):
    with pytest.raises(UserError, match=says):
        clean(text)


def test_numbers():
    assert number_at({"a": [{"b": 2}]}, "a.0.b") == 2
    for place in ("a.1.b", "a.b", "c", "a.0.c", "a.0"):
        assert number_at({"a": [{"b": True, "c": None}]}, place) is None
    assert written(16384, "tokens") == "16K tokens" and written(3000, "tokens") == "3,000 tokens"
    assert written(-0.125, "share") == "−12.5%" and written(12.34, "%") == "12.3%"
    assert written(805, "number") == "805" and written(0.1, "number") == "0.1" and written(-0.0, "share") == "0.0%"


def test_the_commands_put_them_there(copy, tmp_path, capsys):
    """RULER and InfiniteBench score given answers, the judge's verdicts are measured; the page shows all three."""
    answers = [
        {"id": f"{i}", "task": "niah_single_1", "length": length, "references": ["1234567"], "depths": [i / 10], "cluster": f"{i}",
         "prediction": "1234567" if length == 4096 or i < 5 else "no"}
        for length in (4096, 8192) for i in range(10)
    ]  # fmt: skip
    (tmp_path / "answers.jsonl").write_text("".join(json.dumps(row) + "\n" for row in answers))
    out = copy / "evaluations"
    assert ruler([str(tmp_path / "answers.jsonl"), "--out", str(out / "ruler")]) == 0
    for task, said in (("passkey", "71432"), ("number_string", "5")):
        rows = [{"id": i, "prediction": said if i else "none", "ground_truth": said} for i in range(4)]
        (tmp_path / f"{task}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        assert (
            infinitebench([str(tmp_path / f"{task}.jsonl"), "--task", task, "--out", str(out / "infinitebench")]) == 0
        )
    assert intransitivity([str(copy), "--out", str(out / "intransitivity"), "--resamples", "200"]) == 0
    capsys.readouterr()
    found = {one.name: one for one in evaluations(copy)}
    assert list(found) == ["infinitebench", "intransitivity", "ruler"]
    assert not any(one.problems for one in found.values()) and all(one.svg for one in found.values())
    assert (found["ruler"].value, found["ruler"].what) == ("75.0%", "mean over lengths and tasks")
    assert found["ruler"].sentence.startswith("no effective length")
    assert found["ruler"].head == ["", "4096", "8192"] and found["ruler"].rows == [["locating", "100", "50"]]
    assert found["infinitebench"].value == "75.0%" and [row[0] for row in found["infinitebench"].rows] == [
        "passkey",
        "number_string",
    ]
    assert "%" in found["intransitivity"].value and "No scalar score explains" in found["intransitivity"].sentence
    assert "effective length" in str(found["ruler"].svg) and "Retrieve" in str(found["infinitebench"].svg)
    held = json.loads((out / "infinitebench" / "result.json").read_text())
    assert [row["of"] for row in held["tasks"]] == ["passkey.jsonl", "number_string.jsonl"] and held["mean"] == 75
    assert "Evaluations" in Words(render(copy)).text
    (out / "infinitebench" / "result.json").write_text("{}")
    with pytest.raises(UserError, match="not a result of windvane eval infinitebench"):
        infinitebench([str(tmp_path / "passkey.jsonl"), "--task", "passkey", "--out", str(out / "infinitebench")])


def test_two_models_are_told_with_the_smallest_difference_that_would_show(copy):
    gap = {"mean": -1.5, "low": -2.0, "high": 0.25, "mde": 1.234, "n": 9}
    put(copy, "mt", {"name": "mt-bench", "comparisons": [{"first": "a", "second": "b", **gap}]})
    put(
        copy,
        "ib",
        {"name": "infinitebench", "tasks": [{"task": "code_run", "comparison": {"against": "o.jsonl", **gap}}]},
    )
    put(
        copy,
        "r",
        {"name": "ruler", "comparison": {"against": "B", "n": 4, "lengths": {"4096": {"qa": gap | {"mde": None}}}}},
    )
    put(copy, "h", {"name": "harness", "minus_first": {f"iter-{i}": {"arc": gap} for i in range(14)}})
    put(copy, "odd", {"name": "odd", "x": {"mean": "1", "low": [], "high": None, "mde": 1}, "n": 1})
    found = {e.name.split(" ")[0]: e.notes for e in evaluations(copy)}
    assert found["mt"] == ["a minus b: \u22121.5 [\u22122, +0.25]; a difference under 1.23 would probably go unseen."]
    assert found["ib"][0].startswith("code run, minus o.jsonl: \u22121.5")
    assert found["r"] == ["4096, qa, minus B: \u22121.5 [\u22122, +0.25]."] and found["odd"] == []
    assert len(found["h"]) == 13 and found["h"][0].startswith("iter-0, arc: ")
    assert found["h"][-1] == "2 more differences are in the file."


def test_the_best_model_leads_and_not_the_baseline(copy):
    rows = [{"model": "base", "score": 50.0}, {"model": "x", "score": 16.7, "score_low": 0.0, "score_high": 50.0}]
    put(copy, "ah", {"name": "arena-hard", "anchor": "base", "models": rows})
    (one,) = evaluations(copy)
    assert one.value == "16.7%" and one.what == "win rate (95% interval 0.0% to 50.0%), x"
