"""Any generator by its name, opened when something is first asked of it: whoever asks in several ways loads weights once.

In: a spec (a folder or hub id, `local:MODEL`, `toy:FAMILY`, `http://HOST:PORT/v1#MODEL`, `scripted:FILE`, `py:module:object`). Out: a
`Generator` for each way of sampling, over the same weights, or over one server's journal and account.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from windvane.core.families import is_family
from windvane.core.protocols import Generator
from windvane.engines.http.endpoint import Endpoint, open_endpoint
from windvane.engines.http.generator import HttpGenerator
from windvane.engines.http.server import Server
from windvane.engines.local import LocalGenerator, Sampling, window
from windvane.engines.names import SERVERS, is_writer, resolve_generator
from windvane.models.load import load_model, load_tokenizer

NO_LIMIT = 2**31  # tokens, where a model's config names no window


class Opened:
    """`local`: what `load_model` takes, None where the spec is no model of this process. Errors: `UserError` of the backend that the spec
    names, when it is first used."""

    def __init__(
        self,
        spec: str,
        device: str,
        dtype: str,
        server: Server | None = None,
        calls: Path | None = None,
        tokenizer: str | None = None,
    ) -> None:
        self.spec, self.device, self.dtype, self.server, self.calls = spec, device, dtype, server, calls
        kind, colon, rest = spec.partition(":")
        self.behind_server = kind in SERVERS
        self.local: str | None = rest if kind == "local" and colon else spec
        other = colon and kind != "local" and not is_family(spec) and not Path(spec).exists()
        if other or self.behind_server or is_writer(spec):
            self.local = None
        self._tokenizer = tokenizer or self.local
        self._generators: dict[Sampling, Generator] = {}

    def generator(self, sampling: Sampling) -> Generator:
        if sampling not in self._generators:
            if self.behind_server:
                made: Generator = HttpGenerator(self.endpoint, sampling)
            elif self.local is not None:
                made = LocalGenerator(self.model, self.tokenizer, sampling)
            else:
                made = resolve_generator(self.spec, sampling, device=self.device, dtype=self.dtype)
            self._generators[sampling] = made
        return self._generators[sampling]

    @functools.cached_property
    def endpoint(self) -> Endpoint:
        """Of a server: one journal, one account."""
        return open_endpoint(self.spec, self.server, self.calls)

    @functools.cached_property
    def model(self) -> Any:
        """Of this process."""
        return load_model(self.local or "", self.dtype, self.device)

    @functools.cached_property
    def tokenizer(self) -> Any:
        """The one that was named, else the model's own."""
        return load_tokenizer(self._tokenizer or "")

    @property
    def window(self) -> int:
        """Tokens that a model of this process was made for, prompt and answer together."""
        return window(self.model) or NO_LIMIT

    def close(self) -> None:
        """Let the weights, or the server's journal, go."""
        if "endpoint" in self.__dict__:
            self.endpoint.close()
        for name in ("endpoint", "model", "tokenizer"):
            self.__dict__.pop(name, None)
        self._generators.clear()
