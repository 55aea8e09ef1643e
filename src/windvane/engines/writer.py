"""Who writes values, system messages and answers: any generator by its name, asked again with another index where a reply was no use.

In: a spec (a folder or hub id, `local:MODEL`, `http://HOST:PORT/v1#MODEL`, `scripted:FILE`, `py:module:object`), chats, how to sample. Out:
for each item what could be read, and every reply that could not, with its reason. A chat that does not fit the model's window is such a
reply too. A template without a system role gets the system message in the user's turn, and `notes` says so.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from windvane.core.records import Prompt
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling
from windvane.engines.open import Opened
from windvane.prompts.chat import screen
from windvane.prompts.system_role import system_mode

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Said:
    """`text` is None where `reason` says why there is none."""

    text: str | None
    finish: str = "stop"
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reply(Generic[T]):
    """What was read (None where no attempt could be) and every reply that was rejected: attempt, reason, text."""

    value: T | None
    rejected: list[dict[str, Any]]


class Writer:
    """Weights are loaded, and a server's journal opened, when something is asked for."""

    def __init__(self, spec: str, device: str, dtype: str, server: Server, calls: Path) -> None:
        self._opened = Opened(spec, device, dtype, server, calls)
        self.notes: list[str] = []

    def write(
        self,
        asked: Sequence[tuple[str, Prompt]],
        read: Callable[[str, Said], tuple[T | None, str | None]],
        sampling: Sampling,
        attempts: int,
        seed: int,
    ) -> dict[str, Reply[T]]:
        """Ask each (key, chat) until `read(key, said)` gives a value, `attempts` times at most."""
        found: dict[str, Reply[T]] = {key: Reply(None, []) for key, _ in asked}
        left = list(asked)
        for attempt in range(attempts):
            told, again = self.ask([p for _, p in left], sampling, attempt, seed), []
            for (key, prompt), said in zip(left, told, strict=True):
                value, reason = (None, said.reason) if said.text is None else read(key, said)
                if value is not None:
                    found[key] = Reply(value, found[key].rejected)
                else:
                    found[key].rejected.append({"attempt": attempt, "reason": reason, "text": said.text})
                    again.append((key, prompt))
            left = again
            if not left:
                break
        return found

    def ask(self, prompts: Sequence[Prompt], sampling: Sampling, attempt: int, seed: int) -> list[Said]:
        """The answer at index `attempt` to each chat; the same chat twice is asked once."""
        distinct = list({p.id: p for p in prompts}.values())
        refused: dict[str, str] = {}
        if self._opened.local is not None:
            tokenizer, limit = self._opened.tokenizer, self._opened.window
            distinct, out = screen(distinct, tokenizer, limit, sampling.max_new_tokens, self._mode)
            refused = {r.prompt_id: r.reason for r in out}
        generator = self._opened.generator(sampling)
        answers = generator.generate(distinct, [attempt], seed) if distinct else []
        told = {p.id: a[0] for p, a in zip(distinct, answers, strict=True) if a}
        reasons = getattr(generator, "reasons", {})
        return [
            Said(told[p.id].text, told[p.id].finish)
            if p.id in told
            else Said(None, reason=refused.get(p.id) or reasons.get(f"{p.id}-{attempt}", "the writer gave no answer"))
            for p in prompts
        ]

    def local_model(self) -> Any | None:
        """The model that writes, where it is one in this process. `UserError` where there is no writer of that name."""
        if self._opened.local is not None:
            return self._opened.model
        self._opened.generator(Sampling(1))
        return None

    def prepare(self) -> None:
        """Look at the template of a model in this process, so that `notes` are the same in a resumed run."""
        if self._opened.local is not None:
            _ = self._mode

    def close(self) -> None:
        self._opened.close()

    @functools.cached_property
    def _mode(self) -> Any:
        mode, note = system_mode(self._opened.tokenizer)
        self.notes += [f"{self._opened.spec}: {note}"] if note else []
        return mode
