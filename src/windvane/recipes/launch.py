"""From a command line to a run: tyro overrides leaves of a recipe's settings; a wrong argument is one line.

In: the settings class (or a default instance of it), the argument list. Out: the recipe's `run(settings, out, quiet)` called.
"""

from __future__ import annotations

import contextlib
import io
import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from windvane.errors import UserError


def parse(cls: Any, argv: Sequence[str], prog: str, description: str, default: Any = None) -> Any:
    """`cls` (a dataclass) from `argv`; --help prints and exits 0, anything wrong is a one-line UserError."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            given = {} if default is None else {"default": default}
            return tyro.cli(cls, args=list(argv), prog=prog, description=description, **given)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        text = re.sub(r"[^\x20-\x7e]+", " ", told.getvalue())
        text = re.sub(r"\s*(Parsing error|For full helptext.*|Full subcommand.*)\s*", " ", text)
        raise UserError(f"{' '.join(text.split())[:400]} (see {prog} --help)") from None


def launch(
    cls: Any,
    run: Callable[[Any, str, bool], None],
    argv: Sequence[str],
    prog: str,
    description: str | None,
    default: Any = None,
    out: str | None = None,
) -> int:
    """Parse `argv` over `default` (None: the class's own defaults, its required fields asked for) and run."""
    place = tyro.MISSING if out is None else out

    @dataclass(frozen=True)
    class Command:
        settings: Annotated[cls, tyro.conf.arg(name="")]  # type: ignore[valid-type]
        out: str
        """The run folder; the same command goes on with what is there."""
        quiet: bool = False
        """No progress bars."""

    start = Command(settings=tyro.MISSING if default is None else default, out=place)
    made = parse(Command, argv, prog, description or "", start)
    run(keep_threads(made.settings, Path(made.out)), made.out, made.quiet)
    return 0


def keep_threads(settings: Any, out: Path) -> Any:
    """Fill in the thread count: what the run was started with, or what PyTorch takes here (it moves the last bits)."""
    if settings.threads is not None:
        return settings
    recipe = out / "recipe.toml"
    if recipe.exists():
        with contextlib.suppress(tomllib.TOMLDecodeError):
            return replace(settings, threads=tomllib.loads(recipe.read_text(encoding="utf-8")).get("threads"))
    import torch

    return replace(settings, threads=torch.get_num_threads())
