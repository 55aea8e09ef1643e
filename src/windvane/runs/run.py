"""One run: a folder that every recipe and verb opens, locks, resumes, finishes and publishes in the same way.

    with Run(settings, out, quiet, begun=["heldout.jsonl"]) as run:
        if run.missing("iter-1/groups.jsonl"):
            run.log("pairing")
            run_pair(run.runner, "iter-1/groups", ...)
        result = run.finish(summary, page=page, model=run / "iter-1/model", card=card)

In: frozen settings, a folder. Out: recipe.toml, the stages' files, then summary.json, the report, model/ and manifest.json, in this order.
What stands is skipped, so the same settings resume a run that was killed at any moment; on a CPU it ends in the same bytes.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Generic, TypeVar

from windvane.core.protocols import Runner
from windvane.core.settings import to_toml
from windvane.runs.local_runner import LocalRunner
from windvane.runs.publish import publish_model
from windvane.runs.settings_file import discard_settings, record_settings, renew_loss, resolved, use_threads
from windvane.runs.store import RunFolder, read_records, write_atomic, write_jsonl

S = TypeVar("S")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RunResult:
    """A finished run. `summary` is what RUN/summary.json holds, `model` is RUN/model where the run publishes one, `folder` is RUN."""

    summary: dict[str, Any]
    model: Path | None
    folder: Path


class Run(Generic[S]):
    """A run's settings (`settings`, resolved), its folder (`folder`) and the runner of its data stages (`runner`).

    `begun`: files, or patterns of files, of which the first row leaves at least one. Until then a failed start binds nobody: its settings
    are removed, together with the files that `stale` names where the settings differ. `prepare` fills in what resolved settings leave to
    the recipe. `recorded` gives what recipe.toml holds, where that is not the settings themselves; `inputs` gives what data.toml holds, the
    digests of the files that are read. `reads_the_loss`: files besides the reference's that are made again when a user's own loss was
    changed before anything was trained. `folder` takes the place of `RunFolder(out)`.

    Entering the run locks the folder. Errors: `UserError` for settings that are wrong, or that differ from the run's, and for a folder that
    another process or verb uses.
    """

    def __init__(
        self,
        settings: S,
        out: str | Path,
        quiet: bool = False,
        *,
        begun: Sequence[str] = (),
        stale: Sequence[str] = (),
        recorded: Callable[[S], S] | None = None,
        prepare: Callable[[S], S] | None = None,
        inputs: Callable[[S], Any] | None = None,
        reads_the_loss: Sequence[str] = (),
        folder: RunFolder | None = None,
    ) -> None:
        self.settings: S = resolved(settings, out)
        if prepare is not None:
            self.settings = prepare(self.settings)
        self.quiet = quiet
        self.folder = folder or RunFolder(out)
        self.runner: Runner = LocalRunner(self.folder, quiet)
        self._begun, self._stale, self._recorded, self._inputs = begun, stale, recorded, inputs
        self._reads_the_loss = reads_the_loss

    @classmethod
    def of_another_rank(cls, settings: S, out: str | Path) -> Run[S]:
        """The same run in another process of one training: it takes no lock and writes nothing."""
        run = cls(settings, out, quiet=True)
        use_threads(run.settings)
        return run

    def __enter__(self) -> Run[S]:
        self.folder.__enter__()
        try:
            self._start()
        except BaseException:
            self.folder.__exit__()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.folder.__exit__()

    def _start(self) -> None:
        recipe, settings = self / "recipe.toml", self.settings
        if self._recorded is not None:
            settings = self._recorded(settings)
        if not any(True for pattern in self._begun for _ in self.path.glob(pattern)):
            same = recipe.exists() and recipe.read_bytes() == to_toml(settings).encode()
            discard_settings(self.folder, settings)
            for name in () if same else self._stale:
                (self / name).unlink(missing_ok=True)
        renew_loss(self.folder, settings, self._reads_the_loss)
        record_settings(recipe, settings)
        if self._inputs is not None:
            record_settings(self / "data.toml", self._inputs(self.settings))
        self._reopen_if_files_are_missing()
        use_threads(self.settings)

    def _reopen_if_files_are_missing(self) -> None:
        """A finished run that lost a file is no longer finished: what is missing is made again."""
        manifest = self / "manifest.json"
        if not manifest.exists():
            return
        listed = json.loads(manifest.read_text(encoding="utf-8"))
        missing = [name for name in listed if not (self / name).exists()]
        for name in missing:
            folder = (self / name).parent
            if "model" in Path(name).parts[:-1] and folder.exists():
                shutil.rmtree(folder)
        if missing:
            manifest.unlink()
            self.folder.event("made again: files that the manifest names were missing", files=missing)

    @property
    def path(self) -> Path:
        return self.folder.path

    def __truediv__(self, name: str) -> Path:
        return self.folder / name

    @property
    def finished(self) -> bool:
        """Whether everything stands, the manifest included."""
        return self.folder.finished("manifest.json")

    def missing(self, name: str) -> bool:
        """Whether the file or folder `name` is still to be made: a stage begins by asking so."""
        return not self.folder.finished(name)

    def read(self, name: str, record: type[T]) -> list[T]:
        """The records of a finished stage's file `name`."""
        return read_records(self / name, record)

    def write(self, name: str, rows: Iterable[Any]) -> None:
        """Publish `rows` as the file `name`, a row a line in the order given."""
        write_jsonl(self / name, rows)

    def log(self, line: str, always: bool = False) -> None:
        """A line that the user should see: in log.jsonl, and on standard error unless the run is quiet (`always`: even then)."""
        self.folder.event(line)
        if always or not self.quiet:
            print(f"windvane: {line}", file=sys.stderr)

    def finish(
        self,
        summary: Callable[[], dict[str, Any]],
        *,
        page: Callable[[], object] | None = None,
        model: Path | Callable[[Path], None] | None = None,
        card: Callable[[], str] | None = None,
        ensure_ascii: bool = True,
    ) -> RunResult:
        """Write summary.json, then let `page` write the report, then publish `model` (a folder, or what fills one) as RUN/model with
        `card` as its README.md, then write manifest.json. Each of them is called once all before it stands, and none where the run is
        finished already."""
        if not self.finished:
            self.folder.status("report", 0, 1)
            text = json.dumps(summary(), indent=1, allow_nan=False, ensure_ascii=ensure_ascii)
            write_atomic(self / "summary.json", text + "\n")
            if page is not None:
                page()
            if model is not None:
                assert card is not None, "a model is published with its card"
                publish_model(model, self / "model", card())
            self.folder.write_manifest()
        self.folder.status("done", 1, 1)
        return self.result()

    def result(self) -> RunResult:
        """What a finished run holds."""
        held = json.loads((self / "summary.json").read_text(encoding="utf-8"))
        return RunResult(held, self / "model" if self.folder.finished("model") else None, self.path)
