"""Many calls to one server: bounded concurrency, retries, journal and budget around `http_client`.

In: calls. Out: for each an `Answer` or `Failed`, in the order asked. An answer is journaled by the thread that received it. A row is
given up after `Server.retries` further attempts (or at once where the server says that the row itself is wrong); an account, an address
or a server that is wrong for every row stops all with one line, after the calls under way have been received and kept (an interrupt
waits for them too: they may have been paid for).

Waits between attempts: the server's Retry-After where it is longer, else backoff_seconds * 2^n, each times a random factor in [0.5, 1].
"""

from __future__ import annotations

import random
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path

from windvane.core.errors import UserError
from windvane.engines.http.budget import Account, Estimate, Usage, estimate, priced, worst_case
from windvane.engines.http.calls import Answer, Call, Calls, Failed
from windvane.engines.http.client import Client, Trouble
from windvane.engines.http.response import refused_fields, request_body
from windvane.engines.http.server import Address, Server, address

HOPELESS = 20  # rows given up before any was answered: then the fault is no row's
LONGEST_BACKOFF = 60.0  # seconds, where the server names no wait


class _Stopped(Exception):
    """Another row stopped everything; this one was not finished."""


class Endpoint:
    """One model behind one server. `calls`: where answers are journaled (CALLS.jsonl names CALLS.journal); None keeps none."""

    def __init__(self, place: Address, server: Server, calls: Path | None = None) -> None:
        self.place, self.server = place, server
        self.client, self.account = Client(place, server), Account(server, place.name)
        self.calls = Calls(calls) if calls is not None else None
        self.refused: frozenset[str] = frozenset()  # optional fields that this server does not take
        self._stop = threading.Event()
        for used, lost in self.calls.used if self.calls else []:
            self.account.carry(used, lost)

    def estimate(self, calls: Iterable[Call]) -> Estimate:
        """What the calls that are not in the journal yet would take."""
        kept = self.calls
        return estimate(self.server, (c for c in calls if kept is None or self._key(c) not in kept))

    def ask(self, calls: Sequence[Call]) -> list[Answer | Failed]:
        """Every call once, `concurrency` at a time. `UserError` for what is wrong for every row, a spent budget included."""
        self._stop.clear()
        with ThreadPoolExecutor(max(1, min(self.server.concurrency, len(calls)))) as pool:
            running = [pool.submit(self._row, call) for call in calls]
            try:
                wait(running, return_when=FIRST_EXCEPTION)
            finally:  # an interrupt comes here too: start nothing more, take in what is under way
                self._stop.set()
                for future in running:
                    future.cancel()
        errors = [e for f in running if not f.cancelled() and (e := f.exception()) is not None]
        for error in sorted(errors, key=lambda e: isinstance(e, _Stopped)):
            raise error
        return [future.result() for future in running]

    def close(self) -> None:
        self.client.close()
        if self.calls is not None:
            self.calls.close()

    def _key(self, call: Call) -> str:
        return call.key(self.place.url, self.place.model)

    def _row(self, call: Call) -> Answer | Failed:
        key = self._key(call)
        kept = self.calls.get(key) if self.calls is not None else None
        if kept is not None:
            self.account.count(reused=1)
            return kept
        try:
            return self._attempts(call, key)
        except Exception:
            self._stop.set()
            raise

    def _attempts(self, call: Call, key: str) -> Answer | Failed:
        sent = tries = 0
        while True:
            if self._stop.is_set():
                raise _Stopped
            refused = self.refused
            body = request_body(call, self.place.model, refused)
            held = self.account.hold(call)
            if self._stop.is_set():  # while it waited for the budget
                self.account.settle(held)
                raise _Stopped
            sent += 1
            told = self.client.post(body)
            if isinstance(told, Answer):
                self._keep(call, key, told, held)
                return told
            self.account.settle(held, held if told.lost else Usage(), told.lost)
            if told.lost and self.calls is not None:
                self.calls.lose(key, call, held)
            dropped = refused_fields(body, told.reason) if told.status in (400, 422) else set()
            if dropped:
                self.refused |= dropped
                continue
            tries += 1
            if told.stop or (told.suspect and not self.account.counts.answered):
                raise UserError(f"{self.place.name}: {told.reason}")
            wait_for = self._pause(told, tries)
            if wait_for is None:
                return self._give_up(call, key, told, sent)
            self._stop.wait(wait_for)

    def _pause(self, told: Trouble, tries: int) -> float | None:
        """Seconds before the next attempt; None where there is none."""
        s = self.server
        if not told.again or tries > s.retries or (told.after or 0.0) > s.longest_wait:
            return None
        backoff = min(LONGEST_BACKOFF, s.backoff_seconds * 2.0 ** (tries - 1)) * random.uniform(0.5, 1.0)
        return max(told.after or 0.0, backoff)

    def _keep(self, call: Call, key: str, answer: Answer, held: Usage) -> None:
        prompt, completion = answer.prompt_tokens, answer.completion_tokens
        known = prompt is not None and completion is not None
        used = priced(self.server, prompt or 0, completion or 0) if known else worst_case(self.server, call)
        if self.calls is not None:
            self.calls.add(key, call, answer, used)
        self.account.settle(held, used)
        self.account.count(answered=1, unreported=int(not known))

    def _give_up(self, call: Call, key: str, told: Trouble, sent: int) -> Failed:
        if told.unreachable:
            raise UserError(
                f"{self.place.name}: {told.reason}; start the server or mend the address; what is answered is kept"
            )
        asked = (
            f"; the server asks to wait {told.after:.0f} s" if (told.after or 0.0) > self.server.longest_wait else ""
        )
        failed = Failed(call.row, f"{told.reason}{asked}", sent)
        if self.calls is not None:
            self.calls.fail(key, failed)
        self.account.count(failed=1)
        counts = self.account.counts
        if counts.failed >= HOPELESS and not counts.answered + counts.reused:
            raise UserError(
                f"{self.place.name}: the first {counts.failed} rows all failed, the last with: {failed.reason}"
            )
        return failed


def open_endpoint(spec: str, server: Server | None = None, calls: Path | None = None) -> Endpoint:
    """`http://HOST:PORT/v1#MODEL`."""
    return Endpoint(address(spec), server or Server(), calls)
