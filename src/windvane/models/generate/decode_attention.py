"""Attention of many growing answers against the shared keys and values of their prompts: hydragen-style decoding.

In: one new token's query, key and value for each living row (answer). Out: the attention's output for it. A prompt's keys and values
(its trunk) are kept once; a row keeps only its own tail. The queries of all rows of a prompt meet the trunk in one product, each row's
queries its own tail in another; one softmax runs over both, so the result is exact. Arithmetic of Hydragen (arXiv 2402.05099), without
its merging of two softmaxes: the scores of one token are small enough to be put side by side.

Shapes: G prompts, R living rows, S row slots a prompt, L longest trunk, T tail tokens so far, H query heads, J key heads, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface

NAME = "windvane_shared_decode"


class Trunks:
    """Keys and values of G prompts and of the tails of their living rows; all rows are at the same step."""

    def __init__(self, keys: list[torch.Tensor], values: list[torch.Tensor], lengths: list[int], copies: int) -> None:
        """`keys[layer]`, `values[layer]`: [G, J, L, D], right-padded; `lengths`: tokens of each prompt; `copies`: rows a prompt."""
        self.keys, self.values = keys, values
        self.device = keys[0].device
        self.lengths_G = torch.tensor(lengths, device=self.device)
        self.prompt_of_R = torch.arange(len(lengths), device=self.device).repeat_interleave(copies)
        self.tails: list[tuple[torch.Tensor, torch.Tensor] | None] = [None] * len(keys)
        self.step = 0
        self._layout()

    def _layout(self) -> None:
        """Where each row sits among its prompt's slots; `dense` when the slots are exactly the rows, in order."""
        counts_G = torch.bincount(self.prompt_of_R, minlength=len(self.lengths_G))
        self.slots, self.rows = int(counts_G.max()), len(self.prompt_of_R)
        self.dense = self.slots * len(self.lengths_G) == self.rows
        before_G = torch.cumsum(counts_G, 0) - counts_G
        number_R = torch.arange(self.rows, device=self.device) - before_G[self.prompt_of_R]
        self.slot_of_R = self.prompt_of_R * self.slots + number_R
        self.row_of_slot = torch.zeros(len(self.lengths_G) * self.slots, dtype=torch.long, device=self.device)
        self.row_of_slot[self.slot_of_R] = torch.arange(self.rows, device=self.device)
        self.positions_R = self.lengths_G[self.prompt_of_R]
        self.shortest, self.longest = int(self.lengths_G.min()), int(self.lengths_G.max())
        self.masks: dict[int | None, tuple[int, torch.Tensor | None]] = {}

    def advance(self) -> None:
        """Every row has one more token."""
        self.step += 1
        self.masks = {w: m for w, m in self.masks.items() if w is None}

    def keep(self, rows: torch.Tensor) -> None:
        """Go on with these rows alone (ascending indices [rows left]). A prompt's trunk goes when at least half of the prompts are done."""
        self.prompt_of_R = self.prompt_of_R[rows]
        for layer, tail in enumerate(self.tails):
            if tail is not None:
                self.tails[layer] = (tail[0][rows], tail[1][rows])
        living, inverse = torch.unique(self.prompt_of_R, return_inverse=True)
        if 2 * len(living) <= len(self.lengths_G):
            self.prompt_of_R, self.lengths_G = inverse, self.lengths_G[living]
            longest = int(self.lengths_G.max())
            self.keys = [k[living, :, :longest] for k in self.keys]
            self.values = [v[living, :, :longest] for v in self.values]
        self._layout()

    def append(self, layer: int, key: torch.Tensor, value: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Store one token's [R, J, 1, D]; the tails so far, [R, J, T, D] (views: buffers grow by doubling)."""
        tail, used = self.tails[layer], self.step
        if tail is None or tail[0].shape[2] <= used:
            room = max(32, 2 * used)
            grown = (
                key.new_empty(*key.shape[:2], room, key.shape[3]),
                value.new_empty(*value.shape[:2], room, value.shape[3]),
            )
            if tail is not None:
                grown[0][:, :, :used], grown[1][:, :, :used] = tail[0][:, :, :used], tail[1][:, :, :used]
            tail = self.tails[layer] = grown
        tail[0][:, :, used : used + 1], tail[1][:, :, used : used + 1] = key, value
        return tail[0][:, :, : used + 1], tail[1][:, :, : used + 1]

    def mask(self, window: int | None) -> tuple[int, torch.Tensor | None]:
        """First trunk token that any row may see, and a float mask [G, 1, 1, L - first] (0 or -inf) or None where all is seen.

        A query at position p sees keys in (p - window, p]."""
        if window not in self.masks:
            first = 0 if window is None else max(0, self.shortest + self.step - window + 1)
            first = min(first, self.longest)
            ragged = self.shortest != self.longest
            mask = None
            if ragged:
                at = torch.arange(first, self.longest, device=self.device)
                end_G1 = self.lengths_G[:, None]
                seen = at < end_G1
                if window is not None:
                    seen = seen & (at > end_G1 + self.step - window)
                mask = torch.zeros(seen.shape, device=self.device).masked_fill_(~seen, float("-inf"))[:, None, None]
            self.masks[window] = (first, mask)
        return self.masks[window]

    def to_slots(self, x: torch.Tensor) -> torch.Tensor:
        """Rows to slots: [R, J, n, D] -> [G, J, S*n, D] (an empty slot repeats some row)."""
        if not self.dense:
            x = x[self.row_of_slot]
        _, j, n, d = x.shape
        return x.view(-1, self.slots, j, n, d).transpose(1, 2).reshape(-1, j, self.slots * n, d)

    def to_rows(self, x: torch.Tensor) -> torch.Tensor:
        """Slots to rows: [G, J, S*n, D] -> [R, J, n, D]."""
        g, j, sn, d = x.shape
        x = x.view(g, j, self.slots, sn // self.slots, d).transpose(1, 2).reshape(g * self.slots, j, -1, d)
        return x if self.dense else x[self.slot_of_R]


def shared_attention(
    module: torch.nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    sliding_window: int | None = None,
    softcap: float | None = None,
    shared_trunks: Trunks | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Called by the model's layers: query [R, H, 1, D], key and value [R, J, 1, D] -> [R, 1, H, D]."""
    assert shared_trunks is not None, "the model did not pass the trunks down to its attention"
    assert kwargs.get("s_aux") is None and kwargs.get("position_bias") is None, "attention with sinks or position bias"
    trunks, layer = shared_trunks, module.layer_idx
    assert isinstance(layer, int)
    scale = query.shape[-1] ** -0.5 if scaling is None else scaling
    tail_k, tail_v = trunks.append(layer, key, value)
    rows, heads, _, size = query.shape
    groups = key.shape[1]
    first, mask = trunks.mask(sliding_window)
    own = 0 if sliding_window is None else max(0, trunks.step + 1 - sliding_window)
    if own:
        tail_k, tail_v = tail_k[:, :, own:], tail_v[:, :, own:]
    trunk_k, trunk_v = trunks.keys[layer], trunks.values[layer]
    if first or trunk_k.shape[2] != trunks.longest:
        trunk_k, trunk_v = trunk_k[:, :, first : trunks.longest], trunk_v[:, :, first : trunks.longest]

    q_RJnD = (query * scale).view(rows, groups, heads // groups, size)
    to_trunk = torch.matmul(trunks.to_slots(q_RJnD), trunk_k.transpose(-1, -2))
    if mask is not None:
        to_trunk = to_trunk + mask
    to_tail = trunks.to_slots(torch.matmul(q_RJnD, tail_k.transpose(-1, -2)))
    scores = torch.cat((to_trunk, to_tail), -1)
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap  # -inf would become -softcap: masked below again
        if mask is not None:
            scores[..., : to_trunk.shape[-1]] += mask
    weights = torch.softmax(scores, -1, dtype=torch.float32).to(value.dtype)
    on_trunk, on_tail = weights.split((to_trunk.shape[-1], to_tail.shape[-1]), -1)
    out = trunks.to_rows(torch.matmul(on_trunk, trunk_v)) + torch.matmul(trunks.to_rows(on_tail), tail_v)
    return out.reshape(rows, 1, heads, -1), None


AttentionInterface.register(NAME, shared_attention)
