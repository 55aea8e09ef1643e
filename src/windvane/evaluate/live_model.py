"""The model that an evaluation asks: any generator by its name, one answer a prompt.

In: a spec (a folder or hub id, `local:MODEL`, `world:FAMILY`, `http://HOST:PORT/v1#MODEL`, `scripted:FILE`, `py:module:object`), chats,
how to sample. Out: a row an answer: `id`, `text`, `finish`, `tokens`, or no text and the `reason`. A prompt that does not fit the model's
window is such a row too: it is kept and counted, never cut.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.backends.http_budget import Estimate
from windvane.backends.http_endpoint import Endpoint, open_endpoint
from windvane.backends.http_generator import HttpGenerator
from windvane.backends.http_spec import Server
from windvane.backends.local import LocalGenerator, Sampling, window
from windvane.backends.names import SERVERS, resolve_generator
from windvane.modeling.load import load_model, load_tokenizer
from windvane.prompts.chat import screen
from windvane.protocols import Generator
from windvane.records import Message, Prompt, content_id
from windvane.runners.here import HereRunner
from windvane.store import RunFolder

NO_LIMIT = 2**31  # tokens, where a model's config names no window


@dataclass(frozen=True, slots=True)
class Wanted:
    """One chat that waits for an answer; `id` names the row."""

    id: str
    messages: tuple[Message, ...]


class Candidate:
    """`name` stands in every row; weights are loaded, and a server's journal opened, when the first answer is asked for."""

    def __init__(
        self, spec: str, name: str, device: str, dtype: str, server: Server | None = None, calls: Path | None = None
    ) -> None:
        self.spec, self.name, self.device, self.dtype = spec, name, device, dtype
        self.server, self.calls = server, calls
        kind, colon, rest = spec.partition(":")
        self.behind_server = kind in SERVERS
        self.local: str | None = rest if kind == "local" and colon else spec
        if kind != "world" and kind != "local" and colon and not Path(spec).exists():
            self.local = None
        self._generators: dict[Sampling, Generator] = {}

    def estimate(
        self, wanted: Sequence[Wanted], sampling: Sampling, seed: int, indices: Sequence[int] = (0,)
    ) -> Estimate | None:
        """What a server would be asked for, less what its journal has; None where the model is no server's."""
        if not self.behind_server:
            return None
        generator = HttpGenerator(self._endpoint, sampling)
        return generator.estimate([Prompt.of(w.messages) for w in wanted], indices, seed)

    def answer(self, wanted: Sequence[Wanted], sampling: Sampling, seed: int) -> list[dict[str, Any]]:
        """A row each, in order."""
        return [rows[0] for rows in self.answers(wanted, sampling, [0], seed)]

    def answers(
        self, wanted: Sequence[Wanted], sampling: Sampling, indices: Sequence[int], seed: int
    ) -> list[list[dict[str, Any]]]:
        """A row each index of each chat, in order; of several indices a row's `id` ends with its index."""
        prompts = [Prompt.of(w.messages) for w in wanted]
        reasons: dict[str, str] = {}
        if self.local is not None:
            limit = window(self._model) or NO_LIMIT
            ready, refused = screen(prompts, self._tokenizer, limit, sampling.max_new_tokens)
            reasons = {r.prompt_id: r.reason for r in refused}
        else:
            ready = prompts
        asked = list({p.id: p for p in ready}.values())  # the same chat twice is asked once
        generator = self._generator(sampling)
        told = dict(zip([p.id for p in asked], generator.generate(asked, indices, seed) if asked else []))
        unanswered = getattr(generator, "reasons", {})
        rows: list[list[dict[str, Any]]] = []
        for want, prompt in zip(wanted, prompts):
            found = {r.index: r for r in told.get(prompt.id, [])}
            rows.append([])
            for index in indices:
                id = want.id if len(indices) == 1 else f"{want.id}-{index}"
                if index in found:
                    r = found[index]
                    tokens = len(r.token_ids) or None
                    rows[-1].append({"id": id, "text": r.text, "finish": r.finish, "tokens": tokens, "reason": None})
                else:
                    why = reasons.get(prompt.id) or unanswered.get(f"{prompt.id}-{index}", "the model gave no answer")
                    rows[-1].append({"id": id, "text": None, "finish": None, "tokens": None, "reason": why})
        return rows

    def close(self) -> None:
        """Let the weights, or the server's journal, go."""
        if "_endpoint" in self.__dict__:
            self._endpoint.close()
        for name in ("_endpoint", "_model", "_tokenizer"):
            self.__dict__.pop(name, None)
        self._generators.clear()

    @functools.cached_property
    def _endpoint(self) -> Endpoint:
        return open_endpoint(self.spec, self.server, self.calls)

    @functools.cached_property
    def _model(self) -> Any:
        return load_model(self.local or "", self.dtype, self.device)

    @functools.cached_property
    def _tokenizer(self) -> Any:
        return load_tokenizer(self.local or "")

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


def run_answers(
    run: RunFolder,
    stage: str,
    candidate: Candidate,
    groups: Sequence[tuple[Sampling, Sequence[Wanted]]],
    seed: int,
    batch: int,
    quiet: bool = False,
) -> None:
    """Fill RUN/<stage>.jsonl, a batch a unit; each group is sampled in its own way."""
    units = []
    for number, (sampling, wanted) in enumerate(groups):
        for i in range(0, len(wanted), batch):
            part = wanted[i : i + batch]
            units.append((f"{number:03d}-{i // batch:06d}-{content_id([w.id for w in part])}", (sampling, part)))

    def work(unit: tuple[Sampling, Sequence[Wanted]]) -> Iterable[dict[str, Any]]:
        return candidate.answer(unit[1], unit[0], seed)

    HereRunner(run, quiet).run(stage, units, work)
