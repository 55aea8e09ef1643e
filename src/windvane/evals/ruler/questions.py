"""RULER's question answering: a question whose documents stand among distractors, from SQuAD or HotpotQA files, or a stand-in.

In: a file in SQuAD's or HotpotQA's format. Out: `Questions` and, per question, a `Growing` draft (unit: one document). Wording and
choice of distractors as published (SQuAD: paragraphs of the same article first). Without a file, questions over invented people and
firms with the same template: labelled a stand-in in every row, because their scores compare with no published ones.
"""

from __future__ import annotations

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import content_id
from windvane.evals.ruler.sample import Draft, Growing

ASK = (
    "Answer the question based on the given documents. Only give me the answer and do not output any other words.\n\nThe following "
    "are given documents.\n\n{context}\n\nAnswer the question based on the given documents. Only give me the answer and do not output "
    "any other words.\n\nQuestion: {query}"
)
PREFIX = " Answer:"


@dataclass(frozen=True, slots=True)
class Question:
    """`gold`: documents that must be there; `near`: distractors to take first; both index `Questions.documents`."""

    query: str
    answers: tuple[str, ...]
    gold: tuple[int, ...]
    near: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Questions:
    """`source` goes into every row; `stand_in`: made here, not a published set."""

    questions: list[Question]
    documents: list[str]
    source: str
    stand_in: bool = False


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None


def read_squad(path: Path) -> Questions:
    """SQuAD 1.1 or 2.0: {"data": [{"paragraphs": [{"context", "qas": [{"question", "answers": [{"text"}]}]}]}]}.

    Questions marked `is_impossible`, or without an answer, are left out.
    """
    data = _load(path)
    try:
        articles = [[(p["context"], p["qas"]) for p in article["paragraphs"]] for article in data["data"]]
        documents = sorted({context for article in articles for context, _ in article})
        index = {context: i for i, context in enumerate(documents)}
        questions = []
        for article in articles:
            members = [index[context] for context, _ in article]
            for context, qas in article:
                near = tuple(i for i in members if i != index[context])
                for qa in qas:
                    answers = tuple(a["text"] for a in qa["answers"])
                    if answers and not qa.get("is_impossible", False):
                        questions.append(Question(qa["question"], answers, (index[context],), near))
    except (KeyError, TypeError) as error:
        raise UserError(f"{path}: not in SQuAD's format ({type(error).__name__}: {error})") from None
    return _checked(path, questions, documents)


