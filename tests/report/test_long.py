"""A LongPO run on the page: what is counted from its files, and how it looks in Chromium."""

import json

import pytest

from windvane.cli.report import render
from windvane.longpo.report.browse import long_browse
from windvane.longpo.report.gather import long_run
from windvane.longpo.report.panels import long_answer, long_panels, long_tables
from windvane.report.gather import gather
from windvane.report.page import write_report

TEXT = "Anna sings.\n\nBruno paints. <b>bold</b>\n\nCarla sails."
CUT = TEXT.index("Bruno")
RECIPE = 'model = "tiny"\nlengths = "1k,2048"\narm = "longpo"\ntheta = [2500.0, 0.0]\n[chunks]\ntokens = 90\n'


def response(id, index, text, ids, finish="stop"):
    return {
        "id": f"{id}-{index}",
        "prompt_id": id,
        "index": index,
        "text": text,
        "token_ids": ids,
        "finish": finish,
        "logps": -1.0,
    }


@pytest.fixture
def long(tmp_path, write_lines):
    """One round of four chunks: two pairs (one of twice the same answer), one dropped, one without a question; round 2 has begun."""
    run, folder = tmp_path / "run", tmp_path / "run" / "iter-1"
    (run / "documents").mkdir(parents=True)
    (run / "recipe.toml").write_text(RECIPE)
    (run / "documents" / "d1.txt").write_text(TEXT)
    held = [("d1", "kept", 900), ("d2", "kept", 700), ("d3", "short", 3), ("d4", "long", 5000)]
    write_lines(
        run / "documents.jsonl", [{"id": i, "source": f"{i}.txt", "tokens": n, "status": s} for i, s, n in held]
    )
    chunks = [{"id": f"c{i}", "start": a, "stop": b, "tokens": 80} for i, a, b in ((1, 0, CUT), (2, CUT, len(TEXT)))]
    others = [{"id": f"c{i}", "start": 0, "stop": 4, "tokens": 50} for i in (3, 4)]
    for number, cuts in ((1, (chunks, others)), (2, (chunks, []))):
        rows = [
            {"id": f"d{k}", "tokens": n, "kept": [], "chunks": c} for k, n, c in ((1, 900, cuts[0]), (2, 700, cuts[1]))
        ]
        write_lines(run / f"iter-{number}" / "documents.jsonl", rows)
    good, bad = {"text": "What?", "reason": None}, {"text": "Hm.", "reason": "not about the chunk"}
    write_lines(
        folder / "questions.jsonl",
        [
            {"id": "c1", "document": "d1", "text": "What does Anna do?", "reason": None, "replies": [bad, good]},
            {"id": "c2", "document": "d1", "text": "What does Bruno do?", "reason": None, "replies": [good]},
            {"id": "c3", "document": "d2", "text": "And Carla?", "reason": None, "replies": [good]},
            {"id": "c4", "document": "d2", "text": None, "reason": "not about the chunk", "replies": [bad, bad]},
        ],
    )
    said = [("c1", "Anna sings", [1, 2]), ("c2", "Bruno <i>paints</i>", [3]), ("c3", "", [9])]
    write_lines(folder / "chosen.jsonl", [response(i, 0, t, ids) for i, t, ids in said])
    write_lines(
        folder / "rejected.jsonl",
        [
            response("c1", 1, "Anna sings", [1, 2]),
            response("c2", 1, "Carla paints a", [4, 5, 6], "length"),
            response("c3", 1, "no", [7]),
        ],
    )
    write_lines(
        folder / "turns.jsonl",
        [
            {"id": "d1", "turns": ["c1", "c2"], "dropped": []},
            {"id": "d2", "turns": [], "dropped": [{"id": "c3", "reason": "chosen empty"}]},
        ],
    )
    write_lines(
        folder / "reference.jsonl", [{"id": f"c2-{k}", "logps": v, "tokens": 1} for k, v in ((0, -3.0), (1, -2.0))]
    )
    for name, values in (("kl-start", (4.0, 2.0)), ("kl", (1.0, 0.5))):
        write_lines(
            folder / f"{name}.jsonl",
            [{"id": f"c{i}", "document": "d1", "kl": v, "tokens": 2} for i, v in enumerate(values)],
        )
    texts = [
        {"id": f"c{i}", "document": "d1", "tokens": 10, "start": 20.0, "after": v, "aside": True}
        for i, v in enumerate((22.0, 21.0))
    ]
    write_lines(folder / "retention.jsonl", texts)
    row = {
        "loss": 2.0,
        "accuracy": 0.5,
        "nll": 1.75,
        "chosen_logps": -8.0,
        "rejected_logps": -9.0,
        "chosen_logratio": -1.0,
    }
    row |= {"rejected_logratio": 1.0, "epoch": 1.0}
    write_lines(
        folder / "train" / "metrics.jsonl",
        [{"step": s, "split": p, **row} for s in (1, 2) for p in ("train", "held-out")],
    )
    return run


