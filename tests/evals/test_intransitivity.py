"""Cycles worked out by hand, planted judges, and SciPy's least squares as the other implementation."""

import json
import math
from itertools import combinations
from xml.etree import ElementTree

import numpy as np
import pytest

from windvane.core.errors import UserError
from windvane.evals.intransitivity.command import main, measure
from windvane.evals.intransitivity.hodge import basis, cyclic_triples, energies, graph_of, scores
from windvane.evals.intransitivity.preference_matrix import Table, source
from windvane.evals.intransitivity.transitive_null import bradley_terry
from windvane.stages.pair import count_cycles

TRIANGLE = graph_of(3, [(0, 1), (1, 2), (0, 2)], [1, 1, 1])  # edges come out in order: 01, 02, 12


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def judged(prompts, rng, scale=1.0, noise=0.0, lean=0.0, cyclic=0.0, hard=False, missing=0.0, answers=5):
    """Verdicts of a judge whose log-odds are s_i - s_j plus a random cyclic field that holds the share `cyclic` of the energy."""
    table = Table()
    for prompt in range(prompts):
        s = rng.normal(0, scale, answers)
        field = rng.normal(size=(answers, answers))
        field -= field.T
        field -= field.mean(1)[:, None] - field.mean(1)[None, :]  # what no score explains of a random flow
        # E|gradient|^2 = K(K-1) scale^2, E|field|^2 = 2 (K-1)(K-2)/2
        size = math.sqrt(cyclic / (1 - cyclic) * answers * scale**2 / (answers - 2))
        flow = s[:, None] - s[None, :] + size * field
        for i, j in combinations(range(answers), 2):
            if rng.random() < missing:
                continue
            ab, ba = (sigmoid(sign * flow[i, j] + lean + noise * rng.normal()) for sign in (1, -1))
            if hard:
                ab, ba = float(rng.random() < ab), float(rng.random() < ba)
            table.add({"prompt_id": str(prompt), "a": i, "b": j, "p_ab": float(ab), "p_ba": float(ba)})
    return source("planted", table)


def shares(graph, flow):
    found = energies(basis(graph), np.array([flow], dtype=float))
    return found.total[0], found.cyclic[0], found.curl[0]


def test_a_circle_of_three_is_all_cycle():
    """0 beats 1, 1 beats 2, 2 beats 0, all alike: the scores are equal, nothing is explained."""
    assert shares(TRIANGLE, [1, -1, 1]) == pytest.approx((3, 3, 3))


def test_an_order_with_equal_steps():
    """0 beats 1, 1 beats 2, 0 beats 2 by 1 each: 1 + 1 - 1 around, so the cyclic part is 1/3 an edge: 3/9 of 3, a ninth."""
    assert shares(TRIANGLE, [1, 1, 1]) == pytest.approx((3, 1 / 3, 1 / 3))
    base = basis(TRIANGLE)
    assert scores(base, np.array([[1.0, 1.0, 1.0]]))[0] == pytest.approx([2 / 3, 0, -2 / 3])
    assert shares(TRIANGLE, [2, 5, 3])[1] == pytest.approx(0, abs=1e-12)  # 2 + 3 = 5: scores 7/3, 1/3, -8/3


def test_counts_weigh():
    """Edge 01 judged twice at 1, the others once at 0: around is 1; energy 1^2 / (1/2 + 1 + 1) = 0.4 of 2."""
    graph = graph_of(3, [(0, 1), (0, 2), (1, 2)], [2, 1, 1])
    assert shares(graph, [1, 0, 0]) == pytest.approx((2, 0.4, 0.4))


