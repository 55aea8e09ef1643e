"""The model that an evaluation asks: any generator by its name, one answer a prompt.

In: a spec (a folder or hub id, `local:MODEL`, `world:FAMILY`, `http://HOST:PORT/v1#MODEL`, `scripted:FILE`, `py:module:object`), chats,
how to sample. Out: a row an answer: `id`, `text`, `finish`, `tokens`, or no text and the `reason`. A prompt that does not fit the model's
window is such a row too: it is kept and counted, never cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.records import Message, Prompt, content_id
from windvane.engines.http.budget import Estimate
from windvane.engines.http.generator import HttpGenerator
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling
from windvane.engines.open import Opened
from windvane.prompts.chat import screen
from windvane.run.local_runner import HereRunner
from windvane.run.store import RunFolder


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
        self.spec, self.name, self.server = spec, name, server
        self._opened = Opened(spec, device, dtype, server, calls)

    @property
    def local(self) -> str | None:
        """What `load_model` takes, None where this is no model of this process."""
        return self._opened.local

    def estimate(
        self, wanted: Sequence[Wanted], sampling: Sampling, seed: int, indices: Sequence[int] = (0,)
    ) -> Estimate | None:
        """What a server would be asked for, less what its journal has; None where the model is no server's."""
        generator = self._opened.generator(sampling) if self._opened.behind_server else None
        if not isinstance(generator, HttpGenerator):
            return None
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
            tokenizer, limit = self._opened.tokenizer, self._opened.window
            ready, refused = screen(prompts, tokenizer, limit, sampling.max_new_tokens)
            reasons = {r.prompt_id: r.reason for r in refused}
        else:
            ready = prompts
        asked = list({p.id: p for p in ready}.values())  # the same chat twice is asked once
        generator = self._opened.generator(sampling)
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
        self._opened.close()


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
