"""An instruction-tuning row (`<s>[INST] ... Conversation: ... [/INST] {scores} </s>`) -> its transcript.

In: the public CSVs' PROMPT cell, or a prompt with its completion. Out: a `Transcript`, or the reason why not. The prompt's words, `<s>`
and `</s>` go; what stays is the part's task context (photo descriptions; a topic or task where it has a heading), the turns, the scores.
A row whose part asks for a criterion that its scores lack is read, and `missing` names it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from windvane.evalyaks.transcripts.record import Transcript
from windvane.evalyaks.transcripts.repair import LABEL, parse_conversation
from windvane.evalyaks.transcripts.scores import parse_scores
from windvane.evalyaks.transcripts.speakers import role_of

HEADING = re.compile(
    r"^[ \t*#_]*(?:conversation|transcript|dialogue|interaction|discussion)\b[^\n:]{0,40}:[*_]*", re.I | re.M
)
NAMES = (
    r"^[ \t*#_]*(photo descriptions?|photos?|pictures?|task|topic|discussion topic|collaborative task|central question|question|prompts?"
    r"|options|context|situation|scenario|theme)\b[^\n:]{0,40}:[*_]*"
)
CONTEXT = re.compile(
    rf"{NAMES}[ \t]*\n*(.*?)(?=^_{{4,}}|{NAMES.replace('(photo d', '(?:photo d')}|\Z)", re.I | re.M | re.S
)
PHOTO_NAME = r"\b(?:PHOTO|PICTURE)[_ ]*(ONE|TWO|THREE|FOUR|[1-4])\W{0,3}:"
PHOTO = re.compile(rf"{PHOTO_NAME}\s*(.*?)(?=[,;\s\"'{{}}]*{PHOTO_NAME.replace('(ONE', '(?:ONE')}|\Z)", re.I | re.S)
NUMBERS = {"1": "ONE", "2": "TWO", "3": "THREE", "4": "FOUR"}
ANSWER = re.compile(r"(\{[^{}]*GRAMMAR_AND_VOCABULARY[^{}]*\}+)\s*(?:</s>)?\s*\Z")


def read_instruction(
    text: str,
    part: int | None,
    source: str,
    completion: str | None = None,
    speakers: Mapping[str, str] | None = None,
    step: float = 1.0,
    **more: Any,
) -> Transcript | str:
    """`part`: of the file's name, told from the content where None."""
    repairs: list[str] = []
    if completion is not None:
        body, answer = text, completion
    else:
        head, tag, answer = text.rpartition("[/INST]")
        if tag:
            body = head.split("[INST]", 1)[-1]
        else:
            found = ANSWER.search(text)
            if found is None:
                return "no [/INST] and no scores at the end"
            body, answer = text[: found.start()], found[1]
            repairs.append("no [/INST] before the scores")
    body = re.sub(r"</?s>|\[/?INST\]", " ", body).strip()
    start, before = _conversation_at(body, speakers)
    if start is None:
        return "no conversation"
    parsed = parse_conversation(body[start:].strip(), speakers)
    if parsed.reason:
        return parsed.reason
    answer = re.sub(r"</?s>", " ", answer).strip()
    scores = parse_scores(answer, step=step) if answer else {}
    if isinstance(scores, str):
        return f"scores: {scores}"
    context = context_of(before)
    if any(c.isalnum() for c in parsed.before):
        context.setdefault("task", parsed.before)
        repairs.append("text before the first speaker")
    roles = {t.role for t in parsed.turns}
    if part is None:
        part = guess_part("PHOTO_ONE" in context, "IC" in scores, "partner" in roles)
    more = {"scores": scores, "context": context, "repairs": (*repairs, *parsed.repairs), **more}
    return Transcript.of(part, parsed.turns, source=source, **more)


def _conversation_at(body: str, speakers: Mapping[str, str] | None) -> tuple[int | None, str]:
    """(where the conversation begins, what stands before it): after the last heading that a speaker follows, else at the first
    speaker's brackets."""
    speaking = [m.start() for m in LABEL.finditer(body) if role_of(m["name"], speakers)]
    if not speaking:
        return None, body
    for heading in reversed(list(HEADING.finditer(body))):
        if heading.end() <= speaking[-1]:
            return heading.end(), body[: heading.start()]
    quoted = [m.start() for m in LABEL.finditer(body) if role_of(m["name"], speakers) and (m["quote"] or m["close"])]
    first = (quoted or speaking)[0]
    start = len(body[:first].rstrip(' \t\r\n[{"“'))
    return start, body[:start]


def context_of(before: str) -> dict[str, str]:
    """PHOTO_ONE ... PHOTO_FOUR, and the text under a heading such as Task or Topic."""
    found: dict[str, str] = {}
    tail = re.split(r"^_{4,}\s*$", before, flags=re.M)[-1]
    for heading in CONTEXT.finditer(tail):
        text = heading[2].strip().strip("_").strip()
        photos = [(NUMBERS.get(n, n.upper()), t.strip(" \t\r\n,;\"'{}[]")) for n, t in PHOTO.findall(text)]
        if photos:
            found.update({f"PHOTO_{n}": t for n, t in photos})
        elif text:
            found["_".join(heading[1].casefold().split())] = text
    return found


def guess_part(photos: bool, interactive: bool, partner: bool) -> int:
    """What only that part has: photos (2), an interaction score (3 with a partner, 4 without); else the interview (1)."""
    if photos:
        return 2
    if interactive:
        return 3 if partner else 4
    return 3 if partner else 1