def test_a_circle_around_a_hole_is_global():
    """Four answers compared in a ring: no triangle, so the whole circle is harmonic. A triangle on edge 03 holds its own, local."""
    ring = graph_of(4, [(0, 1), (1, 2), (2, 3), (0, 3)], [1] * 4)  # in order: 01, 03, 12, 23
    assert shares(ring, [1, -1, 1, 1]) == pytest.approx((4, 4, 0))
    assert shares(ring, [1, 3, 1, 1])[1] == pytest.approx(0, abs=1e-12)
    both = graph_of(5, [(0, 1), (1, 2), (2, 3), (0, 3), (0, 4), (3, 4)], [1] * 6)  # 01, 03, 04, 12, 23, 34
    assert shares(both, [0, 1, -1, 0, 0, 1]) == pytest.approx((3, 3, 3))
    total, cyclic, curl = shares(both, [1, -1, 0, 1, 1, 0])
    # Around the ring 4, around the triangle -1. The residual is spanned by ring (1,-1,0,1,1,0) and triangle (0,1,-1,0,0,1).
    assert (total, cyclic) == pytest.approx((4, 4)) and curl == pytest.approx(1 / 3)


def test_a_tree_has_no_cycle():
    assert basis(graph_of(4, [(0, 1), (0, 2), (2, 3)], [1, 2, 3])).cycles == 0


@pytest.mark.parametrize("seed", range(6))
def test_equal_to_scipy_on_incomplete_weighted_graphs(seed):
    """Least squares by LSQR on potentials, then on triangles: gradient, curl, harmonic energies."""
    sparse = pytest.importorskip("scipy.sparse.linalg", reason="scipy is not installed (pip install scipy)")
    rng = np.random.default_rng(seed)
    nodes = 8
    pairs = [pair for pair in combinations(range(nodes), 2) if rng.random() < 0.55]
    graph = graph_of(nodes, pairs, rng.integers(1, 5, len(pairs)).tolist())
    base = basis(graph)
    flow = rng.normal(size=len(pairs))
    weight = np.asarray(graph.counts, dtype=float)
    root = np.sqrt(weight)
    d0 = np.array([[(n == i) - (n == j) for n in range(nodes)] for i, j in graph.edges], dtype=float)
    at = {edge: n for n, edge in enumerate(graph.edges)}
    triples = [t for t in combinations(range(nodes), 3) if all(p in at for p in combinations(t, 2))]
    d1 = np.zeros((len(triples), len(pairs)))
    for row, (i, j, k) in enumerate(triples):
        d1[row, at[i, j]], d1[row, at[j, k]], d1[row, at[i, k]] = 1, 1, -1
    score = sparse.lsqr(root[:, None] * d0, root * flow, atol=1e-14, btol=1e-14)[0]
    rest = root * flow - root * (d0 @ score)
    local = (d1 / root).T @ sparse.lsqr((d1 / root).T, rest, atol=1e-14, btol=1e-14)[0] if triples else 0 * rest
    found = energies(base, flow[None])
    assert found.total[0] == pytest.approx(weight @ flow**2)
    assert found.cyclic[0] == pytest.approx(rest @ rest, abs=1e-9)
    assert found.curl[0] == pytest.approx(local @ local, abs=1e-9)
    gaps = scores(base, flow[None])[0] @ base.incidence.T
    assert gaps == pytest.approx(d0 @ score, abs=1e-7)


def test_triples_counted_as_pairing_counts_them():
    rng = np.random.default_rng(4)
    base = basis(graph_of(6, list(combinations(range(6), 2)), [1] * 15))
    p = np.round(rng.random((40, 15)), 1)
    found = cyclic_triples(base, np.sign(np.round(p - 0.5, 9)))
    for row, told in zip(p, found):
        both = dict(zip(base.graph.edges, row))
        assert count_cycles(both | {(j, i): 1 - x for (i, j), x in both.items()}, range(6))[0] == told
    assert found.sum() > 50


def test_bradley_terry_gives_back_its_scores():
    base = basis(graph_of(4, list(combinations(range(4), 2)), [1, 2, 1, 1, 3, 1]))
    truth = np.array([[2.0, 0.5, -1.0, -1.5], [0.0, 4.0, -4.0, 0.0]])
    fitted = bradley_terry(base, sigmoid(truth @ base.incidence.T), np.zeros_like(truth))
    assert fitted == pytest.approx(truth, abs=1e-3)


