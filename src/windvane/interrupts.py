"""Ctrl-C, and SIGTERM, which a cluster's scheduler sends before it kills: the verb ends, and one line says how to go on.

In: the command's words. Out: exit code 130 after Ctrl-C, 143 after SIGTERM, as shells count. The first signal is a `KeyboardInterrupt`
wherever the verb is: answers that a server was asked for are still taken in, locks let go. A second one ends the process at once; what
stands on disk is then as good as after a kill.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any


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


def how_to_go_on(argv: Sequence[str]) -> str:
    """The very command, and whether anything was kept: a run folder or a journal that this process opened."""
    store = sys.modules.get("windvane.store")
    kept = getattr(store, "OPENED", None)
    command = f"windvane {shlex.join(argv)}"
    if os.environ.get("WORLD_SIZE", "1") != "1":
        command = "the torchrun command that started it"
    return (
        f"windvane: interrupted; what is finished is kept, go on with: {command}"
        if kept
        else f"windvane: interrupted before anything was kept; begin again with: {command}"
    )
