"""Every setting of a LongPO run, with the paper's values and their sources; what belongs together stands together.

In: nothing. Out: frozen dataclasses, checked when made. Where paper and released code differ the paper's value is the default and the
comment gives the other ("code": the released training code; "notes": published readings of the paper).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Literal

from windvane.core.errors import UserError
from windvane.engines.local import Sampling
from windvane.longpo.chunking import Kind
from windvane.longpo.self_instruct import LEAD_INS, PROMPT
from windvane.train.settings import Train

Arm = Literal["longpo", "longpo-no-nll", "dpo", "dpo-nll", "sft", "sft-full", "solopo", "theta", "placebo"]

REFUSALS = (  # the released code has about 37 of its own
    "as an ai", "as a language model", "as an artificial intelligence", "i am an ai", "i'm an ai", "i am just an ai", "i cannot assist",
    "i can't assist", "i cannot help", "i can't help", "i cannot answer", "i can't answer", "i cannot provide", "i can't provide",
    "i cannot fulfill", "i can't fulfill", "i am unable to", "i'm unable to", "i am not able to", "i'm not able to", "i'm sorry, but",
    "i am sorry, but", "sorry, i can", "i apologize, but", "i must decline", "i won't be able to", "unable to comply",
    "against my programming", "my guidelines", "openai", "no information is provided", "i don't have access to", "i do not have access to",
    "cannot be determined from the text", "please provide the text", "please provide more context",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Chunks:
    """Which documents, and how they are cut. Tokens of the text alone."""

    # None: half of the first length; the paper keeps documents longer than 64K for each target
    min_tokens: int | None = None
    # documents longer than the last length: left out and counted, or cut in parts
    over_long: Literal["refuse", "split"] = "refuse"
    # up-to: all that fit the round's length (paper); band: not those that fit the last one's
    lengths: Literal["up-to", "band"] = "up-to"
    per_round: int | None = None  # None: all. Paper: 45K, 16K and 2.5K samples at 128K, 256K and 512K
    # where chunks may be cut: blank lines (paper: books, code), LaTeX sections (arXiv), blocks of code
    kind: Kind = "auto"
    tokens: int = 30_000  # at most in a chunk: <= 32K (paper), 30,000 (code)
    min_chunk: int | None = None  # None: half of the most; code: 16,384 of 30,000
    per_document: int = 4  # at random; paper: at most 4; code: 2 questions a document, a helper's default 8
    # chunks: the document is its kept chunks, three line ends between (code)
    long_text: Literal["whole", "chunks"] = "whole"

    def __post_init__(self) -> None:
        for name in ("min_tokens", "per_round", "tokens", "min_chunk", "per_document"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"chunks.{name}: {value}; must be at least 1")


@dataclass(frozen=True, slots=True)
class Ask:
    """Self-instruct: the model's own questions about a chunk."""

    prompt: str = PROMPT
    count: int = 4  # questions asked for, of which one is kept (code); 1: the whole reply is the question
    temperature: float = 0.7  # code
    top_p: float = 0.9  # code
    max_new_tokens: int = 1024  # code
    attempts: int = 1  # a chunk whose reply cannot be used is asked again; paper and code: dropped at once
    # the question must be about the chunk: words, off (paper), world:FAMILY, py:module:f(question, chunk)
    grounding: str = "words"
    lead_ins: tuple[str, ...] = LEAD_INS  # one at random before each question; none: the question alone
    max_tokens: int = 256  # a longer question is dropped; room for it is kept in the document's length

    def __post_init__(self) -> None:
        for name in ("count", "attempts", "max_tokens"):
            if getattr(self, name) < 1:
                raise UserError(f"ask.{name}: {getattr(self, name)}; must be at least 1")
        if "{chunk}" not in self.prompt:
            raise UserError("ask.prompt: has no {chunk}; say where the chunk goes")
        _ = self.sampling

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.attempts, self.temperature, self.top_p, self.max_new_tokens)


