"""The world's judges: probabilities by hand, flips by rate, both orders alike."""

import math

import pytest

from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Message, Prompt, Response
from windvane.toy.styles import family as styles

ASK = Prompt.of((Message("user", "Tell me about the sea, please."),))
SHORT = "Hello there! The sea is wide and blue. That is all, bye."  # worth 1.0, 12 words
LONG = "Yes, fine. The sea is a silver mirror. It seems cold and calm. I hope this helps!"  # worth 0.6 + 0.4 + 0.8 = 1.8, 17 words
SAME = "Hello there! The sea is deep and calm. That is all, bye."  # worth 1.0, 12 words


def answer(text: str, index: int = 0) -> Response:
    return Response(f"{index}", ASK.id, index, text, (5, 2), "stop")


def ask(name: str, a: str, b: str) -> float:
    return styles.judge(name).judge([Question("k", ASK, answer(a), answer(b, 1))])[0]


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_probabilities_by_hand():
    assert ask("programme", LONG, SHORT) == pytest.approx(sigmoid(0.8))
    assert ask("proxy-clean", LONG, SHORT) == pytest.approx(sigmoid(0.8 + 1.0))
    assert ask("proxy-clean", SHORT, LONG) == pytest.approx(sigmoid(-0.8 - 1.0))
    assert ask("proxy-clean", SHORT, SAME) == 0.5, "equal lengths: no bias"
    assert ask("length", LONG, SHORT) == pytest.approx(sigmoid(0.2 * 5))
    assert ask("length", SHORT, "Hello there! The moon is a friendly ghost! Bye, bye, bye, bye.") == 0.5, (
        "sees length alone"
    )
    assert ask("programme", "x", LONG) == pytest.approx(sigmoid(-3.0 - 1.8))


@pytest.fixture(scope="module")
def pairs():
    import random

    from windvane.toy.styles.replies import write

    rng, found = random.Random(0), []
    for prompt in styles.prompts(1000, "train", 5):
        name = next(
            w for w in prompt.text.replace(".", " ").replace("?", " ").replace(",", " ").split() if w in styles.TOPICS
        )
        found += [(prompt, write(rng, name), write(rng, name)) for _ in range(4)]
    return [(p, a, b) for p, a, b in found if a != b]


@pytest.mark.parametrize("name, rate", [("proxy", 0.2), ("coin", 0.5)])
def test_flips_come_at_their_rate_and_agree_in_both_orders(pairs, name, rate):
    judge, clean = styles.judge(name), styles.judge("proxy-clean")
    flipped = 0
    for prompt, a, b in pairs:
        p, truth = judge.probability(prompt.text, a, b), clean.probability(prompt.text, a, b)
        assert p + judge.probability(prompt.text, b, a) == pytest.approx(1.0)
        assert p == pytest.approx(truth) or p == pytest.approx(1 - truth)
        flipped += p != truth
    settled = sum(clean.probability(p.text, a, b) != 0.5 for p, a, b in pairs)
    error = 4 * math.sqrt(rate * (1 - rate) / settled)
    assert abs(flipped / settled - rate) < error and len(pairs) > 3500


def test_flips_depend_on_prompt_and_texts(pairs):
    judge, clean = styles.judge("proxy"), styles.judge("proxy-clean")
    flips = {
        judge.probability(f"{i} the sea", SHORT, LONG) != clean.probability(f"{i} the sea", SHORT, LONG)
        for i in range(60)
    }
    assert flips == {True, False}
    assert {judge.probability(ASK.text, SHORT, LONG) for _ in range(5)} == {ask("proxy", SHORT, LONG)}, (
        "always the same word"
    )


@pytest.mark.parametrize("name", ["programme", "proxy", "proxy-clean", "coin", "length"])
def test_both_orders_add_up_to_one_and_alike_is_a_tie(name):
    assert ask(name, SHORT, LONG) + ask(name, LONG, SHORT) == pytest.approx(1.0)
    assert ask(name, SHORT, SHORT) == 0.5


def test_an_unknown_judge_is_named():
    with pytest.raises(UserError, match="no judge 'truth'; there are: programme, proxy"):
        styles.judge("truth")
