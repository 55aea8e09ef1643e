"""The records that flow from verb to verb: each is a line of a JSONL file in the run folder.

prompts.jsonl: Prompt; responses.jsonl: Response; verdicts.jsonl: Verdict; groups.jsonl: Group; reference.jsonl: Reference.
Ids come from content: the same prompt has the same id in every run. Rates and probabilities are fractions; lengths are tokens.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from windvane.core.schema import dumps

T = TypeVar("T")


def content_id(value: object) -> str:
    """16 hexadecimal digits of the SHA-256 of the value's canonical JSON."""
    return hashlib.sha256(dumps(value).encode()).hexdigest()[:16]


def seed_of(*parts: object) -> int:
    """A 63-bit seed from (run seed, stage, row id, ...): independent of order, batch and machine."""
    digest = hashlib.sha256("\x1f".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1


def held_out_keys(keys: Iterable[str], share: float, seed: int, fewest: int = 10, stream: str = "held-out") -> set[str]:
    """A share of `keys`, drawn by (seed, key) alone, so that the order of the rows does not matter: at least one, and none where the share
    is 0 or there are fewer than `fewest` keys. Rows that share a key (a prompt, a cluster, an instruction) are held out together."""
    ordered = sorted(set(keys), key=lambda key: (seed_of(seed, stream, key), key))
    return set(ordered[: max(1, round(share * len(ordered))) if share and len(ordered) >= fewest else 0])


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a chat; `role` is system, user or assistant."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Prompt:
    """A chat that waits for an answer. `token_ids`: the chat through the model's template with the generation prompt."""

    id: str
    messages: tuple[Message, ...]
    token_ids: tuple[int, ...] = ()

    @staticmethod
    def of(messages: tuple[Message, ...]) -> Prompt:
        return Prompt(content_id([[m.role, m.content] for m in messages]), messages)

    @property
    def text(self) -> str:
        """What a judge without a chat format reads: the last user turn alone for a single turn, else labelled turns."""
        if len(self.messages) == 1:
            return self.messages[0].content
        return "\n\n".join(f"{m.role.capitalize()}: {m.content}" for m in self.messages)


@dataclass(frozen=True, slots=True)
class Response:
    """One sampled answer. `token_ids` are the sampled ids, closing EOS included when `finish` is "stop"; they are what is
    trained on. `logps`: sum over the answer's tokens of the sampling model's log-probability at temperature 1 (nats)."""

    id: str
    prompt_id: str
    index: int
    text: str
    token_ids: tuple[int, ...]
    finish: str  # "stop" (EOS was sampled) or "length" (max_new_tokens reached)
    logps: float | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's word on answers `a` < `b` (indices) of one prompt, asked in both orders.

    `p_ab`: probability that a wins with a shown first; `p_ba`: that b wins with b shown first. `p` = (p_ab + 1 - p_ba)/2 is
    P(a wins) after symmetrising; `disagreement` = |p_ab + p_ba - 1|. Where the judge gave nothing usable, `p` is None and
    `reason` says why: such a pair is counted and never scored. Beside a `p` it is a remark of the judge's (PairRM: what it cut).
    """

    id: str
    prompt_id: str
    a: int
    b: int
    p_ab: float | None
    p_ba: float | None
    p: float | None
    disagreement: float | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Member:
    """One answer of a group. `p_loo`: mean P(wins) against the other answers; `p_incl`: the same with the answer itself
    counted at 1/2, the paper's (1/K) sum over all K: p_incl = ((K-1) p_loo + 1/2)/K."""

    index: int
    response_id: str
    p_loo: float
    p_incl: float


@dataclass(frozen=True, slots=True)
class Group:
    """The preferences of one prompt. `id` is the prompt's id. `chosen`/`rejected` are response indices or None; `status` is
    "pair", "tie" (best and worst equal in probability), "same" (equal in their tokens), "few" (fewer than two answers judged)
    or "failed" (no usable verdict)."""

    id: str
    members: tuple[Member, ...]
    chosen: int | None
    rejected: int | None
    status: str
    judged_pairs: int
    failed_pairs: int
    tied_pairs: int
    disagreement: float | None  # mean over judged pairs
    cyclic_triples: int
    triples: int


@dataclass(frozen=True, slots=True)
class Reference:
    """The frozen reference model's summed log-probability (nats) of one response given its prompt; `id` is the response's."""

    id: str
    logps: float
    tokens: int


@dataclass(frozen=True, slots=True)
class TokenReference(Reference):
    """The same with the log-probability (nats) of each token of the response, which add up to `logps`; empty where the loss reads sums."""

    token_logps: tuple[float, ...] = ()


def by_prompt(responses: Iterable[Response]) -> dict[str, list[Response]]:
    """Each prompt's answers in the order of their indices."""
    found: dict[str, list[Response]] = {}
    for response in sorted(responses, key=lambda r: (r.prompt_id, r.index)):
        found.setdefault(response.prompt_id, []).append(response)
    return found


def batches(prompts: Sequence[Prompt], size: int) -> list[tuple[str, list[Prompt]]]:
    """The units of a data stage: (key, prompts), `size` at a time in the order of their ids; a function of its input alone."""
    return units(sorted(prompts, key=lambda p: p.id), size)


def units(rows: Sequence[T], size: int, field: str = "id") -> list[tuple[str, list[T]]]:
    """(key, rows), `size` at a time in the given order. A key names the members by their `field`, so that another batch size or other
    rows are other units."""
    parts = [list(rows[i : i + size]) for i in range(0, len(rows), size)]
    return [(f"{n:06d}-{content_id([getattr(row, field) for row in part])}", part) for n, part in enumerate(parts)]
