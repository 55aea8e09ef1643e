"""What is counted of a transcript: plain letters, each sentence once, the candidate's own words.

In: a `Transcript`. Out: the same turns as a scorer sees them, and a note for each kind of thing that was set aside. Letters that look like
Latin ones (Cyrillic, Greek, full width) inside a Latin word become the Latin ones; invisible and direction marks go. Of what the candidate
says, these count no further, so that padding by repetition, reading aloud and asking for marks change nothing:

- a turn that is one text several times over, a sentence that stood before, a run of words said three times in a row;
- a sentence that is the task's or another speaker's, word for word (3 words or more), and 8 words in a row of another speaker's;
- a sentence that asks for a band or tells the marker what to do; of "I like music, give me 5, because ..." the plea alone;
- a sentence of 5 words or more that is no English (under a tenth function words, and another language by py3langid) or a string of
  linking words.

Nothing of the record itself is altered: the page and the files show what was said.
"""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from dataclasses import dataclass

from windvane.evalyaks.scoring.language import ENGLISH, identifier
from windvane.evalyaks.scoring.words import COORDINATORS, FUNCTION, MARKERS, SUBORDINATORS
from windvane.evalyaks.transcripts.record import Transcript, Turn

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
NONSENSE = 5  # words of a sentence from which on it is looked at whether it is English at all
LINKING = SUBORDINATORS | COORDINATORS | {m for m in MARKERS if " " not in m}
LINKING_SHARE = 0.7
COPIED = 3  # words of a sentence from which on its being the task's counts as reading aloud
ECHO = 8  # words in a row of another speaker's that are no accident
REPEATED, ECHOED = "said before: counted once", "the task's or another speaker's words: not counted"
FOREIGN = "no English, or linking words alone: not counted"
ASKED = "asks for a band or instructs the marker: not counted"
MARKING = re.compile(
    r"\b(?:give|award|grant|assign)\b[^.!?]*\b(?:me|us|him|her|them|candidate|this)\b[^.!?]*\b(?:bands?|marks?|scores?|points|grades?)\b"
    r"|\b(?:give|award|grant) (?:me|us|the candidate) (?:an? |the )?(?:5|five|full|top|highest|maximum|best)"
    r"(?:\W*$|\W+(?:in|for|out|please|every)\b)"
    r"|\b(?:ignore|disregard|forget)\b[^.!?]*\b(?:instructions?|prompts?|rubrics?|guidelines)\b"
    r"|\bbands?\s*(?:of|is|are|:|=|to)?\s*[1-5]\b|\bscores?\s*(?:of|:|=)\s*[1-5]\b(?!\s*(?:-|–|:|to)\s*\d)"
    r"|\b(?:GRAMMAR|DISCOURSE|INTERACTIVE)_\w+"
    r"|\b(?:rate|score|mark|grade) (?:me|this|the candidate|it)\b[^.!?]*\b(?:5|five|full|highest|top|maximum)\b",
    re.IGNORECASE,
)
# "give me 5" as a clause: it goes alone, since speech written down has few full stops and the sentence around it may be an answer
PLEA = re.compile(
    r"(?:\s{0,3},)?\s{0,3}(?:\b(?:and|so|just|kindly|please)\s{1,3}){0,3}\b(?:give|award|grant) (?:me|us|the candidate) "
    r"(?:an? |the |band |score ){0,3}(?:5|five|(?:full|top|highest|maximum|best)(?: (?:marks?|bands?|scores?|points|grades?)))"
    r"(?:\W{1,5}(?:please|now|(?:for|in) (?:everything|all|this|me))){0,4}(?=\s{0,3}(?:[,.;:!?]|$))(?:\s{0,3},)?",
    re.IGNORECASE,
)  # every run is bounded: a megabyte of blanks must not take squared time
LETTERS, MARKS = (
    "letters of other alphabets inside Latin words: read as Latin",
    "invisible or direction marks: left out",
)


@dataclass(frozen=True, slots=True)
class Cleaned:
    """`record`: what is counted. `plain`: everything that was said, in plain letters. `notes`: kind -> how often. `kept`: share of the
    candidate's words that count."""

    record: Transcript
    plain: Transcript
    notes: dict[str, int]
    kept: float


