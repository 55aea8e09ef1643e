"""What a site is made of: the settings that every room of the service reads.

In: the flags of `windvane serve`. Out: `Site`, frozen. Nothing here imports the web framework, so that the command line can check every
flag before it is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from windvane.core.errors import UserError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Site:
    """`people`: SHA-256 of a token -> whose it is; empty means that nobody signs in, which only a loopback address allows. Sizes in
    bytes, `rate` in requests a minute and person (0: no limit). `models`: two generators that talk side by side. `secure`: served over
    TLS, so cookies are sent over nothing else."""

    data: Path
    host: str = "127.0.0.1"
    people: Mapping[str, str] = field(default_factory=dict)
    secure: bool = False
    rate: int = 240
    body_bytes: int = 1_000_000
    batch_bytes: int = 20_000_000
    scorer: str = "default"
    levels: tuple[Path, ...] = ()
    models: tuple[str, ...] = ()
    writer: str | None = None
    taxonomy: Path | None = None
    temperature: float = 1.0
    max_new_tokens: int = 512
    runs: tuple[Path, ...] = ()
    queue: tuple[Path, ...] = ()
    device: str = "auto"
    dtype: str = "float32"

    def __post_init__(self) -> None:
        if not self.loopback and not self.people:
            raise UserError(
                f"--host {self.host}: others could reach it, so tokens are needed; give --tokens FILE (a line 'NAME TOKEN' a person) or "
                "set WINDVANE_TOKEN, or leave --host out to serve this machine alone"
            )
        for name in ("body_bytes", "batch_bytes", "max_new_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"--{name.replace('_', '-')} {getattr(self, name)}: must be at least 1")
        if self.rate < 0:
            raise UserError(f"--rate {self.rate}: must not be negative; 0 is no limit")
        if len(self.models) not in (0, 2):
            raise UserError(
                f"--model: {len(self.models)} given; the composer puts two models side by side, so name two"
            )

    @property
    def loopback(self) -> bool:
        return self.host in LOOPBACK
