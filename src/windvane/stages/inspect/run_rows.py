"""`windvane inspect RUN --id ID`: all that a run's files hold of one prompt or answer.

In: a run folder, an id (of a prompt, or of an answer; its opening letters do where they are unique). Out: the prompt, its answers with
their probabilities and marks, verdicts, reference log-probs and evaluation, a file at a time.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.runs.store import read_jsonl
from windvane.stages.inspect.display import printable

SKIPPED = ("metrics", "log", "timings")


def inspect_row(run: Path, id: str | None, as_json: bool) -> int:
    """Print what is found; `UserError` where nothing is."""
    if not run.is_dir():
        raise UserError(f"{run}: no such run folder")
    files = [p for p in sorted(run.rglob("*.jsonl")) if p.stem not in SKIPPED and "model" not in p.parts]
    if id is None:
        listed = ", ".join(sorted({p.relative_to(run).as_posix() for p in files})[:12])
        raise UserError(f"{run}: a run's folder; name a row: --id ID (ids stand in {listed or 'no file yet'})")
    plain = re.fullmatch(r"[\w@.:-]+", id, re.ASCII) is not None  # written the same way however JSON is escaped
    named: str = id
    may_be = (lambda line: named in line) if plain else None
    found = [(p.relative_to(run).as_posix(), row) for p in files for _, row in read_jsonl(p, may_be) if _about(row, id)]
    keys = {str(row.get("prompt_id") or row["id"]).partition("@")[0] for _, row in found}
    if not found:
        raise UserError(f"{run}: no row has the id {id}; ids stand in prompts.jsonl, responses.jsonl and groups.jsonl")
    if as_json:
        print(json.dumps([{"file": name, "row": row} for name, row in found], ensure_ascii=False))
        return 0
    prompts = {k for name, row in found if name.endswith(("prompts.jsonl", "heldout.jsonl")) for k in [row["id"]]}
    if len(prompts) > 1 and id not in prompts | keys:
        raise UserError(
            f"{run}: {len(prompts)} prompts begin with {id}: {', '.join(sorted(prompts)[:5])}; give more of it"
        )
    for name, row in found:
        print("\n".join(_told(name, row)))
    return 0


def _about(row: Any, id: str) -> bool:
    if not isinstance(row, dict):
        return False
    return any(isinstance(row.get(k), str) and (row[k] == id or row[k].startswith(id)) for k in ("id", "prompt_id"))


def _told(name: str, row: dict[str, Any]) -> list[str]:
    """A row in a few lines: texts whole, token ids counted."""
    lines = [f"— {name}: {row.get('id', '')}"]
    for key, value in row.items():
        if key in ("id", "prompt_id") or value in (None, [], ""):
            continue
        if key == "token_ids":
            lines.append(f"  {len(value)} tokens")
        elif key == "messages":
            lines += [f"  {m['role']}: {printable(m['content'])}" for m in value]
        elif key == "members":
            lines += [
                f"  answer {m['index']} ({m['response_id']}): p_loo {m['p_loo']:.4f}, p_incl {m['p_incl']:.4f}"
                for m in value
            ]
        elif isinstance(value, str):
            lines.append(f"  {key}: {printable(value)}")
        else:
            told = f"{value:.6g}" if isinstance(value, float) else json.dumps(value, ensure_ascii=False)
            lines.append(f"  {key}: {told}")
    return lines