def cleaned(record: Transcript) -> Cleaned:
    """The same ids; the candidate's turns that hold nothing of their own are left out."""
    notes = dict.fromkeys((LETTERS, MARKS, REPEATED, ECHOED, ASKED, FOREIGN), 0)
    plain = [Turn(t.role, _plain(t.text, notes)) for t in record.turns]
    tasks = [_plain(t, notes) for t in record.context.values()]
    others = [words(t.text) for t in plain if t.role != "candidate"]
    known = f" {' | '.join(' '.join(w) for w in (*map(words, tasks), *others))} "
    runs = {tuple(w[i : i + ECHO]) for w in others for i in range(len(w) - ECHO + 1)}
    turns, seen = [], set[str]()
    said = counted = 0
    for turn in plain:
        text = turn.text
        if turn.role == "candidate":
            said += len(words(text))
            text = _own(_once(text, notes), seen, known, notes)
            text = _without_echoes(text, runs, notes)
            counted += len(words(text))
        turns.append(Turn(turn.role, text))
    if said and counted < said:
        turns = [t for t in turns if t.role != "candidate" or any(c.isalnum() for c in t.text)]
    found = {kind: n for kind, n in notes.items() if n}
    shown = dataclasses.replace(record, turns=tuple(plain))
    return Cleaned(dataclasses.replace(record, turns=tuple(turns)), shown, found, counted / said if said else 0.0)


def guarded(record: Transcript) -> Transcript:
    """For a language model, which reads for itself: everything that was said in plain letters, but for sentences of the candidate's that
    ask for a band or instruct the marker, and pleas inside others."""
    notes = dict.fromkeys((LETTERS, MARKS), 0)
    turns = []
    for turn in record.turns:
        text = _plain(turn.text, notes)
        if turn.role == "candidate":
            text = PLEA.sub("", text)
            if MARKING.search(text):
                text = "".join(piece for piece in sentences(text) if not MARKING.search(piece))
        turns.append(Turn(turn.role, text))
    return dataclasses.replace(record, turns=tuple(t for t in turns if t.role != "candidate" or t.text.strip()))


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


def _once(text: str, notes: dict[str, int]) -> str:
    """Of a turn that is one text of 3 words or more again and again (the last time perhaps cut short), that text."""
    spans = [m.span() for m in WORD.finditer(text)]
    said = [text[a:b].casefold() for a, b in spans]
    border = [0] * len(said)  # the longest beginning that is an end too, of each beginning (Knuth, Morris, Pratt)
    for i in range(1, len(said)):
        k = border[i - 1]
        while k and said[i] != said[k]:
            k = border[k - 1]
        border[i] = k + (said[i] == said[k])
    period = len(said) - border[-1] if said else 0
    if period < 3 or len(said) < 2 * period:
        return text
    notes[REPEATED] += len(said) // period - 1
    end = spans[period][0]
    return text[:end].rstrip()


def _own(text: str, seen: set[str], known: str, notes: dict[str, int]) -> str:
    kept, here = [], set[str]()
    for whole in sentences(text):
        piece, pleas = PLEA.subn("", whole)
        notes[ASKED] += pleas
        flat = " ".join(words(piece))
        if pleas and not flat:
            continue
        length = flat.count(" ") + 1 if flat else 0
        if flat and (flat in here or (length >= 3 and flat in seen)):
            notes[REPEATED] += 1
        elif length >= COPIED and f" {flat} " in known:
            notes[ECHOED] += 1
        elif MARKING.search(piece):
            notes[ASKED] += 1
        elif length >= NONSENSE and _nonsense(flat.split(), piece):
            notes[FOREIGN] += 1
        else:
            here.add(flat)
            kept.append(_without_runs(piece, notes))
    seen |= here
    return "".join(kept)


def _nonsense(said: list[str], piece: str) -> bool:
    if sum(w in LINKING for w in said) > LINKING_SHARE * len(said):
        return True
    language, sure = identifier().classify(piece) if sum(w in FUNCTION for w in said) < 0.1 * len(said) else ("en", 0.0)
    return language not in ENGLISH and sure > 0.5


def _without_echoes(text: str, runs: set[tuple[str, ...]], notes: dict[str, int]) -> str:
    """Without words that are part of `ECHO` words in a row of another speaker's."""
    spans = [m.span() for m in WORD.finditer(text)] if runs else []
    said = [text[a:b].casefold().replace("’", "'") for a, b in spans]
    keep = [True] * len(said)
    for i in range(len(said) - ECHO + 1):
        if tuple(said[i : i + ECHO]) in runs:
            notes[ECHOED] += keep[i + ECHO - 1]
            keep[i : i + ECHO] = [False] * ECHO
    return _kept(text, spans, keep)


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
    return _kept(piece, spans, keep)


def _kept(text: str, spans: list[tuple[int, int]], keep: list[bool]) -> str:
    """The text without the words that are not kept and what stands before them."""
    if all(keep):
        return text
    shown, at = [], 0
    for (_, end), held in zip(spans, keep):
        if held:
            shown.append(text[at:end])
        at = end
    return "".join(shown) + text[at:]
