"""Which files a run was started from: when the same command is given again they must be the same.

In: a file or folder. Out: `Source`, kept as data.toml beside recipe.toml. A hub data set is not hashed; its cache is Hugging Face's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from windvane.runs.store import file_sha256


@dataclass(frozen=True, slots=True)
class Source:
    """SHA-256 of the data's files by their names."""

    files: dict[str, str]


def source_files(data: str | Path) -> dict[str, str]:
    """Name -> SHA-256 of a file, or of a folder's files of rows."""
    path = Path(data)
    if path.is_file():
        return {path.name: file_sha256(path)}
    found = sorted(p for p in path.rglob("*") if p.suffix in (".jsonl", ".parquet", ".arrow")) if path.is_dir() else []
    aside = ("log.jsonl", "timings.jsonl")  # they differ from run to run
    return {p.relative_to(path).as_posix(): file_sha256(p) for p in found if p.name not in aside}
