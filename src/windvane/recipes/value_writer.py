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

from windvane.backends.http_budget import Account
from windvane.backends.http_endpoint import Endpoint, open_endpoint
from windvane.backends.http_generator import HttpGenerator
from windvane.backends.http_spec import Server
from windvane.backends.local import LocalGenerator, Sampling, window
from windvane.backends.names import SERVERS, WORLD_WRITERS, resolve_generator
from windvane.modeling.load import load_model, load_tokenizer
from windvane.prompts.chat import screen
from windvane.prompts.system_role import system_mode
from windvane.protocols import Generator
from windvane.records import Prompt

T = TypeVar("T")
NO_LIMIT = 2**31  # tokens, where a model's config names no window
OTHERS = ("scripted", "py")


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
        self.spec, self.device, self.dtype, self.server, self.calls = spec, device, dtype, server, calls
        kind, _, rest = spec.partition(":")
        self.behind_server = kind in SERVERS
        elsewhere = self.behind_server or kind in OTHERS or spec in WORLD_WRITERS
        self.local = None if elsewhere else rest if kind == "local" else spec
        self.notes: list[str] = []
        self._generators: dict[Sampling, Generator] = {}

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
        if self.local is not None:
            limit = window(self._model) or NO_LIMIT
            distinct, out = screen(distinct, self._tokenizer, limit, sampling.max_new_tokens, self._mode)
            refused = {r.prompt_id: r.reason for r in out}
        generator = self._generator(sampling)
        answers = generator.generate(distinct, [attempt], seed) if distinct else []
        told = {p.id: a[0] for p, a in zip(distinct, answers, strict=True) if a}
        reasons = getattr(generator, "reasons", {})
        return [
            Said(told[p.id].text, told[p.id].finish)
            if p.id in told
            else Said(None, reason=refused.get(p.id) or reasons.get(f"{p.id}-{attempt}", "the writer gave no answer"))
            for p in prompts
        ]

    def prepare(self) -> None:
        """Look at the template of a model in this process, so that `notes` are the same in a resumed run."""
        if self.local is not None:
            _ = self._mode

    @property
    def account(self) -> Account | None:
        """What a server's calls took; None where nothing was asked of one."""
        return self._endpoint.account if "_endpoint" in self.__dict__ else None

    def close(self) -> None:
        if "_endpoint" in self.__dict__:
            self._endpoint.close()

    @functools.cached_property
    def _endpoint(self) -> Endpoint:
        return open_endpoint(self.spec, self.server, self.calls)

    @functools.cached_property
    def _model(self) -> Any:
        return load_model(self.local or "", self.dtype, self.device)

    @functools.cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.local or "")

    @functools.cached_property
    def _mode(self) -> Any:
        mode, note = system_mode(self._tokenizer)
        self.notes += [f"{self.spec}: {note}"] if note else []
        return mode

    def _generator(self, sampling: Sampling) -> Generator:
        if sampling not in self._generators:
            if self.behind_server:
                made: Generator = HttpGenerator(self._endpoint, sampling)
            elif self.local is not None:
                made = LocalGenerator(self._model, self._tokenizer, sampling)
            else:
                made = resolve_generator(self.spec, sampling, device=self.device, dtype=self.dtype)
            self._generators[sampling] = made
        return self._generators[sampling]
