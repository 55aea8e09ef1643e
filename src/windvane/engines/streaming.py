"""A model's answer while it is being written, piece by piece, for somebody who waits.

In: a chat, a seed. Out: `Piece`s: text to add (or, where the tokenizer changed its mind about what stands already, the whole text again),
the last one with how it ended. What a model in this process streams is, id for id, what `LocalGenerator` gives for the same seed. A
server streams by its own; a script or a function gives its answer in one piece. Closing the iterator stops the model. Nothing that is
streamed here is trained on by id: text is all that is kept.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from windvane.core.errors import UserError
from windvane.core.families import is_family
from windvane.core.records import Message, Prompt, seed_of
from windvane.engines.http.server import Server
from windvane.engines.http.stream import stream_chat
from windvane.engines.local import Sampling, stop_ids, window
from windvane.engines.names import SERVERS, resolve_generator
from windvane.models.generate.decode import choose_decoder
from windvane.models.generate.sampling import choose, uniforms
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.chat import prepare
from windvane.prompts.system_role import system_mode

EVERY = 256  # tokens; a longer answer is decoded anew at each 8th token only


@dataclass(frozen=True, slots=True)
class Piece:
    """`text` is added to what came before, or is all of it where `whole`. `finish`: "stop" or "length" in the last piece alone."""

    text: str
    whole: bool = False
    finish: str | None = None


class Streamer(Protocol):
    """`note`: what a user should know about how the chat is rendered, or None."""

    note: str | None

    def stream(self, messages: Sequence[Message], seed: int) -> Iterator[Piece]: ...


class LocalStreamer:
    """One answer at a time: a second one waits for the first."""

    def __init__(self, spec: str, sampling: Sampling, device: str = "auto", dtype: str = "float32") -> None:
        self.sampling = sampling
        self.model, self.tokenizer = load_model(spec, dtype, device), load_tokenizer(spec)
        self.mode, note = system_mode(self.tokenizer)
        self.note = f"{spec}: {note}" if note else None
        self.stops = set(stop_ids(self.model, self.tokenizer))
        self._lock = threading.Lock()
        self._decoder: Any = None

    def stream(self, messages: Sequence[Message], seed: int) -> Iterator[Piece]:
        """`UserError` where the chat does not fit the model's window."""
        s = self.sampling
        limit = window(self.model) or 2**31
        [prompt] = prepare([Prompt.of(tuple(messages))], self.tokenizer, limit, s.max_new_tokens, system=self.mode)
        with self._lock:
            shown = ""
            ids: list[int] = []
            for token in self._tokens(prompt, seed):
                if token in self.stops:
                    yield self._last(ids, shown, "stop")
                    return
                ids.append(token)
                if len(ids) > EVERY and len(ids) % 8:
                    continue
                text = self._text(ids)
                if text.startswith(shown) and not text.endswith("\N{REPLACEMENT CHARACTER}"):
                    yield Piece(text[len(shown) :])
                    shown = text
            yield self._last(ids, shown, "length")

    def _last(self, ids: list[int], shown: str, finish: str) -> Piece:
        text = self._text(ids)
        same = text.startswith(shown)
        return Piece(text[len(shown) :] if same else text, not same, finish)

    def _text(self, ids: list[int]) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)

    @torch.no_grad()
    def _tokens(self, prompt: Prompt, seed: int) -> Iterator[int]:
        s = self.sampling
        if self._decoder is None:
            self._decoder = choose_decoder(self.model)
        stream = torch.from_numpy(uniforms(seed_of(seed, prompt.id, 0), s.max_new_tokens)).to(self.model.device)
        logits = self._decoder.start([prompt.token_ids], 1)
        for step in range(s.max_new_tokens):
            tokens, _ = choose(logits, stream[step : step + 1], s.temperature, s.top_p)
            yield int(tokens[0])
            if step + 1 < s.max_new_tokens:
                logits = self._decoder.step(tokens)


class ServerStreamer:
    note: str | None = None

    def __init__(self, spec: str, sampling: Sampling, server: Server) -> None:
        self.spec, self.sampling, self.server = spec, sampling, server

    def stream(self, messages: Sequence[Message], seed: int) -> Iterator[Piece]:
        """`UserError` where the server refuses or breaks off."""
        s = self.sampling
        for text, finish in stream_chat(
            self.spec, self.server, messages, s.max_new_tokens, s.temperature, s.top_p, seed >> 32
        ):
            yield Piece(text, finish=finish)


class WholeStreamer:
    """A generator that gives its answer in one piece."""

    note: str | None = None

    def __init__(self, spec: str, sampling: Sampling, device: str, dtype: str) -> None:
        self.spec = spec
        self.generator = resolve_generator(spec, sampling, device=device, dtype=dtype)
        self._lock = threading.Lock()

    def stream(self, messages: Sequence[Message], seed: int) -> Iterator[Piece]:
        prompt = Prompt.of(tuple(messages))
        with self._lock:
            [answers] = self.generator.generate([prompt], [0], seed)
        if not answers:
            reasons = getattr(self.generator, "reasons", {})
            raise UserError(f"{self.spec}: {reasons.get(f'{prompt.id}-0', 'no answer')}")
        yield Piece(answers[0].text, finish=answers[0].finish)


def open_streamer(
    spec: str, sampling: Sampling, device: str = "auto", dtype: str = "float32", server: Server | None = None
) -> Streamer:
    """The generator that `spec` names, as a streamer: `toy:FAMILY`, `local:MODEL` or just MODEL (a folder or hub id),
    `http://HOST:PORT/v1#MODEL`, `scripted:FILE`, `py:module:object`."""
    kind, _, rest = spec.partition(":")
    if kind in SERVERS:
        return ServerStreamer(spec, sampling, server or Server())
    if is_family(spec) or (kind == "local" and rest):
        return LocalStreamer(spec if is_family(spec) else rest, sampling, device, dtype)
    if ":" not in spec or Path(spec).is_dir():
        return LocalStreamer(spec, sampling, device, dtype)
    return WholeStreamer(spec, sampling, device, dtype)
