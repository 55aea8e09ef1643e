"""Ctrl-C, and SIGTERM, which a cluster's scheduler sends before it kills: the verb ends, and one line says how to go on.

In: the command's words. Out: exit code 130 after Ctrl-C, 143 after SIGTERM, as shells count. The first signal is a `KeyboardInterrupt`
wherever the verb is: answers that a server was asked for are still taken in, locks let go. A second one ends the process at once; what
stands on disk is then as good as after a kill.

A pipe whose reader has gone (`windvane eval list | head -1`) ends the verb, too, without a word and with exit code 0: `hang_up`.
"""

from __future__ import annotations

import os
import select
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TextIO

OPENED: list[Path] = []  # run folders and journals of this process, from which an interrupted command is resumed


class Interrupts:
    """Hears the signals while a verb runs. `line` says how to go on; `said`: it was printed already."""

    def __init__(self, line: Callable[[], str]) -> None:
        self.line, self.said, self.code = line, False, 130
        self._heard = False

    @contextmanager
    def heard(self) -> Iterator[None]:
        """Within it this object is the handler, where nobody else (a debugger, nohup) has set one; only a main thread can set one."""
        before: dict[int, Any] = {}
        if threading.current_thread() is threading.main_thread():
            usual = {signal.SIGINT: signal.default_int_handler, signal.SIGTERM: signal.SIG_DFL}
            before = {number: kept for number, kept in usual.items() if signal.getsignal(number) is kept}
            for number in before:
                signal.signal(number, self._hear)
        try:
            yield
        finally:
            for number, kept in before.items():
                if not self._heard and signal.getsignal(number) == self._hear:
                    signal.signal(number, kept)

    def _hear(self, number: int, _: object) -> None:
        if self._heard:
            self.tell()
            os._exit(self.code)
        self._heard, self.code = True, 128 + number
        raise KeyboardInterrupt

    def tell(self) -> int:
        """Print the line once (of several processes under torchrun the first one does) and give the exit code."""
        alone = os.environ.get("WORLD_SIZE", "1") == "1"
        if not self.said and (alone or os.environ.get("RANK", "0") == "0"):
            self.said = True
            print(f"\r{self.line()}" if sys.stderr.isatty() else self.line(), file=sys.stderr, flush=True)
        return self.code


def how_to_go_on(words: Sequence[str]) -> str:
    """The very command, given as its words, and whether anything was kept: a run folder or a journal that this process opened."""
    command = shlex.join(words)
    if os.environ.get("WORLD_SIZE", "1") != "1":
        command = "the torchrun command that started it"
    return (
        f"windvane: interrupted; what is finished is kept, go on with: {command}"
        if OPENED
        else f"windvane: interrupted before anything was kept; begin again with: {command}"
    )


def hang_up() -> bool:
    """Whether standard output or error is a pipe that nobody reads any more. From here on such a stream goes nowhere, so that what is left
    in its buffer is not written at the interpreter's end, which would be told as an ignored exception."""
    gone = [stream for stream in (sys.stdout, sys.stderr) if _unread(stream)]
    for stream in gone:
        to_nowhere(stream)
    return bool(gone)


def to_nowhere(stream: TextIO) -> None:
    """Let what is still written to `stream` vanish."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def _unread(stream: TextIO | None) -> bool:
    try:
        number = stream.fileno() if stream is not None else -1
    except (OSError, ValueError):  # not a file: a test's, a notebook's
        return False
    if number < 0:
        return False
    if not hasattr(select, "poll"):  # Windows, where only the write itself can tell
        return True
    poll = select.poll()
    poll.register(number, 0)
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))
