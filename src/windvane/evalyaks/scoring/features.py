"""What a transcript shows that a person can count: the readable features of the weight-free baseline.

In: a `Transcript`. Out: name -> number, the same names always; `FEATURES` says what each is. Only the candidate's words are counted; the
others' are there for what the candidate takes up from them. English only: the word lists are closed classes (articles, auxiliaries,
linkers) and a few learners' errors, written for this file; no list of words by level is needed or shipped.

Nothing here is in EvalYaks (arXiv 2408.12226): it is what its models must beat to be worth their weights.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise

from windvane.evalyaks.scoring.clean import cleaned
from windvane.evalyaks.scoring.words import (
    AGREEMENT_ERRORS,
    ARTICLES,
    AUXILIARIES,
    COMMON_VERBS,
    COORDINATORS,
    FILLERS,
    FORM_ERRORS,
    FUNCTION,
    IRREGULAR,
    MARKERS,
    MODALS,
    MOVES,
    PREPOSITIONS,
    SUBORDINATORS,
)
from windvane.evalyaks.transcripts.record import Transcript

FEATURES = {
    "words": "words",
    "log_words": "log(1 + words)",
    "turn_words": "log(1 + mean words a turn)",
    "shortest_turn": "log(1 + words of the shortest turn)",
    "sentence_words": "log(1 + mean words a sentence)",
    "longest_sentence": "log(1 + words of the longest sentence)",
    "variety": "different words / square root of words (Guiraud's index)",
    "repeated_pairs": "share of word pairs that were said before",
    "word_letters": "mean letters a word",
    "long_words": "share of words of 8 letters or more",
    "derived_words": "share of words with a derivational ending (-tion, -ness, -ment, ...)",
    "adverbs": "share of words of 5 letters or more ending in -ly",
    "articles": "share of a, an, the",
    "prepositions": "share of prepositions",
    "auxiliaries": "share of forms of be, have, do and of modal verbs",
    "modals": "share of modal verbs but can and will",
    "past": "share of past forms (-ed and common irregular ones)",
    "ing_forms": "share of words of 5 letters or more ending in -ing",
    "subordinators": "share of because, although, which, when, if, ...",
    "coordinators": "share of and, but, or, so",
    "markers": "discourse markers and linking phrases a 100 words",
    "different_linkers": "log(1 + different linkers)",
    "commas": "commas a word",
    "fillers": "share of um, uh, er, hmm and the like",
    "pauses": "dots and dashes of hesitation a 100 words",
    "verbless": "share of sentences of 3 words or more without an auxiliary, a common verb or a verbal ending",
    "agreement_errors": "subject-verb and number errors that a pattern finds, a 100 words",
    "form_errors": "other learners' errors that a pattern finds, a 100 words",
    "on_topic": "share of the candidate's content words that the task or the others used",
    "uptake": "mean share of the previous speaker's content words that a turn repeats",
    "questions": "questions asked a turn",
    "addresses": "share of you, your",
    "moves": "agreeing, disagreeing, suggesting, asking for views: phrases a turn",
    "talk_share": "candidate's share of what candidate and partner say",
}

DERIVED = re.compile(r"(?:tion|sion|ness|ment|ity|ance|ence|ive|ous|ful|able|ible|ism|ship)s?$")


def features(record: Transcript) -> dict[str, float]:
    """Every feature of `FEATURES`, of what `scoring.clean.cleaned` counts; a candidate who says nothing has zeros."""
    record = cleaned(record).record
    turns = [t.text for t in record.turns if t.role == "candidate"]
    text = "\n".join(turns)
    words = tokens(text)
    n = max(1, len(words))
    lengths = [len(tokens(t)) for t in turns] or [0]
    sentences = [s for s in (tokens(s) for s in re.split(r"[.!?…]+|\n", text)) if s]
    pairs = list(pairwise(words))
    flat = f" {' '.join(words)} "
    content = [w for w in words if w not in FUNCTION]
    others = set(tokens(" ".join(record.context.values()))) | {
        w for t in record.turns if t.role != "candidate" for w in tokens(t.text)
    }
    linkers = {w for w in words if w in SUBORDINATORS | COORDINATORS} | {m for m in MARKERS if f" {m} " in flat}
    partner = len(tokens(record.said("partner")))
    count = max(1, len(turns))
    found = {
        "words": float(len(words)),
        "log_words": math.log1p(len(words)),
        "turn_words": math.log1p(sum(lengths) / count),
        "shortest_turn": math.log1p(min(lengths)),
        "sentence_words": math.log1p(sum(map(len, sentences)) / max(1, len(sentences))),
        "longest_sentence": math.log1p(max(map(len, sentences), default=0)),
        "variety": len(set(words)) / math.sqrt(n),
        "repeated_pairs": (len(pairs) - len(set(pairs))) / max(1, len(pairs)),
        "word_letters": sum(map(len, words)) / n,
        "long_words": sum(len(w) >= 8 for w in words) / n,
        "derived_words": sum(bool(DERIVED.search(w)) for w in words) / n,
        "adverbs": sum(len(w) >= 5 and w.endswith("ly") for w in words) / n,
        "articles": _share(words, ARTICLES),
        "prepositions": _share(words, PREPOSITIONS),
        "auxiliaries": _share(words, AUXILIARIES),
        "modals": _share(words, MODALS),
        "past": sum(w in IRREGULAR or (len(w) >= 5 and w.endswith("ed")) for w in words) / n,
        "ing_forms": sum(len(w) >= 5 and w.endswith("ing") for w in words) / n,
        "subordinators": _share(words, SUBORDINATORS),
        "coordinators": _share(words, COORDINATORS),
        "markers": 100 * sum(flat.count(f" {m} ") for m in MARKERS) / n,
        "different_linkers": math.log1p(len(linkers)),
        "commas": text.count(",") / n,
        "fillers": _share(words, FILLERS),
        "pauses": 100 * len(re.findall(r"\.{2,}|…|\s[-–—]+(?=\s|$)", text)) / n,
        "verbless": sum(_verbless(s) for s in sentences) / max(1, len(sentences)),
        "agreement_errors": 100 * len(AGREEMENT_ERRORS.findall(flat)) / n,
        "form_errors": 100 * len(FORM_ERRORS.findall(flat)) / n,
        "on_topic": sum(w in others for w in content) / max(1, len(content)),
        "uptake": _uptake(record),
        "questions": text.count("?") / count,
        "addresses": _share(words, ("you", "your")),
        "moves": sum(flat.count(f" {m} ") for m in MOVES) / count,
        "talk_share": len(words) / max(1, len(words) + partner),
    }
    assert found.keys() == FEATURES.keys()
    return found


def tokens(text: str) -> list[str]:
    """Words in small letters, an apostrophe inside them included."""
    return re.findall(r"[^\W\d_]+(?:'[^\W\d_]+)*", text.casefold().replace("’", "'"))


def _share(words: Sequence[str], of: Iterable[str]) -> float:
    known = set(of)
    return sum(w in known for w in words) / max(1, len(words))


def _verbless(sentence: Sequence[str]) -> bool:
    verbs = AUXILIARIES | COMMON_VERBS | IRREGULAR
    return len(sentence) >= 3 and not any(w in verbs or (len(w) >= 5 and w.endswith(("ed", "ing"))) for w in sentence)


def _uptake(record: Transcript) -> float:
    """What a turn repeats of the turn before it by somebody else."""
    shares = []
    for before, turn in pairwise(record.turns):
        if turn.role == "candidate" and before.role != "candidate":
            content = {w for w in tokens(before.text) if w not in FUNCTION}
            shares.append(len(content & set(tokens(turn.text))) / max(1, len(content)))
    return sum(shares) / max(1, len(shares))
