"""Which questions are dropped for their answers, and why: the first reason that holds is the one that counts.

In: the texts of a chosen and a rejected answer, the tokens of the short row. Out: a reason, or None. Nobody checks that the chosen
answer is the better one (LongPO, arXiv 2502.13922: the label holds by construction)."""

from __future__ import annotations

import re
from collections import Counter

from windvane.core.records import Response
from windvane.longpo.settings import Filters

WORDS = re.compile(r"[^\W\d_]{3,}")


def drop_reason(chosen: Response, rejected: Response, short_tokens: int, window: int, s: Filters) -> str | None:
    """Why a question with these two answers is not trained on. `short_tokens`: chunk, question and the longer answer, in tokens;
    `window`: what the short model can read."""
    answers = (("chosen", chosen, s.repetition_chosen), ("rejected", rejected, s.repetition_rejected))
    if short_tokens > (s.short_tokens or window):
        return "over-long short row"
    for name, answer, limit in answers:
        text = answer.text.strip()
        low = " ".join(text.lower().replace("’", "'").split())
        if not text:
            return f"{name} empty"
        if any(phrase in low for phrase in s.refusals):
            return f"{name} refused"
        if s.unfinished == "drop" and answer.finish == "length":
            return f"{name} unfinished"
        words = WORDS.findall(text.lower())
        if len(words) < s.min_words:
            return f"{name} of too few words"
        if repetition(words) > limit or 0 < s.whole_repeats <= repeats(text):
            return f"{name} repetitive"
    return None


def repetition(words: list[str]) -> float:
    """The share of words that occur more than once, each occurrence counted."""
    counts = Counter(words)
    return sum(n for n in counts.values() if n > 1) / len(words) if words else 0.0


def repeats(text: str) -> int:
    """How often the shortest unit that makes up the whole text stands in it; 1 where the text is its own unit."""
    period = (text + text).find(text, 1)
    return len(text) // period
