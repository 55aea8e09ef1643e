"""Prompts and preference data from anywhere -> `Row`s: the one reader of every verb.

In: a file (JSONL, JSON, CSV, TSV, Parquet), a folder saved by `datasets`, a hub data set, a folder of this project's own records, or
`toy:FAMILY[:SPLIT]`; rows in any of the layouts of docs/data_formats.md. Out: `Rows`. A text is a user's turn and its response; what two
chats have in common is their prompt, and what follows, turn by turn, the response. Nothing is stripped, cut or dropped in silence: a row
that cannot be read stops the reading, or, for a caller who asks to `collect`, stands among the refused with its reason. The columns are
those of all rows together, since a JSON row may leave out what it does not have; a column that a template would render and that is not read
here (tools, say) refuses the rows that fill it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, overload

from windvane.core.errors import UserError
from windvane.core.families import is_family, offer
from windvane.core.records import Group, Message, Prompt, Response, by_prompt
from windvane.datasets.columns import Kind, Layout, layout_of
from windvane.datasets.row_kinds import READERS, Row, only_prompt
from windvane.datasets.row_turns import spoken
from windvane.datasets.scores import has_scores
from windvane.datasets.sources import Unread, not_a_table, raw_rows
from windvane.datasets.turns import ROLES, refuse_beside, unpacked
from windvane.runs.store import read_records


@dataclass(frozen=True, slots=True)
class Rows(Sequence[Row]):
    """The rows of one source in its order, how its columns were understood, and the rows that were refused."""

    source: str
    layout: Layout
    rows: list[Row]
    refused: list[Unread]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> Row: ...
    @overload
    def __getitem__(self, index: slice) -> list[Row]: ...
    def __getitem__(self, index: int | slice) -> Row | list[Row]:
        return self.rows[index]


def read_rows(
    source: str | Path,
    columns: Mapping[str, str] | None = None,
    kind: Kind | None = None,
    split: str | None = None,
    collect: bool = False,
    dialogues: bool = True,
    only_prompts: bool = False,
) -> Rows:
    """Every row of `source`, in its order. `columns`: role -> column name where the names are not usual; `kind`: what the rows are, where
    the columns leave it open; `split`: of a data set with several. `collect` puts rows that cannot be read into `refused`; otherwise the
    first of them is a `UserError`. `dialogues`: text that is a dialogue ("\\n\\nHuman: ...") is read as its turns; otherwise it stays text.
    `only_prompts`: the responses are not looked at, so that a chat may also wait for one."""
    name = str(source)
    if is_family(name) or records_folder(name) is not None:
        if columns:
            raise UserError(f"{name}: it has no columns; leave {', '.join(f'{r}={c}' for r, c in columns.items())} out")
        return _of_family(name, split) if is_family(name) else _of_records(name, split, only_prompts)
    values = list(raw_rows(name, split, collect))
    if not values:
        raise UserError(f"{name}: no rows; write at least one")
    tables = _tables(name, values, columns)
    readable = [row for _, row in tables if not isinstance(row, Unread)]
    if not readable:
        raise UserError(next(row.reason for _, row in tables if isinstance(row, Unread)))
    if not collect:
        _raise_first(tables)
    layout = _layout(name, readable, dict(columns or {}), kind)
    rows: list[Row] = []
    refused: list[Unread] = []
    for place, row in tables:
        if isinstance(row, Unread):
            refused.append(row)
            continue
        try:
            for column in layout.unread:
                refuse_beside(row.get(column), place, column)
            cells = spoken(row, layout.columns) if dialogues else row
            read = (
                only_prompt(cells, layout, place)
                if only_prompts
                else READERS[layout.kind](cells, layout.columns, place)
            )
            beside = {column: row[column] for column in layout.unread if column in row}
            rows.append(replace(read, fields=beside) if beside else read)
        except UserError as error:
            if not collect:
                raise
            refused.append(Unread(place, str(error)))
    return Rows(name, layout, rows, refused)


def records_folder(source: str | Path) -> Path | None:
    """The folder of this project's own records, `source` itself or its iter-1, that holds prompts.jsonl; None where there is none.
    `UserError` where `source` has several iterations: they are of different models, and one of them is not the run."""
    path = Path(source)
    several = sorted((p.parent.name for p in path.glob("iter-*/prompts.jsonl")), key=lambda n: (len(n), n))
    if len(several) > 1:
        raise UserError(
            f"{source}: a run of several iterations ({', '.join(several)}); name one of them: {path / several[-1]}, say"
        )
    return next((folder for folder in (path / "iter-1", path) if (folder / "prompts.jsonl").is_file()), None)


def _raise_first(tables: Sequence[tuple[str, Any]]) -> None:
    first = next((row for _, row in tables if isinstance(row, Unread)), None)
    if first is not None:
        raise UserError(first.reason)


def _tables(
    name: str, values: Sequence[tuple[str, Any]], columns: Mapping[str, str] | None
) -> list[tuple[str, dict[str, Any] | Unread]]:
    """Rows with named fields. A source of bare values holds prompts: texts, or chats as lists of turns."""
    first: Any = next((value for _, value in values if not isinstance(value, Unread)), {})
    bare = not isinstance(first, dict) and (
        isinstance(first, str) or isinstance(unpacked({"messages": first}, "", ""), list)
    )
    if bare and columns:
        raise UserError(
            f"{name}: rows are bare values, so there is no column '{next(iter(columns.values()))}'; leave the column out"
        )
    tables: list[tuple[str, dict[str, Any] | Unread]] = []
    for place, value in values:
        if (
            bare
            and isinstance(value, (str, list))
            and not (isinstance(value, list) and value and not _speaks(value[0]))
        ):
            tables.append((place, {"prompt": value}))
        elif isinstance(value, (Unread, dict)) and not (bare and isinstance(value, dict)):
            tables.append((place, value))
        else:
            tables.append((place, Unread(place, not_a_table(place, value))))
    return tables


def _speaks(turn: Any) -> bool:
    return isinstance(turn, dict) and ("role" in turn or "from" in turn)


def _layout(name: str, rows: Sequence[Mapping[str, Any]], given: dict[str, str], kind: Kind | None) -> Layout:
    """The layout of all rows together."""
    names = list(dict.fromkeys(column for row in rows for column in row))
    inner = given.pop("scores", None) if kind != "pairs" else None  # may be a field inside each response
    if inner is not None and inner in names:
        given["scores"] = inner
    layout = layout_of(name, names, given, kind)
    if inner is not None and inner not in names:
        layout = replace(layout, columns={**layout.columns, "scores": inner})
    responses = layout.columns.get("answers") if layout.kind == "answers" and kind is None else None
    if responses and (inner or any(has_scores(row, responses) for row in rows)):
        layout = replace(layout, kind="groups")
    chats = (
        layout.columns.get("chat")
        if layout.kind == "single" and kind is None and "answer" not in layout.columns
        else None
    )
    if chats and not any(_answered(row.get(chats)) for row in rows):
        layout = replace(layout, kind="prompts")
    return layout


def _answered(chat: Any) -> bool:
    """Whether a chat ends with the assistant's turn; True of a cell that is no chat, whose reader says what is wrong with it."""
    try:
        turns = unpacked(chat, "", "")
        last = turns[-1]
        role = last.get("role") if last.get("role") is not None else last.get("from")
        return ROLES.get(role.strip().lower()) != "user"
    except (UserError, AttributeError, IndexError, KeyError, TypeError):
        return not isinstance(chat, str)


