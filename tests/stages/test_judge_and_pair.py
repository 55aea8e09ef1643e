"""Both orders, symmetrising, win probabilities, ties and cycles: worked by hand."""

import math
import random
import statistics

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, Response, Verdict
from windvane.stages.judge import compare, verdicts
from windvane.stages.pair import Pairing, effective_eta, group, inclusive, released

PROMPT = Prompt.of((Message("user", "why?"),))


def answer(index, text=None):
    text = text or f"answer {index}"
    return Response(f"{PROMPT.id}-{index}", PROMPT.id, index, text, tuple(text.encode()), "stop")


class Leaning:
    """Prefers a lower index at 0.8, and adds 0.1 for whatever is shown first; silent on one question."""

    def __init__(self, silent=()):
        self.silent, self.reasons = silent, dict.fromkeys(silent, "the judge answered prose")

    def judge(self, questions):
        said = [(0.9 if q.first.index < q.second.index else 0.3) for q in questions]
        return [None if q.key in self.silent else p for q, p in zip(questions, said)]


def test_both_orders():
    (v,) = verdicts(Leaning(), [PROMPT], [[answer(0), answer(1)]])
    # asked (0,1): 0.9; asked (1,0): 0.3. P(0 wins) = (0.9 + 1 - 0.3)/2; disagreement |0.9 + 0.3 - 1|
    assert (v.p_ab, v.p_ba) == (0.9, 0.3)
    assert v.p == pytest.approx(0.8) and v.disagreement == pytest.approx(0.2)
    (w,) = compare(Leaning(), [(PROMPT, answer(1), answer(0))])
    assert v.p + w.p == pytest.approx(1.0)


def test_what_was_not_answered_is_kept_and_not_scored():
    key = f"{PROMPT.id}-0-1-ba"
    found = verdicts(Leaning({key}), [PROMPT], [[answer(i) for i in range(3)]])
    assert [v.p is None for v in found] == [True, False, False]
    assert found[0].reason == "the judge answered prose" and found[0].p_ab == 0.9
    made = group(PROMPT.id, [answer(i) for i in range(3)], found)
    assert (made.failed_pairs, made.judged_pairs, made.triples) == (1, 2, 0)


def matrix(p):
    return [Verdict(f"{a}-{b}", PROMPT.id, a, b, v, 1 - v, v, 0.0) for (a, b), v in p.items()]


def test_best_and_worst():
    made = group(PROMPT.id, [answer(i) for i in range(3)], matrix({(0, 1): 0.9, (0, 2): 0.6, (1, 2): 0.2}))
    # loo: (0.9+0.6)/2, (0.1+0.2)/2, (0.4+0.8)/2; incl = (2 loo + 0.5)/3
    assert [m.p_loo for m in made.members] == pytest.approx([0.75, 0.15, 0.6])
    assert [m.p_incl for m in made.members] == pytest.approx([2 / 3, 0.8 / 3, 1.7 / 3])
    assert (made.chosen, made.rejected, made.status) == (0, 1, "pair")
    assert (made.cyclic_triples, made.triples, made.tied_pairs) == (0, 1, 0)


@pytest.mark.parametrize("k", [2, 3, 5])
def test_inclusive_is_the_mean_over_all_k(k):
    others = [0.1 * (i + 1) for i in range(k - 1)]
    loo = sum(others) / (k - 1)
    assert inclusive(loo, k - 1) == pytest.approx((sum(others) + 0.5) / k)


def test_ties_are_no_pair():
    made = group(PROMPT.id, [answer(i) for i in range(3)], matrix({(0, 1): 0.5, (0, 2): 0.5, (1, 2): 0.5}))
    assert (made.chosen, made.rejected, made.status, made.tied_pairs) == (None, None, "tie", 3)


def test_equal_answers_are_no_pair():
    twins = [answer(0, "same"), answer(1, "same")]
    made = group(PROMPT.id, twins, matrix({(0, 1): 0.7}))
    assert (made.chosen, made.rejected, made.status) == (None, None, "same")


def test_cycle():
    made = group(PROMPT.id, [answer(i) for i in range(3)], matrix({(0, 1): 0.9, (1, 2): 0.8, (0, 2): 0.2}))
    assert (made.cyclic_triples, made.triples) == (1, 1)


def test_nothing_judged():
    silent = [Verdict("x", PROMPT.id, 0, 1, None, None, None, None, "no answer")]
    made = group(PROMPT.id, [answer(0), answer(1)], silent)
    assert (made.status, made.members, made.disagreement) == ("failed", (), None)