def test_a_known_circle_through_the_whole_measure():
    """30 prompts, each a circle at 4 to 1 both ways: everything unexplained, a third of nothing is noise."""
    table = Table()
    for prompt in range(30):
        for a, b, p in ((0, 1, 0.8), (1, 2, 0.8), (0, 2, 0.2)):
            table.add({"prompt_id": str(prompt), "a": a, "b": b, "p_ab": p, "p_ba": 1 - p, "p": p})
    found = measure([source("x", table)], resamples=200)
    assert found["share"] == pytest.approx({"mean": 1.0, "low": 1.0, "high": 1.0})
    assert found["cyclic_triples"]["mean"] == 1.0 and found["cyclic_triples"]["triples"] == 30
    assert found["local_cycles"] == pytest.approx(1) and found["global_cycles"] == pytest.approx(0)
    assert found["noise"]["measured_by"] == "none seen" and found["verdict"] == "unknown"


@pytest.mark.parametrize("options", [{}, {"scale": 3.0}, {"scale": 3.0, "lean": 2.0}, {"missing": 0.3, "scale": 2.0}])
def test_a_transitive_judge_without_noise_shows_its_null_exactly(options):
    """Clipped log-odds of wide scores are no gradient; the null clips too, and knows the lean to the answer shown first."""
    found = measure([judged(60, np.random.default_rng(1), **options)], resamples=200)
    assert found["share"]["mean"] == pytest.approx(found["null"]["mean"], abs=3e-5)
    assert found["beyond_null"]["mean"] == pytest.approx(0, abs=3e-5) and found["verdict"] == "no"
    assert (found["share"]["mean"] > 0.01) == ("scale" in options)
    assert found["cyclic_triples"]["cyclic"] == 0


@pytest.mark.parametrize(
    ("options", "judges"),
    [
        ({"noise": 1.0}, 12),
        ({"noise": 1.0, "lean": 1.0}, 12),
        ({"noise": 1.0, "missing": 0.3}, 6),
        ({"hard": True}, 16),
    ],
)
def test_noise_alone_is_not_sold_as_intransitivity(options, judges):
    """Planted Bradley-Terry judges: the share is large, as large as the null says, and what is left is zero on average."""
    told = [measure([judged(100, np.random.default_rng(r), **options)], resamples=200, draws=40) for r in range(judges)]
    assert min(t["share"]["mean"] for t in told) > 0.05
    assert np.mean([t["share"]["mean"] - t["null"]["mean"] for t in told]) == pytest.approx(0, abs=0.012)
    assert abs(np.mean([t["beyond_null"]["mean"] for t in told])) < 0.03
    assert np.mean([t["cyclic_triples"]["mean"] - t["cyclic_triples"]["null"]["mean"] for t in told]) == pytest.approx(
        0, abs=0.01
    )
    assert sum(t["verdict"] in ("can", "may") for t in told) <= 3  # 2.5% each, were the intervals exact


@pytest.mark.parametrize(("planted", "noise"), [(0.2, 0.0), (0.2, 1.0), (0.05, 0.5), (0.5, 1.0)])
def test_a_planted_share_is_recovered(planted, noise):
    """Log-odds small enough not to be clipped; the noise hides the share (0.27 for 0.2), what is beyond noise does not."""
    rng = np.random.default_rng(7)
    found = measure([judged(400, rng, cyclic=planted, noise=noise)], resamples=400)
    beyond = found["beyond_null"]
    assert (
        beyond["mean"] == pytest.approx(planted, abs=0.03)
        and beyond["low"] < planted + 0.01
        and beyond["high"] > planted - 0.01
    )
    assert found["verdict"] == ("unknown" if noise == 0 else "can" if planted > 0.1 else found["verdict"])
    if noise == 1.0:
        assert found["share"]["mean"] > planted + 0.02 or planted == 0.5


