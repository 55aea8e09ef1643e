"""A row of a table (JSONL, JSON, CSV, Parquet) -> a transcript.

In: a mapping. Known: our own records; `turns`, `conversation`, `dialogue` or `transcript` as a list or as text; the public CSVs' single
column (or prompt and completion); UniversalCEFR's eight fields (arXiv 2506.01419: title, lang, source_name, format, category,
cefr_level, license, text), whose text is one candidate's turn with a CEFR level. Scores stand under `scores`, `OUTPUT`, or in columns of
their own. Out: a `Transcript` or the reason why not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from windvane.evalyaks.transcripts.instruction_rows import context_of, guess_part, read_instruction
from windvane.evalyaks.transcripts.record import LEVELS, Transcript, Turn
from windvane.evalyaks.transcripts.repair import parse_conversation, parse_turns
from windvane.evalyaks.transcripts.scores import check_scores, criterion_of, parse_scores
from windvane.evalyaks.transcripts.speakers import role_of
from windvane.evalyaks.transcripts.text import read_text

SPOKEN = ("turns", "conversation", "dialogue", "dialog", "transcript", "input", "text", "utterances", "messages")
INSTRUCTION = ("prompt", "instruction", "text", "input", "messages")
COMPLETION = ("completion", "response", "output", "answer", "target")
SCORES = ("scores", "output", "labels", "reference", "bands", "marks")
NAMES = ("id", "name", "transcript_id", "row_id")
CANDIDATE = ("candidate_id", "candidate", "learner_id", "speaker_id", "test_taker")


def read_row(
    row: Mapping[str, Any], part: int | None, source: str, speakers: Mapping[str, str] | None = None, step: float = 1.0
) -> Transcript | str:
    """`part`: for rows that do not say theirs."""
    low = {str(k).strip().casefold(): v for k, v in row.items()}
    told = low.get("part")
    if told not in (None, ""):
        number = re.fullmatch(r"(?:part)?[ _]*([1-4])(?:\.0)?(?:\D.*)?", str(told).strip(), re.IGNORECASE)
        if number is None:
            return f"part {str(told)[:20]!r} is none of 1, 2, 3, 4"
        part = int(number[1])
    more = _facts(low)
    if "cefr_level" in low and isinstance(low.get("text"), str) and not set(low) & {"turns", "conversation"}:
        return _universal(low, part, source, more, speakers)
    instruction = _instruction(low)
    if instruction is not None:
        text, completion = instruction
        return read_instruction(text, part, source, completion, speakers, step, **more)
    key = next((k for k in SPOKEN if low.get(k)), None)
    columns = [{k: v} for k, v in low.items() if isinstance(v, str) and v.strip() and role_of(k, speakers)]
    if key is None and len(columns) > 1:  # a column a speaker: one exchange
        low, key = {**low, "turns": columns}, "turns"
        more.pop("candidate", None)
    if key is None:
        return f"no conversation in the fields {', '.join(map(str, row)) or '(none)'}"
    scores = _scores(low, step)
    if isinstance(scores, str):
        return f"scores: {scores}"
    turns: tuple[Turn, ...]
    repairs: tuple[str, ...] = ()
    context = _context(low)
    value = low[key]
    if isinstance(value, str) and value.lstrip()[:1] not in ("[", "{"):
        found = read_text(value, part, source, speakers, step)
        if len(found) != 1:
            return f"{len(found)} conversations in one row; write a row for each"
        only = found[0][1]
        if isinstance(only, str):
            return only
        turns, context, scores = only.turns, {**only.context, **context}, scores or dict(only.scores)
        part = part or only.part
    elif isinstance(value, str):
        parsed = parse_conversation(value, speakers)
        if parsed.reason:
            return parsed.reason
        turns, repairs = parsed.turns, parsed.repairs
    else:
        parsed = parse_turns(value, speakers)
        if parsed.reason:
            return parsed.reason
        turns = parsed.turns
    roles = {t.role for t in turns}
    if part is None:
        part = guess_part("PHOTO_ONE" in context, "IC" in scores, "partner" in roles)
    before = low.get("repairs")  # our own record's
    repairs = tuple(str(note) for note in before) + repairs if isinstance(before, list) else repairs
    return Transcript.of(part, turns, scores=scores, context=context, source=source, repairs=repairs, **more)


def _instruction(low: Mapping[str, Any]) -> tuple[str, str | None] | None:
    """(prompt, completion or None) where the row is one for instruction tuning."""
    messages = low.get("messages")
    if isinstance(messages, list) and all(isinstance(m, Mapping) for m in messages):
        said = {str(m.get("role")): m.get("content") for m in messages}
        if isinstance(said.get("user"), str) and isinstance(said.get("assistant"), str):
            return said["user"], said["assistant"]
    for key in INSTRUCTION:
        text = low.get(key)
        if not isinstance(text, str):
            continue
        answer = next((low[k] for k in COMPLETION if isinstance(low.get(k), str)), None)
        if "[INST]" in text or "[/INST]" in text:
            inside = text.partition("[/INST]")[2].replace("</s>", "").strip()
            return text, None if inside else answer
        if key in ("prompt", "instruction") and answer is not None:
            inner = low.get("input") if key == "instruction" else None
            return (f"{text}\n\nConversation:\n\n{inner}" if isinstance(inner, str) and inner.strip() else text), answer
        if key in ("prompt", "instruction"):
            return text, None
    return None


def _scores(low: Mapping[str, Any], step: float) -> dict[str, float] | str:
    pairs = [(k, v) for k, v in low.items() if criterion_of(k)]
    if any(v not in (None, "") for _, v in pairs):
        return check_scores(pairs, step=step)
    for key in SCORES:
        value = low.get(key)
        if isinstance(value, Mapping) and value:
            return check_scores(value, step=step)
        if isinstance(value, str) and value.strip():
            return parse_scores(value, step=step)
    return {}


def _context(low: Mapping[str, Any]) -> dict[str, str]:
    found: dict[str, str] = {}
    context = low.get("context")
    if isinstance(context, Mapping):
        found = {str(k): str(v) for k, v in context.items() if v is not None}
    elif isinstance(context, str) and context.strip():
        found = context_of("Photos:\n" + context) if "PHOTO" in context.upper() else {"task": context.strip()}
    photos = low.get("photos")
    if isinstance(photos, (list, tuple)):
        found |= {f"PHOTO_{n}": str(t) for n, t in zip(("ONE", "TWO", "THREE", "FOUR"), photos)}
    for key in ("task", "topic"):
        if isinstance(low.get(key), str) and low[key].strip():
            found[key] = low[key].strip()
    return found


def _facts(low: Mapping[str, Any]) -> dict[str, Any]:
    """What a row says about itself; the ids of our own records are made anew from content."""
    more: dict[str, Any] = {}
    for ours, keys in (
        ("name", NAMES),
        ("candidate", CANDIDATE),
        ("setting", ("setting",)),
        ("language", ("language", "lang")),
    ):
        value = next((low[k] for k in keys if isinstance(low.get(k), (str, int)) and str(low[k]).strip()), None)
        if value is not None:
            more[ours] = str(value)
    if {"conversation", "turns", "split_group"} <= set(low):
        more["name"] = str(low["name"]) if low.get("name") is not None else None
        more["split_group"] = str(low.get("split_group") or "")
        fold = low.get("fold")
        more["fold"] = fold if isinstance(fold, int) and not isinstance(fold, bool) else None
    level = str(low.get("level") or "").strip().upper()
    if level in LEVELS:
        more["level"] = level
    return more


def _universal(
    low: Mapping[str, Any], part: int | None, source: str, more: dict[str, Any], speakers: Mapping[str, str] | None
) -> Transcript | str:
    text = low["text"].strip()
    if not any(c.isalnum() for c in text):
        return "the text is empty"
    level = str(low["cefr_level"] or "NA").strip().upper()
    found = re.match(r"(A1|A2|B1|B2|C1|C2)(?:\b|[+-])", level)
    if found is None and level not in ("NA", "N/A", "NONE", ""):
        return f"cefr_level {level[:20]!r} is none of {', '.join(LEVELS)}"
    more["level"] = found[1] if found else None
    turns: tuple[Turn, ...] = (Turn("candidate", text),)
    if str(low.get("format") or "").startswith(("dialog", "discourse")):
        pasted = read_text(text, part, source, speakers)
        if len(pasted) == 1 and isinstance(pasted[0][1], Transcript):
            turns = pasted[0][1].turns
    keys = ("title", "source_name", "format", "category", "license")
    context = {k: str(low[k]) for k in keys if low.get(k) not in (None, "", "NA")}
    return Transcript.of(part, turns, context=context, source=source, **more)
