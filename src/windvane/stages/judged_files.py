"""Answers from a file, made records: what `windvane judge FILE` judges.

In: a file of prompts with several answers each, in any layout of docs/data_formats.md that has some (lists of answers, scored or not,
pairs of chosen and rejected). Out: OUT/iter-1/prompts.jsonl and responses.jsonl, from which judging goes on as for a run. Answers are
text alone: training tokenises them. Rows of one prompt are one prompt, an answer that stands there twice is one answer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from windvane.core.errors import UserError
from windvane.core.records import Prompt, Response
from windvane.datasets.rows import read_rows
from windvane.runs.settings_file import record_settings
from windvane.runs.store import RunFolder, write_jsonl
from windvane.stages.rows import refuse_several, told
from windvane.stages.source_files import Source, source_files


def answers_from(source: Path, folder: RunFolder, columns: Mapping[str, str] | None = None) -> None:
    """Write the records, once."""
    if not folder.finished("iter-1/responses.jsonl"):
        (folder / "data.toml").unlink(missing_ok=True)
    record_settings(folder / "data.toml", Source(source_files(source)))
    if folder.finished("iter-1/responses.jsonl"):
        return
    data = read_rows(source, columns)
    prompts: dict[str, Prompt] = {}
    answers: dict[str, list[str]] = {}
    for row in data.rows:
        refuse_several(row)
        prompts.setdefault(row.prompt.id, row.prompt)
        mine = answers.setdefault(row.prompt.id, [])
        mine += [text for turns in row.responses if (text := told(turns)) not in mine]
    if not any(len(a) > 1 for a in answers.values()):
        raise UserError(
            f"{source}: no prompt has two answers to compare (read: {', '.join(data.layout.columns.values())}; not read: "
            f"{', '.join(data.layout.unread) or 'nothing'}); write them as a list, in a column responses"
        )
    ids = sorted(prompts)
    made = [Response(f"{id}-{i}", id, i, text, (), "stop") for id in ids for i, text in enumerate(answers[id])]
    write_jsonl(folder / "iter-1/prompts.jsonl", (prompts[id] for id in ids))
    write_jsonl(folder / "iter-1/responses.jsonl", made)