def test_hard_circles_are_seen():
    found = measure([judged(150, np.random.default_rng(2), scale=1.5, cyclic=0.3, hard=True)], resamples=300)
    assert found["verdict"] == "can" and found["noise"]["hard"] and 0.1 < found["noise"]["order_flips"] < 0.5


def test_seeds_are_resampled_before_prompts():
    """One seed at 40%, two at 5%: pooled prompts would be sure of a number that the next seed belies."""
    parts = [judged(80, np.random.default_rng(s), cyclic=c, noise=0.3) for s, c in ((1, 0.4), (2, 0.05), (3, 0.05))]
    apart = measure(parts, resamples=500)
    width = apart["beyond_null"]["high"] - apart["beyond_null"]["low"]
    alone = measure(parts[:1], resamples=500)["beyond_null"]
    assert width > 3 * (alone["high"] - alone["low"]) and apart["beyond_null"]["low"] < 0.08
    assert [round(row["beyond_null"], 1) for row in apart["by_seed"]] == [0.4, 0.1, 0.1] or len(apart["by_seed"]) == 3
    assert any("3 seeds" in note for note in apart["notes"])


def test_prompts_that_cannot_show_a_cycle_are_counted_and_do_not_dilute():
    table = Table()
    for prompt in range(25):
        for a, b, p in ((0, 1, 0.8), (1, 2, 0.8), (0, 2, 0.2)):
            table.add({"prompt_id": f"c{prompt}", "a": a, "b": b, "p_ab": p, "p_ba": 1 - p})
        table.add({"prompt_id": f"two{prompt}", "a": 0, "b": 1, "p_ab": 0.9, "p_ba": 0.2})
    found = measure([source("x", table)], resamples=100)
    assert (found["prompts"], found["prompts_without_cycle"], found["share"]["mean"]) == (25, 25, pytest.approx(1))


def test_every_way_to_say_the_same_verdict():
    """b beats a in both orders, told five ways; the smaller name stands first."""
    rows = [
        {"prompt_id": "q", "a": 0, "b": 1, "p_ab": 0.0, "p_ba": 1.0},
        {"prompt_id": "q", "a": 1, "b": 0, "p_ab": 1.0, "p_ba": 0.0},
        {"question_id": "q", "model_a": "m0", "model_b": "m1", "winner": "model_b"},
        {"question_id": "q", "model_1": "m1", "model_2": "m0", "g1_winner": "model_1", "g2_winner": "model_1"},
        {"prompt": "q", "a": 0, "b": 1, "p": 0.0},
    ]
    for row in rows:
        table = Table()
        table.add(row)
        ((readings,),) = [list(told.values()) for told in table.told.values()]
        assert readings in (([0.0], [0.0]), ([0.0], [])), row
    table = Table()  # 1 wins at .9 when shown first and .7 when second: 0 wins at .3 when first, .1 when second
    table.add({"prompt_id": "q", "a": 1, "b": 0, "p_ab": 0.9, "p_ba": 0.3})
    assert table.told[0, "q"][0, 1] == ([pytest.approx(0.3)], [pytest.approx(0.1)])
    table = Table()
    for row in (
        {"a": 0, "b": 1},
        {"a": 0, "b": 1, "p": None},
        {"a": 0, "b": 1, "p_ab": 0.3, "p_ba": None},
        {"a": 0, "b": 0, "p": 1},
        {},
    ):
        table.add(row)
    assert table.failed == 3 and table.left_out == {"no two sides": 2} and not table.told


def test_repeated_votes_measure_noise():
    """Votes without an order go to two readings in turn, so a poll's own spread is its noise."""
    rng = np.random.default_rng(0)
    table = Table()
    for prompt in range(40):
        for a, b in combinations(range(4), 2):
            for _ in range(4):
                winner = "model_a" if rng.random() < 0.6 else "model_b"
                table.add({"question_id": prompt, "model_a": f"m{a}", "model_b": f"m{b}", "winner": winner})
    found = measure([source("poll", table)], resamples=200)
    assert found["noise"]["measured_by"] == "orders" and found["verdict"] in ("no", "not shown")


