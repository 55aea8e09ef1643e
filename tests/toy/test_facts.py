"""The facts family's texts and checks: lengths to the token, facts read back, splits that share no pair, answers graded by hand."""

import random

import pytest

from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Response
from windvane.toy.facts import family as facts
from windvane.toy.facts.documents import (
    LONGEST,
    NAMES,
    SHORTEST,
    VERBS,
    asked,
    facts_of,
    filler,
    filler_sizes,
    said,
    write,
)
from windvane.toy.tokenizer import word_tokenizer

TEXT = "Anna sings. The old boat drifts.\n\nThe lake waits near the hill. Boris bakes. Anna dives."


@pytest.fixture(scope="module")
def tokenizer():
    return word_tokenizer(facts.texts(), facts.WINDOW)


@pytest.mark.parametrize("length", [30, 64, 128, 512, 1024])
def test_a_document_has_exactly_its_length_and_comes_back_from_its_ids(tokenizer, length):
    for text in facts.documents(0, (length,), 20):
        ids = tokenizer(text).input_ids
        assert len(ids) == length and tokenizer.unk_token_id not in ids
        assert tokenizer.decode(ids) == " ".join(text.split())


def test_every_filler_sentence_has_its_size_and_no_fact(tokenizer):
    rng = random.Random(0)
    for size in range(SHORTEST, LONGEST + 1):
        for _ in range(30):
            sentence = filler(rng, size)
            assert len(tokenizer(sentence).input_ids) == size and not facts_of(sentence), sentence
    for tokens in range(200):
        assert sum(filler_sizes(rng, tokens)) == (tokens if tokens >= SHORTEST else 0)


def test_write_puts_in_every_fact_once_and_parts_paragraphs(tokenizer):
    pairs = {"Anna": "sings", "Quinn": "knits", "Flora": "dives"}
    places = set()
    for seed in range(60):
        text = write(random.Random(seed), pairs, 60)
        assert facts_of(text) == pairs and len(tokenizer(text).input_ids) == 60
        assert all(1 <= part.count(".") <= 6 for part in text.split("\n\n"))
        places.add(text[: text.index("Anna sings.")].count("."))
    assert {0, 1, 5} <= places, "anywhere in the text"
    assert facts_of(write(random.Random(0), [("Anna", "sings")], 3)) == {"Anna": "sings"}


def test_facts_and_questions_are_read_strictly():
    assert facts_of(TEXT) == {"Anna": "sings", "Boris": "bakes"}, "what is said first counts"
    assert asked("What does Anna do?") == "Anna" and asked(" What does Anna do?\n") == "Anna"
    for text in (
        "What does Anna do",
        "what does Anna do?",
        "What does Bob do?",
        "What does Anna do? What does Boris do?",
        "",
    ):
        assert asked(text) is None, text
    assert said("Anna sings") == said(" Anna sings ") == ("Anna", "sings")
    assert said("Anna sings Boris") is None and said("Anna sings.") is None and said("Bob sings") is None


@pytest.mark.parametrize(
    "reply, verdict",
    [
        ("Anna sings", "right"),
        (" Anna sings ", "right"),
        ("Anna dives", "wrong"),
        ("Boris bakes", "wrong"),
        ("Anna sings. The boat drifts.", "malformed"),
        ("Anna Anna.", "malformed"),
        ("", "malformed"),
    ],
)
def test_check_by_hand(reply, verdict):
    assert facts.check("What does Anna do?", reply, TEXT) == verdict


def test_check_of_what_the_text_does_not_hold():
    assert facts.check("What does Carla do?", "Carla sings", TEXT) == "wrong"
    assert facts.check("Hello?", "Anna sings", TEXT) == "wrong"
    assert facts.grounded("What does Boris do?", TEXT)
    assert not facts.grounded("What does Carla do?", TEXT) and not facts.grounded("Boris?", TEXT)


def test_train_and_held_out_documents_share_no_pair():
    pairs = {}
    for split in facts.SPLITS:
        found = [facts_of(text) for text in facts.documents(5, (256,), 400, split)]
        pairs[split] = {pair for told in found for pair in told.items()}
        assert {name for name, _ in pairs[split]} == set(NAMES) and {verb for _, verb in pairs[split]} == set(VERBS)
    assert len(pairs["train"]) == 32 * 12 and len(pairs["held-out"]) == 32 * 4
    assert not pairs["train"] & pairs["held-out"]
    assert all(len(facts.verbs_for(name, None)) == 16 for name in NAMES)


def test_documents_are_drawn_by_seed_length_and_number():
    ten = list(facts.documents(1, (64,), 10))
    assert ten == list(facts.documents(1, (32, 64), 10))[10:] and ten[:3] == list(facts.documents(1, (64,), 3))
    assert len(set(ten)) == 10 and ten != list(facts.documents(2, (64,), 10))
    assert sum(1 for _ in facts.documents(0)) == facts.DOCUMENTS
    with pytest.raises(UserError, match="no split 'test'; there are: train, held-out"):
        list(facts.documents(0, (64,), 1, "test"))
    with pytest.raises(UserError, match="a document of 2 tokens was asked for; a fact alone has 3"):
        list(facts.documents(0, (2,), 1))


def test_cases_have_the_right_answer_and_ask_about_all_places():
    cases, depths = facts.cases(3, 256, 200), []
    for case in cases:
        assert facts.check(case.question, case.answer, case.document) == "right"
        assert case.prompt.text == f"{case.document}\n\n{case.question}"
        depths.append(case.document.index(f"{case.answer}.") / len(case.document))
    assert len({case.question for case in cases}) > 25
    assert 0.44 < sum(depths) / len(depths) < 0.56, "an even draw: standard error .02"


def test_reversals(tokenizer):
    found = facts.reversals(100, 1)
    assert found == facts.reversals(100, 1) != facts.reversals(100, 2)
    assert facts.reversed_words("Reverse: apple bread ink") == "ink bread apple"
    lengths = {len(p.text.split()) - 1 for p in found}
    assert lengths == {2, 3, 4, 5}
    for prompt in found:
        listed = prompt.text.removeprefix("Reverse: ").split()
        assert len(set(listed)) == len(listed) and tokenizer.decode(tokenizer(prompt.text).input_ids) == prompt.text


def test_prompts_and_judges():
    (prompt,) = facts.prompts(1, "held-out", 4)
    text, _, question = prompt.text.rpartition("\n\n")
    name = asked(question)
    right, wrong = f"{name} {facts_of(text)[name]}", f"{name} {'sings' if facts_of(text)[name] != 'sings' else 'dives'}"
    assert [facts.quality(prompt.text, reply) for reply in (right, wrong, "?")] == [2.0, 0.0, -2.0]

    def answer(said_text, index):
        return Response(f"{index}", prompt.id, index, said_text, (5, 2), "stop")

    ask = [
        Question("k", prompt, answer(right, 0), answer(wrong, 1)),
        Question("k", prompt, answer("?", 0), answer(wrong, 1)),
    ]
    assert facts.judge("programme").judge(ask) == pytest.approx([1 / (1 + 2.718281828**-2), 1 / (1 + 2.718281828**2)])
    with pytest.raises(UserError, match="no judge 'truth'; there are: programme, proxy"):
        facts.judge("truth")
    assert len(facts.prompts(None, "train", 0)) == facts.PROMPTS


def test_the_description_says_that_it_is_a_toy():
    assert "toy" in facts.describe() and "32 people" in facts.describe() and "128 tokens" in facts.describe()
