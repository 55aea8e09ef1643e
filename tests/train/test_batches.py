"""Groups -> examples: which answers, which probabilities, whose reference."""

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Group, Member, Message, Prompt, Response
from windvane.train.batches import examples, with_reference

PROMPT = Prompt("p", (Message("user", "why?"),), (1, 5, 6))
ANSWERS = {f"p-{i}": Response(f"p-{i}", "p", i, "", (10 + i, 2), "stop") for i in range(3)}
GROUP = Group(
    "p", tuple(Member(i, f"p-{i}", loo, (2 * loo + 0.5) / 3) for i, loo in enumerate((0.3, 0.9, 0.4))), 1, 0, "pair", 3, 0, 0, 0.0, 0, 1
)  # fmt: skip


def made(branches="group", answers="best-worst", self_term=True, group=GROUP):
    return examples({"p": PROMPT}, ANSWERS, [group], branches, answers, self_term)


def test_best_and_worst_by_id():
    (e,) = made()
    assert e.response_ids == ("p-1", "p-0") and (e.chosen, e.rejected) == (0, 1)
    assert [n.token_ids for n in e.tree.nodes] == [(1, 5, 6), (11, 2), (10, 2)]
    assert e.lengths == (2, 2)


def test_self_term():
    (with_self,), (without,) = made(self_term=True), made(self_term=False)
    assert without.p_win == (0.9, 0.3)
    assert with_self.p_win == pytest.approx((2.3 / 3, 1.1 / 3))


def test_all_answers():
    (e,) = made(answers="all")
    assert e.response_ids == ("p-0", "p-1", "p-2") and (e.chosen, e.rejected) == (1, 0)


def test_a_tie_trains_no_pair_but_all_answers():
    tie = Group("p", GROUP.members, None, None, "tie", 3, 0, 0, 0.0, 0, 1)
    assert made(group=tie) == [] and made(branches="pair", group=tie) == []
    (e,) = made(answers="all", group=tie)
    assert (e.chosen, e.rejected) == (None, None)


def test_reference_goes_to_its_own_answer():
    (e,) = with_reference(made(), {"p-0": -3.0, "p-1": -1.0, "p-2": -2.0})
    assert e.reference == (-1.0, -3.0)


def test_text_alone_is_not_trained_on():
    bare = {k: Response(r.id, r.prompt_id, r.index, "words", (), "stop") for k, r in ANSWERS.items()}
    with pytest.raises(UserError, match="answer p-1: has no token ids"):
        examples({"p": PROMPT}, bare, [GROUP], "pair")
