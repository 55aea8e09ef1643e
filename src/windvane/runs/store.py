"""The run folder: where every arrow of the flow is a file that survives a kill at any moment.

A data stage appends to `NAME.journal`, one line a finished unit of work: checksum, tab, JSON {"unit": key, "rows": [...]}. The line
is fsynced, so a unit is either wholly there or redone; a torn last line is cut on opening. When every unit is there the rows are
sorted by id, written aside, fsynced and renamed to `NAME.jsonl`; the journal is removed. A folder (a model, a checkpoint) is filled
aside and published by one rename. `manifest.json` maps every finished file to its SHA-256.

Departure from the plan of one record a line: a line is one unit (a batch of fixed membership), because a batch is what is redone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import IO, Any, TypeVar

from filelock import FileLock, Timeout

from windvane.core.errors import UserError
from windvane.core.interrupts import OPENED
from windvane.core.schema import decode, dumps

T = TypeVar("T")

LISTENERS: list[
    Callable[[str, dict[str, Any]], None]
] = []  # called with each event of log.jsonl, as a tracker is (--track)
PULSE = 600.0  # seconds
NOT_LISTED = frozenset({"manifest.json", "run.lock", "status.json", "timings.jsonl", "log.jsonl"})


@cache
def package_version() -> str:
    """The installed version of this package."""
    try:
        return version("windvane")
    except PackageNotFoundError:  # run from a checkout that was never installed
        return "unknown"


def fsync_folder(folder: Path) -> None:
    """Make a rename in `folder` durable (a no-op where folders cannot be opened, as on Windows)."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def named(path: Path) -> Iterator[None]:
    """A write that fails (a full disk) says to which file: the system's error does not."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or str(path)
        raise
    except Exception as error:
        if type(error).__name__ != "SafetensorError":  # not imported here: it takes torch along
            raise
        raise UserError(f"{path}: weights cannot be written there ({error}); make room or use another --out") from None


def write_atomic(path: Path, text: str) -> None:
    """Write aside, fsync, rename: a reader sees the old file or the new one, never half of it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(path.name + ".tmp")
    try:
        with named(path), aside.open("w", encoding="utf-8", newline="\n") as handle:
            handle.write(text)
            handle.flush()
            os.fsync(handle.fileno())
    except BaseException:  # a full disk, Ctrl-C
        aside.unlink(missing_ok=True)
        raise
    aside.replace(path)
    fsync_folder(path.parent)


def write_new(path: Path, text: str, redrawn: str | None = None) -> None:
    """`write_atomic` of a file that a user named: what stands there is never lost. The same text is left as it is; a page or picture is
    drawn again over an earlier one, told by `redrawn` in its head; anything else is a `UserError`."""
    if path.exists():
        held = path.read_bytes() if path.is_file() else None
        if held == text.encode():
            return
        if held is None or redrawn is None or redrawn.encode() not in held[:4096]:
            raise UserError(f"{path}: is there already, and is something else; name a new file or remove it")
    write_atomic(path, text)


def write_jsonl(path: Path, rows: Iterable[Any]) -> None:
    """`write_atomic` of a row a line, in the order given."""
    write_atomic(path, "".join(dumps(row) + "\n" for row in rows))


def publish_folder(aside: Path, final: Path) -> None:
    """Fsync every file under `aside` and rename the folder to `final`, which must not exist or is replaced."""
    for file in sorted(p for p in aside.rglob("*") if p.is_file()):
        with file.open("rb+") as handle:
            os.fsync(handle.fileno())
    fsync_folder(aside)
    old = final.with_name(final.name + ".old")
    shutil.rmtree(old, ignore_errors=True)  # a kill between the renames below leaves one
    if final.exists():
        final.rename(old)
        aside.rename(final)
        shutil.rmtree(old)
    else:
        aside.rename(final)
    fsync_folder(final.parent)


@contextlib.contextmanager
def published(final: Path) -> Iterator[Path]:
    """An empty folder to be filled; when the block ends it takes the place of `final` by one rename. What a kill left there goes."""
    aside = final.with_name(final.name + ".tmp")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    yield aside
    publish_folder(aside, final)


def read_jsonl(path: Path, wanted: Callable[[str], bool] | None = None) -> Iterator[tuple[int, Any]]:
    """(line number, value) of each non-blank line; a broken line is a `UserError` naming file and line. Lines that are not `wanted`
    are passed over unread, for who looks for a few rows in gigabytes."""
    with path.open("rb") as handle:
        for number, data in enumerate(handle, 1):
            try:
                line = data.decode("utf-8")
                if not line.strip() or (wanted is not None and not wanted(line)):
                    continue
                value = json.loads(line)
            except json.JSONDecodeError as error:
                raise UserError(f"{path}: row {number}: not valid JSON ({error.msg} at column {error.colno})") from None
            except UnicodeDecodeError as error:
                place = f"byte 0x{data[error.start]:02x} at offset {error.start}"
                raise UserError(f"{path}: row {number}: not UTF-8 ({place}); save the file as UTF-8") from None
            except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
                raise UserError(f"{path}: row {number}: not valid JSON ({str(error)[:120]}); mend it") from None
            yield number, value


def read_records(path: Path, cls: type[T]) -> list[T]:
    """Every record of a finished stage."""
    return [decode(cls, value, f"{path}: row {number}") for number, value in read_jsonl(path)]


def file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        while block := handle.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


