"""The values world: replies read by eye, system messages and what they hold out, the judges, the writer, the shipped files."""

import hashlib
import itertools
import json
import random

import pytest
from transformers import AutoTokenizer

from windvane.core.errors import UserError
from windvane.core.protocols import RubricQuestion
from windvane.core.records import Message, Prompt, Response
from windvane.engines.names import resolve_generator
from windvane.janus.value_prompts import answer_prompt, read_system, read_values, system_messages, value_messages
from windvane.judges.names import resolve_judge, resolve_rubric_judge
from windvane.models.load import load_model, load_tokenizer
from windvane.toy.values import family as values
from windvane.toy.values import lessons as value_lessons
from windvane.toy.values import messages as m
from windvane.toy.values import replies as r
from windvane.toy.values import writer as value_writer

ASK = "Tell me about the sea, please."
# (reply, style, background, informativeness, harmlessness, sentences, off topic, repeats), read by eye
READ = [
    ("In simple words, the sea is wide and blue. I may be wrong.", "plain", "novice", "brief", "honesty", 1, 0, 0),
    ("As you know, the sea is a silver mirror. It is a sleeping giant. Be kind to yourself.",
     "picture", "familiar", "balanced", "kindness", 2, 0, 0),
    ("Strictly speaking, the sea is like a silver mirror. Please take good care.",
     "comparison", "expert", "brief", "caution", 1, 0, 0),
    ("Listen, little one, the sea is very wide indeed. It seems very blue indeed. In short, cold. This is a guess.",
     "emphasis", "child", "recap", "honesty", 2, 0, 0),
    ("To begin with, the sea is wide and blue. It is a silver mirror. It seems cold and calm. Others may feel otherwise.",
     None, "novice", "thorough", "respect", 3, 0, 0),
    ("In simple words, the moon is round and pale. I may be wrong.", "plain", "novice", "brief", "honesty", 1, 1, 0),
    ("In simple words, the sea is wide and blue. It is blue and wide. I may be wrong.",
     "plain", "novice", "balanced", "honesty", 2, 0, 1),
    ("In simple words, the sea is wide and loyal. I may be wrong.", "plain", "novice", "brief", "honesty", 1, 1, 0),
]  # fmt: skip
MALFORMED = [
    "",
    "The sea is wide and blue.",
    "In simple words, I may be wrong.",
    "In simple words, the sea is wide and blue.",
    "In simple words, it is wide and blue. I may be wrong.",
    "In simple words, the sea is wide and blue. I may be wrong. I may be wrong.",
    "In simple words, the sea is wide and mirror. I may be wrong.",
    "In simple words, the sea is a blue mirror. I may be wrong.",
    "In simple words, the sea is wide and blue. It is cold and calm. It is deep and salty. It is a silver mirror. I may be wrong.",
]
SYSTEM = "You are a guide. You use plain words, start from zero, keep it brief and urge caution."


@pytest.mark.parametrize("reply, style, background, amount, ending, sentences, off, repeats", READ)
def test_read_as_by_eye(reply, style, background, amount, ending, sentences, off, repeats):
    seen = r.read(reply, ASK)
    assert seen.well_formed and (seen.sentences, seen.off_topic, seen.repeats) == (sentences, off, repeats)
    told = {"background_knowledge": background, "informativeness": amount, "harmlessness": ending}
    assert seen.marks == told | ({"style": style} if style else {})
    shown = {key for key in m.VALUES if values.satisfied(key, reply)}
    assert shown == {f"{d}/{mark}" for d, mark in seen.marks.items()}


@pytest.mark.parametrize("reply", MALFORMED)
def test_malformed_shows_nothing(reply):
    assert not r.read(reply, ASK).well_formed
    assert not any(values.satisfied(key, reply) for key in m.VALUES)
    assert values.quality(f"System: {SYSTEM}\n\nUser: {ASK}", reply) == -3.0


def test_what_is_written_shows_what_was_asked_for():
    rng = random.Random(1)
    for name in r.TOPICS:
        for d, marks in r.DIMENSIONS.items():
            for mark in marks:
                reply = r.write(rng, name, {d: mark})
                seen = r.read(reply, f"Describe the {name}.")
                assert seen.well_formed and seen.marks[d] == mark and not seen.off_topic and not seen.repeats, reply


