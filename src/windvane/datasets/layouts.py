"""One's own preference data -> `OwnRow`s, whatever its layout: every row, or one line that says what is wrong with it.

In: a file (JSONL, JSON, CSV, TSV, Parquet), a folder saved by `datasets` or a hub data set, in any of the layouts of `layout_columns`
(docs/data_formats.md shows each). Out: `OwnData`. A text is a user's turn and its reply; what two chats have in common is their prompt, and
what follows, turn by turn, the answer. Nothing is stripped, cut or dropped in silence: a row that cannot be read stops the reading, or, for
who asks to `collect`, stands among the refused with its reason. The columns are those of all rows together, since a JSON row may leave out
what it does not have; a column that a template would render and that is not read here (tools, say) refuses the rows that fill it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.datasets.chats import refuse_beside, turns_of
from windvane.datasets.layout_columns import Kind, Layout, layout_of
from windvane.datasets.layout_responses import answers_of, fail, has_scores, number
from windvane.datasets.layout_turns import Turns, answer_turns, prompt_turns, spoken, unpacked, with_system
from windvane.datasets.preference_pairs import common_text
from windvane.datasets.table_rows import rows_of


@dataclass(frozen=True, slots=True)
class OwnRow:
    """A prompt with its answers. An answer is one assistant turn, or several with the user's turns between them. `chosen`, `rejected`:
    which answers are, None where scores or probabilities say it; `wins`: the probability that each answer beats the others, `scores`: a
    number each, the larger the better, in a unit of the data's own; `desirable`: of a labelled answer."""

    place: str
    prompt: Prompt
    answers: tuple[Turns, ...]
    chosen: int | None = None
    rejected: int | None = None
    wins: tuple[float, ...] | None = None
    scores: tuple[float, ...] | None = None
    desirable: bool | None = None


@dataclass(frozen=True, slots=True)
class Unread:
    """A row that cannot be used, and why, in one line that opens with its place."""

    place: str
    reason: str


@dataclass(frozen=True, slots=True)
class OwnData:
    source: str
    layout: Layout
    rows: list[OwnRow]
    refused: list[Unread]


def read_own(
    source: str | Path,
    columns: Mapping[str, str] | None = None,
    kind: Kind | None = None,
    split: str | None = None,
    collect: bool = False,
    dialogues: bool = True,
) -> OwnData:
    """Every row of `source`, in its order. `columns`: role -> column name where the names are not usual; `kind`: what the rows are, where
    the columns leave it open. `collect` puts rows that cannot be read into `refused`; else the first of them is a `UserError`.
    `dialogues`: text that is a dialogue ("\\n\\nHuman: ...") is read as its turns; else it stays text."""
    name = str(source)
    found = list(_tables(name, split, collect))
    tables = [row for _, row in found if not isinstance(row, Unread)]
    if not tables:
        raise UserError(
            next((row.reason for _, row in found if isinstance(row, Unread)), f"{name}: no rows; write at least one")
        )
    layout = _layout(name, tables, dict(columns or {}), kind)
    rows: list[OwnRow] = []
    refused: list[Unread] = []
    for place, row in found:
        if isinstance(row, Unread):
            refused.append(row)
            continue
        try:
            for column in layout.unread:
                refuse_beside(row.get(column), place, column)
            rows.append(READERS[layout.kind](spoken(row, layout.columns) if dialogues else row, layout.columns, place))
        except UserError as error:
            if not collect:
                raise
            refused.append(Unread(place, str(error)))
    return OwnData(name, layout, rows, refused)


def _layout(name: str, rows: Sequence[Mapping[str, Any]], given: dict[str, str], kind: Kind | None) -> Layout:
    """The layout of all rows together."""
    names = list(dict.fromkeys(column for row in rows for column in row))
    inner = given.pop("scores", None) if kind != "pairs" else None  # may be a field inside each answer
    if inner is not None and inner in names:
        given["scores"] = inner
    layout = layout_of(name, names, given, kind)
    if inner is not None and inner not in names:
        layout = replace(layout, columns={**layout.columns, "scores": inner})
    answers = layout.columns.get("answers") if layout.kind == "answers" and kind is None else None
    if answers and (inner or any(has_scores(row, answers) for row in rows)):
        layout = replace(layout, kind="groups")
    return layout


def _tables(name: str, split: str | None, collect: bool) -> Iterator[tuple[str, dict[str, Any] | Unread]]:
    """Rows; for who collects, a JSON lines file is gone through line by line, so that a broken line is one refusal."""
    if not (collect and Path(name).suffix.lower() in (".jsonl", ".ndjson") and Path(name).is_file() and split is None):
        yield from rows_of(name, split)
        return
    with Path(name).open("rb") as handle:
        for line_number, line in enumerate(handle, 1):
            place = f"{name}: row {line_number}"
            if not line.strip():
                continue
            try:
                row = json.loads(line.decode("utf-8-sig" if line_number == 1 else "utf-8"))
            except (ValueError, RecursionError) as error:
                yield place, Unread(place, f"{place}: not valid JSON in UTF-8 ({error}); mend or remove the line")
                continue
            if not isinstance(row, dict):
                yield place, Unread(place, f"{place}: expected a table with named fields; mend or remove the line")
                continue
            yield place, row


