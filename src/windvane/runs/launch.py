"""From a command line to a run: tyro overrides leaves of a recipe's settings; a wrong argument is one line.

In: the settings class (or a default instance of it), the argument list. Out: the recipe's `run(settings, out, quiet)` called.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, make_dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import tyro

from windvane.core.errors import UserError
from windvane.core.settings import from_toml
from windvane.runs.tracking import tracking


@dataclass(frozen=True, slots=True)
class Preset:
    """`told`: one line with the source; `values`: dotted setting -> value."""

    told: str
    values: Mapping[str, Any]


def parse(cls: Any, argv: Sequence[str], prog: str, description: str) -> Any:
    """`cls` (a dataclass) from `argv`; --help prints and exits 0, anything wrong is a one-line UserError."""
    told = io.StringIO()
    try:
        with contextlib.redirect_stderr(told):
            return tyro.cli(cls, args=list(argv), prog=prog, description=description)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        text = re.sub(r"[^\x20-\x7e]+|-{5,}", " ", told.getvalue())
        named = list(dict.fromkeys(re.findall(r"--[a-z][a-z.-]*", text.replace("--help", ""))))
        unknown = [n for n in named if any(w == n or w.startswith(f"{n}=") for w in argv)]
        if "nrecognized" in text and unknown:
            text = f"not known: {', '.join(unknown)}"
        elif "Required options" in text:
            text = f"missing: {', '.join(named)}"
        text = re.sub(
            r"Value error|Invalid choice(?= invalid)|Error parsing (settings[\w.]*:)?|Argument helptext:.*", " ", text
        )
        text = re.sub(r"\s*(Parsing error|For full helptext.*|Full subcommand.*)\s*", " ", text)
        raise UserError(f"{' '.join(text.split())[:400]} (see {prog} --help)") from None


def launch(
    cls: Any,
    run: Callable[[Any, str, bool], object],
    argv: Sequence[str],
    prog: str,
    description: str | None,
    default: Any = None,
    out: str | None = None,
    presets: Mapping[str, Preset] | None = None,
) -> int:
    """Parse `argv` over `default` (None: the class's own defaults, its required fields asked for) and run."""
    given, rest = taken(argv, "--recipe")
    if given is not None:
        default = from_toml(cls, Path(given))
    told = f"{description or ''}\n\n--recipe FILE starts from the settings of another run's recipe.toml."
    if presets:
        default, rest = with_presets(cls, default, rest, presets)
        lines = "\n".join(f"  {name}: {preset.told}" for name, preset in presets.items())
        told += f"\n\n--preset NAME (more than one may be given) starts from:\n\n{lines}"
    where = "The run folder; the same command goes on with what is there."
    track = "Training's metrics also go to tensorboard, trackio or wandb, where installed."
    fields: list[Any] = [
        ("settings", Annotated[cls, tyro.conf.arg(name="")]),
        ("out", Annotated[str, tyro.conf.arg(help=where)]),
        ("quiet", Annotated[bool, tyro.conf.arg(help="No progress bars.")], field(default=False)),
        ("track", Annotated[str | None, tyro.conf.arg(help=track)], field(default=None)),
    ]
    for i, start in ((0, default), (1, out)):
        if start is not None:
            fields[i] = (*fields[i], field(default=start))
    made = parse(
        make_dataclass("Command", fields, kw_only=True),
        rest,
        prog,
        told,
    )
    if not made.out.strip():
        raise UserError("--out: is empty; name the run's folder")
    with tracking(made.track, Path(made.out)):
        run(made.settings, made.out, made.quiet)
    return 0


def with_presets(cls: Any, default: Any, argv: Sequence[str], presets: Mapping[str, Preset]) -> tuple[Any, list[str]]:
    """`default` (None: what `cls` has, required fields still to be given) under every `--preset` of `argv`, and the other arguments."""
    name, rest = taken(argv, "--preset")
    while name is not None:
        if name not in presets:
            raise UserError(f"--preset {name}: there are {', '.join(presets)}")
        if default is None:
            required = [
                f.name
                for f in dataclasses.fields(cls)
                if f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING
            ]
            default = cls(**dict.fromkeys(required, tyro.MISSING))
        for path, value in presets[name].values.items():
            default = changed(default, path.split("."), value)
        name, rest = taken(rest, "--preset")
    return default, rest


def changed(settings: Any, path: Sequence[str], value: Any) -> Any:
    """The same settings with one leaf replaced."""
    inner = changed(getattr(settings, path[0]), path[1:], value) if len(path) > 1 else value
    return replace(settings, **{path[0]: inner})


def taken(argv: Sequence[str], flag: str) -> tuple[str | None, list[str]]:
    """The value of `flag` and the other arguments."""
    rest = list(argv)
    for i, word in enumerate(rest):
        if word == flag or word.startswith(f"{flag}="):
            value = word[len(flag) + 1 :] if "=" in word else rest[i + 1] if i + 1 < len(rest) else ""
            if not value:
                raise UserError(f"{flag}: give a {'file' if flag == '--recipe' else 'name'}")
            return value, rest[:i] + rest[i + (1 if "=" in word else 2) :]
    return None, rest