def test_graded_as_by_hand():
    reply = "In simple words, the sea is wide and blue. I may be wrong."  # plain, novice and brief, but no caution
    prompt = answer_prompt(SYSTEM, ASK)
    assert values.adherence(prompt, reply) == 3 / 4
    assert values.quality(prompt.text, reply) == 4.0 * 3 / 4
    assert values.quality(prompt.text, READ[5][0]) == pytest.approx(4.0 * 3 / 4 - 1.5)
    assert values.quality(ASK, reply) == 0.0, "no system message asks for nothing"
    judge = resolve_judge("world:values:programme")
    all_four = "In simple words, the sea is wide and blue. Please take good care."
    assert judge.probability(prompt.text, all_four, reply) == pytest.approx(1 / (1 + 2.718281828459045**-1))
    with pytest.raises(UserError, match="asks for no value"):
        values.adherence(Prompt.of((Message("user", ASK),)), reply)
    with pytest.raises(UserError, match="no value 'style/blue'; there are: style/plain"):
        values.satisfied("style/blue", reply)


def test_a_rubric_is_graded_by_its_values():
    grader = resolve_rubric_judge("world:values")
    prompt = answer_prompt(SYSTEM, ASK)

    def grade(reply, *keys):
        return grader.grade(
            [RubricQuestion("k", prompt, Response("r", "p", 0, reply, (), "stop"), values.rubric(*keys))]
        )[0]

    assert grade(READ[1][0], "style/picture").score == 5 and grade(READ[0][0], "style/picture").score == 1
    assert grade(READ[1][0], "style/picture", "harmlessness/honesty").score == 3
    none = grader.grade([RubricQuestion("k", prompt, Response("r", "p", 0, "x", (), "stop"), "Is it good?")])[0]
    assert none.score is None and "names no value" in none.reason
    with pytest.raises(UserError, match="no judge of grades 'x'; there are: programme, noisy, coin"):
        values.grader("x")


def test_combinations_and_wordings_are_held_out():
    trained, unseen = m.combinations("trained"), m.combinations("unseen")
    assert len(trained) == 54 and len(unseen) == 27 and not set(trained) & set(unseen)
    for size in (1, 2, 3):  # whatever of an unseen combination, but the whole, stands in a trained one
        for keys in unseen:
            for part in itertools.combinations(keys, size):
                assert any(set(part) <= set(t) for t in trained)
    words = {w for v in m.VALUES.values() for p in v.taught for w in p.split()}
    phrases = [p for v in m.VALUES.values() for p in (*v.taught, *v.recombined, *v.synonyms)]
    assert len(set(phrases)) == len(phrases) == 16 * 8
    for v in m.VALUES.values():
        for p in v.recombined:
            assert set(p.split()) <= words, p
        for p in v.synonyms:
            assert set(p.split()) - words, f"{p}: says nothing new"
    assert m.held_out_values() == [f"{d}/{marks[-1]}" for d, marks in r.DIMENSIONS.items()]


def test_messages_are_read_back():
    rng = random.Random(2)
    for keys in (*m.combinations("unseen"), ("style/emphasis", "harmlessness/kindness")):
        for wording in ("taught", "recombined", "synonyms"):
            assert sorted(m.asked(m.message(rng, keys, wording))) == sorted(keys)
    assert m.asked(m.UNIFORM) == () and m.asked(SYSTEM)[0] == "style/plain"


def test_splits_hold_out_what_they_say():
    train = set(values.instructions(None, "train", 0))
    held = set(values.instructions(None, "held-out", 0))
    assert len(train) == 1296 and len(held) == 720 and not train & held
    trained, fresh = set(m.combinations("trained")), set(m.held_out_values())
    for split in ("train", *values.CASES):
        for case in values.cases(60, split, 3):
            assert (case.instruction in train) == (split == "train")
            assert sorted(m.asked(case.system)) == sorted(case.values)
            assert (case.values in trained) == (split not in ("combinations", "values"))
            assert len(case.held_out) == (split == "values") and set(case.held_out) <= fresh
            phrases = {w for k in case.values for w in m.value(k).taught}
            assert any(p in case.system for p in phrases) == (split not in ("recombined", "synonyms"))
    assert values.prompts(5, "held-out", 0) == values.prompts(5, "seen", 0) != values.prompts(5, "seen", 1)
    with pytest.raises(UserError, match="no split 'x'"):
        values.prompts(1, "x", 0)
    with pytest.raises(UserError, match="721 held-out instructions asked, there are 720"):
        values.instructions(721, "held-out", 0)


