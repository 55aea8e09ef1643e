"""The short-to-long KL of LongPO (arXiv 2502.13922, eq. 8-10): KL[pi(y|x_L) || pi_S(y|x_S)], measured, not trained.

In: questions with their documents, the policy on the long side, the frozen short model. Out: a line a question: an answer is sampled from
the policy after the whole document (temperature 1), and at each of its tokens the KL between the two models' next-token distributions is
taken over the whole vocabulary, the short model reading the question's own chunk; their sum is an unbiased estimate of the sequence's KL
(nats). Before training the policy is the start with its base raised: the two figures show what the round did.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from windvane.core.protocols import Runner
from windvane.core.records import Response
from windvane.core.schema import encode
from windvane.longpo.decode import TrunkReader
from windvane.longpo.documents import Cut, document_units
from windvane.longpo.responses import Prompts, long_answers
from windvane.models.trees.architectures import cap_logits
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.packing import pack
from windvane.models.trees.tree import Tree

ROWS = 256  # positions whose logits exist at a time


@dataclass(frozen=True, slots=True)
class ShortToLong:
    """One question: `kl` summed over the `tokens` of an answer that the policy sampled, in nats."""

    id: str
    document: str
    kl: float
    tokens: int


def run_kl(
    runner: Runner,
    stage: str,
    reader: TrunkReader,
    policy: Scorer,
    short: Scorer,
    prompts: Prompts,
    cuts: Sequence[Cut],
    index: int,
    seed: int,
    target: int,
    size: int,
) -> None:
    """Fill `stage` with a ShortToLong record a question of `cuts`."""

    def work(batch: Sequence[Cut]) -> list[dict[str, Any]]:
        found = []
        for cut in batch:
            long = prompts.long(cut)
            answers = {r.prompt_id: r for r in long_answers(reader, prompts.tokenizer, long, index, seed, target)}
            rows = {id: p.token_ids for id, p in prompts.short(cut).items()}
            found += short_to_long(cut.id, policy, short, {id: p.token_ids for id, p in long.items()}, rows, answers)
        return [encode(row) for row in found]

    runner.run(stage, document_units(cuts, size), work)


@torch.no_grad()
def short_to_long(
    document: str,
    policy: Scorer,
    short: Scorer,
    long_ids: Mapping[str, tuple[int, ...]],
    short_ids: Mapping[str, tuple[int, ...]],
    answers: Mapping[str, Response],
) -> list[ShortToLong]:
    """KL at each answer's tokens, summed; `policy` reads `long_ids`, `short` reads `short_ids`."""
    if not answers:
        return []
    lengths = [len(a.token_ids) for a in answers.values()]
    sides = [
        (scorer, states(scorer, [ids[q] + answers[q].token_ids for q in answers], lengths))
        for scorer, ids in ((policy, long_ids), (short, short_ids))
    ]
    found = []
    for i, (id, answer) in enumerate(answers.items()):
        total = 0.0
        for start in range(0, lengths[i], ROWS):
            p, q = (log_probs(scorer, rows[i][start : start + ROWS]) for scorer, rows in sides)
            total += (p.exp() * (p - q.to(p.device))).sum(-1).double().sum().item()
        found.append(ShortToLong(id, document, total, len(answer.token_ids)))
    return found


def states(scorer: Scorer, rows: Sequence[tuple[int, ...]], lengths: Sequence[int]) -> list[Tensor]:
    """What predicts the last `lengths[i]` tokens of each row: hidden states [n, H], or logits [n, V] where the scorer has no trees."""
    tree = Tree.of_rows([(row, len(row) - n) for row, n in zip(rows, lengths)])
    scorer.model.eval()
    scorer.check([tree])
    device = scorer.base.get_input_embeddings().weight.device
    if scorer.mode == "trees":
        packing = pack([tree], device)
        hidden = scorer.hidden(packing)
        nodes: list[Tensor | None] = [None] * len(tree.nodes)
        for _, n, places in packing.reads:
            nodes[n] = hidden[places]
        return [tree.tail(nodes, leaf, n) for leaf, n in zip(tree.leaves, lengths)]
    found = []
    for row, n in zip(rows, lengths):
        few = {"logits_to_keep": n + 1} if "logits_to_keep" in inspect.signature(scorer.base.forward).parameters else {}
        logits = scorer.model(input_ids=torch.tensor([row], device=device), use_cache=False, **few).logits[0]
        found.append(logits[-n - 1 : -1])
    return found


def log_probs(scorer: Scorer, rows: Tensor) -> Tensor:
    """[n, V] from what `states` gave."""
    if scorer.mode == "trees":
        rows = cap_logits(scorer.base.get_output_embeddings()(rows), scorer.base.config)
    return rows.float().log_softmax(-1)
