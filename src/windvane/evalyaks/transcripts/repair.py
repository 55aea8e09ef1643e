"""A conversation as it stands in a file -> turns, with every repair that was needed named.

In: a JSON list of {"Examiner": "...", "Candidate": "..."} objects, or what the public data have in its place. Out: `Parsed`. Rules,
tried in this order, the first that gives turns wins:

1. JSON as it stands (a key that stands twice in one object is two turns);
2. JSON with raw line ends inside strings;
3. `},, "Examiner"` between turns read as `}, {"Examiner"` (Part 2);
4. a Python literal (single quotes);
5. the labels themselves: a speaker's name before a colon, where something structural (a quote, a bracket, a comma after one, a line
   start) marks it as a key; what stands between two labels is what was said. This mends missing brackets, quotes, commas and braces,
   bare `Candidate":` keys, `"Candidate"."`, missing colons and unescaped quotes (Parts 1 to 3). On well-formed rows it gives what
   rule 1 gives (tested).

A code fence around the whole goes first. No word of a turn is altered. What no rule reads gives a reason.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from windvane.evalyaks.transcripts.literals import Pairs, json_value, python_value
from windvane.evalyaks.transcripts.record import Turn
from windvane.evalyaks.transcripts.speakers import role_of

QUOTES = "\"'“”‘’"
CLOSING = "\"'”’}]"
LABEL = re.compile(
    rf"(?P<open>[{QUOTES}]?)[ \t]*\b(?P<name>[A-Za-z][A-Za-z_]{{2,14}}(?:[ _][A-Za-z]{{4,9}})?(?:[ _]?[A-C1-3])?)\b[ \t]*"
    rf"(?P<close>[{QUOTES}]?)\s*(?P<sep>=>|[:=.]|(?<=[\"”] )(?=[\"“]))[ \t]*(?P<quote>[{QUOTES}]?)"
)
FENCE = re.compile(r"\s*```\w*\s*\n(?P<inside>.*?)\n?\s*```\s*", re.DOTALL)
TASK = (
    "task",
    "topic",
    "question",
    "discussion topic",
    "central question",
    "prompts",
    "photos",
    "photo descriptions",
    "context",
)
NESTED = ("input", "conversation", "turns", "dialogue", "dialog", "transcript", "messages")
SPEAKER = ("role", "speaker", "from", "who")
WORDS = ("text", "content", "value", "utterance", "words", "message")


@dataclass(frozen=True, slots=True)
class Parsed:
    """`turns` is empty where `reason` says why. `before`: text ahead of the first speaker that is no punctuation."""

    turns: tuple[Turn, ...]
    repairs: tuple[str, ...] = ()
    reason: str | None = None
    before: str = ""


def parse_conversation(text: str, speakers: Mapping[str, str] | None = None) -> Parsed:
    """Turns from the text of one conversation."""
    fenced = FENCE.fullmatch(text)
    if fenced:
        inside = parse_conversation(fenced["inside"], speakers)
        return inside if inside.reason else dataclasses.replace(inside, repairs=("code fence", *inside.repairs))
    reason = None
    for rule, repair in RULES:
        value = rule(text)
        if value is not None:
            try:
                turns = tuple(turns_of(value, speakers))
            except ValueError as error:
                reason = reason or str(error)
                continue
            if turns:
                return _spoken(turns, (repair,) if repair else ())
    if reason:  # well-formed, and yet no conversation: guessing at its labels would invent one
        return Parsed((), (), reason)
    found = scan_labels(text, speakers)
    return found if found.reason else _spoken(found.turns, found.repairs, found.before)


def parse_turns(value: Any, speakers: Mapping[str, str] | None = None) -> Parsed:
    """Turns of data that are already parsed: a list of tables, a table a turn ({"role", "text"}) or a table of several."""
    try:
        return _spoken(tuple(turns_of(value, speakers)))
    except ValueError as error:
        return Parsed((), (), str(error))


def turns_of(value: Any, speakers: Mapping[str, str] | None = None) -> Iterator[Turn]:
    """`ValueError` names what does not fit. A task or topic among the turns comes with the role "task"."""
    if isinstance(value, (list, tuple)) and not isinstance(value, Pairs):
        for item in value:
            yield from turns_of(item, speakers)
        return
    if not isinstance(value, (Pairs, Mapping)):
        raise ValueError(f"a turn that is no table: {str(value)[:40]!r}")
    pairs = list(value if isinstance(value, Pairs) else value.items())
    keys = {str(k).casefold(): v for k, v in pairs}
    who, what = next((k for k in SPEAKER if k in keys), None), next((k for k in WORDS if k in keys), None)
    if who and what:
        pairs = [(str(keys[who]), keys[what])]
    for key, inner in pairs:
        role = role_of(str(key), speakers)
        if role is None and str(key).casefold() in NESTED:
            yield from turns_of(inner, speakers)
        elif role is None and str(key).casefold() in ("output", "scores", "id"):
            continue
        elif role is None and str(key).casefold().replace("_", " ") in TASK and isinstance(inner, str):
            yield Turn("task", inner.strip())
        elif role is None:
            raise ValueError(f"unknown speaker {str(key)[:40]!r}")
        elif not isinstance(inner, str):
            raise ValueError(f"what the {role} says is no text: {str(inner)[:40]!r}")
        else:
            yield Turn(role, inner.strip())


def _commas(text: str) -> Any:
    return json_value(re.sub(r"\}\s*,\s*,\s*\{?\s*(?=\")", "}, {", text), strict=False)


RULES = (
    (json_value, ""),
    (lambda text: json_value(text, strict=False), "raw line end inside a string"),
    (_commas, "'},,' between turns"),
    (python_value, "Python literal, not JSON"),
)


def scan_labels(text: str, speakers: Mapping[str, str] | None = None) -> Parsed:
    """Rule 5 alone."""
    marks = [(m, role) for m in LABEL.finditer(text) if (role := _label(text, m, speakers))]
    if not marks:
        return Parsed((), (), "no speaker found")
    ends = [m.start() for m, _ in marks[1:]] + [len(text)]
    turns = tuple(Turn(role, _words(text[m.end() : end], m["quote"])) for (m, role), end in zip(marks, ends))
    before = text[: marks[0][0].start()].strip(" \t\r\n[]{},:" + QUOTES)
    return Parsed(turns, ("speakers found by their labels",), None, before)


def _label(text: str, m: re.Match[str], speakers: Mapping[str, str] | None) -> str | None:
    """The role, where the match stands as a key: a quoted name, or a bare one after something structural."""
    role = role_of(m["name"], speakers)
    if role is None:
        return None
    ahead = text[: m.start()]
    last = ahead.rstrip()[-1:]
    structural = not last or last in CLOSING + "[{" or (last == "," and ahead.rstrip(" \t\r\n,")[-1:] in CLOSING)
    line_start = "\n" in ahead[len(ahead.rstrip()) :]
    if m["sep"] == ".":  # `"Candidate"."`
        key = bool(m["close"] and m["quote"])
    elif not m["sep"]:  # `{"Candidate" "I think`
        key = bool(m["open"] and structural)
    elif m["open"] and m["close"]:
        key = bool(m["quote"]) or structural
    else:
        key = structural or line_start or bool(m["close"] and m["quote"])
    return role if key else None


def _words(raw: str, opened: str) -> str:
    """What was said, without the punctuation of the data around it."""
    text = re.sub(r"[\s{}\[\]]*\Z", "", raw)
    text = re.sub(rf"(?<=[{re.escape(CLOSING)}])[\s,;{{}}\[\]]*\Z", "", text)
    lone = text.count('"') % 2 == 1  # a closing quote whose opening one is missing
    if text[-1:] and text[-1] in QUOTES and (opened or (lone and text[-1] == '"')):
        text = re.sub(r"[\s{}\[\]]*\Z", "", text[:-1])
    if "\\" in text:
        with contextlib.suppress(ValueError):  # a lone backslash is what was written
            text = json.loads('"' + re.sub(r'(?<!\\)"', r"\"", text) + '"', strict=False)
    return text.strip()


def _spoken(turns: tuple[Turn, ...], repairs: tuple[str, ...] = (), before: str = "") -> Parsed:
    said = tuple(Turn(t.role, _balanced(t.text)) for t in turns if t.role != "task")
    if not any(c.isalnum() for t in said if t.role == "candidate" for c in t.text):
        return Parsed((), repairs, "the candidate says nothing")
    if any(len(_balanced(t.text)) < len(t.text) for t in turns):
        repairs = (*repairs, "stray bracket at a turn's end")
    return Parsed(
        said, repairs, None, "\n".join(t for t in (before, *(t.text for t in turns if t.role == "task")) if t)
    )


def _balanced(text: str) -> str:
    """Without closing brackets at the end that were never opened."""
    while text[-1:] in ("}", "]") and text.count("{" if text[-1] == "}" else "[") < text.count(text[-1]):
        text = text[:-1].rstrip()
    return text
