"""From next-token logits to sampled answers: temperature, top-p (nucleus, arXiv 1904.09751), stop tokens.

In: a decoder that has its model, prompts as ids, one stream of uniforms a row. Out: for each row its sampled ids, the summed
log-probability of them at temperature 1, and whether a stop token closed it. Each step takes one uniform of the row's own stream through
the inverse cumulative distribution over the vocabulary in id order, so that what a row samples depends on its own stream and on
floating-point alone, never on the rows beside it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from windvane.core.errors import UserError
from windvane.models.generate.decode import Decoder


@dataclass(frozen=True, slots=True)
class Sampled:
    """`logps` in nats at temperature 1 without top-p; `stopped`: the last id is a stop token."""

    token_ids: tuple[int, ...]
    logps: float
    stopped: bool


def uniforms(seed: int, count: int) -> np.ndarray:
    """The first `count` uniforms in [0, 1) of a row's stream; a longer stream begins with the shorter one."""
    return np.random.Generator(np.random.PCG64(seed)).random(count)


def choose(
    logits_RV: torch.Tensor, uniform_R: torch.Tensor, temperature: float, top_p: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """One token id a row and its log-probability at temperature 1. `logits_RV` float32; `uniform_R` in [0, 1); temperature 0 takes
    the largest logit."""
    if not torch.isfinite(logits_RV.amax(-1)).all():
        raise UserError(
            "the model's logits are not finite: its weights are broken; load them again or take an earlier iteration"
        )
    if temperature == 0:
        tokens = logits_RV.argmax(-1)
    else:
        probs = torch.softmax(logits_RV if temperature == 1 else logits_RV / temperature, -1)
        tokens = draw(nucleus(probs, top_p) if top_p < 1 else probs, uniform_R)
        if temperature == 1:  # saves a second pass over the vocabulary
            return tokens, probs.gather(1, tokens[:, None])[:, 0].log()
    return tokens, torch.log_softmax(logits_RV, -1).gather(1, tokens[:, None])[:, 0]


def nucleus(probs_RV: torch.Tensor, top_p: float) -> torch.Tensor:
    """[R, V] -> [R, V]: all zero but the smallest set of most probable ids whose probabilities reach `top_p` (not renormalised)."""
    ordered, ids = probs_RV.sort(dim=-1, descending=True, stable=True)
    beyond = ordered.cumsum(-1) - ordered >= top_p
    return probs_RV.masked_fill(torch.zeros_like(beyond).scatter_(1, ids, beyond), 0.0)


def draw(probs_RV: torch.Tensor, uniform_R: torch.Tensor) -> torch.Tensor:
    """[R] the first id of probs [R, V] whose cumulative probability exceeds uniform [R] in [0, 1) x total."""
    cdf = probs_RV.cumsum(-1)
    total = cdf[:, -1:]
    # Strictly below the total: then the id found has a probability above zero.
    target = torch.minimum(uniform_R[:, None].to(cdf.dtype) * total, torch.nextafter(total, torch.zeros_like(total)))
    return torch.searchsorted(cdf, target, right=True)[:, 0]


def sample(
    decoder: Decoder,
    prompts: Sequence[Sequence[int]],
    seeds: Sequence[Sequence[int]],
    stop_ids: Sequence[int],
    temperature: float,
    top_p: float,
    max_new_tokens: int,
) -> list[list[Sampled]]:
    """The answers to each prompt, one for each of its seeds (the same count for every prompt)."""
    copies, count = len(seeds[0]), len(prompts) * len(seeds[0])
    logits = decoder.start(prompts, copies).repeat_interleave(copies, 0)
    device = logits.device
    streams = np.stack([uniforms(s, max_new_tokens) for row in seeds for s in row])
    uniform_RT = torch.from_numpy(streams).to(device)
    stops = torch.tensor(sorted(stop_ids), dtype=torch.long, device=device)
    ids_RT = torch.zeros(count, max_new_tokens, dtype=torch.long, device=device)
    logps_R = torch.zeros(count, dtype=torch.float64, device=device)
    length_R = torch.full((count,), max_new_tokens, device=device)
    living = torch.arange(count, device=device)
    for step in range(max_new_tokens):
        tokens, picked = choose(logits, uniform_RT[living, step], temperature, top_p)
        ids_RT[living, step] = tokens
        logps_R[living] += picked.double()
        stopped = (tokens[:, None] == stops).any(-1)
        if stopped.any():
            length_R[living[stopped]] = -(step + 1)  # negative: closed by a stop token
            going = (~stopped).nonzero()[:, 0]
            living = living[going]
            if not len(living) or step + 1 == max_new_tokens:
                break
            decoder.keep(going)
            tokens = tokens[going]
        if step + 1 < max_new_tokens:
            logits = decoder.step(tokens)
    ids, lengths = ids_RT.cpu().numpy(), length_R.tolist()
    rows = [
        Sampled(tuple(ids[i, : abs(n)].tolist()), logp, n < 0)
        for i, (n, logp) in enumerate(zip(lengths, logps_R.tolist()))
    ]
    return [rows[i : i + copies] for i in range(0, count, copies)]