def test_every_number_of_a_round_by_hand(long):
    first, second = (found := long_run(long, [1, 2])).rounds
    assert found.status == {"kept": 2, "long": 1, "short": 1} and found.arm == "longpo"
    assert (first.length, first.theta, second.length, second.theta) == (1024, 2500.0, 2048, 0.0)
    assert (first.documents, first.tokens, first.chunks, first.without_chunk, second.without_chunk) == (
        2,
        1600,
        4,
        0,
        1,
    )
    assert (first.asked, first.replies, first.unused) == (3, 6, {"not about the chunk": 3})
    assert (first.pairs, first.trained_on, first.dropped) == (2, 1, {"chosen empty": 1})
    assert (first.same, first.cut) == (1, (0, 1)), "of the kept pairs alone"
    assert first.tokens_rejected[2] == 2.5
    assert first.kl["before"][:2] == (3.0, 1.5) and first.kl["after"][:2] == (0.75, 0.375)
    assert (second.asked, second.pairs, second.kl, second.short) == (None, None, {}, None)
    assert first.short == (2.0, 2.15, 2, True)


def test_the_page_says_that_nothing_was_evaluated(long):
    found, run = gather(long), long_run(long, [1, 2])
    told = long_answer(found, run, [])
    assert told.headline == "Not evaluated" and told.sentence.startswith(
        "1 round ran so far with the arm longpo, the last over 1,024 tokens."
    )
    texts = [text for _, text in told.remarks]
    assert texts[0] == "Round 1: 2 pairs (50% of 4 chunks) on 1 documents."
    assert (
        "good",
        "Round 1: the KL from the long side to the short model on the chunk fell from 3.00 to 0.75 nats a sequence.",
    ) in told.remarks
    assert ("unsure", "Round 1: short texts (2 chunks) rose from 2.000 to 2.150 nats a token.") in told.remarks
    assert any(text == "Round 1: 50% of the rejected answers were cut at their longest." for text in texts)
    assert "alpaca" in long_answer(found, run, ["alpaca"]).sentence
    tables = long_tables(run)
    assert ["too long, refused", "1"] in tables["documents"].rows
    assert ["1", "question dropped", "chosen empty", "1 (33%)"] in tables["dropped"].rows
    assert tables["retention"].rows == [["1", "2 of documents held aside", "2.0000", "2.1500", "0.1500"]]
    assert tables["rounds"].rows[0][6:9] == ["3 (75%)", "2 (67%)", "1"] and tables["rounds"].rows[1][6:9] == [
        "–",
        "–",
        "–",
    ]
    drawn = long_panels(found, run)
    assert all(one.svg for one in drawn.values()) and "1.7500" in drawn["nll"].svg


def test_the_browser_holds_chunk_question_and_both_answers(long):
    (first,) = long_browse(long, [1, 2])
    entries = {e["id"]: e for e in first["entries"]}
    assert first["total"] == 4 and {k: e["status"] for k, e in entries.items()} == {
        "c1": "pair", "c2": "pair", "c3": "dropped: chosen empty", "c4": "no question",
    }  # fmt: skip
    one = entries["c2"]
    assert one["messages"] == [["chunk", TEXT[CUT:], 0], ["question", "What does Bruno do?", 0]]
    assert [(a["mark"], a["text"], a["finish"], a["reference"]) for a in one["answers"]] == [
        ("chosen", "Bruno <i>paints</i>", "stop", -3.0), ("rejected", "Carla paints a", "length", -2.0),
    ]  # fmt: skip
    assert "the short model finds the rejected answer likelier" in one["why"] and one["document"] == ["d1.txt", 900]
    assert "same answer twice" in entries["c1"]["why"] and entries["c1"]["tries"] == 2
    assert [a["reason"] for a in entries["c4"]["answers"]] == ["not about the chunk"] * 2


def test_an_unfinished_run_and_one_that_has_only_begun(long, tmp_path):
    html = render(long)
    assert "<i>paints" not in html and "Win rates" not in html
    assert html == render(long)
    bare = tmp_path / "bare"
    bare.mkdir()
    (bare / "recipe.toml").write_text(RECIPE)
    assert "No documents have been gathered yet." in render(bare) and "No questions have been asked yet." in render(
        bare
    )


def test_other_recipes_are_none_of_it(run):
    assert long_run(run, [1]) is None


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_fits_and_is_quiet(long, width, scheme, visit):
    (long / "evaluations" / "own").mkdir(parents=True)
    (long / "evaluations" / "own" / "result.json").write_text(json.dumps({"name": "own", "rate": 0.25}))
    page = visit(write_report(long, render).as_uri(), width, scheme)
    assert page.locator("h1").inner_text() == "What it can do: see the evaluations"
    assert page.evaluate("document.documentElement.scrollWidth - innerWidth") == 0
    if width == 390:
        wide = (
            '[...document.querySelectorAll(".scroll, #entry")].filter((n) => n.scrollWidth > n.clientWidth + 1).length'
        )
        assert page.evaluate(wide) == 0
    page.locator("#search").fill("bruno paints")
    assert page.locator("#list li").count() == 1
    entry = page.locator("#entry").inner_text()
    assert "What does Bruno do?" in entry and "Carla paints a" in entry and "cut off" in entry
    assert page.locator("#entry b, #entry i").count() == 2, "names of answers; markup from the model is text"
