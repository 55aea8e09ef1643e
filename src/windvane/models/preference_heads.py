"""What turns the last hidden state of a chat into preferences: the Bradley-Terry head and the general preference model's (GPM).

In: states h [..., H] at the answers' last tokens, for the GPM also g [..., H] at their prompt's. Out: scores s(a, b), skew-symmetric to
the last bit: s(a, b) = -s(b, a). P(a beats b) = sigmoid(s(a, b) / temperature).

Bradley-Terry: s(a, b) = r_a - r_b with r = w h; no such score has a cycle. GPM (arXiv 2410.02197, section 4): an answer is a unit
vector v in R^{2k}, v = W h / |W h|; s(a, b) = <R v_a, v_b> with R made of k blocks lambda_l [[0, -1], [1, 0]]; the prompt scales the
blocks. As the released code has it, lambda = k softmax(G g / sqrt(H)), which needs no parameters where k = 1, and the
temperature is 0.1. Departure: the head is W alone, as in the first release; later ones also offer a two-layer head.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import skip_init

from windvane.core.errors import UserError

Kind = Literal["bt", "gpm"]


@dataclass(frozen=True, slots=True)
class HeadShape:
    """`dim` = 2k and `gate` are the GPM's (1 and False for the other). `temperature`: of the scores, unit as they are."""

    kind: Kind
    dim: int
    gate: bool
    temperature: float

    def __post_init__(self) -> None:
        if self.kind == "gpm" and (self.dim < 2 or self.dim % 2):
            raise UserError(f"head.dim: {self.dim}; a general preference model needs an even number, 2 or more")
        if not 0 < self.temperature < math.inf:
            raise UserError(f"head.temperature: {self.temperature}; must be a finite number above 0")

    @staticmethod
    def of(kind: Kind, dim: int = 8, gate: bool = True, temperature: float | None = None) -> HeadShape:
        """The GPM's temperature is 0.1 where none is given (the released scripts'). A reward model has none: whoever reads its plain
        classifier takes sigmoid(r_a - r_b), so another than 1 would be a probability that it was not trained for."""
        if kind == "bt":
            if temperature not in (None, 1.0):
                raise UserError(
                    f"temperature: {temperature}; a reward model's P(a beats b) is sigmoid(r_a - r_b): leave it out, or take --kind gpm"
                )
            return HeadShape("bt", 1, False, 1.0)
        return HeadShape("gpm", dim, gate and dim > 2, 0.1 if temperature is None else temperature)


class PreferenceHead(nn.Module):
    """`score`: [1 or 2k, H], as transformers' sequence classifiers name it; `gate`: [k, H] or None. Drawn from `seed` with standard
    deviation 1/(H + 1), as in the released code; the global random state is left as it was."""

    def __init__(self, shape: HeadShape, hidden: int, seed: int) -> None:
        super().__init__()
        self.shape = shape
        generator = torch.Generator().manual_seed(seed)
        self.score = skip_init(nn.Linear, hidden, shape.dim, bias=False)
        self.gate = skip_init(nn.Linear, hidden, shape.dim // 2, bias=False) if shape.gate else None
        for layer in (self.score, self.gate):
            if layer is not None:
                nn.init.normal_(layer.weight, std=1.0 / (hidden + 1), generator=generator)

    def embed(self, states: Tensor) -> Tensor:
        """h [..., H] -> rewards [..., 1], or unit vectors [..., 2k]; in float32, under autocast too."""
        out = _linear(self.score, states)
        return out if self.shape.kind == "bt" else nn.functional.normalize(out, dim=-1)

    def scales(self, prompts: Tensor) -> Tensor | None:
        """g [..., H] -> lambda [..., k], whose mean is 1; None where all blocks count alike."""
        if self.gate is None:
            return None
        logits = _linear(self.gate, prompts) / math.sqrt(prompts.shape[-1])
        return logits.softmax(-1) * logits.shape[-1]

    def compare(self, a: Tensor, b: Tensor, scales: Tensor | None = None) -> Tensor:
        """s(a, b) [...] of embeddings [..., 1 or 2k]."""
        return skew_score(a, b, scales) if self.shape.kind == "gpm" else (a - b)[..., 0]


def _linear(layer: nn.Linear, x: Tensor) -> Tensor:
    with torch.autocast(x.device.type, enabled=False):
        return nn.functional.linear(x.float(), layer.weight.float())


def skew_score(a: Tensor, b: Tensor, scales: Tensor | None = None) -> Tensor:
    """<R a, b> = sum over blocks l of lambda_l (a_2l b_2l+1 - a_2l+1 b_2l); a, b [..., 2k], scales [..., k]."""
    a_even, a_odd, b_even, b_odd = a[..., 0::2], a[..., 1::2], b[..., 0::2], b[..., 1::2]
    # two products, rounded each, and their difference: they change places when a and b do, so the sign alone changes
    blocks = a_even * b_odd - a_odd * b_even
    return (blocks if scales is None else blocks * scales).sum(-1)


def preference_losses(scores: Tensor, probability: Tensor, margin: Tensor, temperature: float) -> Tensor:
    """-p log sigmoid(z) - (1 - p) log sigmoid(-z) with z = (s - margin)/temperature, one value a pair [B].

    `probability` p: that the chosen answer wins (1: a plain label). With p = 1 and temperature 1 it is the loss of reward models
    (InstructGPT, arXiv 2203.02155, equation 1; with a margin: Llama 2, arXiv 2307.09288, equation 2)."""
    return nn.functional.binary_cross_entropy_with_logits(
        (scores - margin) / temperature, probability, reduction="none"
    )
