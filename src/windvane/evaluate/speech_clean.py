"""What is counted of a transcript: plain letters, each sentence once, the candidate's own words.

In: a `Transcript`. Out: the same turns as a scorer sees them, and a note for each kind of thing that was set aside. Letters that look like
Latin ones (Cyrillic, Greek, full width) inside a Latin word become the Latin ones; invisible and direction marks go. Of what the candidate
says, a sentence that stood before, a run of words said again at once, and a sentence that is the task's or another speaker's word for
word (4 words or more) count no further, so that padding by repetition and reading the task aloud change nothing. Nothing of the
record itself is altered: the page and the files show what was said.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from dataclasses import dataclass

from windvane.data.transcripts import Transcript, Turn

LOOKALIKES = dict(
    zip(
        "АВЕКМНОРСТУХЅІЈԁаеорсухѕіјһԛԝΑΒΕΖΗΙΚΜΝΟΡΤΥΧαορυνι",
        "ABEKMHOPCTYXSIJdaeopcyxsijhqwABEZHIKMNOPTYXaopuvi",
        strict=True,
    )
)
INVISIBLE = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164\ufe00-\ufe0f\ufeff]"
)
SENTENCE = re.compile(r"[^.!?…\n]+[.!?…]*\n?|[.!?…\n]+")
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
LONGEST_RUN = 8  # words of a run that is looked for again right after itself
COPIED = 4  # words of a sentence from which on its being the task's counts as reading aloud
REPEATED, ECHOED = "said before: counted once", "the task's or another speaker's words: not counted"
LETTERS, MARKS = (
    "letters of other alphabets inside Latin words: read as Latin",
    "invisible or direction marks: left out",
)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """`record`: what is counted. `notes`: kind -> how often. `kept`: share of the candidate's words that count."""

    record: Transcript
    notes: dict[str, int]
    kept: float


def cleaned(record: Transcript) -> Cleaned:
    """The same ids; the candidate's turns that hold nothing of their own are left out."""
    notes = dict.fromkeys((LETTERS, MARKS, REPEATED, ECHOED), 0)
    others = [
        _plain(t, notes) for t in (*record.context.values(), *(t.text for t in record.turns if t.role != "candidate"))
    ]
    known = " | ".join(" ".join(words(text)) for text in others)
    turns, seen = [], set[str]()
    said = counted = 0
    for turn in record.turns:
        text = _plain(turn.text, notes)
        if turn.role == "candidate":
            said += len(words(text))
            text = _own(text, seen, f" {known} ", notes)
            counted += len(words(text))
        turns.append(Turn(turn.role, text))
    if said and counted < said:
        turns = [t for t in turns if t.role != "candidate" or any(c.isalnum() for c in t.text)]
    found = {kind: n for kind, n in notes.items() if n}
    return Cleaned(dataclasses.replace(record, turns=tuple(turns)), found, counted / said if said else 0.0)


def words(text: str) -> list[str]:
    """Words in small letters, an apostrophe inside them included."""
    return WORD.findall(text.casefold().replace("’", "'"))


def sentences(text: str) -> list[str]:
    """Pieces of `text` that together are all of it: up to and with their closing marks or line end."""
    return SENTENCE.findall(text)


def _plain(text: str, notes: dict[str, int]) -> str:
    """Compatibility forms and look-alikes as Latin letters, without marks that cannot be seen."""
    if text.isascii():
        return text
    shown = INVISIBLE.sub("", unicodedata.normalize("NFKC", text))
    notes[MARKS] += len(INVISIBLE.findall(text))
    pieces = []
    for piece in re.split(r"(\W+)", shown):
        folded = "".join(LOOKALIKES.get(c, c) for c in piece)
        mixed = folded != piece and folded.isascii()
        latin = any("a" <= c <= "z" for c in piece.casefold())
        if mixed and (latin or _latin_around(shown)):
            notes[LETTERS] += 1
            piece = folded
        pieces.append(piece)
    return "".join(pieces)


def _latin_around(text: str) -> bool:
    """Whether most letters are Latin: then a word of look-alikes alone ("о" for "o") is no word of another language."""
    letters = [c for c in text if c.isalpha()]
    return 2 * sum("a" <= c.casefold() <= "z" for c in letters) > len(letters)


def _own(text: str, seen: set[str], known: str, notes: dict[str, int]) -> str:
    kept = []
    for piece in sentences(text):
        flat = " ".join(words(piece))
        length = flat.count(" ") + 1 if flat else 0
        if length >= 3 and flat in seen:
            notes[REPEATED] += 1
            continue
        if length >= COPIED and f" {flat} " in known:
            notes[ECHOED] += 1
            continue
        seen.add(flat)
        kept.append(_without_runs(piece, notes))
    return "".join(kept)


def _without_runs(piece: str, notes: dict[str, int]) -> str:
    """A run of words that is said three times or more in a row, once. Twice in a row is how people speak, and stays."""
    spans = [m.span() for m in WORD.finditer(piece)]
    if len(spans) < 3:
        return piece
    said = [piece[a:b].casefold() for a, b in spans]
    keep = [True] * len(said)
    i = 0
    while i < len(said):
        for size in range(1, LONGEST_RUN + 1):
            again = 1
            while said[i + again * size : i + (again + 1) * size] == said[i : i + size]:
                again += 1
            if again >= 3:
                notes[REPEATED] += again - 1
                keep[i + size : i + again * size] = [False] * ((again - 1) * size)
                i += again * size - 1
                break
        i += 1
    if all(keep):
        return piece
    shown, at = [], 0
    for (_, end), held in zip(spans, keep):
        if held:
            shown.append(piece[at:end])
        at = end
    return "".join(shown) + piece[at:]
