"""A file from elsewhere, or a folder of records from `generate`, `judge` and `pair`: where the rows are, and what they become.

In: what a user names. Out: records. A folder's answers are trained on by the ids that were sampled wherever the model's own tokenizer
renders the prompt to the same ids; else from their text, which is counted, and an answer that was cut when it was sampled then ends
without a stop token, as it did. Answers of several turns keep the spans that are learnt.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Group, Message, Prompt, Response
from windvane.datasets.columns import Kind
from windvane.datasets.rows import read_rows
from windvane.datasets.sources import Unread
from windvane.prompts.responses import refuse_endless
from windvane.runs.store import read_jsonl, read_records
from windvane.stages.rows import Made, Rendering, make_records, prompt_ids, rendered


def records_folder(source: str | Path, name: str) -> Path | None:
    """The folder of records (`source` itself or its iter-1) that holds NAME.jsonl; None where `source` is no such folder. `UserError`
    where it has several iterations: they are of different models, and one of them is not the run."""
    path = Path(source)
    several = sorted((p.parent.name for p in path.glob(f"iter-*/{name}.jsonl")), key=lambda n: (len(n), n))
    if len(several) > 1:
        raise UserError(
            f"{source}: a run of several iterations ({', '.join(several)}); name one of them: {path / several[-1]}, say, of whose "
            "start the answers are"
        )
    for folder in (path / "iter-1", path):
        if (folder / f"{name}.jsonl").exists() and (folder / "prompts.jsonl").exists():
            return folder
    return None


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
        return _of_folder(folder, tokenizer, stops, window, how, collect), "groups"
    if (Path(source) / "recipe.toml").exists():
        raise UserError(
            f"{source}: a run folder without iter-1/groups.jsonl; `windvane pair {source}` makes them from its verdicts"
        )
    data = read_rows(source, columns, kind, split, collect, dialogues=how.text == "chat")
    if data.layout.kind in ("answers", "prompts"):
        what = "answers without a preference" if data.layout.kind == "answers" else "prompts alone"
        raise UserError(
            f"{source}: it holds {what} (read: {', '.join(data.layout.columns.values())}; not read: "
            f"{', '.join(data.layout.unread) or 'nothing'}); judge them first (windvane judge), or name the columns: --columns ROLE=COLUMN"
        )
    made = make_records(data, tokenizer, stops, window, how, collect)
    made.unread = data.layout.unread
    if made.responses and not any(r.finish == "stop" for r in made.responses):
        raise UserError(f"{source}: {refuse_endless(tokenizer, stops)}")
    return made, data.layout.kind


def _of_folder(
    folder: Path, tokenizer: Any, stops: Collection[int], window: int, how: Rendering, collect: bool
) -> Made:
    made = Made()
    groups = read_records(folder / "groups.jsonl", Group)
    prompts = {p.id: p for p in read_records(folder / "prompts.jsonl", Prompt)}
    wanted = {m.response_id for g in groups for m in g.members}
    responses = {r.id: r for r in read_records(folder / "responses.jsonl", Response) if r.id in wanted}
    spans = folder / "spans.jsonl"
    marked = [row for _, row in read_jsonl(spans)] if spans.exists() else []
    several = {row["id"]: row["spans"] for row in marked}
    weights = {row["id"]: tuple(row["weights"]) for row in marked if row.get("weights")}
    for group in sorted(groups, key=lambda g: g.id):
        if group.id not in prompts:
            raise UserError(f"{folder}: groups.jsonl names prompt {group.id}, which prompts.jsonl does not hold")
        absent = next((m.response_id for m in group.members if m.response_id not in responses), None)
        if absent is not None:
            raise UserError(f"{folder}: groups.jsonl names {absent}, which responses.jsonl does not hold")
        prompt, place = prompts[group.id], f"{folder}/prompts.jsonl: {group.id}"
        try:
            ids = prompt_ids(prompt, tokenizer, how)
            answers = [responses[m.response_id] for m in group.members]
            found = [_answer(a, prompt, ids, a.id in several, tokenizer, stops, how) for a in answers]
            _refuse_long(folder, ids, found, window, how)
        except UserError as error:
            reason = str(error) if str(error).startswith(str(folder)) else f"{place}: {error}"
            if not collect:
                raise UserError(reason) from None
            made.refused.append(Unread(place, reason))
            continue
        made.groups.append(group)
        made.prompts.append(replace(prompt, token_ids=ids))
        made.places[group.id] = place
        made.responses += found
        made.counts["retokenised"] += sum(bool(a.token_ids) and a is not b for a, b in zip(answers, found))
        made.spans.update({a.id: tuple((x, y) for x, y in several[a.id]) for a in answers if a.id in several})
        made.weights.update({a.id: weights[a.id] for a in answers if a.id in weights})
    return made


def _answer(
    answer: Response, prompt: Prompt, ids: tuple[int, ...], several: bool, tokenizer: Any, stops: Collection[int], how: Rendering
) -> Response:  # fmt: skip
    """The answer as it was sampled where the prompt's ids are the same; else from its text, without an end where it was cut."""
    if answer.token_ids and prompt.token_ids == ids:
        return answer
    if several:
        raise UserError(
            f"answer {answer.id} has several turns or parts that are not learned, and its prompt has other tokens than in the run; "
            "train on the file itself"
        )
    made = rendered(prompt.messages, (Message("assistant", answer.text),), tokenizer, stops, how).answer_ids
    if answer.finish == "length":
        while made and made[-1] in stops:
            made = made[:-1]
    return replace(answer, token_ids=made, logps=None)


def _refuse_long(folder: Path, ids: tuple[int, ...], answers: list[Response], window: int, how: Rendering) -> None:
    limit = min(window, how.max_length or window)
    for answer in answers:
        tokens = len(ids) + len(answer.token_ids)
        if tokens > limit:
            raise UserError(
                f"{folder}/responses.jsonl: {answer.id}: {tokens} tokens with its prompt, and the limit is {limit}"
            )