@dataclass(frozen=True, slots=True)
class Answer:
    """Both answers to a question: one from its chunk, one from the whole document, decoded alike."""

    layout: str = "{context}\n\n{question}"  # the user's turn (code)
    temperature: float = 0.0  # greedy (notes on the paper); code: 1.0
    top_p: float = 1.0
    max_new_tokens: int = 1024  # code

    def __post_init__(self) -> None:
        if "{context}" not in self.layout or "{question}" not in self.layout:
            raise UserError("answer.layout: must hold {context} and {question}")
        _ = self.sampling

    @property
    def sampling(self) -> Sampling:
        return Sampling(1, self.temperature, self.top_p, self.max_new_tokens)


@dataclass(frozen=True, slots=True)
class Filters:
    """When a question and its two answers are dropped; each drop is counted by its reason. All thresholds are the released code's."""

    refusals: tuple[str, ...] = REFUSALS  # phrases in either answer, capitals do not matter
    repetition_chosen: float = 0.90  # share of an answer's words that occur in it more than once, at most
    repetition_rejected: float = 0.95
    whole_repeats: int = 3  # an answer that is one unit repeated this often or more (an older formatter); 0: off
    min_words: int = 2  # words of three letters or more in each answer
    # chunk, question and answer together; None: the short model's window (code: 32,768)
    short_tokens: int | None = None
    unfinished: Literal["keep", "drop"] = "keep"  # answers cut at max_new_tokens
    min_turns: int = 1  # questions that a document must be left with; an older formatter: exactly 4

    def __post_init__(self) -> None:
        for name in ("repetition_chosen", "repetition_rejected"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"filters.{name}: {getattr(self, name)}; must be a share, 0 to 1")
        if self.whole_repeats < 0 or self.whole_repeats == 1:
            raise UserError(f"filters.whole_repeats: {self.whole_repeats}; must be 0 (off) or at least 2")
        for name, least in (("min_words", 0), ("short_tokens", 1), ("min_turns", 1)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"filters.{name}: {value}; must be at least {least}")


def paper_train() -> Train:
    """Learning rate, batch and precision as published; the optimizer is the launch script's (the paper names Adam)."""
    return Train(
        objective="longpo",
        optimizer="rmsprop",  # launch script; the paper: Adam (--train.optimizer adamw)
        lr=5e-7,  # paper; its SFT arm ran at 2e-5
        schedule="cosine",  # launch script
        warmup=0.1,  # launch script
        epochs=1,
        batch=8,  # documents a step
        micro_tokens=1,  # one document in a forward
        held_out=0.02,
        keep="last",
    )