class Journal:
    """The growing half of a stage: `done` holds the keys of finished units."""

    def __init__(self, final: Path) -> None:
        self.final = final
        self.path = final.with_suffix(".journal")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.done: set[str] = set()
        OPENED.append(self.path)
        good = 0
        if self.path.exists():
            data = self.path.read_bytes()
            for line in data.splitlines(keepends=True):
                unit = self._check(line)
                if unit is None:
                    break
                self.done.add(unit["unit"])
                good += len(line)
        self._file: IO[bytes] = self.path.open("ab")
        if self._file.tell() != good:
            self._file.truncate(good)
            self._file.seek(good)

    @staticmethod
    def _check(line: bytes) -> Any:
        checksum, tab, text = line.rstrip(b"\n").partition(b"\t")
        if not (tab and line.endswith(b"\n")) or checksum != b"%08x" % zlib.crc32(text):
            return None
        return json.loads(text)

    def add(self, unit: str, rows: Iterable[Any]) -> None:
        """Append one finished unit, durably."""
        text = dumps({"unit": unit, "rows": list(rows)}).encode()
        with named(self.path):
            self._file.write(b"%08x\t%s\n" % (zlib.crc32(text), text))
            self._file.flush()
            os.fsync(self._file.fileno())
        self.done.add(unit)

    def close(self) -> None:
        self._file.close()

    def finish(self, units: Sequence[str]) -> None:
        """Sort all rows by id, rename into place, remove the journal. Rows of units that are no longer asked for are left out."""
        self.close()
        wanted, rows, seen = set(units), {}, set()
        for line in self.path.read_bytes().splitlines(keepends=True):
            unit = self._check(line)
            if unit is None or unit["unit"] not in wanted or unit["unit"] in seen:
                continue
            seen.add(unit["unit"])
            rows.update({row["id"]: row for row in unit["rows"]})
        assert seen == wanted, f"{self.path}: {len(wanted - seen)} units missing"
        write_jsonl(self.final, (rows[key] for key in sorted(rows)))
        self.path.unlink()


class RunFolder:
    """One run's folder, held by one process at a time: `with RunFolder(path) as run`."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._lock: FileLock | None = None
        self._stage: tuple[str, float, int] | None = None
        self.pulse: float | None = None  # seconds between lines where no bar can be seen: in a log file
        self._beat = time.time()

    def __enter__(self) -> RunFolder:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(self.path / "run.lock")
            self._lock.acquire(timeout=0)
        except Timeout:
            raise UserError(
                f"{self.path}: another process is working on this run; wait for it or use another --out"
            ) from None
        except OSError as error:
            raise UserError(f"{self.path}: cannot write there ({error.strerror}); choose another --out") from None
        OPENED.append(self.path)
        return self

    def __exit__(self, *_: object) -> None:
        if self._lock is not None:
            self._lock.release()

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def finished(self, name: str) -> bool:
        """Whether the file or folder `name` was published."""
        return (self.path / name).exists()

    def status(self, stage: str, done: int, total: int) -> None:
        """What is going on now, for whoever watches (`windvane status`): not part of the manifest. "since" and "from" are when this
        process began the stage, and how much of it stood then; "argv" and "folder" say how to go on; "version" is this package's."""
        now = time.time()
        if self._stage is None or self._stage[0] != stage:
            self._stage = (stage, now, done if total else -1)
        elif self._stage[2] < 0:  # it began before it was known how much stood: the first unit says
            self._stage = (stage, self._stage[1], max(0, done - 1))
        record = {"stage": stage, "done": done, "total": total, "pid": os.getpid(), "time": now}
        record |= {
            "since": self._stage[1],
            "from": max(0, self._stage[2]),
            "argv": sys.argv[1:],
            "folder": str(Path.cwd()),
            "version": package_version(),
        }
        aside = self.path / "status.json.tmp"
        with named(aside):
            aside.write_text(dumps(record))
        aside.replace(self.path / "status.json")
        if self.pulse is not None and now - self._beat >= self.pulse and not sys.stderr.isatty():
            self._beat = now
            print(f"windvane: {stage}: {done} of {total}{self._pace(done, total, now)}", file=sys.stderr, flush=True)

    def _pace(self, done: int, total: int, now: float) -> str:
        assert self._stage is not None
        _, since, start = self._stage
        rate = (done - start) / max(now - since, 1e-9)
        return f", {rate:.2g} a second, {(total - done) / rate / 60:.0f} min left" if rate else ""

    def timing(self, stage: str, seconds: float, cpu_seconds: float, units: int) -> None:
        """Append what a stage cost in this process; a resumed stage has several lines."""
        self._append("timings.jsonl", {"stage": stage, "seconds": seconds, "cpu_seconds": cpu_seconds, "units": units})

    def event(self, text: str, **fields: Any) -> None:
        """Append one event to log.jsonl, and hand it to the listeners."""
        self._append("log.jsonl", {"time": time.time(), "text": text, **fields})
        for listener in LISTENERS:
            listener(text, fields)

    def tell(self, text: str, quiet: bool = False) -> None:
        """A line that the user should see: in log.jsonl, and on standard error unless `quiet`."""
        self.event(text)
        if not quiet:
            print(f"windvane: {text}", file=sys.stderr)

    def _append(self, name: str, record: dict[str, Any]) -> None:
        with named(self.path / name), (self.path / name).open("a", encoding="utf-8") as handle:
            handle.write(dumps(record) + "\n")

    def write_manifest(self) -> dict[str, str]:
        """Hash every file of the run but itself, the lock and what differs from run to run."""
        leftovers = (".tmp", ".journal")
        files = sorted(p for p in self.path.rglob("*") if p.is_file() and p.suffix not in leftovers)
        kept = [p for p in files if p.name not in NOT_LISTED and p.relative_to(self.path).parts[0] != "logs"]
        listing = {p.relative_to(self.path).as_posix(): file_sha256(p) for p in kept}
        write_atomic(self.path / "manifest.json", json.dumps(listing, indent=1) + "\n")
        return listing
