"""How often somebody may ask: a bucket of tokens a person, filled again steadily.

In: a key (a person, or an address where nobody signs in). Out: 0 where the request may go on, else the seconds until it may. A bucket holds
one minute's requests, so a page that asks ten things at once is not stopped.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

MOST = 10_000  # buckets in memory; the oldest full ones go first


class Rate:
    """`per_minute` 0: no limit. May be called from several threads."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.per_minute, self.clock = per_minute, clock
        self._buckets: dict[str, tuple[float, float]] = {}  # key -> (left, at that time)
        self._lock = threading.Lock()

    def wait(self, key: str) -> float:
        if not self.per_minute:
            return 0.0
        with self._lock:
            now = self.clock()
            left, at = self._buckets.pop(key, (float(self.per_minute), now))
            left = min(self.per_minute, left + (now - at) * self.per_minute / 60)
            allowed = left >= 1
            self._buckets[key] = (left - 1 if allowed else left, now)
            while len(self._buckets) > MOST:
                self._buckets.pop(next(iter(self._buckets)))
            return 0.0 if allowed else (1 - left) * 60 / self.per_minute
