"""Asking a language model a question about answers: for the log-probabilities of its first token where they are to be had, or for text.

In: chats with keys. Out: `Told`, one a chat. Three ways: a server (chat completions, top log-probabilities where it offers them), a model
in this process (exact: the whole vocabulary; one chat a forward, so that nothing depends on what else is asked), any other Generator
(text alone). Greedy in every case.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch

from windvane.core.errors import UserError
from windvane.core.families import is_family
from windvane.core.protocols import Generator
from windvane.core.records import Message, Prompt
from windvane.engines.http.budget import Estimate
from windvane.engines.http.calls import Answer, Call
from windvane.engines.http.endpoint import Endpoint, open_endpoint
from windvane.engines.http.server import Server
from windvane.engines.local import LocalGenerator, Sampling, window
from windvane.engines.names import SERVERS, resolve_generator
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.chat import render

LEAST = 0.01  # of the first token's probability that the labels hold together; below it their ratio is one of leftovers
TOP = 5  # alternatives asked of a server, as AlpacaEval does; some servers give no more


@dataclass(frozen=True, slots=True)
class Ask:
    key: str
    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Told:
    """`top`: token text -> log-probability (nats) of the first token, empty where not offered, or where the answer begins with something
    else than a label (a model that thinks aloud): then the text counts. `text` is None where `reason` says why; `cut`: it ends at the
    token limit."""

    text: str | None
    top: dict[str, float] = field(default_factory=dict)
    reason: str | None = None
    cut: bool = False


class Asker(Protocol):
    """`labels`: texts whose probability as the first token is wanted; without any the answer's text is."""

    def ask(self, asks: Sequence[Ask], max_tokens: int, labels: Sequence[str] = ()) -> list[Told]: ...


def begins(top: Mapping[str, float], labels: Sequence[str]) -> bool:
    """Whether the answer may well begin with one of `labels`, blanks and case left aside."""
    known = {label.lower() for label in labels}
    return sum(math.exp(v) for token, v in top.items() if token.strip().lower() in known) >= LEAST


class ServerAsker:
    """Chat completions; text comes along with the alternatives."""

    def __init__(self, endpoint: Endpoint) -> None:
        self.endpoint = endpoint

    def ask(self, asks: Sequence[Ask], max_tokens: int, labels: Sequence[str] = ()) -> list[Told]:
        found = self.endpoint.ask(list(self._calls(asks, max_tokens, labels)))
        return [
            Told(a.text, a.top if begins(a.top, labels) else {}, cut=a.finish == "length")
            if isinstance(a, Answer)
            else Told(None, reason=a.reason)
            for a in found
        ]

    def estimate(self, asks: Iterable[Ask], max_tokens: int, labels: Sequence[str] = ()) -> Estimate:
        return self.endpoint.estimate(self._calls(asks, max_tokens, labels))

    @staticmethod
    def _calls(asks: Iterable[Ask], max_tokens: int, labels: Sequence[str]) -> Iterator[Call]:
        return (Call(a.key, a.messages, max_tokens, labels=TOP if labels else 0) for a in asks)


class LocalAsker:
    """Weights in this process. A chat longer than the model's window has a reason instead of an answer; it is never cut."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        self.model, self.tokenizer = model.eval(), tokenizer
        self._spellings: dict[str, list[int]] = {}

    def ask(self, asks: Sequence[Ask], max_tokens: int, labels: Sequence[str] = ()) -> list[Told]:
        limit = window(self.model)
        told: list[Told] = []
        for ask in asks:
            ids = render(self.tokenizer, ask.messages)
            if limit is not None and len(ids) + max_tokens > limit:
                reason = f"{len(ids)} tokens and {max_tokens} of answer exceed the judge's window of {limit}"
                told.append(Told(None, reason=reason))
            elif labels and begins(top := self._first(ids, labels), labels):
                told.append(Told(None, top))
            else:
                told.append(self._text(Prompt(ask.key, ask.messages, ids), max_tokens))
        return told

    @torch.no_grad()
    def _first(self, ids: tuple[int, ...], labels: Sequence[str]) -> dict[str, float]:
        """Each label's log-probability: the sum over every token that is the label but for blanks around it."""
        rows = torch.tensor([ids], device=self.model.device)
        logps = self.model(input_ids=rows, logits_to_keep=1).logits[0, -1].double().log_softmax(-1)
        return {label: float(logps[self._spelt(label)].logsumexp(0)) for label in labels}

    def _spelt(self, label: str) -> list[int]:
        if not self._spellings:
            size = self.model.config.get_text_config(decoder=True).vocab_size
            texts = self.tokenizer.batch_decode([[i] for i in range(min(size, len(self.tokenizer)))])
            for i, text in enumerate(texts):
                self._spellings.setdefault(text.strip(), []).append(i)
        if label not in self._spellings:
            raise UserError(f"judge: its tokenizer has no single token for the label {label!r}; take another judge")
        return self._spellings[label]

    def _text(self, prompt: Prompt, max_tokens: int) -> Told:
        sampling = Sampling(k=1, temperature=0.0, max_new_tokens=max_tokens)
        answer = LocalGenerator(self.model, self.tokenizer, sampling).generate([prompt], [0], 0)[0][0]
        return Told(answer.text, cut=answer.finish == "length")


class TextAsker:
    """Any Generator, asked for index 0. One that leaves a row out may say why in `reasons` (response id -> reason)."""

    def __init__(self, generator: Generator) -> None:
        self.generator = generator

    def ask(self, asks: Sequence[Ask], max_tokens: int, labels: Sequence[str] = ()) -> list[Told]:
        prompts = {p.id: p for p in (Prompt.of(a.messages) for a in asks)}  # the same question twice is asked once
        answers = dict(zip(prompts, self.generator.generate(list(prompts.values()), [0], 0)))
        reasons = getattr(self.generator, "reasons", {})
        told = []
        for ask in asks:
            id = Prompt.of(ask.messages).id
            if answers[id]:
                told.append(Told(answers[id][0].text, cut=answers[id][0].finish == "length"))
            else:
                told.append(Told(None, reason=reasons.get(f"{id}-0", "no answer")))
        return told


def open_asker(
    spec: str, device: str, dtype: str, max_tokens: int, server: Server | None = None, calls: Path | None = None
) -> Asker:
    """`spec` names a generator. `max_tokens` is what a generator that is asked for text may write."""
    kind, _, rest = spec.partition(":")
    if kind in SERVERS:
        return ServerAsker(open_endpoint(spec, server, calls))
    if is_family(spec) or (kind == "local" and rest):
        place = spec if is_family(spec) else rest
        return LocalAsker(load_model(place, dtype, device), load_tokenizer(place))
    sampling = Sampling(k=1, temperature=0.0, max_new_tokens=max_tokens)
    return TextAsker(resolve_generator(spec, sampling, device, dtype))
