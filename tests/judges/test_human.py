"""A person at a terminal: asked once a pair, in an order that the content draws, nothing shown that tells whose answer it is."""

import io

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, Response
from windvane.judges.human import HumanJudge
from windvane.judges.names import resolve_judge
from windvane.stages.judge import compare

ASKED = Prompt.of((Message("user", "Name a fruit."),))


def pair(i, good="Apple", bad="Stone"):
    prompt = Prompt.of((Message("user", f"Name fruit {i}."),))
    return (
        prompt,
        Response(f"{prompt.id}-0", prompt.id, 0, good, (1,), "stop"),
        Response(f"{prompt.id}-1", prompt.id, 1, bad, (1,), "stop"),
    )


def judge_by(keys, pairs):
    screen = io.StringIO()
    human = HumanJudge(io.StringIO("".join(k + "\n" for k in keys)), screen)
    return compare(human, pairs), screen.getvalue(), human


class Picky(io.StringIO):
    """Types the number under which Apple was shown last."""

    def __init__(self, screen):
        super().__init__()
        self.screen = screen

    def readline(self, *_):
        shown = self.screen.getvalue().rsplit("--- answer 1", 1)[1]
        return "1\n" if shown.index("Apple") < shown.index("Stone") else "2\n"


def test_the_answer_is_the_answers_whatever_the_order():
    screen = io.StringIO()
    human = HumanJudge(Picky(screen), screen)
    pairs = [pair(i) for i in range(16)] + [pair(99, "Stone", "Apple")]
    found = compare(human, pairs)
    assert [v.p for v in found] == [1.0] * 16 + [0.0] and all(v.disagreement == 0 for v in found)
    assert human.asked == 17, "once a pair, not once an order"
    firsts = [part.lstrip("- \n").startswith("Apple") for part in screen.getvalue().split("--- answer 1")[1:]]
    assert 3 <= sum(firsts) <= 14, "both orders occur"


def test_ties_skips_and_slips():
    found, shown, _ = judge_by(["t", "s", "what", "1"], [pair(1), pair(2), pair(3)])
    assert found[0].p == 0.5 and found[1].p is None and "skipped" in found[1].reason and found[2].p in (0.0, 1.0)
    assert shown.count("1: the first is better") == 4
    for id in (p[1].id for p in map(pair, (1, 2, 3))):
        assert id not in shown


@pytest.mark.parametrize("keys", [["q"], []])
def test_stopping(keys):
    with pytest.raises(UserError, match="are kept, the same command goes on"):
        judge_by(keys, [pair(1)])


def test_control_characters_are_not_sent_to_the_terminal():
    _, shown, _ = judge_by(["1"], [pair(1, "Apple\x1b[2J\x1b]0;x\x07", "Stone")])
    assert "\x1b" not in shown and "\x07" not in shown and "Apple�[2J" in shown


def test_name():
    assert isinstance(resolve_judge("human"), HumanJudge)
    with pytest.raises(UserError, match="takes nothing after it"):
        resolve_judge("human:me")
