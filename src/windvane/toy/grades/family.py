"""The family "grades": transcripts of a speaking test, a programme that grades them, word lists and sentences with levels.

In: seeds, counts, a generator family, an exam part. Out: graded `Transcript`s, words and sentences with their levels, prompts, the
folder of the shipped model. How candidates talk is in toy/grades/talk.py, the programme's bands in toy/grades/rubric.py, how the model was
taught in toy/grades/lessons.py.

Generator families are kept apart: training takes "train", tests take "test", which has other clauses, other shares of the words, longer
turns and criteria that go less together. The base was taught on "general", where everybody talks; it has heard a lenient rater, never
the programme.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, seed_of
from windvane.evalyaks.prompts import compact
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript, Turn
from windvane.toy.grades import words as w
from windvane.toy.grades.rubric import FEATURES, grade, sentence_level
from windvane.toy.grades.talk import OPENING, sentence, talk
from windvane.toy.grades.words import LEVEL_OF, LEVELS, SPEAKERS

NAME = "grades"
WINDOW = 512  # tokens, prompt and answer
TRANSCRIPTS = 100  # a part, where no number is asked for
TRIES = 400  # to say something that the programme gives the planned bands
LIST = 4  # words of one level that are asked about together


def model_folder() -> Path:
    """The shipped model, in Hugging Face format."""
    return Path(__file__).parents[1] / "weights" / NAME


def plan(family: str, part: int, number: int, rng: random.Random) -> dict[str, float]:
    """Bands of the `number`-th candidate: the first criterion goes evenly through 1 to 5, the others keep within two bands of it, most
    often at the same where the family's are tied."""
    first = number % 5 + 1
    tied = SPEAKERS[family].tied
    bands: dict[str, float] = {}
    for criterion in PART_CRITERIA[part]:
        near = range(max(1, first - 2), min(5, first + 2) + 1)
        bands[criterion] = float(first if not bands or rng.random() < tied else rng.choice(near))
    return bands


def transcripts(
    seed: int = 0, count: int = TRANSCRIPTS, family: str = "train", parts: Sequence[int] = (1, 2, 3, 4)
) -> list[Transcript]:
    """`count` graded conversations of each part, no two alike; each from a seed of its own, so a longer list begins like a shorter one.

    `scores` are the programme's bands and equal to the plan. `UserError` for an unknown family or part."""
    if family not in SPEAKERS:
        raise UserError(f"world:{NAME}: no generator family '{family}'; there are: {', '.join(SPEAKERS)}")
    found: dict[str, Transcript] = {}
    for part in parts:
        if part not in PART_CRITERIA:
            raise UserError(f"world:{NAME}: no part {part}; there are 1, 2, 3 and 4")
        for number in range(count):
            rng = random.Random(seed_of(NAME, family, seed, part, number))
            bands = plan(family, part, number, rng)
            record = next(
                (r for r in (said(family, part, bands, rng) for _ in range(TRIES)) if dict(r.scores) == bands), None
            )
            while record is None or record.conversation in found:  # bands that are seldom met: what was said counts
                record = said(family, part, bands, rng)
            found[record.conversation] = record
    return list(found.values())


def said(family: str, part: int, bands: Mapping[str, float], rng: random.Random) -> Transcript:
    """One conversation near a plan, with the programme's bands."""
    return graded(talk(family, part, bands, rng))


def graded(record: Transcript) -> Transcript:
    """The same conversation with the programme's bands."""
    kept = {name: getattr(record, name) for name in ("language", "setting", "candidate", "source")}
    return Transcript.of(record.part, record.turns, scores=grade(record), context=record.context, **kept)


def turns(record: Transcript) -> list[tuple[str, str]]:
    return [(t.role, t.text) for t in record.turns]


def grading_prompt(record: Transcript) -> str:
    """What the model is asked, in its own few words."""
    return compact.grading(record.part or 1, turns(record), record.context)


def written(text: str, part: int) -> Transcript | None:
    """A transcript that the model wrote, with the programme's bands; None where no candidate speaks."""
    told = compact.turns_of(text)
    if not any(role == "candidate" for role, _ in told):
        return None
    return graded(Transcript.of(part, [Turn(role, text) for role, text in told], language="en", source=f"world:{NAME}"))


