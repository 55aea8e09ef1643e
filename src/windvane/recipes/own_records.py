"""A file from elsewhere, or a folder of records from `generate`, `judge` and `pair`: where the rows are, and what they become.

In: what a user names. Out: records. A folder's answers are trained on by the ids that were sampled wherever the model's own tokenizer
renders the prompt to the same ids; else from their text, which is counted.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.data.layout_columns import Kind
from windvane.data.layouts import OwnData, read_own
from windvane.errors import UserError
from windvane.prompts.chat import render
from windvane.prompts.chat_answers import refuse_endless, render_answer
from windvane.recipes.own_rows import Made, Rendering, make_records
from windvane.recipes.portions import from_hub, on_hub
from windvane.records import Group, Message, Prompt, Response
from windvane.store import read_records


def records_folder(source: str | Path, name: str) -> Path | None:
    """The folder of records (`source` itself or its iter-1) that holds NAME.jsonl; None where `source` is no such folder."""
    path = Path(source)
    for folder in (path / "iter-1", path):
        if (folder / f"{name}.jsonl").exists() and (folder / "prompts.jsonl").exists():
            return folder
    return None


def read_anywhere(
    source: str,
    columns: Mapping[str, str] | None = None,
    kind: Kind | None = None,
    split: str | None = None,
    collect: bool = False,
    dialogues: bool = True,
) -> OwnData:
    """`read_own`, which waits for no hub that does not answer."""
    if on_hub(source):
        return from_hub(source, lambda: read_own(source, columns, kind, split, collect, dialogues))  # type: ignore[no-any-return]
    return read_own(source, columns, kind, split, collect, dialogues)


def made_from(
    source: str,
    columns: Mapping[str, str],
    kind: Kind | None,
    split: str | None,
    collect: bool,
    tokenizer: Any,
    stops: Collection[int],
    window: int,
    how: Rendering,
) -> tuple[Made, str]:
    """(records, the kind of rows) of a file or a folder of records."""
    folder = records_folder(source, "groups")
    if folder is not None:
        return _of_folder(folder, tokenizer, stops, window, how), "groups"
    if (Path(source) / "recipe.toml").exists():
        raise UserError(
            f"{source}: a run folder without iter-1/groups.jsonl; `windvane pair {source}` makes them from its verdicts"
        )
    data = read_anywhere(source, columns, kind, split, collect, dialogues=how.text == "chat")
    if data.layout.kind in ("answers", "prompts"):
        what = "answers without a preference" if data.layout.kind == "answers" else "prompts alone"
        raise UserError(
            f"{source}: it holds {what} (read: {', '.join(data.layout.columns.values())}; not read: "
            f"{', '.join(data.layout.unread) or 'nothing'}); judge them first (windvane judge), or name the columns: --columns ROLE=COLUMN"
        )
    made = make_records(data, tokenizer, stops, window, how, collect)
    if made.responses and not any(r.finish == "stop" for r in made.responses):
        raise UserError(f"{source}: {refuse_endless(tokenizer, stops)}")
    return made, data.layout.kind


def _of_folder(folder: Path, tokenizer: Any, stops: Collection[int], window: int, how: Rendering) -> Made:
    made = Made(groups=read_records(folder / "groups.jsonl", Group))
    prompts = {p.id: p for p in read_records(folder / "prompts.jsonl", Prompt)}
    wanted = {m.response_id for g in made.groups for m in g.members}
    same: dict[str, bool] = {}
    limit = min(window, how.max_length or window)
    for id in sorted(g.id for g in made.groups):
        if id not in prompts:
            raise UserError(f"{folder}: groups.jsonl names prompt {id}, which prompts.jsonl does not hold")
        prompt = prompts[id]
        ids = render(tokenizer, prompt.messages, how.system)
        same[id] = prompt.token_ids == ids
        made.prompts.append(replace(prompt, token_ids=ids))
        made.places[id] = f"{folder}/prompts.jsonl: {id}"
    for response in read_records(folder / "responses.jsonl", Response):
        if response.id not in wanted:
            continue
        if not (response.token_ids and same[response.prompt_id]):
            before = prompts[response.prompt_id].messages
            turn = Message("assistant", response.text)
            one = render_answer(tokenizer, before, [turn], stops, how.closing, how.append_eos, how.system)
            made.counts["retokenised"] += bool(response.token_ids)
            response = replace(response, token_ids=one.answer_ids, logps=None)
        tokens = len(render(tokenizer, prompts[response.prompt_id].messages, how.system)) + len(response.token_ids)
        if tokens > limit:
            raise UserError(
                f"{folder}/responses.jsonl: {response.id}: {tokens} tokens with its prompt, and the limit is {limit}"
            )
        made.responses.append(response)
    absent = wanted - {r.id for r in made.responses}
    if absent:
        raise UserError(f"{folder}: groups.jsonl names {min(absent)}, which responses.jsonl does not hold")
    return made