def write(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def circle(prompts, p=0.9):
    return [
        {
            "id": f"{q}-{a}-{b}",
            "prompt_id": f"q{q}",
            "a": a,
            "b": b,
            "p_ab": x + 0.02 * (-1) ** q,
            "p_ba": 1 - x,
            "p": x,
        }
        for q in range(prompts)
        for a, b, x in ((0, 1, p), (1, 2, p), (0, 2, 1 - p))
    ]


def test_the_verb(tmp_path, capsys):
    run = tmp_path / "run"
    for t in (1, 2):
        write(run / f"iter-{t}" / "verdicts.jsonl", circle(25))
    out = tmp_path / "out"
    assert main([str(run), "--resamples", "200", "--out", str(out), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (
        told["name"] == "intransitivity"
        and told["share"]["mean"] == pytest.approx(1, abs=5e-3)
        and told["verdict"] == "can"
    )
    assert (told["prompts"], told["pairs"]) == (25, 150)  # the same prompt in two iterations is one cluster
    assert [row["iteration"] for row in told["by_iteration"]] == [1, 2]
    assert json.loads((out / "result.json").read_text()) == told
    assert ElementTree.fromstring((out / "plot.svg").read_text()).tag.endswith("svg")
    assert main([str(run), "--iteration", "2", "--resamples", "200"]) == 0
    text = capsys.readouterr().out
    assert "No scalar score explains 99.8%" in text and "50 of 50" not in text and "25 of 25" in text
    assert main([str(write(tmp_path / "v.jsonl", circle(3))), "--json"]) == 0
    assert "too few" in json.loads(capsys.readouterr().out)["sentence"]


def test_ties_and_pairs_alone(tmp_path, capsys):
    ties = [row | {"p_ab": 0.5, "p_ba": 0.5, "p": 0.5} for row in circle(25)]
    assert main([str(write(tmp_path / "ties.jsonl", ties)), "--json"]) == 0
    assert "every pair is a tie" in json.loads(capsys.readouterr().out)["sentence"]
    pairs = [row for row in circle(25) if row["a"] == 0 and row["b"] == 1]
    assert main([str(write(tmp_path / "pairs.jsonl", pairs)), "--out", str(tmp_path / "o")]) == 0
    assert "cannot show a cycle" in capsys.readouterr().out and (tmp_path / "o" / "plot.svg").exists()


@pytest.mark.parametrize(
    ("name", "text", "flags", "says"),
    [
        ("v.jsonl", "{broken\n", [], "row 1: not valid JSON"),
        ("v.jsonl", "[1]\n", [], "row 1: expected a verdict"),
        ("v.jsonl", '{"a": 1}\n', [], r"no usable verdict \(1 rows with no two sides\)"),
        ("v.jsonl", "", [], r"no usable verdict \(no rows\)"),
        ("v.jsonl", "", ["--iteration", "2"], "--iteration: said of runs"),
        (None, "", [], "no such file or folder"),
        ("v.jsonl", "", ["--clip", "0.7"], "--clip 0.7"),
        ("v.jsonl", "", ["--resamples", "3"], "--resamples 3"),
    ],
)
def test_mistakes_are_one_line(tmp_path, name, text, flags, says):
    if name:
        (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=says):
        main([str(tmp_path / (name or "gone")), *flags])


def test_a_folder_without_verdicts(tmp_path):
    with pytest.raises(UserError, match="no verdicts"):
        main([str(tmp_path)])
    write(tmp_path / "iter-1" / "verdicts.jsonl", circle(2))
    with pytest.raises(UserError, match="no verdicts of iteration 4"):
        main([str(tmp_path), "--iteration", "4"])
