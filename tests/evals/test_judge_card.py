"""A judge's card, its numbers worked out by hand on judges whose faults are known."""

import json
import math

import numpy as np
import pytest

from tests.engines.scripted_server import Scripted, chat
from windvane.core.errors import UserError
from windvane.core.records import Verdict
from windvane.evals.judge_card.command import NULLS, main
from windvane.evals.judge_card.items import read_items
from windvane.evals.judge_card.measures import all_beaten, flipped, length_slope, row_accuracy


def rank(prompt: str, a: str, b: str) -> float:
    """Answers that begin with a digit: the larger wins; anything else loses to them."""
    one, other = (int(t[0]) if t[:1].isdigit() else -1 for t in (a, b))
    return 0.5 if one == other else float(one > other)


def first(prompt: str, a: str, b: str) -> float:
    """Whatever is shown first."""
    return 0.8


def longer(prompt: str, a: str, b: str) -> float:
    return 0.5 + 0.4 * math.copysign(1, len(a) - len(b)) if len(a) != len(b) else 0.5


def circle(prompt: str, a: str, b: str) -> float:
    """0 beats 1, 1 beats 2, 2 beats 0; 9 loses to all."""
    x, y = int(a[0]), int(b[0])
    if 9 in (x, y):
        return float(y == 9)
    return 1.0 if (y - x) % 3 == 1 else 0.0


def broken(prompt: str, a: str, b: str) -> float:
    return float("nan")


def write(path, rows):
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


@pytest.fixture
def four(tmp_path):
    """One chosen of four; the second row's labels contradict `rank` in one pair of three; the third is a plain pair."""
    return write(
        tmp_path / "four.jsonl",
        [
            {"id": "x", "prompt": "a", "chosen": ["9"], "rejected": ["1", "2", "3"], "subset": "Math"},
            {"prompt": "b", "chosen": ["5"], "rejected": ["1", "2", "7"], "subset": "Math"},
            {"prompt": "b", "chosen": "9 long", "rejected": "0", "subset": "Chat"},
        ],
    )


def card(capsys, file, judge, *more):
    assert main([file, "--judge", f"py:{__name__}:{judge}", "--json", "--quiet", *more]) == 0
    return json.loads(capsys.readouterr().out)


def test_accuracy_by_hand(capsys, four):
    """Rows: 1, 2/3, 1: mean 8/9. Pairs: 6 + 6 + 1. Beaten all: 1, 0, 1. Triples: 4 + 4."""
    c = card(capsys, four, "rank")
    assert (c["rows"], c["pairs"], c["failed_pairs"], c["triples"], c["cyclic_triples"]) == (3, 13, 0, 8, 0)
    assert c["accuracy"]["mean"] == pytest.approx(8 / 9) and c["accuracy"]["n"] == 3
    assert c["chosen_beats_all"]["mean"] == pytest.approx(2 / 3)
    assert c["accuracy_by_subset"] == {"Chat": {"mean": 1.0, "n": 1}, "Math": {"mean": pytest.approx(5 / 6), "n": 2}}
    assert (c["order_flips"], c["ties"], c["first_shown"], c["null_win_rate"]["mean"]) == (0.0, 0.0, 0.5, 0.0)
    assert c["spent"] is None and c["seconds"] >= 0


def test_a_judge_of_places(capsys, four):
    """.8 to the first: p = 1/2, a tie in every pair, all orders flip."""
    c = card(capsys, four, "first")
    assert (c["accuracy"]["mean"], c["order_flips"], c["ties"], c["first_shown"]) == (0.5, 1.0, 1.0, pytest.approx(0.8))
    assert c["order_disagreement"] == pytest.approx(0.6) and c["chosen_beats_all"]["mean"] == 0.0
    assert c["null_win_rate"]["mean"] == 0.5


def test_a_judge_of_lengths(capsys, tmp_path):
    """P = .9 where the chosen is longer, .1 where shorter, d = +-10 of std s: slope .4 / tanh(10 / s); null answers are longer."""
    rows = [
        {"prompt": str(i), "chosen": "x" * (15 if i % 2 else 5), "rejected": "x" * (5 if i % 2 else 15)}
        for i in range(20)
    ]
    c = card(capsys, write(tmp_path / "f.jsonl", rows), "longer")
    spread = np.std([10, -10] * 10, ddof=1)
    assert c["length_slope"]["slope"] == pytest.approx(0.4 / math.tanh(10 / spread)) and c["length_slope"]["low"] > 0.4
    assert c["accuracy"]["mean"] == 0.5 and c["null_win_rate"]["mean"] == pytest.approx(0.9)


def test_length_slope_is_least_squares(tmp_path):
    """Against numpy's polyfit on pairs of random lengths and verdicts."""
    rng = np.random.default_rng(0)
    rows = [
        {"prompt": str(i), "chosen": "x" * int(a), "rejected": "x" * int(b)}
        for i, (a, b) in enumerate(rng.integers(1, 99, (40, 2)))
    ]
    write(tmp_path / "f.jsonl", rows)
    items = read_items(tmp_path / "f.jsonl")
    p = rng.random(40)
    told = {item.prompt.id: [Verdict("v", item.prompt.id, 0, 1, x, 1 - x, x, 0.0)] for item, x in zip(items, p)}
    d = np.array([len(i.answers[0].text) - len(i.answers[1].text) for i in items])
    found = length_slope(items, told)
    assert found["slope"] == pytest.approx(np.polyfit(np.tanh(d / d.std(ddof=1)), p, 1)[0])
    assert found["low"] < found["slope"] < found["high"]
    assert length_slope(items[:1], told) is None