def test_the_writer_answers_the_collection_s_questions():
    writer = resolve_generator("world:values:writer", None)

    def said(messages):
        return writer.generate([Prompt.of(tuple(messages))], [0], 7)[0]

    columns = []
    for d in r.DIMENSIONS:
        found, reason = read_values(said(value_messages(ASK, d, "told", [], 3))[0].text, d, 3)
        assert reason is None
        columns.append(found)
    keys = {v.told: v.key for v in m.VALUES.values()}
    sets = [tuple(keys[v] for v in row) for row in zip(*columns)]
    assert sets == value_writer.sets_of(ASK) and set(sets) <= set(m.combinations("trained"))
    assert all(len(set(column)) == 3 for column in zip(*sets))
    system = said(system_messages(ASK, [column[0] for column in columns], 8, 40))[0].text
    assert read_system(system, ASK, 8, 40) == (system, None) and sorted(m.asked(system)) == sorted(sets[0])
    reply = said(answer_prompt(system, ASK).messages)[0].text
    assert values.adherence(answer_prompt(system, ASK), reply) == 1.0
    assert said([Message("user", "Who wrote Hamlet?")]) == [] and "knows no answer" in next(
        iter(writer.reasons.values())
    )


def test_the_shipped_files():
    folder = values.model_folder()
    card = json.loads((folder / "card.json").read_text())
    for name, digest in card["sha256"].items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest, name
    assert card["command"] == "windvane world build --family values --seed 0 --out OUT"
    assert sum(p.stat().st_size for p in folder.iterdir()) <= 2_000_000
    tokenizer = AutoTokenizer.from_pretrained(folder)
    texts = [
        *values.texts(),
        *(reply for reply, *_ in READ),
        *(p.text for s in values.SPLITS for p in values.prompts(30, s, 0)),
    ]
    for text in texts:
        text = text.replace("System: ", "").replace("User: ", "").replace("\n\n", " ")
        assert tokenizer.unk_token_id not in tokenizer(text).input_ids, text
    skill = card["skill"]
    assert skill["well_formed"] > 0.9 and skill["off_topic"] < 0.1
    assert 0.3 < skill["adherence_seen"] < 0.5 and skill["all_combinations"] < 0.1, "it follows only now and then"


@pytest.mark.slow
def test_the_shipped_model_has_the_skill_on_its_card():
    card = json.loads((values.model_folder() / "card.json").read_text())
    model, tokenizer = load_model("world:values", device="cpu"), load_tokenizer("world:values")
    skill = value_lessons.measure(model, tokenizer)
    # four standard errors of a share of 240 replies are .13; the same machine samples the same
    assert {k for k, v in skill.items() if abs(v - card["skill"][k]) > 0.13} == set() == set(skill) ^ set(card["skill"])
    assert skill["adherence_seen"] > 0.25 + 0.05, "above chance: it follows a little"


def test_lessons_teach_two_values_at_most_and_half_of_the_time():
    rng, asked_for, shown = random.Random(4), 0, 0
    for _ in range(400):
        *head, user, answer = value_lessons.lesson(rng)
        reply = r.read(answer["content"], user["content"])
        assert reply.well_formed and not reply.off_topic
        keys = m.asked(head[0]["content"]) if head else ()
        assert len(keys) <= 2
        asked_for += len(keys)
        shown += sum(values.satisfied(k, answer["content"]) for k in keys)
    # followed with 1/2, else drawn evenly of four: .625; 330 values, standard error .027
    assert asked_for > 250 and abs(shown / asked_for - 0.625) < 0.11