def _of_records(source: str, split: str | None, only_prompts: bool) -> Rows:
    """The records of `generate`, `judge` or `pair`, with the preferences that their groups hold."""
    if split is not None:
        raise UserError(f"{source}: a folder of records has no splits; leave the split '{split}' out")
    folder = records_folder(source)
    assert folder is not None
    prompts = read_records(folder / "prompts.jsonl", Prompt)
    if only_prompts:
        rows = [Row(f"{folder}/prompts.jsonl: {prompt.id}", prompt, ()) for prompt in prompts]
        return Rows(source, Layout("prompts", {}, ()), rows, [])
    spans = folder / "spans.jsonl"
    if spans.exists() and spans.read_text(encoding="utf-8").strip():
        raise UserError(
            f"{folder}: some responses have several turns, and their records hold them as one text; name the file they are from"
        )
    paths = {name: folder / f"{name}.jsonl" for name in ("responses", "groups")}
    responses = by_prompt(read_records(paths["responses"], Response)) if paths["responses"].exists() else {}
    groups = {g.id: g for g in read_records(paths["groups"], Group)} if paths["groups"].exists() else {}
    rows = []
    for prompt in prompts:
        worth: dict[str, Any] = {}
        known = responses.get(prompt.id, [])
        group = groups.get(prompt.id)
        if group is not None:
            members = {m.index: m for m in group.members}
            known = [r for r in known if r.index in members]
            order = [r.index for r in known]
            wins = tuple(members[i].p_incl if group.judged_pairs else members[i].p_loo for i in order)
            best, worst = (order.index(i) if i in order else None for i in (group.chosen, group.rejected))
            worth = {"chosen": best, "rejected": worst, "wins": wins if len(order) > 1 else None}
        turns = tuple((Message("assistant", r.text),) for r in known)
        rows.append(Row(f"{folder}/prompts.jsonl: {prompt.id}", prompt, turns, **worth))
    if not rows:
        raise UserError(f"{folder}/prompts.jsonl: no prompts")
    kind: Kind = "groups" if groups else "answers" if responses else "prompts"
    return Rows(source, Layout(kind, {}, ()), rows, [])


def _of_family(name: str, split: str | None) -> Rows:
    """`toy:FAMILY[:SPLIT]`: every prompt of the split, "train" where none is named."""
    prompts, own_split = offer(name, "prompts")
    rows = [
        Row(f"{name}: row {i}", prompt, ())
        for i, prompt in enumerate(prompts(None, own_split or split or "train", 0), 1)
    ]
    return Rows(name, Layout("prompts", {}, ()), rows, [])
