"""How `windvane inspect` looks: a table of counts, and a row with what a loss reads in colour.

In: counts; a rendered row. Out: lines. Colour is ANSI, on a terminal alone; NO_COLOR switches it off and FORCE_COLOR on. Without colour
what is learnt stands between ⟦ and ⟧.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TextIO

from windvane.core.errors import UserError
from windvane.stages.rows import Made

LEARNT, DIM, STRONG, WARN, END = "\x1b[32m", "\x1b[2m", "\x1b[1m", "\x1b[33m", "\x1b[0m"
SIGNS = {"ok": "✓", "note": "•", "refuse": "✗"}


def example(made: Made, tokenizer: Any, row: int | None, source: str) -> dict[str, Any]:
    """A row's parts in order: {"text", "learnt"} of each stretch of tokens, prompt and first answer, then the other answers."""
    if row is None:
        key = made.prompts[0].id
    else:
        wanted = f"{source}: row {row}"
        key = next((k for k, place in made.places.items() if place == wanted or place.startswith(f"{wanted} ")), "")
        if not key:
            reason = next((r.reason for r in made.refused if r.place == wanted), f"{wanted}: no such row")
            raise UserError(f"{reason}; it cannot be shown")
    prompt = next(p for p in made.prompts if p.id == key)
    group = next((g for g in made.groups if g.id == key), None)  # none of a prompt without answers
    answers = []
    for r in (r for r in made.responses if r.prompt_id == key):
        spans = made.spans.get(r.id, ((0, len(r.token_ids)),))
        cuts = sorted({0, len(r.token_ids), *(edge for span in spans for edge in span)})
        parts = [
            {"text": tokenizer.decode(r.token_ids[a:b]), "tokens": b - a, "learnt": any(s <= a < e for s, e in spans)}
            for a, b in itertools.pairwise(cuts)
        ]
        mark = {group.chosen: "chosen", group.rejected: "rejected"}.get(r.index, "answer") if group else "answer"
        answers.append({"id": r.id, "mark": mark, "finish": r.finish, "parts": parts})
    return {
        "place": made.places[key],
        "id": key,
        "prompt": {"text": tokenizer.decode(prompt.token_ids), "tokens": len(prompt.token_ids)},
        "answers": answers,
    }


@dataclass(frozen=True, slots=True)
class Paint:
    colour: bool

    @staticmethod
    def here(stream: TextIO) -> Paint:
        if os.environ.get("NO_COLOR"):
            return Paint(False)
        return Paint(bool(os.environ.get("FORCE_COLOR")) or (stream.isatty() and os.environ.get("TERM") != "dumb"))

    def strong(self, text: str) -> str:
        return f"{STRONG}{text}{END}" if self.colour else text

    def sign(self, level: str) -> str:
        sign = SIGNS[level]
        return f"{WARN}{sign}{END}" if self.colour and level != "ok" else sign

    def learnt(self, text: str) -> str:
        return f"{LEARNT}{printable(text)}{END}" if self.colour else f"⟦{printable(text)}⟧"

    def aside(self, text: str) -> str:
        return f"{DIM}{printable(text)}{END}" if self.colour else printable(text)

    def row(self, shown: Mapping[str, Any]) -> list[str]:
        """The row as it would be trained on."""
        how = "in colour" if self.colour else "between ⟦ and ⟧"
        what = (
            f"as it would be trained on; what is learnt is {how}" if shown["answers"] else "as the model would be asked"
        )
        lines = [self.strong(f"{shown['place']} {what}:"), ""]
        lines.append(self.aside(shown["prompt"]["text"]))
        for answer in shown["answers"]:
            tokens = sum(p["tokens"] for p in answer["parts"])
            learnt = sum(p["tokens"] for p in answer["parts"] if p["learnt"])
            end = "" if answer["finish"] == "stop" else ", ends with no stop token"
            lines.append(self.strong(f"[{answer['mark']}: {learnt} of {tokens} tokens learnt{end}]"))
            lines.append("".join((self.learnt if p["learnt"] else self.aside)(p["text"]) for p in answer["parts"]))
        return lines


def printable(text: str) -> str:
    """Without what would move the terminal's cursor or colour; line ends and tabs stay."""
    return "".join(c if c in "\n\t" or c.isprintable() else f"\\u{ord(c):04x}" for c in text)


def table(told: Mapping[str, Any]) -> list[str]:
    """The counts, a line each, what is nought left out where it says nothing."""
    rows = [
        ("rows", f"{told['rows']:,}, of which {told['usable']:,} can be used"),
        ("prompts", f"{told['prompts']:,} different; {told['repeated_prompts']:,} rows repeat one"),
        ("whole rows", f"{told['repeated_rows']:,} repeat an earlier one, word for word"),
    ]
    near = told["near_duplicates"]
    told_near = (
        "not looked for (--near yes)"
        if near is None
        else f"{near:,} prompts nearly repeat an earlier one (ROUGE-L ≥ 0.7)"
    )
    rows.append(("near-duplicates", told_near))
    for one in told["test_prompts"]:
        if one["rows"]:
            first = f", the first: {one['places'][0]['place']} (its row {one['places'][0]['test_row']})"
            rows.append(
                ("test prompts", f"{one['rows']:,} rows are or hold one of {one['set']}'s {one['prompts']}{first}")
            )
    clean = ", ".join(f"{one['set']} ({one['prompts']})" for one in told["test_prompts"] if not one["rows"])
    if clean:
        rows.append(("test prompts", f"no row is or holds one of {clean}"))
    if told["with_system"]:
        rows.append(("system", f"{told['with_system']:,} rows have a system message"))
    if told["several_turns"]:
        rows.append(("several turns", f"{told['several_turns']:,} rows"))
    if "desirable" in told:
        rows.append(("labels", f"{told['desirable']:,} desirable, {told['undesirable']:,} not"))
    if "answers_a_prompt" in told:
        each = ", ".join(f"{n:,} rows of {k}" for k, n in told["answers_a_prompt"].items())
        rows.append(
            (
                "answers",
                f"{each}; {told['with_scores']:,} with scores, {told['with_probabilities']:,} with probabilities",
            )
        )
    if told.get("chosen_not_above"):
        rows.append(
            (
                "scores",
                f"in {told['chosen_not_above']:,} rows the chosen answer's score is not above the rejected one's",
            )
        )
    if "chosen_longer" in told:
        rows.append(
            ("length", f"the chosen answer is the longer one in {100 * told['chosen_longer']:.1f}% of the rows")
        )
    for name, q in told["lengths"].items():
        if q is not None:
            rows.append(
                (f"{name}, {told['unit']}", f"median {q['median']:,}, 95% up to {q['p95']:,}, most {q['max']:,}")
            )
    noticed = {
        "duplicates": "rows repeat an earlier one", "border": "rows whose tokens would merge between prompt and answer",
        "split": "chats that become a row a turn", "endless": "answers that end with no stop token",
        "inner": "answers hold a token that stops generation before their end, written out in their text",
        "unknown": "answers hold a token that stands for what the tokenizer does not know",
    }  # fmt: skip
    rows += [
        ("noticed", f"{n:,} {noticed[name]}") for name, n in told.get("noticed", {}).items() if name != "duplicates"
    ]
    return [f"  {name:<16} {text}" for name, text in rows]
