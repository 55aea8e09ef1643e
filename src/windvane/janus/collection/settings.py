"""Every setting of `windvane run janus`, with its source.

The paper is arXiv 2405.17977; "proposal" marks what it and its released code leave open. How the paper's models are trained on the
collection is in `janus_presets`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from windvane.core.errors import UserError
from windvane.engines.http.server import Server


@dataclass(frozen=True, slots=True)
class Janus:
    """Settings of the collection builder."""

    instructions: (
        str  # JSONL, JSON, CSV, Parquet, a data set's folder or hub id; main_source and original_source are kept
    )
    writer: (
        str  # MODEL, http://HOST:PORT/v1#MODEL, scripted:FILE or py:module:object; the paper's was gpt-4-0125-preview
    )
    instruction_column: str | None = None
    instruction_split: str | None = None
    taxonomy: str | None = None  # JSON lines of one's own; None: the one that ships
    values: Literal["written", "taxonomy"] = (
        "written"  # by the writer (the paper), or drawn from the taxonomy without any call
    )
    sets: int = 3  # of values, system messages and answers an instruction; the paper's 3
    examples: int = 3  # items of the taxonomy shown to the writer; proposal
    differ: int = 2  # values in which two sets of an instruction differ at least; proposal
    attempts: int = 3  # replies asked for until one can be read; proposal
    bench: tuple[str, ...] = ()  # files or data sets whose prompts must not be in the collection
    near: float = 0.7  # ROUGE-L from which a system message repeats another; proposal
    least_words: int = 100  # of a system message; the published examples have 136 to 169
    most_words: int = 180
    test: float = 0.005  # instructions held out of every training set; the published RM set has 315 of 65,000
    temperature: float = 1.0  # proposal: the paper does not say
    top_p: float = 1.0
    value_tokens: int = 800  # the longest reply
    system_tokens: int = 400
    answer_tokens: int = 2048
    seed: int = 42
    batch: int = 16  # instructions a unit of work
    server: Server = field(default_factory=Server)  # how a writer behind a server is asked; may change between resumes
    device: str = "auto"
    dtype: Literal["float32", "bfloat16"] = "float32"  # of a writer in this process
    threads: int | None = None  # CPU threads; None: what PyTorch takes here

    def __post_init__(self) -> None:
        least = {"sets": 1, "examples": 0, "differ": 1, "attempts": 1, "least_words": 1, "value_tokens": 1}
        least |= {"system_tokens": 1, "answer_tokens": 1, "batch": 1, "seed": 0}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise UserError(f"{name}: {getattr(self, name)}; must be at least {bound}")
        if self.threads is not None and self.threads < 1:
            raise UserError(f"threads: {self.threads}; must be at least 1")
        if not 0 < self.near <= 1:
            raise UserError(f"near: {self.near}; a ROUGE-L, so above 0 and at most 1")
        if not 0 <= self.test < 1:
            raise UserError(f"test: {self.test}; a share of the instructions, in [0, 1)")
        if self.most_words < self.least_words:
            raise UserError(f"most_words: {self.most_words}; must not be below least_words, {self.least_words}")
