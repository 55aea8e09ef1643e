"""Both orders, symmetrising, win probabilities, ties and cycles: worked by hand."""

import pytest

from windvane.judge import compare, verdicts
from windvane.pair import group, inclusive
from windvane.records import Message, Prompt, Response, Verdict

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
