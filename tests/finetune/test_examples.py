"""From records to examples: what each kind of objective reads, and who is held out."""

import pytest

from windvane.core.records import Group, Member, Message, Prompt, Response
from windvane.finetune.examples import hold_out, own_examples
from windvane.stages.rows import wins_of_scores


def made(key, p, chosen, rejected, status="pair", lengths=(2, 3, 4)):
    prompt = Prompt(key, (Message("user", key),), (1, 2))
    answers = [
        Response(f"{key}-{i}", key, i, "x", tuple(range(10, 10 + n)), "stop") for i, n in zip(range(len(p)), lengths)
    ]
    members = tuple(Member(i, f"{key}-{i}", v, v) for i, v in enumerate(p))
    return prompt, answers, Group(key, members, chosen, rejected, status, 0, 0, 0, None, 0, 0)


def built(rows, branches, answers="best-worst", spans=None):
    prompts = {p.id: p for p, _, _ in rows}
    responses = {r.id: r for _, a, _ in rows for r in a}
    return own_examples(prompts, responses, [g for *_, g in rows], spans or {}, branches, answers)


ROWS = [
    made("a", [0.2, 0.9, 0.5], 1, 0),
    made("b", [1.0], 0, None, "single"),
    made("c", [0.5, 0.5], None, None, "tie"),
    made("d", [0.0], None, 0, "single"),
]


@pytest.mark.parametrize(
    ("branches", "answers", "found"),
    [
        ("pair", "best-worst", {"a": ["a-1", "a-0"]}),
        ("group", "best-worst", {"a": ["a-1", "a-0"]}),
        ("group", "all", {"a": ["a-0", "a-1", "a-2"], "c": ["c-0", "c-1"]}),
        ("single", "best-worst", {"a": ["a-1"], "b": ["b-0"]}),
        ("unpaired", "best-worst", {"a": ["a-1", "a-0"], "b": ["b-0"], "d": ["d-0"]}),
        ("unpaired", "all", {"a": ["a-0", "a-1"], "b": ["b-0"], "d": ["d-0"]}),
    ],
)
def test_which_answers_an_objective_reads(branches, answers, found):
    examples = built(ROWS, branches, answers)
    assert {e.id: list(e.response_ids) for e in examples} == found
    if branches == "unpaired":
        flags = {r: d for e in examples for r, d in zip(e.response_ids, e.desirable)}
        assert flags == {"a-1": True, "a-0": False, "b-0": True, "d-0": False}
        assert all(e.mismatch is not None for e in examples)
    if (branches, answers) == ("group", "all"):
        assert examples[0].p_win == (0.2, 0.9, 0.5)


def test_only_the_assistants_turns_count():
    rows = [made("a", [1.0, 0.0], 0, 1, lengths=(6, 3))]
    (e,) = built(rows, "pair", spans={"a-0": ((0, 2), (4, 6))})
    # the prompt has two tokens: the first answer's turns stand at 2..4 and 6..8, the second's at 2..5
    assert e.spans == (((2, 4), (6, 8)), ((2, 5),)) and e.lengths == (4, 3)


def test_rows_of_one_prompt_are_held_out_together():
    rows = [made(f"p{i}{'' if j == 1 else f'.{j}'}", [1.0, 0.0], 0, 1) for i in range(20) for j in (1, 2, 3)]
    examples = built(rows, "pair")
    training, held = hold_out(examples, 0.2, seed=1)
    assert len(held) == 12 and len(training) == 48
    assert not {e.id.split(".")[0] for e in training} & {e.id.split(".")[0] for e in held}
    assert hold_out(examples, 0.0, 1) == (examples, [])
    assert hold_out(examples[:27], 0.2, 1)[1] == [], "nine prompts are too few"


def test_scores():
    assert wins_of_scores([1, 1], None) == [0.5, 0.5]
    assert wins_of_scores([3, 1, 2], None) == [1.0, 0.0, 0.5]
    assert wins_of_scores([1000, 0], 1.0) == pytest.approx([1.0, 0.0])
