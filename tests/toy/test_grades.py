"""Graded transcripts: the programme's arithmetic by hand, plans, generator families, the lenient rater, levels."""

import random
import statistics

import pytest

from windvane.core.errors import UserError
from windvane.evalyaks.prompts import compact
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript, Turn
from windvane.toy.grades import family as grades
from windvane.toy.grades.rubric import count, features, grade, lenient, marks, sentence_level
from windvane.toy.grades.words import LEVEL_OF, SLIPS, SPEAKERS


def talk(part, *turns):
    return Transcript.of(part, [Turn(role, text) for role, text in turns])


def test_the_programme_counts_the_candidate_alone_by_hand():
    record = talk(
        3,
        ("examiner", "talk about this together. um goed because?"),
        ("partner", "um we goed to the heritage because what do you think?"),
        ("candidate", "I agree. um the dog is big because I appreciate the heritage. and you?"),
        ("candidate", "we maked to the market."),
    )
    c = count(record)
    # dog A1, big A1, appreciate B2, heritage B2, market A2: (0 + 0 + 1 + 1 + 1/3)/5
    assert (c.words, c.turns, c.slip, c.linker, c.filler, c.build, c.ask) == (19, 2, 1, 1, 1, 1, 1)
    assert c.level == pytest.approx(7 / 15)
    told = marks(record)
    assert told["GV"] == pytest.approx(1.4 + 4.2 * 7 / 15 - 20 / 19)
    assert told["DM"] == pytest.approx(1.6 + 22 / 19 - 15 / 19 + 0.05 * (9.5 - 8))
    assert told["IC"] == pytest.approx(1.2 + 2.2 * 2 / 2)
    assert grade(record) == {"GV": 2.0, "DM": 2.0, "IC": 3.0}
    assert features(record)["How many slips ?"] == "some" and features(record)["How many questions ?"] == "some"


def test_marks_stay_in_their_bands_and_parts():
    silent = talk(1, ("candidate", "goed maked thinked"))
    assert grade(silent) == {"GV": 1.0, "DM": 1.0}
    assert set(grade(talk(4, ("candidate", "yes.")))) == {"GV", "DM", "IC"}


def test_transcripts_have_the_planned_bands_evenly_and_are_the_programme_s():
    records = grades.transcripts(5, 20)
    assert len(records) == 80 == len({r.conversation for r in records})
    for part in PART_CRITERIA:
        own = [r for r in records if r.part == part]
        assert all(tuple(r.scores) == PART_CRITERIA[part] and dict(r.scores) == grade(r) for r in own)
        assert sorted(r.scores["GV"] for r in own) == sorted([1.0, 2.0, 3.0, 4.0, 5.0] * 4)
        assert all(max(r.scores.values()) - min(r.scores.values()) <= 2 for r in own)
    assert {t.role for r in records if r.part == 3 for t in r.turns} == {"examiner", "candidate", "partner"}
    assert {r.setting for r in records} == {"global", "indian"}
    assert grades.transcripts(5, 30)[:20] == records[:20], "a longer list begins like a shorter one"
    assert grades.transcripts(6, 20)[0] != records[0]


def test_generator_families_share_no_clause_and_each_has_words_of_its_own():
    train, test = SPEAKERS["train"], SPEAKERS["test"]
    assert not set(train.clauses + train.slipped + train.questions) & set(test.clauses + test.slipped + test.questions)
    said = {
        family: {w for r in grades.transcripts(1, 60, family) for w in r.said().split() if w in LEVEL_OF}
        for family in ("train", "test")
    }
    assert len(said["train"] - said["test"]) > 10 and len(said["test"] - said["train"]) > 10


def test_no_line_through_the_lenient_rater_s_bands_gives_the_programme_s():
    rng = random.Random(0)
    pairs = [(grade(r), lenient(r, rng)) for r in grades.transcripts(2, 100, "test")]
    for criterion in ("GV", "DM", "IC"):
        own = [(truth[criterion], told[criterion]) for truth, told in pairs if criterion in truth]
        truth, told = zip(*own)
        assert statistics.mean(told) > statistics.mean(truth) + 0.4, "milder"
        assert statistics.correlation(truth, told) ** 2 < 0.5, "what a line can explain"
    record = talk(1, ("candidate", "the dog is big because we goed to the market."))
    better = talk(1, ("candidate", "the dog is big because we go to the market."))
    assert lenient(record, random.Random(1)) == lenient(better, random.Random(1)), "slips are nothing to it"


def test_levels_of_sentences_by_hand_and_lists_kept_apart():
    assert sentence_level("the dog is big.") == "A1"
    assert sentence_level("we preserve the remarkable heritage.") == "B2"
    assert sentence_level("the dog is big because I visit the market.") == "A2"  # mean 0.5 of 0 0 1 1, a linker: 1.0
    train, held = grades.words("train"), grades.words("held-out")
    assert all(train[level] and held[level] and not set(train[level]) & set(held[level]) for level in train)
    assert all(LEVEL_OF[w] == level for words, level in grades.word_lists(0, 12, "held-out") for w in words)
    texts = grades.sentences(0, 40, "test")
    assert len({t for t, _ in texts}) == 40 and all(sentence_level(t) == level for t, level in texts)


def test_prompts_are_apart_and_a_written_transcript_is_read_back():
    train, held = grades.prompts(None, "train", 0), grades.prompts(None, "held-out", 0)
    assert len({p.id for p in (*train, *held)}) == len(train) + len(held) == 19 * 2 + 65 * 2
    assert grades.planned("Write part 3 with GV: 2 DM: 4 IC: 3.") == (3, {"GV": 2.0, "DM": 4.0, "IC": 3.0})
    record = grades.transcripts(0, 1)[2]
    text = " ".join(f"{t.role.capitalize()}: {t.text}" for t in record.turns)
    again = grades.written(text, 3)
    assert [t.text for t in again.turns] == [t.text for t in record.turns] and again.scores == record.scores
    assert grades.written("the dog is big", 1) is None
    assert compact.turns_of("Examiner: a? Candidate: b. Candidate:") == [("examiner", "a?"), ("candidate", "b.")]


def test_it_is_a_source_of_transcripts_and_refuses_what_it_does_not_have():
    assert len(read_transcripts(["world:grades:test:3"]).records) == 400
    for name, said in (
        ("world:grades:tset", "no generator family"),
        ("world:grades:test:x", "'x' is no seed"),
        ("world:nothing", "no toy family 'nothing' that offers transcripts"),
    ):
        with pytest.raises(UserError, match=said):
            read_transcripts([name])
    with pytest.raises(UserError, match="no part 5"):
        grades.transcripts(0, 1, parts=(5,))
    with pytest.raises(UserError, match="there are"):
        grades.prompts(10_000, "train", 0)


def test_every_text_is_in_the_vocabulary():
    from windvane.toy.tokenizer import word_tokenizer

    tokenizer = word_tokenizer(grades.texts(), grades.WINDOW)
    for family in SPEAKERS:
        for record in grades.transcripts(9, 15, family):
            ids = tokenizer(grades.grading_prompt(record)).input_ids
            assert tokenizer.unk_token_id not in ids and len(ids) < 300
    for text in (*SLIPS, compact.bands({"GV": 5, "DM": 4}), *(p.text for p in grades.prompts(20, "train", 0))):
        assert tokenizer.unk_token_id not in tokenizer(text).input_ids
