"""Transcripts as people paste them ("Examiner: ...", a line a turn) -> records.

In: plain text. A line that begins with a speaker's name and a colon (or dash) is a turn; other lines go on with it. Time stamps, bold
marks, bullets, numbers of a list, labels in quotation marks, blank lines and several turns in one line are taken. "Part 2" as a line of
its own, or a line of dashes, begins another transcript. Lines before the first speaker are the task ("Photo 1: ..."); lines such as "GV: 3"
or "Scores: GV 3, DM 4" are scores.
Out: a list of (first line, `Transcript` or reason). A speaker nobody can place is refused by name, never guessed.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from windvane.evalyaks.transcripts.instruction_rows import NUMBERS, guess_part
from windvane.evalyaks.transcripts.record import Transcript, Turn
from windvane.evalyaks.transcripts.repair import parse_conversation
from windvane.evalyaks.transcripts.scores import parse_scores
from windvane.evalyaks.transcripts.speakers import role_of

STAMP = r"(?:[\[(]?\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d+)?[\])]?\s*[-–—]?\s*)?"
STAMPED = re.compile(r"\s*\[\d{1,2}:\d{2}")  # "[00:12] Examiner: ..." opens no list
SPOKEN = re.compile(
    rf"\s*{STAMP}[*_#>•\s-]*{STAMP}(?P<name>[^\W\d_][\w.'’ -]{{0,29}}?)\s*[*_]*\s*(?:\((?P<who>[^)\n]{{0,40}})\)|\[[^\]\n]{{0,40}}\])?"
    r"\s*[*_]*\s*(?P<sign>:|：|\t|\s[-–—]\s)\s*[*_]*\s*(?P<text>.*)"
)
LISTED = re.compile(  # "2. Candidate: ...", "“Candidate:” ...", as word processors write them; taken only where the label is a known one
    r"\s*(?:\d{1,3}[.)]\s+)?[*_]*[\"“”„«]?(?P<name>[^\W\d_][\w.'’ -]{0,29}?)\s*(?:[\"”“»]\s*[:：]|[:：]\s*[\"”“»]?)\s*(?P<text>.*)"
)
ALONE = re.compile(
    rf"\s*{STAMP}[*_#>\s]*(?P<name>[^\W\d_][\w .-]{{3,29}}?)[*_:\s]*{STAMP}\s*"
)  # "Examiner  00:12", then what is said
INLINE = re.compile(
    r"(?<=\S)\s+(?=[*_]{0,2}(?:Examiner|Interlocutor|Candidate|Partner|EXAMINER|INTERLOCUTOR|CANDIDATE|PARTNER)(?: [A-C1-3])?\s*:)"
)
LONGEST_LABEL = (
    200  # letters of a line that holds a label alone: the pattern above takes squared time over a run of blanks
)
PART = re.compile(r"[\s*_#=-]*part\s*([1-4]|one|two|three|four)\b(?P<rest>[^\n]{0,60})", re.I)
RULE = re.compile(r"\s*(?:-{3,}|={3,}|_{3,}|\*{3,})\s*")
SCORES = re.compile(
    r"[\s*_#>•-]*(?:(?:scores?|bands?|marks?)\b.*|(?:GV|DM|IC|grammar|discourse|interactive)\b[^:=\n]{0,30}[:=].*)",
    re.I,
)
PHOTO = re.compile(r"\s*(?:photo|picture)[_ ]*(one|two|three|four|[1-4])\s*[:=-]\s*(.*)", re.I)
WORD_PARTS = {"one": 1, "two": 2, "three": 3, "four": 4}


@dataclass(slots=True)
class _Section:
    line: int
    part: int | None = None
    turns: list[tuple[str, str]] = field(default_factory=list)  # (role or "?label", text)
    heads: list[str] = field(default_factory=list)
    scores: list[str] = field(default_factory=list)


def read_text(
    text: str, part: int | None, source: str, speakers: Mapping[str, str] | None = None, step: float = 1.0
) -> list[tuple[int, Transcript | str]]:
    """Every transcript of a pasted text. `part`: for sections that do not say theirs."""
    if text.lstrip()[:1] in ("[", "{") and not STAMPED.match(text):
        parsed = parse_conversation(text.strip(), speakers)
        roles = {t.role for t in parsed.turns}
        part = part or guess_part(False, False, "partner" in roles)
        return [(1, parsed.reason or Transcript.of(part, parsed.turns, source=source, repairs=parsed.repairs))]
    return [(s.line, _record(s, part, f"{source}: line {s.line}", speakers, step)) for s in _sections(text, speakers)]


def _sections(text: str, speakers: Mapping[str, str] | None) -> Iterator[_Section]:
    section = _Section(1)
    for number, whole in enumerate(text.replace("\u00a0", " ").replace("\u2028", "\n").split("\n"), 1):
        line = whole.rstrip("\r")
        heading = PART.fullmatch(line)
        if heading and not (":" in heading["rest"] and SPOKEN.match(heading["rest"])):
            if section.turns:
                yield section
                section = _Section(number)
            section.part = WORD_PARTS.get(heading[1].lower()) or int(heading[1])
            continue
        if RULE.fullmatch(line):
            if section.turns:
                yield section
                section = _Section(number)
            continue
        if not line.strip():
            continue
        if not section.turns and not section.heads:
            section.line = number
        pieces = INLINE.split(line)
        if len(pieces) > 1 and not any(c.isalpha() for c in pieces[0]):  # a time stamp before the first label
            pieces[:2] = [" ".join(pieces[:2])]
        for piece in pieces:
            _take(section, piece, speakers)
    if section.turns or section.heads or section.scores:
        yield section


def _take(section: _Section, line: str, speakers: Mapping[str, str] | None) -> None:
    spoken = SPOKEN.fullmatch(line)
    if spoken is None and (listed := LISTED.fullmatch(line)) and role_of(listed["name"], speakers, short=True):
        spoken = SPOKEN.fullmatch(f"{listed['name']}: {listed['text']}")
    alone = ALONE.fullmatch(line) if len(line) < LONGEST_LABEL else None
    role = role_of(spoken["name"], speakers, short=True) if spoken else None
    if spoken and role is None and spoken["who"]:  # "Maria (candidate): ..."
        role = role_of(spoken["who"], speakers)
    by_name = spoken is not None and spoken["sign"] in ":：\t" and len(spoken["name"].split()) <= 2
    if alone and (only := role_of(alone["name"], speakers)):
        section.turns.append((only, ""))
    elif spoken and role:
        section.turns.append((role, spoken["text"].strip()))
    elif SCORES.fullmatch(line) and isinstance(parse_scores(_spaced(line), step=0.5, low=0.0), dict):
        section.scores.append(line)
    elif not section.turns and (not by_name or PHOTO.fullmatch(line)):
        section.heads.append(line.strip())
    elif spoken and by_name and spoken["name"][:1].isupper():
        section.turns.append(("?" + spoken["name"].strip(), line.strip()))
    elif section.turns:
        said, text = section.turns[-1]
        section.turns[-1] = (said, f"{text} {line.strip()}".strip())
    else:
        section.heads.append(line.strip())


def _record(
    section: _Section, part: int | None, source: str, speakers: Mapping[str, str] | None, step: float
) -> Transcript | str:
    unknown = Counter(role[1:] for role, _ in section.turns if role.startswith("?"))
    known = {role for role, _ in section.turns if not role.startswith("?")}
    if unknown and ("candidate" not in known or max(unknown.values()) > 1):
        names = ", ".join(unknown)
        return f"unknown speaker {names}; say who it is with --speaker '{next(iter(unknown))}=candidate'"
    turns: list[Turn] = []
    for role, text in section.turns:
        if role.startswith("?") and turns:  # "Note: ..." once, within what somebody says
            turns[-1] = Turn(turns[-1].role, f"{turns[-1].text} {text}".strip())
        elif role.startswith("?"):
            section.heads.append(text)
        else:
            turns.append(Turn(role, text))
    if not any(c.isalnum() for t in turns if t.role == "candidate" for c in t.text):
        return "the candidate says nothing" if turns else "no speaker found"
    scores = parse_scores(_spaced("\n".join(section.scores)), step=step) if section.scores else {}
    if isinstance(scores, str):
        return f"scores: {scores}"
    context: dict[str, str] = {}
    rest = []
    for head in section.heads:
        photo = PHOTO.fullmatch(head)
        if photo:
            context[f"PHOTO_{NUMBERS.get(photo[1], photo[1].upper())}"] = photo[2].strip()
        else:
            rest.append(head)
    if rest:
        context["task"] = "\n".join(rest)
    asked = section.part or part or guess_part("PHOTO_ONE" in context, "IC" in scores, "partner" in known)
    return Transcript.of(asked, turns, scores=scores, context=context, source=source)


def _spaced(text: str) -> str:
    """ "GV 3, DM 4" as "GV: 3, DM: 4"."""
    return re.sub(r"\b(GV|DM|IC|vocabulary|management|communication)\s+(?=\d)", r"\1: ", text, flags=re.I)
