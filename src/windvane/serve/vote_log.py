"""A file that people's words go to: one JSON line each, on disk before the answer says so.

In: rows as plain data. Out: the file, readable as JSON lines at any moment. Each line is fsynced; a last line that a kill tore is cut on
opening (it was never acknowledged); any other broken line is a `UserError` naming it. A write that fails, on a full disk say, is taken
back whole. One process holds the folder at a time.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from windvane.core.errors import UserError
from windvane.core.schema import dumps

Row = dict[str, Any]


def hold(folder: Path) -> FileLock:
    """The folder, made where it is not there, for this process alone until the lock is released."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "serve.lock")
        lock.acquire(timeout=0)
        return lock
    except Timeout:
        raise UserError(
            f"{folder}: another windvane serve works with it; stop that one or give another --data"
        ) from None
    except OSError as error:
        raise UserError(f"{folder}: cannot write there ({error.strerror}); give another --data") from None


class Ledger:
    """`rows`: what stands in the file. May be called from several threads."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self.rows: list[Row] = []
        self._lock = threading.Lock()
        data = path.read_bytes() if path.exists() else b""
        good = 0
        for number, line in enumerate(data.splitlines(keepends=True), 1):
            row = _parsed(line)
            if row is None and good + len(line) == len(data):
                break  # torn
            if row is None:
                raise UserError(
                    f"{path}: row {number}: not a JSON object on a line of its own; mend or remove the line"
                )
            self.rows.append(row)
            good += len(line)
        self._file = path.open("ab", buffering=0)
        if good != len(data):
            self._file.truncate(good)

    def add(self, row: Row, unless: Callable[[list[Row]], str | None] | None = None) -> str | None:
        """Append, durably. `unless(rows)` may refuse: its reason comes back and nothing is written."""
        line = dumps(row).encode() + b"\n"
        with self._lock:
            reason = unless(self.rows) if unless else None
            if reason is not None:
                return reason
            before = os.fstat(self._file.fileno()).st_size
            try:
                left = memoryview(line)
                while left:
                    left = left[self._file.write(left) :]
                os.fsync(self._file.fileno())
            except OSError:
                self._file.truncate(before)
                raise
            self.rows.append(row)
        return None

    def close(self) -> None:
        self._file.close()


def _parsed(line: bytes) -> Row | None:
    try:
        row = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        return None
    return row if isinstance(row, dict) else None
