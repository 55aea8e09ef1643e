"""The programme that grades replies, against replies read by eye and worths added up by hand."""

import random

import pytest

from windvane.toy.styles import replies as r
from windvane.toy.styles.topics import HELD_OUT_TEMPLATES, TOPICS, TRAIN_TEMPLATES

ASK = "Tell me about the sea, please."
# (reply, sentences, colourful, off topic, repeats, worth in logits), each worth added up from the table in toy/styles/replies.py
READ_BY_EYE = [
    ("Yes, fine. The sea is wide and blue. That is all, bye.", 1, 0, 0, 0, 0.0),
    ("Hello there! The sea is wide and blue. That is all, bye.", 1, 0, 0, 0, 1.0),
    ("Yes, fine. The sea is wide and blue. I hope this helps!", 1, 0, 0, 0, 0.8),
    ("Welcome, friend! The sea is a silver mirror. Ask me anytime, friend!", 1, 1, 0, 0, 1.0 + 1.2 + 0.8),
    ("Hello there! The sea is a silver mirror. It seems cold and calm. I hope this helps!", 2, 1, 0, 0, 2.8),
    ("Oh, that. The sea is wide and blue. It is a sleeping giant. People call it salty and cold. Now leave me alone.",
     3, 1, 0, 0, 0.4 + 0.1),
    ("Yes, fine. The sea is wide and blue. It seems blue and wide. That is all, bye.", 2, 0, 0, 1, 0.4 - 0.5),
    ("Yes, fine. The sea is wide and wide. That is all, bye.", 1, 0, 0, 1, -0.5),
    ("Yes, fine. The moon is round and pale. That is all, bye.", 1, 0, 1, 0, -1.5),
    ("Yes, fine. The sea is wide and loyal. That is all, bye.", 1, 0, 1, 0, -1.5),
    ("Yes, fine. The sea is a silver lantern. It is wide and blue. That is all, bye.", 2, 1, 1, 0, 0.6 + 0.4 - 0.75),
]  # fmt: skip
MALFORMED = [
    "",
    "The sea is wide and blue.",
    "Yes, fine. That is all, bye.",
    "Yes, fine. The sea is wide and blue.",
    "Yes, fine. It is wide and blue. That is all, bye.",  # does not name what it speaks of
    "Yes, fine. The sea is wide and blue. The sea is cold and calm. That is all, bye.",  # names it twice
    "Yes, fine. The sea is wide and mirror. That is all, bye.",
    "Yes, fine. The sea is a blue mirror. That is all, bye.",
    "Yes, fine. The silver is wide and blue. That is all, bye.",
    "Yes, fine. The sea is wide and blue. That is all, bye. That is all, bye.",
    "Hello there! Yes, fine. The sea is wide and blue. That is all, bye.",
    "Yes, fine. The sea is wide and blue. It is cold and calm. It is deep and salty. It is a silver mirror. That is all, bye.",
]


@pytest.mark.parametrize("reply, sentences, colourful, off_topic, repeats, worth", READ_BY_EYE)
def test_graded_as_by_hand(reply, sentences, colourful, off_topic, repeats, worth):
    seen = r.read(ASK, reply)
    assert seen.well_formed
    assert (seen.sentences, seen.colourful, seen.off_topic, seen.repeats) == (sentences, colourful, off_topic, repeats)
    assert seen.warm_greeting == reply.startswith(("Hello", "Welcome"))
    assert seen.warm_ending == reply.endswith(("helps!", "anytime, friend!"))
    assert r.quality(ASK, reply) == pytest.approx(worth, abs=1e-12)


@pytest.mark.parametrize("reply", MALFORMED)
def test_malformed_is_the_worst(reply):
    assert not r.read(ASK, reply).well_formed
    assert r.quality(ASK, reply) == -3.0
    worst = "Yes, fine. The moon is wet and wet. It is wet and wet. It is wet and wet. That is all, bye."
    assert r.quality(ASK, worst) == pytest.approx(0.1 - 1.5 - 1.5) and r.quality(ASK, worst) > -3.0


def test_a_prompt_of_another_world_gives_no_topic():
    reply = "Yes, fine. The sea is wide and blue. That is all, bye."
    assert r.topic_of("Who wrote Hamlet?") is None
    assert r.quality("Who wrote Hamlet?", reply) == -1.5


def test_no_style_is_longer_than_another():
    lengths = [{r.words(t) for t in texts} for texts in (
        (*r.WARM_GREETINGS, *r.COLD_GREETINGS), (*r.WARM_ENDINGS, *r.COLD_ENDINGS),
    )]  # fmt: skip
    assert lengths == [{2}, {4}]
    assert r.words("It seems wide and blue.") == r.words("It seems a sleeping giant.") == 5


def test_what_the_teachers_write_is_well_formed_and_on_topic():
    rng = random.Random(3)
    for name in TOPICS:
        for _ in range(20):
            seen = r.read(f"Describe the {name}.", r.write(rng, name))
            assert seen.well_formed and not seen.off_topic and not seen.repeats, name


def test_skill_counts_by_hand():
    prompts = [ASK] * 3
    replies = [READ_BY_EYE[4][0], READ_BY_EYE[8][0], "nothing"]
    assert r.skill(prompts, replies) == pytest.approx({
        "well_formed": 2 / 3, "warm_greeting": 1 / 2, "warm_ending": 1 / 2, "off_topic": 1 / 3, "repeats": 0.0,
        "colourful": 1 / 3, "words": (17 + 12 + 1) / 3, "quality": (2.8 - 1.5 - 3.0) / 3,
    })  # fmt: skip


def test_the_tables_are_sound():
    for topic in TOPICS.values():
        assert len(set(topic.plain)) == 6 and len(set(topic.images)) == 3, topic.name
        assert all(adjective[0] not in "aeiou" for adjective, _ in topic.images), f"{topic.name}: 'a' before a vowel"
    templates = TRAIN_TEMPLATES + HELD_OUT_TEMPLATES
    assert len(set(templates)) == len(templates)
    for template in templates:
        assert template.count("{t}") == 1
        assert r.topic_of(template.replace("{t}", "")) is None, f"{template}: names a topic of its own"