def read_hotpotqa(path: Path) -> Questions:
    """HotpotQA, distractor setting: [{"question", "answer", "context": [[title, [sentence, ...]], ...]}, ...]."""
    data = _load(path)
    try:
        contexts = [[f"{title}\n{''.join(parts)}" for title, parts in row["context"]] for row in data]
        documents = sorted({text for context in contexts for text in context})
        index = {text: i for i, text in enumerate(documents)}
        questions = [
            Question(row["question"], (row["answer"],), tuple(dict.fromkeys(index[t] for t in context)))
            for row, context in zip(data, contexts)
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{path}: not in HotpotQA's format ({type(error).__name__}: {error})") from None
    return _checked(path, questions, documents)


def _checked(path: Path, questions: list[Question], documents: list[str]) -> Questions:
    if not questions:
        raise UserError(f"{path}: no question with an answer")
    return Questions(questions, documents, path.name)


SYLLABLES = (
    "bar",
    "del",
    "fen",
    "gor",
    "hal",
    "kin",
    "lem",
    "mor",
    "nes",
    "pal",
    "rin",
    "sol",
    "tav",
    "ulm",
    "ves",
    "wyn",
)
TRADES = ("glass maker", "bridge engineer", "botanist", "mapmaker", "violinist", "surveyor", "baker", "astronomer")
GOODS = ("clocks", "sailcloth", "lenses", "ceramics", "printing ink", "ladders", "bicycles", "lamps")


def _unique(rng: random.Random, taken: set[str], parts: int) -> str:
    """A name that is new; there are 256 of two parts and 4,096 of three."""
    while True:
        name = "".join(rng.choice(SYLLABLES) for _ in range(parts)).capitalize()
        if name not in taken:
            taken.add(name)
            return name


def stand_in(two_hops: bool, seed: int = 42, people: int = 900) -> Questions:
    """Invented people, each with a paragraph of life and one of work; each works at a firm of its own with a paragraph.

    One hop (for qa_1): "In which town was X born?", near distractors: X's other paragraph and people of the same town. Two hops (for
    qa_2): "In which year was the firm founded where X works?", gold: X's work and the firm, and eight distractors, as HotpotQA has.
    """
    rng = random.Random(f"{seed} {two_hops}")
    taken: set[str] = set()
    towns = [_unique(rng, taken, 2) for _ in range(40)]
    documents: list[str] = []
    facts = []
    for _ in range(people):
        given = (rng.choice(SYLLABLES) + rng.choice(SYLLABLES)).capitalize()
        name = f"{given} {_unique(rng, taken, 3)}"
        firm = f"{_unique(rng, taken, 3)} Works"
        town, home = rng.sample(towns, 2)
        year, founded = rng.randint(1850, 1990), rng.randint(1700, 1849)
        trade, goods = rng.choice(TRADES), rng.choice(GOODS)
        at = len(documents)
        documents += [
            f"{name}\n{name} was born in the town of {town} in {year}, the child of a {rng.choice(TRADES)}. After school {name} left "
            f"for {home} and became known there as a {trade}.",
            f"Work of {name}\nFor most of a long career {name} was employed at {firm}, first as a {rng.choice(TRADES)}, then as its "
            f"{trade}. Letters kept in {home} describe those years.",
            f"{firm}\n{firm} is a firm in {rng.choice(towns)} that makes {goods}. It was founded in {founded} and passed to new owners "
            f"{rng.randint(20, 90)} years later.",
        ]
        facts.append((name, town, founded, at))
    questions = []
    for name, town, founded, at in facts:
        if two_hops:
            others = [i for i in rng.sample(range(len(documents)), 12) if not at <= i < at + 3][:8]
            query = f"In which year was the firm founded where {name} was employed?"
            questions.append(Question(query, (str(founded),), (at + 1, at + 2, *others)))
        else:
            near = [o for _, t, _, o in facts if t == town and o != at][:5]
            questions.append(Question(f"In which town was {name} born?", (town,), (at,), (at + 1, *near)))
    kind = "two-hop" if two_hops else "one-hop"
    return Questions(questions, documents, f"synthetic stand-in ({kind} facts)", stand_in=True)


def qa(rng: random.Random, index: int, source: Questions) -> Growing:
    """The question at `index`, its documents among as many distractors as fit."""
    question = source.questions[index]
    near = [i for i in question.near if i not in question.gold]
    rng.shuffle(near)
    far = sorted(set(range(len(source.documents))) - {*question.gold, *near})
    rng.shuffle(far)
    order = [*question.gold, *near, *far]
    seed = rng.getrandbits(64)

    def build(units: int) -> Draft:
        chosen = order[:units]
        random.Random(seed).shuffle(chosen)
        parts = [f"Document {i}:\n{source.documents[d]}" for i, d in enumerate(chosen, 1)]
        context = "\n\n".join(parts)
        # Where the answer stands: known where one document holds it (SQuAD); HotpotQA does not say which of its ten does.
        depth = None
        if len(question.gold) == 1:
            before = parts[: chosen.index(question.gold[0])]
            depth = sum(len(p) + 2 for p in before) / len(context)
        cluster = content_id([source.documents[d] for d in question.gold])
        text = ASK.format(context=context, query=question.query)
        return Draft(text, PREFIX, question.answers, (depth,) * len(question.answers), cluster)

    return Growing(build, least=len(question.gold), most=len(order), source=source.source)