@dataclass(frozen=True, slots=True)
class LongPO:
    """Every setting of a run."""

    model: str  # a folder or a hub id of a decoder, or a PEFT adapter; it is the short-context model
    documents: tuple[str, ...]  # text files, folders, JSONL, Parquet, CSV, data sets, world:FAMILY:SEED
    document_column: str | None = None  # of tables: the one that holds the text; found by itself under a usual name
    document_split: str | None = None  # of a data set with several
    lengths: str = "128k,256k,512k"  # one round each, in tokens; k is 1024
    arm: Arm = "longpo"
    data: str | None = None  # another run's folder: its documents, questions and answers are taken instead of made
    # RoPE base of the long side, one for all rounds or one each (paper: 1e7); 0: the model's own
    theta: tuple[float, ...] = (1e7,)
    # first: rounds 2, 3, ... all start from round 1's model, as published
    iterate: Literal["first", "chained"] = "first"
    # a document's questions as one conversation (code), or each on its own
    turns: Literal["history", "separate"] = "history"
    beta: float = 0.1  # paper; its launch script: 0.01
    lam: float = 0.01  # weight of the preference term; the NLL's is 1
    # all: every token of the chosen row (paper, code); no-template: without special tokens outside of answers (in the code, not used)
    nll: Literal["all", "no-template"] = "all"
    alpha: float = 1.0  # SoLoPO's weight of the reward alignment
    chunks: Chunks = field(default_factory=Chunks)
    ask: Ask = field(default_factory=Ask)
    answer: Answer = field(default_factory=Answer)
    filters: Filters = field(default_factory=Filters)
    train: Train = field(default_factory=paper_train)
    kl_documents: int = 16  # on which the short-to-long KL is measured before and after each round; 0: not at all
    batch_documents: int = 1  # documents a unit of work
    seed: int = 42  # launch script
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    threads: int | None = None  # CPU threads; None: what PyTorch takes here. Written down, and kept on resume

    def __post_init__(self) -> None:
        found = self.targets
        if list(found) != sorted(set(found)):
            raise UserError(f"lengths: {self.lengths}; must grow from round to round")
        if len(self.theta) not in (1, len(found)):
            raise UserError(f"theta: {len(self.theta)} values for {len(found)} rounds; give one, or one a round")
        if any(not 0 <= t < 1e15 for t in self.theta):
            raise UserError("theta: must be positive, or 0 for the model's own")
        if not 0 < self.beta < math.inf:
            raise UserError(f"beta: {self.beta}; must be above 0")
        for name in ("lam", "alpha"):
            if not 0 <= getattr(self, name) < math.inf:
                raise UserError(f"{name}: {getattr(self, name)}; must be 0 or more")
        if self.chunks.tokens >= found[0]:
            raise UserError(
                f"chunks.tokens: {self.chunks.tokens} is no shorter than the first length, {found[0]}; lower --chunks.tokens"
            )
        if self.limit(found[0]) < 1:
            raise UserError(
                f"lengths: {found[0]} leaves no room for a document beside {self.chunks.per_document} questions "
                f"(ask.max_tokens {self.ask.max_tokens}) and answers (answer.max_new_tokens {self.answer.max_new_tokens}); lower these"
            )
        if self.arm == "placebo" and self.answer.temperature == 0:
            raise UserError("arm placebo: greedy gives the same answer twice; set --answer.temperature 1")
        if self.arm not in ("longpo", "placebo") and self.train.objective != "longpo":
            raise UserError(
                f"train.objective: arm {self.arm} has its own loss; leave the objective out, or take arm longpo"
            )
        for name, least in (("kl_documents", 0), ("batch_documents", 1), ("threads", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise UserError(f"{name}: {value}; must be at least {least}")

    @property
    def targets(self) -> tuple[int, ...]:
        """Tokens of each round."""
        found = []
        for part in self.lengths.split(","):
            word = part.strip().lower()
            digits, factor = (word[:-1], 1024) if word.endswith("k") else (word, 1)
            if not digits.isdigit() or int(digits) < 1:
                raise UserError(
                    f"lengths: {part.strip() or 'nothing'!r} is no length; write them like 128k,256k or 512"
                )
            found.append(int(digits) * factor)
        return tuple(found)

    @property
    def least_document(self) -> int:
        """A document must have more tokens than this."""
        return self.chunks.min_tokens or self.targets[0] // 2

    @property
    def least_chunk(self) -> int:
        """A chunk must have this many tokens."""
        return self.chunks.min_chunk or self.chunks.tokens // 2

    @property
    def rounds(self) -> int:
        return len(self.targets)

    def limit(self, target: int) -> int:
        """The longest document of a round: with all its questions and answers it fits the round's length."""
        return target - self.chunks.per_document * (self.ask.max_tokens + self.answer.max_new_tokens)

    def theta_of(self, t: int) -> float:
        """Round t's RoPE base, t = 1, 2, ...; 0 leaves the model's own."""
        return self.theta[t - 1] if len(self.theta) > 1 else self.theta[0]

    def start_of(self, t: int) -> int:
        """The round whose model is round t's short model and start; 0 is the model that was given."""
        return t - 1 if self.iterate == "chained" else min(t - 1, 1)