def test_released_estimate_by_hand():
    """Ordered logits M[0,1] = 2, M[1,0] = 0, M[0,2] = 1, M[2,0] = 1, M[1,2] = 3, M[2,1] = -1. Gaps: 2, 0, 4; over K = 3:
    s = (2 + 0)/3, (-2 + 4)/3, (0 - 4)/3. The two first are equal, however 0 fares against 1."""
    logits = {(0, 1): (2.0, 0.0), (0, 2): (1.0, 1.0), (1, 2): (3.0, -1.0)}
    told = []
    for (a, b), (ab, ba) in logits.items():
        p_ab, p_ba = (1 / (1 + math.exp(-x)) for x in (ab, ba))
        told.append(Verdict(f"{a}-{b}", PROMPT.id, a, b, p_ab, p_ba, (p_ab + 1 - p_ba) / 2, abs(p_ab + p_ba - 1)))
    wins = released(told)
    assert wins[0, 1] == pytest.approx(0.5) and wins[0, 2] == pytest.approx(1 / (1 + math.exp(-2)))
    assert wins[2, 1] == pytest.approx(1 / (1 + math.exp(2)))
    made = group(PROMPT.id, [answer(i) for i in range(3)], told, Pairing("released"))
    assert made.chosen in (0, 1) and made.rejected == 2
    top = 1 / (1 + math.exp(-2))
    assert [m.p_incl for m in made.members] == pytest.approx([(1 + top) / 3, (1 + top) / 3, (2.5 - 2 * top) / 3])
    assert [m.p_loo for m in made.members] == pytest.approx([(0.5 + top) / 2, (0.5 + top) / 2, 1 - top])
    # symmetrised: the logit of (p_ab + 1 - p_ba)/2 counts twice
    assert released(told[:1], ordered=False)[0, 1] == pytest.approx(
        1 / (1 + math.exp(-2 * math.log(told[0].p / (1 - told[0].p))))
    )


def test_released_is_twice_as_sharp_on_a_scalar_reward():
    """M[i,k] = r_i - r_k: the scores are 2 (r_i - mean r), so p_ij = sigmoid(2 (r_i - r_j)): papers/sppo, 1.3."""
    r = [0.7, -0.2, 0.1, 1.1, -0.4]
    p = {(a, b): 1 / (1 + math.exp(r[b] - r[a])) for a in range(5) for b in range(a + 1, 5)}
    for ordered in (True, False):
        wins = released(matrix(p), ordered)
        assert wins[3, 1] == pytest.approx(1 / (1 + math.exp(-2 * 1.3)))
    cycle = matrix({(0, 1): 0.9, (1, 2): 0.9, (0, 2): 0.1})
    assert list(released(cycle).values()) == pytest.approx([0.5] * 6), "a cycle is lost"
    assert group(PROMPT.id, [answer(i) for i in range(3)], cycle, Pairing("released")).cyclic_triples == 1


def test_released_with_a_judge_that_says_0_or_1():
    wins = released(matrix({(0, 1): 1.0}))
    assert 0.99 < wins[0, 1] < 1.0 and wins[0, 1] + wins[1, 0] == pytest.approx(1)


@pytest.mark.parametrize("k", [2, 5])
def test_equal_eta(k):
    """eta (p_incl - 1/2) is eta (K-1)/K (p_loo - 1/2)."""
    p_loo, eta = 0.83, 1e3
    assert effective_eta(eta, k, True) * (p_loo - 0.5) == pytest.approx(eta * (inclusive(p_loo, k - 1) - 0.5))
    assert effective_eta(eta, k, False) == eta


def test_two_answers():
    """K = 2 (section 5, figure 4): P(w beats pi) = (1/2 + P(w > l))/2."""
    made = group(PROMPT.id, [answer(0), answer(1)], matrix({(0, 1): 0.3}))
    assert (made.chosen, made.rejected) == (1, 0)
    assert {m.index: m.p_incl for m in made.members} == pytest.approx({1: (0.5 + 0.7) / 2, 0: (0.5 + 0.3) / 2})