def _pairs(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> OwnRow:
    names = columns["chosen"], columns["rejected"]
    if "prompt" in columns or "chat" in columns:
        messages = prompt_turns(row, columns, where)
        *before, last = messages
        if last.role != "user":  # a chat that repeats an answer: what comes before it is the prompt
            messages = before
        answers = [answer_turns(row.get(n), where, n, messages) for n in names]
        if last.role != "user" and (last,) not in answers:
            told = "ends with an assistant's turn that is neither answer; end with the user turn that both answer"
            fail(where, columns["chat"], told)
    else:
        messages, answers = _implicit(row, names, where)
        messages = with_system(messages, row, columns, where)
    if answers[0] == answers[1]:
        fail(where, names[1], f"the same as {names[0]}; remove the row")
    wins, scores = _pair_worth(row, columns, where)
    return OwnRow(where, Prompt.of(tuple(messages)), tuple(answers), 0, 1, wins, scores)


def _plain(message: Message) -> dict[str, str]:
    return {"role": message.role, "content": message.content}


def _implicit(row: Mapping[str, Any], names: tuple[str, str], where: str) -> tuple[list[Message], list[Turns]]:
    """The prompt is what chosen and rejected have in common (TRL's implicit prompt), as text or as turns."""
    chosen, rejected = (unpacked(row.get(n), where, n) for n in names)
    if isinstance(chosen, str) and isinstance(rejected, str):
        messages, first, second = common_text(chosen, rejected, where)
        return messages, [(Message("assistant", first),), (Message("assistant", second),)]
    sides = [list(turns_of(v, where, n)) for v, n in zip((chosen, rejected), names)]
    shared = 0
    while shared < min(map(len, sides)) and sides[0][shared] == sides[1][shared]:
        shared += 1
    if shared == len(sides[0]) == len(sides[1]):
        fail(where, names[1], f"the same as {names[0]}; remove the row")
    while shared and sides[0][shared - 1].role != "user":
        shared -= 1
    if not shared:
        fail(where, names[0], "the two chats share no user turn, so there is no prompt; add the column prompt")
    messages = sides[0][:shared]
    return messages, [answer_turns([_plain(m) for m in side[shared:]], where, n, ()) for side, n in zip(sides, names)]


def _pair_worth(
    row: Mapping[str, Any], columns: Mapping[str, str], where: str
) -> tuple[tuple[float, ...] | None, tuple[float, ...] | None]:
    """(probabilities, scores) of chosen and rejected, each None where the row has none."""

    def value(role: str) -> float | None:
        cell = row.get(columns[role]) if role in columns else None
        return None if cell is None else number(cell, where, columns[role])

    wins: tuple[float, ...] | None = None
    p, each = value("probability"), (value("p_chosen"), value("p_rejected"))
    if each[0] is not None and each[1] is not None:
        wins = (each[0], each[1])
    elif p is not None:
        wins = (p, 1.0 - p)
    for found in wins or ():
        if not 0 <= found <= 1:
            fail(where, columns.get("probability") or columns["p_chosen"], f"{found:g}; a probability is in [0, 1]")
    scores = value("score_chosen"), value("score_rejected")
    return wins, (scores[0], scores[1]) if scores[0] is not None and scores[1] is not None else None


def _groups(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> OwnRow:
    messages = _asked(row, columns, where)
    cells, scores, wins = answers_of(row, columns, where)
    answers = tuple(answer_turns(v, where, f"{columns['answers']}[{i}]", messages) for i, v in enumerate(cells))
    if scores is None and wins is None:
        fail(where, columns["answers"], "an answer has no score and no probability; add scores, or remove the row")
    return OwnRow(
        where, Prompt.of(tuple(messages)), answers, wins=tuple(wins) if wins else None, scores=tuple(scores) if scores else None
    )  # fmt: skip


def _answers(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> OwnRow:
    messages = _asked(row, columns, where)
    cells, _, _ = answers_of(row, columns, where)
    answers = tuple(answer_turns(v, where, f"{columns['answers']}[{i}]", messages) for i, v in enumerate(cells))
    return OwnRow(where, Prompt.of(tuple(messages)), answers)


def _asked(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> list[Message]:
    messages = prompt_turns(row, columns, where)
    if messages[-1].role != "user":
        fail(where, columns["chat"], "the last turn is the assistant's; end with the user turn that the answers answer")
    return messages


def _single(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> OwnRow:
    messages = prompt_turns(row, columns, where)
    if "answer" in columns:
        field = columns["answer"]
        turns = answer_turns(row.get(field), where, field, messages)
    else:
        field = columns["chat"]
        if messages[-1].role != "assistant":
            fail(where, field, "the last turn is the user's; end with the answer that is to be learnt")
        first = next(i for i, m in enumerate(messages) if m.role == "assistant")
        messages, turns = messages[:first], tuple(messages[first:])
    return OwnRow(where, Prompt.of(tuple(messages)), (turns,), chosen=0)


LABELS = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False, "-1": False}


def _labelled(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> OwnRow:
    field = columns["label"]
    value = row.get(field)
    word = str(int(value) if isinstance(value, float) and value.is_integer() else value).lower()
    if value is None or word not in LABELS:
        fail(
            where, field, f"expected true or false (desirable or not), got {str(value)[:40]!r}; mend or remove the row"
        )
    made = _single(row, columns, where)
    if "answer" not in columns and len(made.answers[0]) > 1:  # of a chat the last answer is the one that was judged
        *before, last = made.answers[0]
        made = replace(made, prompt=Prompt.of((*made.prompt.messages, *before)), answers=((last,),))
    return replace(
        made, desirable=LABELS[word], chosen=0 if LABELS[word] else None, rejected=None if LABELS[word] else 0
    )


def _prompts(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> OwnRow:
    return OwnRow(where, Prompt.of(tuple(_asked(row, columns, where))), ())


READERS = {
    "pairs": _pairs, "groups": _groups, "answers": _answers, "labelled": _labelled, "single": _single, "prompts": _prompts,
}  # fmt: skip
