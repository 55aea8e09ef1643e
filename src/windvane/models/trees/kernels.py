"""Fused attention kernels that give their log-sum-exp and take the merged one back: one piece of a plan a call.

In: q, k, v [B, G, tokens, D] with any strides (k and v may repeat along G with stride zero). Out: the piece's output and
log-sum-exp [B, G, tokens]; backward: the piece's share of the gradients, given the merged output and log-sum-exp of its queries.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from windvane.models.trees.packing import Piece

aten = torch.ops.aten


class Kernel(Protocol):
    """One piece, forward and backward."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, piece: Piece, scale: float) -> tuple[Tensor, Tensor]:
        """q [B, G, queries, D], k and v [B, G, keys, D] -> output [B, G, queries, D], log-sum-exp [B, G, queries] (nats)."""

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, piece: Piece, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        """`out` and `lse` are the merged ones of its queries -> the piece's share of the gradients of q, k and v, in their shapes."""


def window_mask(piece: Piece, device: torch.device) -> Tensor:
    """[queries, keys] bool: query i sees key j where j >= i - shift."""
    i = torch.arange(piece.q1 - piece.q0, device=device)[:, None]
    return torch.arange(piece.k1 - piece.k0, device=device)[None] >= i - piece.shift


@dataclass(frozen=True, slots=True)
class FlashCpu:
    """aten's flash attention for the CPU, float32 and bfloat16."""

    def _mask(self, q: Tensor, piece: Piece) -> Tensor | None:
        if piece.kind != "window":
            return None
        seen = window_mask(piece, q.device)
        return torch.zeros(seen.shape, dtype=q.dtype, device=q.device).masked_fill_(~seen, -torch.inf)[None, None]

    def forward(self, q: Tensor, k: Tensor, v: Tensor, piece: Piece, scale: float) -> tuple[Tensor, Tensor]:
        return aten._scaled_dot_product_flash_attention_for_cpu(
            q, k, v, 0.0, piece.kind == "causal", attn_mask=self._mask(q, piece), scale=scale
        )

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, piece: Piece, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        return aten._scaled_dot_product_flash_attention_for_cpu_backward(
            grad, q, k, v, out, lse, 0.0, piece.kind == "causal", attn_mask=self._mask(q, piece), scale=scale
        )


@dataclass(frozen=True, slots=True)
class FlashCuda:
    """aten's FlashAttention-2 for CUDA, bfloat16 and float16; windows' edges, which it has no mask for, go through `Blocks`.

    Unproven: written against the operators' schemas, held to the rows only by tests that need a GPU."""

    def forward(self, q: Tensor, k: Tensor, v: Tensor, piece: Piece, scale: float) -> tuple[Tensor, Tensor]:
        if piece.kind == "window":
            return Blocks().forward(q, k, v, piece, scale)
        found = aten._scaled_dot_product_flash_attention(
            q.flatten(0, 1)[None], k[None, :, 0], v[None, :, 0], 0.0, piece.kind == "causal", False, scale=scale
        )
        return found[0][0].unflatten(0, q.shape[:2]), found[1][0].unflatten(0, q.shape[:2])[..., : q.shape[2]]

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, piece: Piece, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        if piece.kind == "window":
            return Blocks().backward(grad, q, k, v, out, lse, piece, scale)
        no_seed = torch.zeros(2, dtype=torch.uint64, device=q.device)  # there is no dropout to replay
        grad, queries, out, lse = (x.flatten(0, 1)[None] for x in (grad, q, out, lse))
        dq, dk, dv = aten._scaled_dot_product_flash_attention_backward(
            grad.contiguous(), queries, k[None, :, 0], v[None, :, 0], out, lse.contiguous(), None, None, q.shape[2], k.shape[2],
            0.0, piece.kind == "causal", no_seed, no_seed[:0], scale=scale,
        )  # fmt: skip
        return dq[0].unflatten(0, q.shape[:2]), dk[0][:, None], dv[0][:, None]


@dataclass(frozen=True, slots=True)
class Blocks:
    """Plain tensor operations on blocks of queries, any device and dtype; the only one with soft-capping (Gemma 2):
    scores become cap tanh(scores / cap). Scores are float32 and at most `rows` x keys exist at a time."""

    softcap: float | None = None
    rows: int = 256

    def _scores(self, q: Tensor, k: Tensor, piece: Piece, first: int, scale: float) -> tuple[Tensor, Tensor | None]:
        """float32 scores of queries from `first` on, masked; and tanh(scores / cap) for the backward."""
        scores = (q.float() @ k.float().mT) * scale
        tanh = None
        if self.softcap is not None:
            tanh = (scores / self.softcap).tanh_()
            scores = tanh * self.softcap
        if piece.kind != "full":
            i = torch.arange(first, first + q.shape[2], device=q.device)[:, None]
            j = torch.arange(k.shape[2], device=q.device)[None]
            seen = j <= i if piece.kind == "causal" else j >= i - piece.shift
            scores = scores.masked_fill(~seen, -torch.inf)
        return scores, tanh

    def forward(self, q: Tensor, k: Tensor, v: Tensor, piece: Piece, scale: float) -> tuple[Tensor, Tensor]:
        outs, sums = [], []
        for first in range(0, q.shape[2], self.rows):
            scores, _ = self._scores(q[:, :, first : first + self.rows], k, piece, first, scale)
            lse = scores.logsumexp(-1)
            outs.append((scores.sub_(lse[..., None]).exp_() @ v.float()).to(q.dtype))
            sums.append(lse)
        return torch.cat(outs, 2), torch.cat(sums, 2)

    def backward(
        self, grad: Tensor, q: Tensor, k: Tensor, v: Tensor, out: Tensor, lse: Tensor, piece: Piece, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        dq = []
        dk = torch.zeros(k.shape, dtype=torch.float32, device=k.device)
        dv = torch.zeros(v.shape, dtype=torch.float32, device=v.device)
        for first in range(0, q.shape[2], self.rows):
            at = slice(first, first + self.rows)
            g, queries = grad[:, :, at].float(), q[:, :, at].float()
            scores, tanh = self._scores(queries, k, piece, first, scale)
            weights = scores.sub_(lse[:, :, at, None]).exp_()
            dv += weights.mT @ g
            delta = (g * out[:, :, at].float()).sum(-1, keepdim=True)
            ds = weights * (g @ v.float().mT - delta) * scale
            if tanh is not None:
                ds *= 1 - tanh * tanh
            dq.append((ds @ k.float()).to(q.dtype))
            dk += ds.mT @ queries
        return torch.cat(dq, 2), dk.to(k.dtype), dv.to(v.dtype)
