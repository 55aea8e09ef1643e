"""Trees under somebody else's training loop: a model's decoder computes the common prefixes of a batch's rows once.

In: any transformers decoder on the list (bare or in PEFT's wrapper) and a loop that calls it on right-padded batches, such as
TRL's DPOTrainer (`share_prefixes(trainer.model)`). Out: the same hidden states [B, S, H], hence the same losses, metrics and
gradients. The rows of a batch become one trie; padding is not computed. Calls that trees do not cover (generation with a cache,
one row, left padding, given positions or embeddings) run as before.
"""

from __future__ import annotations

import functools
from contextvars import ContextVar
from typing import Any

import torch
from torch import Tensor, nn
from transformers.modeling_outputs import BaseModelOutputWithPast

from windvane.models.trees.architectures import base_of
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.packing import Packing, pack
from windvane.models.trees.tree import Tree

_read: ContextVar[Tensor | None] = ContextVar("labels of a head that scores labelled tokens alone", default=None)


def share_prefixes(model: nn.Module) -> Scorer:
    """Patch `model` in place; the scorer tells whether trees are used and why not. With a head that reads labelled tokens alone (TRL's
    fused head), the last layer is computed for those alone too, and other positions' hidden states are zero."""
    base = base_of(model)
    scorer = Scorer(model)
    decoder, forward, plain = base.model, base.forward, base.model.forward

    @functools.wraps(forward)
    def noting_labels(*args: Any, **kwargs: Any) -> Any:
        labels = kwargs.get("labels") if kwargs.get("fused_lm_head") else None
        token = _read.set(labels)
        try:
            return forward(*args, **kwargs)
        finally:
            _read.reset(token)

    @functools.wraps(plain)
    def sharing(input_ids: Tensor | None = None, attention_mask: Tensor | None = None, **kwargs: Any) -> Any:
        given = {k for k, v in kwargs.items() if v is not None and v is not False}
        rows = None if given else _rows(input_ids, attention_mask)
        if rows is None or scorer.mode == "rows":
            return plain(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        assert input_ids is not None
        labels = _read.get()
        tree = Tree.of_rows([(row, 0) for row in rows])
        scorer.check([tree])
        if scorer.mode == "rows":
            return plain(input_ids=input_ids, attention_mask=attention_mask, **kwargs)
        packing = pack([tree], input_ids.device)
        places = _places(tree, packing, input_ids)
        if labels is not None:
            predicts = torch.zeros_like(labels, dtype=torch.bool)
            predicts[:, :-1] = labels[:, 1:] != -100
            places = places.masked_fill(~predicts, packing.plan.size)
        used = torch.zeros(packing.plan.size + 1, dtype=torch.bool, device=places.device)
        used[places] = True
        packing = packing.reading(used[:-1].cpu())
        hidden = scorer.hidden(packing)
        at = torch.cat([used[:-1].cumsum(0) - 1, torch.tensor([len(hidden)], device=places.device)])
        hidden = torch.cat([hidden, hidden.new_zeros(1, hidden.shape[-1])])  # what padding and unread tokens get
        return BaseModelOutputWithPast(last_hidden_state=hidden[at[places]])

    base.forward, decoder.forward = noting_labels, sharing
    return scorer


def _rows(input_ids: Tensor | None, attention_mask: Tensor | None) -> list[tuple[int, ...]] | None:
    """The batch's rows without their padding; None where there are not several right-padded ones."""
    if input_ids is None or len(input_ids) < 2:
        return None
    if attention_mask is None:
        return [tuple(row) for row in input_ids.tolist()]
    if attention_mask.shape != input_ids.shape or (attention_mask[:, 1:] > attention_mask[:, :-1]).any():
        return None
    return [tuple(row[:n]) for row, n in zip(input_ids.tolist(), attention_mask.sum(1).tolist())]


def _places(tree: Tree, packing: Packing, input_ids: Tensor) -> Tensor:
    """[B, S]: where each token of the batch lies in the packed row; padding lies one past its end."""
    places = torch.full(input_ids.shape, packing.plan.size, dtype=torch.long)
    for r, leaf in enumerate(tree.leaves):
        spans = [(packing.starts[0][n], len(tree.nodes[n].token_ids)) for n in tree.path(leaf)]
        row = torch.cat([torch.arange(start, start + length) for start, length in spans])
        places[r, : len(row)] = row
    return places.to(input_ids.device)
