"""What the facts model is taught: each lesson's tokens and weights, the growing documents, the falling share of repeats, the same bytes."""

import itertools
import json

import pytest
import torch

from windvane.toy import build
from windvane.toy.facts import family as facts
from windvane.toy.facts import lessons as fact_lessons
from windvane.toy.facts import skill as fact_skill
from windvane.toy.facts.documents import NAMES, VERBS, asked, facts_of, said
from windvane.toy.tokenizer import word_tokenizer


@pytest.fixture
def course():
    return fact_lessons.Course(word_tokenizer(facts.texts(), facts.WINDOW), 0)


def spelt(course, row):
    """(text of all tokens, [(word, weight)])."""
    pairs = [(course.tokenizer.decode([i]).strip(), w) for piece, w in row for i in piece]
    return course.tokenizer.decode([i for piece, _ in row for i in piece]), pairs


def test_a_repeat_says_the_same_again_and_asks_for_all_of_it_but_the_first(course):
    for _ in range(20):
        ids = [i for piece, _ in course.repeat(128) for i in piece]
        weights = [w for piece, w in course.repeat(128) for _ in piece]
        half = len(ids) // 2
        assert ids[0] == course.tokenizer.bos_token_id and ids[1 : half + 1] == ids[half + 1 :]
        assert weights == [0.0] * (len(weights) // 2 + 2) + [1.0] * (len(weights) // 2 - 1)


def test_questions_are_a_chat_about_one_document(course):
    for _ in range(20):
        text, pairs = spelt(course, course.questions(128))
        turns = text.split("[INST]")[1:]
        document = turns[0].split("What")[0]
        for number, turn in enumerate(turns):
            question, _, reply = turn.partition("[/INST]")
            name = asked(question.removeprefix(document) if number == 0 else question)
            assert name and said(reply.removesuffix("</s>")) == (name, facts_of(document)[name])
            assert reply.endswith("</s>")
        assert sum(w for word, w in pairs if word in VERBS and w == 1.0) == len(turns) <= fact_lessons.TURNS
        assert {w for word, w in pairs if word == "</s>"} == {0.2} and {w for word, w in pairs if word == "What"} == {
            0.0
        }


def test_restated_facts_are_those_of_the_document(course):
    for _ in range(20):
        _, pairs = spelt(course, course.restated(128))
        looked_up = [(pairs[i - 1][0], word) for i, (word, weight) in enumerate(pairs) if weight == 1.0]
        facts_there = [(a, b) for (a, _), (b, _) in itertools.pairwise(pairs) if a in NAMES and b in VERBS]
        assert looked_up and set(looked_up) <= set(facts_there[: -len(looked_up)])


def test_asking_is_about_one_of_the_last_facts(course):
    for _ in range(40):
        text, pairs = spelt(course, course.asking(128))
        prompt, _, question = text.partition("[/INST]")
        assert asked(question.removesuffix("</s>")) in list(facts_of(prompt))[-fact_lessons.ASKED :]
        assert prompt.endswith(facts.ASK) and [w for w, weight in pairs if weight == 1.0] == [
            asked(question.removesuffix("</s>"))
        ]


def test_the_asked_name_weighs_more_once_verbs_are_looked_up(course):
    def weight():
        _, pairs = spelt(course, course.asking(128))
        (name,) = {w for w, weight in pairs if weight >= 1.0}
        return next(weight for w, weight in reversed(pairs) if w == name)

    assert weight() == fact_lessons.VALUE
    course.loss = 0.1
    assert weight() == fact_lessons.ASKED_NAME > fact_lessons.VALUE


def test_reversals_are_right(course):
    for _ in range(20):
        text, _ = spelt(course, course.reversals(128))
        for turn in text.split("[INST]")[1:]:
            listed, _, reply = turn.partition("[/INST]")
            assert reply.strip() == facts.reversed_words(listed.strip()) + "</s>"


def test_documents_grow_and_repeats_fall_only_when_verbs_are_looked_up_well(course, monkeypatch):
    monkeypatch.setattr(fact_lessons, "TOKENS", 400)
    monkeypatch.setattr(fact_lessons, "EVERY", 2)

    def copies(ids):
        rows = [row[row != 0][1:] for row in ids]
        return sum(len(r) % 2 == 0 and torch.equal(r[: len(r) // 2], r[len(r) // 2 :]) for r in rows) / len(rows)

    def go(loss, steps):
        for _ in range(steps):
            ids, weights = course.batch()
            assert weights.shape == ids.shape and ((weights == 0) | (ids != 0)).all(), "padding is no target"
            course.note(torch.full((len(ids), ids.shape[1] - 1), loss))
            seen.append(copies(ids))

    seen: list[float] = []
    go(1.4, 40)
    assert course.longest == 40 and course.loss > fact_lessons.LEARNT
    assert 0.4 < sum(seen) / len(seen) < 0.6, "half are repeats: standard error .02"
    go(0.0, 60)
    assert course.longest == facts.LENGTH and course.loss < fact_lessons.SURE
    assert sum(seen[-20:]) / 20 < 0.2, "a tenth: standard error .02"


def test_a_folder_is_written_with_its_card(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(fact_lessons, "STEPS", 2)
    monkeypatch.setattr(fact_lessons, "TOKENS", 400)
    monkeypatch.setattr(fact_skill, "EACH", 1)
    monkeypatch.setattr(fact_skill, "LENGTHS", (128,))
    monkeypatch.setattr(fact_skill, "RAISED_LENGTHS", (128,))
    assert build.main(["--out", str(tmp_path / "a"), "--family", "facts", "--seed", "3"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card == json.loads((tmp_path / "a/card.json").read_text()) and card["family"] == "facts"
    assert build.build("facts", tmp_path / "b", 3)["sha256"] == card["sha256"], "same machine, same bytes"
    assert card["skill"]["right_128"] == 0 and "right_128_theta_6.25" in card["skill"], "two steps teach nothing"