def test_cycles(capsys, tmp_path):
    """0, 1 and 2 in a circle, 9 below: one cyclic triple of four."""
    c = card(
        capsys,
        write(tmp_path / "f.jsonl", [{"prompt": "a", "chosen": ["0"], "rejected": ["1", "2", "9"]}]),
        "circle",
        "--no-null",
    )
    assert (c["cyclic_triples"], c["triples"]) == (1, 4) and c["null_win_rate"] is None
    assert c["accuracy"]["mean"] == pytest.approx(2 / 3)


def test_what_a_judge_leaves_unscored_is_counted(capsys, four):
    c = card(capsys, four, "broken")
    assert (c["failed_pairs"], c["null_failed"]) == (13, 3) and c["accuracy"] is None and c["order_flips"] is None
    assert "not a probability" in c["first_failures"][0]
    assert main([four, "--judge", f"py:{__name__}:broken", "--quiet"]) == 0, "the table too"


def test_single_measures():
    items = read_items_of([{"prompt": "a", "chosen": ["x", "y"], "rejected": ["z"]}])

    def v(a, b, p):
        return Verdict("v", "p", a, b, p, None if p is None else 1 - p, p, 0.0)

    (item,) = items
    assert row_accuracy(item, [v(0, 1, 0.1), v(0, 2, 0.5), v(1, 2, 0.9)]) == 0.75, (
        "chosen against chosen does not count"
    )
    assert (
        all_beaten(item, [v(0, 2, 0.7), v(1, 2, 0.9)]) == 1.0 and all_beaten(item, [v(0, 2, 0.5), v(1, 2, 0.9)]) == 0.0
    )
    assert all_beaten(item, [v(0, 2, None), v(1, 2, 0.9)]) is None and row_accuracy(item, [v(0, 2, None)]) is None
    assert flipped(Verdict("v", "p", 0, 1, 0.9, 0.6, 0.65, 0.5)) and not flipped(
        Verdict("v", "p", 0, 1, 0.9, 0.5, 0.7, 0.4)
    )


def read_items_of(rows, suffix=".jsonl"):
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"f{suffix}"
        write(path, rows)
        return read_items(path)


def test_the_forms_of_files(tmp_path):
    import pyarrow
    import pyarrow.parquet

    rows = [{"prompt": "a", "chosen": ["x"], "rejected": ["y", "z"], "subset": "s"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), tmp_path / "f.parquet")
    (tmp_path / "f.json").write_text(json.dumps(rows))
    turn = [{"role": "user", "content": "a"}, {"role": "assistant", "content": "x"}]
    chats = [
        {
            "prompt": [{"role": "user", "content": "a"}],
            "chosen": turn,
            "rejected": [*turn[:1], {"role": "assistant", "content": "y"}],
        }
    ]
    one, two, three = read_items(tmp_path / "f.parquet"), read_items(tmp_path / "f.json"), read_items_of(chats)
    assert (
        one == two
        and [r.text for r in one[0].answers] == ["x", "y", "z"]
        and one[0].chosen == 1
        and one[0].subset == "s"
    )
    assert [r.text for r in three[0].answers] == ["x", "y"] and three[0].prompt.text == "a"


@pytest.mark.parametrize(
    ("rows", "line"),
    [
        ([{"chosen": "x", "rejected": "y"}], "row 1: field 'prompt': missing; it has chosen, rejected"),
        ([{"prompt": "a", "chosen": [], "rejected": "y"}], "row 1: field 'chosen': expected a text"),
        ([{"prompt": "a", "chosen": "x", "rejected": [None]}], "row 1: field 'rejected'"),
        ([{"prompt": "a", "chosen": "x", "rejected": "y"}, 5], "row 2: expected a table"),
        ([], "no rows"),
    ],
)
def test_bad_rows(rows, line):
    with pytest.raises(UserError, match=line):
        read_items_of(rows)


def test_through_a_server_and_again(tmp_path, capsys, four):
    """13 pairs and 3 null ones in both orders: 32 calls of 10 tokens; given again, none."""
    always = lambda body, attempt: (200, {}, chat("m" if NULLS[0] not in body["messages"][0]["content"] else "?"))  # noqa: E731
    with Scripted(always) as scripted:
        with pytest.raises(UserError, match="name a folder to keep them in with --out"):
            main([four, "--judge", scripted.spec])
        command = [
            four,
            "--judge",
            scripted.spec,
            "--out",
            str(tmp_path / "card"),
            "--json",
            "--quiet",
            "--price-in",
            "1",
        ]
        assert main(command) == 0
        streams = capsys.readouterr()
        c = json.loads(streams.out)
        assert "32 calls, about" in streams.err and sum(scripted.seen.values()) == 32
        assert c["spent"]["prompt_tokens"] == 32 * 7 and c["spent"]["cost"] == pytest.approx(32 * 7e-6)
        assert (c["null_failed"], c["first_shown"], c["ties"]) == (1, 1.0, 1.0) and "names no label" in c[
            "first_failures"
        ][0]
        assert main(command) == 0 and sum(scripted.seen.values()) == 32
        assert json.loads((tmp_path / "card" / "card.json").read_text())["accuracy"] == c["accuracy"]
        with pytest.raises(UserError, match="started with other settings"):
            main([*command, "--rows", "2"])


def test_a_failed_start_binds_nobody(capsys, tmp_path, four):
    out = str(tmp_path / "card")
    with pytest.raises(UserError, match="judge nosuch:x: not known"):
        main([str(four), "--judge", "nosuch:x", "--out", out])
    assert main([str(four), "--judge", "world:styles:length", "--out", out, "--quiet"]) == 0
    with pytest.raises(UserError, match="started with other settings"):
        main([str(four), "--judge", "world:styles:coin", "--out", out])
