"""The command line. Nothing heavy is imported before the verb is known."""

from __future__ import annotations

import importlib
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial

from windvane.cli.verbs import OVERVIEW, VERBS
from windvane.core.errors import UserError
from windvane.core.interrupts import Interrupts, hang_up, how_to_go_on, to_nowhere
from windvane.toy.register import register


def usage() -> str:
    width = max(len(name) for name, _ in OVERVIEW)
    return "\n".join(
        [
            "usage: windvane COMMAND [options]",
            "",
            *(f"  {name:{width}}  {text}" for name, text in OVERVIEW),
            "",
            "Use `windvane COMMAND --help` for the options of a command. Every run can be killed at any",
            "moment; the same command continues it.",
        ]
    )


def group(first: str) -> list[str]:
    """The two-word verbs that begin with `first`."""
    return [verb for verb in VERBS if verb.split()[0] == first and " " in verb]


def group_usage(first: str) -> str:
    width = max(len(verb) for verb in group(first))
    return "\n".join(f"{verb:{width}}  {VERBS[verb][1]}" for verb in group(first))


def find(argv: Sequence[str]) -> tuple[str, list[str]]:
    """The verb at the head of `argv` (one or two words) and the rest."""
    for words in (2, 1):
        verb = " ".join(argv[:words])
        if verb in VERBS:
            return verb, list(argv[words:])
    second = [verb.split()[1] for verb in group(argv[0])]
    if second and len(argv) == 1:
        raise UserError(f"{argv[0]}: name one of {', '.join(second)}")
    if second:
        raise UserError(f"no command '{' '.join(argv[:2])}'; after {argv[0]} comes one of {', '.join(second)}")
    first = dict.fromkeys(verb.split()[0] for verb in VERBS)
    raise UserError(f"no command '{argv[0]}'; there are {', '.join(first)}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run the verb that `argv` (by default the process's arguments) names; see `guarded` for the exit codes."""
    argv = list(sys.argv[1:] if argv is None else argv)
    return guarded(partial(_run, argv), ["windvane", *argv])


def guarded(work: Callable[[], int], command: Sequence[str]) -> int:
    """Call `work` with the program's manners and return its exit code.

    The code is 0 when it is done, or when nobody reads its output any more; 2 for what the user can correct (one line on standard error
    says what); 130 when interrupted and 143 when terminated, with a line that repeats `command`, which continues the work.
    """
    register()
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    warnings.showwarning = _one_line
    interrupts = Interrupts(partial(how_to_go_on, command))
    try:
        with interrupts.heard():
            try:
                code = work()
            except KeyboardInterrupt:
                code = interrupts.tell()
            except UserError as error:
                _say(f"windvane: {error}")
                code = 2
    except BrokenPipeError as error:
        code = 0 if hang_up() else _failed(error)
    except OSError as error:
        code = _failed(error)
    return _written() or code


def _run(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help", "help"):
        print(usage())
        return 0
    if argv[0] in ("-V", "--version"):
        from importlib.metadata import version

        print(f"windvane {version('windvane')}")
        return 0
    if len(argv) == 2 and argv[1] in ("-h", "--help") and argv[0] not in VERBS and group(argv[0]):
        print(group_usage(argv[0]))
        return 0
    verb, rest = find(argv)
    work = partial(_called, VERBS[verb][0], rest)
    try:
        if os.environ.get("WORLD_SIZE", "1") == "1":
            return work()
        # Under torchrun the first process runs the verb, and the others train with it.
        return int(importlib.import_module("windvane.train.processes").lead(work))
    except SystemExit as stop:
        if stop.code or not {"-h", "--help"} & set(rest):
            raise UserError(f"{verb}: a library called exit({stop.code!r}), so the command did not finish") from None
        return 0
    except Exception as error:
        if type(error).__name__ == "SafetensorError":  # weights that safetensors could not read or write (a full disk)
            raise UserError(f"weights could not be read or written: {error}") from None
        raise


def _called(where: str, rest: list[str]) -> int:
    module, _, function = where.partition(":")
    return getattr(importlib.import_module(module), function)(rest) or 0


def _failed(error: OSError) -> int:
    """A file that could not be read or written, a full disk, a connection that was cut: one line."""
    place = f"{error.filename}: " if error.filename else ""
    _say(f"windvane: {place}{error.strerror or error}")
    return 2


def _say(text: str) -> None:
    """A line on standard error. Where nobody reads it any more, the exit code alone says that something is wrong."""
    try:
        print(text, file=sys.stderr, flush=True)
    except BrokenPipeError:
        hang_up()


def _written() -> int:
    """Write out what is still in the buffer, while its errors can be handled; 2 where there is no room for it."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        hang_up()  # all that was asked for was done, and a code that is not 0 still stands
    except OSError as error:
        to_nowhere(sys.stdout)
        return _failed(OSError(error.errno, error.strerror, "standard output"))
    return 0


def _one_line(message: Warning | str, category: type[Warning], *_: object, **__: object) -> None:
    """A warning as one line, its place left out; those for the programmers of libraries are not shown."""
    if not issubclass(category, (DeprecationWarning, FutureWarning)):
        print(f"windvane: note: {' '.join(str(message).split())[:300]}", file=sys.stderr)
