"""The fingerprints of a test set, from its published file, for `fingerprints`.

    python -m windvane.datasets.fingerprint_writer question.jsonl --name MT-Bench --field turns --note "..." --out mt_bench.txt

In: JSON lines, or a list in a JSON file, and the field that holds the prompt (a text, or the turns of one: each is a prompt of its own).
Out: the file that test_sets/ ships: a line of name, note, count and the SHA-256 of the file that was read, then fingerprints; no text.
"""

from __future__ import annotations

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.datasets.fingerprints import lines
from windvane.run.store import file_sha256, read_jsonl, write_atomic

COLUMNS = "# row, words of a run, SHA-256 of the whole (64 bits), then SHA-256:CRC-32 of up to three runs (see datasets/fingerprints.py)"


def prompts_of(path: Path, field: str) -> list[str]:
    """The set's prompts in the file's order. `UserError` names the row that has none."""
    if path.suffix == ".json":
        rows: list[tuple[int, Any]] = list(enumerate(json.loads(path.read_text(encoding="utf-8")), 1))
    else:
        rows = list(read_jsonl(path))
    found: list[str] = []
    for number, row in rows:
        value = row.get(field) if isinstance(row, dict) else None
        texts = [value] if isinstance(value, str) else value
        if not isinstance(texts, list) or not texts or not all(isinstance(t, str) and t.strip() for t in texts):
            raise UserError(f"{path}: row {number}: field '{field}' is no text and no list of texts; name it: --field")
        found += texts
    return found


def written(path: Path, field: str, name: str, note: str) -> str:
    """The text of the set's file."""
    prompts = prompts_of(path, field)
    head = f"# {name}: fingerprints of {len(prompts)} prompts, {note}; source SHA-256 {file_sha256(path)}; no text"
    return "\n".join([head, COLUMNS, *lines(prompts)]) + "\n"


def main() -> None:
    parser = ArgumentParser(
        prog="python -m windvane.datasets.fingerprint_writer", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("file", type=Path)
    parser.add_argument("--name", required=True, help="what `windvane inspect` calls the set")
    parser.add_argument("--field", default="prompt")
    parser.add_argument("--note", required=True, help="whose, under which licence, from which release")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    write_atomic(given.out, written(given.file, given.field, given.name, given.note))


if __name__ == "__main__":
    main()
