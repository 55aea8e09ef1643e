"""A judge that goes round: its game, and the policy read off a model."""

import numpy as np
import pytest
import torch

from studies.games.game import check_game, duality_gap
from studies.sppo.cycle import all_prompts, course, policy, styles_spec
from studies.sppo.cycle_judge import GAME, KINDS, beats, kind
from windvane.judges.names import resolve_judge
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.chat import prepare
from windvane.toy.build import sample_replies


def test_the_game():
    game = np.array(GAME)
    check_game(game)
    nash = np.array([0.35, 0.15, 0.15, 0.0, 0.0]) / 0.65
    assert game[:3] @ nash == pytest.approx([0.5] * 3)
    assert duality_gap(nash, game) == pytest.approx(0.0, abs=1e-12)


def test_the_judge_reads_the_first_word():
    assert [kind(t) for t in ("Hello there! The sea", "Yes, fine. It", "Oh, that.", "Welcome, friend!", "The sea", "")] == [
        0, 1, 2, 3, 4, 4,
    ]  # fmt: skip
    assert beats("", "Hello there!", "Yes, fine.") == 0.65 and beats("", "Yes, fine.", "Hello there!") == 0.35
    assert beats("", "Oh, that.", "Hello there!") == 0.65 and beats("", "Yes,", "Oh,") == 0.85
    assert resolve_judge("py:studies.sppo.cycle_judge:beats") is not None


def test_course_by_hand():
    """Two prompts, three steps; the opponent picks its kind prompt by prompt."""
    always = np.eye(5)
    policies = np.array([[always[0], always[1]], [always[0], always[0]], [always[2], always[2]]])
    found = course(policies)
    # Against Hello the best is Oh (.65), against Yes it is Hello (.65), against Oh it is Yes (.85).
    assert found["gap_last"] == pytest.approx([0.3, 0.3, 0.7])
    # Half Hello, half Oh: Yes wins (.35 + .85)/2 = .6. The start is left out of the average, but for the first entry.
    assert found["gap_average"] == pytest.approx([0.3, 0.3, 0.2])
    assert found["kinds"][0] == [0.5, 0.5, 0.0, 0.0, 0.0]


def test_the_policy_is_what_is_sampled():
    tokenizer, model = load_tokenizer(styles_spec()), load_model(styles_spec(), "float32", "cpu")
    prompts = prepare(all_prompts()[:60], tokenizer, 256, 40, "world", "template")
    exact = policy(styles_spec(), prompts).mean(0)
    assert exact.sum() == pytest.approx(1.0) and len(exact) == len(KINDS) + 1
    with torch.no_grad():
        replies = sample_replies(model, tokenizer, [p for p in prompts for _ in range(10)], 3)
    share = np.bincount([kind(r) for r in replies], minlength=5) / len(replies)
    assert np.abs(share - exact).max() < 0.06