def test_cross_fit_by_hand():
    """Five answers: three are candidates, scored among themselves; their targets are from the other two."""
    p = {(a, b): 0.5 + 0.01 * (b - a) * (a + 1) for a in range(5) for b in range(a + 1, 5)}
    made = group(PROMPT.id, [answer(i) for i in range(5)], matrix(p), Pairing(choose="cross-fit", seed=3))
    both = p | {(b, a): 1 - v for (a, b), v in p.items()}
    candidates = [m.index for m in made.members]
    others = [i for i in range(5) if i not in candidates]
    assert len(candidates) == 3
    for m in made.members:
        assert m.p_loo == pytest.approx(sum(both[m.index, o] for o in others) / 2)
        assert m.p_incl == pytest.approx((4 * m.p_loo + 0.5) / 5), "on the scale of all K"
    score = {i: sum(both[i, j] for j in candidates if j != i) for i in candidates}
    assert made.chosen == max(score, key=score.get) and made.rejected == min(score, key=score.get)
    few = group(PROMPT.id, [answer(0), answer(1)], matrix({(0, 1): 0.9}), Pairing(choose="cross-fit"))
    assert few.chosen is None, "two answers leave nobody to take the target from"
    with pytest.raises(UserError, match="take --estimate paper"):
        Pairing("released", "cross-fit")


def simulated(choose, groups=4000, k=5):
    """Mean of (target - truth) of the chosen and of the rejected: skills are normal, P(i beats j) = sigmoid(skill_i - skill_j), the judge
    says it plus noise drawn once a pair. Truth: P(beats a fresh sample), by quadrature over its skill."""
    rng = random.Random(7)
    grid = [-4 + 0.05 * i for i in range(161)]
    weight = [math.exp(-x * x / 2) for x in grid]
    total = sum(weight)
    gaps = {"chosen": [], "rejected": []}
    for n in range(groups):
        skill = [rng.gauss(0, 1) for _ in range(k)]
        noisy = {}
        for a in range(k):
            for b in range(a + 1, k):
                noisy[a, b] = 1 / (1 + math.exp(skill[b] - skill[a])) + rng.uniform(-0.4, 0.4)
        prompt = Prompt.of((Message("user", f"{choose} {n}"),))
        told = [Verdict(f"{a}-{b}", prompt.id, a, b, p, 1 - p, p, 0.0) for (a, b), p in noisy.items()]
        answers = [Response(f"{i}", prompt.id, i, str(i), (i,), "stop") for i in range(k)]
        made = group(prompt.id, answers, told, Pairing(choose=choose, seed=1))
        p_loo = {m.index: m.p_loo for m in made.members}
        for side in gaps:
            i = getattr(made, side)
            truth = sum(w / (1 + math.exp(x - skill[i])) for x, w in zip(grid, weight)) / total
            gaps[side].append(p_loo[i] - truth)
    return {side: (statistics.fmean(g), statistics.stdev(g) / len(g) ** 0.5) for side, g in gaps.items()}


def test_the_best_of_five_is_overrated_and_cross_fit_is_not():
    plain, fitted = simulated("best-worst", 1500), simulated("cross-fit", 1500)
    assert plain["chosen"][0] > 0.05 and plain["rejected"][0] < -0.05, plain
    for mean, error in fitted.values():
        assert abs(mean) < 3 * error < 0.03, fitted


def test_drawn_pairs_follow_the_judge():
    """P(0 beats 1) = .8, the one pair there is: over prompts, 0 is the chosen one in 80% of them."""
    told = matrix({(0, 1): 0.8})
    made = [group(f"p{n}", [answer(0), answer(1)], told, Pairing(choose="drawn", seed=5)).chosen for n in range(2000)]
    assert made.count(0) / 2000 == pytest.approx(0.8, abs=0.03) and made.count(1) + made.count(0) == 2000
    of_three = matrix({(0, 1): 0.5, (0, 2): 0.5, (1, 2): 0.5})
    answers = [answer(i) for i in range(3)]
    found = [group(f"p{n}", answers, of_three, Pairing(choose="drawn")) for n in range(300)]
    assert {frozenset((g.chosen, g.rejected)) for g in found} == {frozenset(s) for s in ((0, 1), (0, 2), (1, 2))}
    assert all(g.status == "pair" for g in found), "a coin decides an even pair"
    assert found == [group(f"p{n}", answers, of_three, Pairing(choose="drawn")) for n in range(300)]


def test_winner_is_never_the_loser():
    """The released code pairs an answer with itself where all scores are equal."""
    even = matrix({(a, b): 0.5 for a in range(5) for b in range(a + 1, 5)})
    for estimate in ("paper", "released", "released-symmetrised"):
        made = group(PROMPT.id, [answer(i) for i in range(5)], even, Pairing(estimate))
        assert (made.chosen, made.rejected, made.status) == (None, None, "tie")
