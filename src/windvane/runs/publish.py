"""A finished stage's files under a run's own names: RUN/model with its card, or another run's data.

In: a file, or a model's folder. Out: the same bytes, linked where the file system can and copied elsewhere. An adapter that names its base
relatively names it from the new folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from windvane.runs.store import published

ADAPTER_CONFIG = "adapter_config.json"  # PEFT's


def publish_model(source: Path | Callable[[Path], None], final: Path, card: str) -> None:
    """The model in the folder `source`, or the one that `source` writes into a folder, as `final`, with `card` as its README.md."""
    with published(final) as aside:
        if callable(source):
            source(aside)
        else:
            for file in sorted(source.iterdir()):
                if file.name == ADAPTER_CONFIG:
                    (aside / file.name).write_text(moved_adapter(file, final), encoding="utf-8")
                elif file.name != "README.md":
                    link_file(file, aside / file.name)
        (aside / "README.md").unlink(missing_ok=True)  # it may be linked, so it is not written over
        (aside / "README.md").write_text(card, encoding="utf-8")


def link_file(source: Path, target: Path) -> None:
    """The same bytes under another name; a copy where that cannot be. What is there already stays."""
    if target.exists():
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f"{target.name}.tmp")
    aside.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        os.link(source, aside)
    if not aside.exists():
        shutil.copyfile(source, aside)
    aside.replace(target)


def moved_adapter(config: Path, folder: Path) -> str:
    """An adapter's config for another folder: a base named relatively is named from there."""
    held = json.loads(config.read_text(encoding="utf-8"))
    base = config.parent / held["base_model_name_or_path"]
    if base.is_dir():
        held["base_model_name_or_path"] = Path(os.path.relpath(base.resolve(), folder.resolve())).as_posix()
    return json.dumps(held, indent=2, sort_keys=True) + "\n"
