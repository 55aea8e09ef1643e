"""Word lists by CEFR level: a user's own, or a small one of this project's.

In: files of words (or sentences) and levels: CSV or TSV with columns word (or text, sentence, headword) and level, perhaps theme and
context (global, indian); JSONL of the same; or plain lines "word<TAB>level". Out: `Listed` rows, and `Levels`, which finds a word's level
in its plain forms too (cooks, cooked, cooking). `levels/own.tsv` holds some 1,500 words, put into levels by judgment for this project: it
is no English Vocabulary Profile, which has its own terms and is not in here; who has it, or another list, names the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.evalyaks.transcripts.read import Problem, read_rows
from windvane.evalyaks.transcripts.record import LEVELS

OWN = Path(__file__).with_name("word_lists") / "own.tsv"
ABOUT_OWN = (
    "this project's own list of some 1,500 words, put into levels by judgment; not an official vocabulary profile"
)
TEXT = ("word", "text", "sentence", "headword", "base word", "lemma")
LEVEL = ("level", "cefr_level", "cefr", "cefr level")
IRREGULAR = {
    "was": "be", "were": "be", "is": "be", "are": "be", "am": "be", "been": "be", "has": "have", "had": "have", "did": "do", "does": "do",
    "done": "do", "went": "go", "gone": "go", "came": "come", "saw": "see", "seen": "see", "made": "make", "took": "take", "taken": "take",
    "got": "get", "said": "say", "thought": "think", "knew": "know", "known": "know", "gave": "give", "given": "give", "found": "find",
    "told": "tell", "felt": "feel", "left": "leave", "kept": "keep", "began": "begin", "brought": "bring", "bought": "buy",
    "taught": "teach", "built": "build", "sent": "send", "spent": "spend", "met": "meet", "ran": "run", "wrote": "write",
    "written": "write", "spoke": "speak", "spoken": "speak", "drove": "drive", "ate": "eat", "eaten": "eat", "grew": "grow",
    "became": "become", "better": "good", "best": "good", "worse": "bad", "worst": "bad", "men": "man", "women": "woman", "chose": "choose",
    "chosen": "choose", "lost": "lose", "won": "win", "me": "i", "him": "he", "us": "we", "them": "they", "an": "a", "these": "this",
    "those": "that",
}  # fmt: skip
ENDINGS = (
    ("ies", "y"), ("ied", "y"), ("ier", "y"), ("iest", "y"), ("ily", "y"), ("es", ""), ("es", "e"), ("s", ""), ("ed", ""),
    ("ed", "e"), ("ing", ""), ("ing", "e"), ("er", ""), ("er", "e"), ("est", ""), ("est", "e"), ("ly", ""), ("n't", ""), ("'s", ""),
)  # fmt: skip
WORD = re.compile(r"[^\W\d_]+(?:['’-][^\W\d_]+)*")


@dataclass(frozen=True, slots=True)
class Listed:
    """A word, phrase or sentence with its level. `context`: where it is at home (global, indian), None where nowhere in particular."""

    text: str
    level: str
    theme: str | None = None
    context: str | None = None


@dataclass(frozen=True, slots=True)
class Marked:
    """A word of a text with its place and its level."""

    start: int
    end: int
    word: str
    level: str


def read_levels(files: Sequence[str | Path] = (OWN,)) -> list[Listed]:
    """Every row, in order; `UserError` names file, line and mend where one has no text or no level."""
    found: list[Listed] = []
    for name in files:
        path = Path(name)
        before = len(found)
        for line, row in _rows(path):
            low = {str(k).strip().casefold(): v for k, v in row.items()}
            text = next((str(low[k]).strip() for k in TEXT if low.get(k) not in (None, "")), "")
            level = next((str(low[k]).strip().upper() for k in LEVEL if low.get(k) not in (None, "")), "")
            level = re.sub(r"^([ABC][12])[+-]?$", r"\1", level)
            if not text or level not in LEVELS:
                what = f"level {level[:20]!r} is none of {', '.join(LEVELS)}" if text else f"no {TEXT[0]}"
                raise UserError(f"{path}: line {line}: {what}; give columns word (or sentence) and level")
            theme, context = (
                str(low[k]).strip() if low.get(k) not in (None, "") else None for k in ("theme", "context")
            )
            found.append(Listed(text, level, theme, context.casefold() if context else None))
        if len(found) == before:
            raise UserError(f"{path}: no words; give columns word (or sentence) and level")
    return found


class Levels:
    """Looks words up; of a word listed at several levels the lowest counts."""

    def __init__(self, listed: Sequence[Listed]) -> None:
        self.of: dict[str, str] = {}
        for item in listed:
            word = item.text.casefold()
            self.of[word] = min(item.level, self.of.get(word, item.level))

    def level(self, word: str) -> str | None:
        """The level of `word` or of a plain form of it; None where it is not listed."""
        for form in forms(word.casefold().replace("’", "'")):
            if form in self.of:
                return self.of[form]
        return None

    def mark(self, text: str) -> list[Marked]:
        """Every listed word of `text`, in order."""
        found = []
        for match in WORD.finditer(text):
            level = self.level(match[0])
            if level:
                found.append(Marked(match.start(), match.end(), match[0], level))
        return found


def forms(word: str) -> Iterator[str]:
    """The word, its irregular base, and what is left without an ending (cooked: cook; making: make; stopped: stop)."""
    yield word
    if word in IRREGULAR:
        yield IRREGULAR[word]
    for ending, instead in ENDINGS:
        if word.endswith(ending) and len(word) - len(ending) >= 2:
            stem = word[: -len(ending)]
            yield stem + instead
            if not instead and len(stem) > 3 and stem[-1] == stem[-2]:
                yield stem[:-1]


def by_level(listed: Sequence[Listed]) -> dict[str, list[Listed]]:
    """In the order of the levels, those that are there."""
    return {level: own for level in LEVELS if (own := [i for i in listed if i.level == level])}


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    if path.suffix.lower() in (".txt", ".md"):
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{path}: cannot be read ({error}); give UTF-8 text") from None
        for number, line in enumerate(lines, 1):
            if line.strip():
                text, _, level = line.rpartition("\t")
                yield number, {"word": text, "level": level}
        return
    for row, _, value in read_rows(path):
        if isinstance(value, Problem) or not isinstance(value, Mapping):
            raise UserError(
                f"{path}: line {row}: {value if isinstance(value, Problem) else 'no table'}; give columns word and level"
            )
        yield row, value