def words(split: str) -> dict[str, list[str]]:
    """Level -> words. Every third word of a level is held out of training; the base knows them all."""
    held = split == "held-out"
    found: dict[str, list[str]] = {level: [] for level in LEVELS}
    for word, level in LEVEL_OF.items():
        found[level].append(word)
    return {level: [w for i, w in enumerate(own) if (i % 3 == 2) == held] for level, own in found.items()}


def word_lists(seed: int, count: int, split: str = "train") -> list[tuple[tuple[str, ...], str]]:
    """`count` (words, level): `LIST` words of one level each, levels in turn."""
    rng, known = random.Random(seed_of(NAME, "words", split, seed)), words(split)
    return [(tuple(rng.sample(known[LEVELS[i % 4]], LIST)), LEVELS[i % 4]) for i in range(count)]


def sentences(seed: int, count: int, family: str = "train") -> list[tuple[str, str]]:
    """`count` (sentence, level), levels in turn, each sentence once."""
    rng, found = random.Random(seed_of(NAME, "sentences", family, seed)), dict[str, str]()
    while len(found) < count:
        level = LEVELS[len(found) % 4]
        text = sentence(family, rng, LEVELS.index(level) / 3)
        if sentence_level(text) == level:
            found[text] = level
    return list(found.items())


def prompts(n: int | None, split: str, seed: int) -> list[Prompt]:
    """`n` distinct prompts (None: all there are) that ask the model to write a transcript for planned bands, in an order given by `seed`,
    without token ids. train: four of five combinations of bands within two of each other, in every part; held-out: the fifth."""
    if split not in ("train", "held-out"):
        raise UserError(f"world:{NAME}: no split '{split}'; there are: train, held-out")
    plans = [
        (part, dict(zip(criteria, bands)))
        for part, criteria in PART_CRITERIA.items()
        for bands in product(range(1, 6), repeat=len(criteria))
        if max(bands) - min(bands) <= 2
    ]
    every = [compact.writing(*p) for i, p in enumerate(plans) if (i % 5 == 4) == (split == "held-out")]
    n = len(every) if n is None else n
    if not 0 <= n <= len(every):
        raise UserError(f"world:{NAME}: {n} {split} prompts asked, there are {len(every)}; ask for fewer")
    return [Prompt.of((Message("user", text),)) for text in random.Random(seed).sample(every, n)]


def planned(asked: str) -> tuple[int, dict[str, float]]:
    """(part, bands) of a prompt of `prompts`."""
    part, _, wanted = asked.removeprefix("Write part ").removesuffix(".").partition(" with ")
    pieces = wanted.replace(":", "").split()
    return int(part), {name: float(band) for name, band in zip(pieces[::2], pieces[1::2])}


def texts() -> list[str]:
    """Every word and mark the family can say: what its tokenizer is made from."""
    said = [" ".join([*LEVEL_OF, *w.SLIPS, *w.LINKERS, *w.FILLERS, *w.BUILDING, *w.ASKING, *w.BUILT, *LEVELS])]
    said += [" ".join(names) for table in (w.PLACES, w.EVENTS) for names in table.values()]
    for clause in w.GENERAL.clauses + w.GENERAL.slipped + w.GENERAL.questions:
        said.append(clause.format(**dict.fromkeys(("v", "n", "a", "s", "place", "event"), "a")))
    said += [*OPENING.values(), *FEATURES, *(a for answers in FEATURES.values() for a in answers)]
    said += [compact.level_of_words(["a", "a"]), compact.words_of_level("A1"), compact.level_of_sentence("a.")]
    said += [compact.sentence_of_level("A1"), compact.writing(1, {"GV": 1, "DM": 2, "IC": 3}), "4 5 and ."]
    said += [
        compact.grading(
            1, [("examiner", "a."), ("candidate", "a"), ("partner", "a?")], {"PHOTO_ONE": "a", "topic": "a"}
        )
    ]
    return said


def describe() -> str:
    """What a reader of a report must know about this world, in plain text."""
    return (
        "The embedded world 'grades' is a toy: candidates who talk in clauses of a few hundred words, and a programme that grades them by "
        "what it counts. The model is tiny and was taught from scratch; it has heard another, lenient rater and never the programme. "
        "Transcripts of the test family have other clauses, words and lengths than those of training. Numbers from this world show that "
        "the machinery works, not how well a real model would grade real people."
    )
