"""PairRM's network: DeBERTa-v2/v3 over a prompt and two answers in one row, and one head that reads each answer beside the prompt.

In: rows of token ids, each with the places of its three marks (<|source|>, <|candidate1|>, <|candidate2|>). Out: one logit a row, positive
where the first answer is better: P(first wins) = sigmoid(logit). After LLM-Blender (Jiang et al., arXiv 2306.02561, section 3) as its
package and `llm-blender/PairRM-hf` compute it; the names of the weights are theirs.

Departures: the marks are read where they were put, not searched for in the row (an answer that spells a mark out would make the package
read a second one); the head runs in float32 whatever the backbone's type, since the difference of two near scores is what counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.utils.rnn import pad_sequence
from transformers import DebertaV2Config, DebertaV2Model

IGNORED = ("embeddings.position_ids", "embeddings.position_embeddings.weight")  # buffers that older transformers saved


@dataclass(frozen=True, slots=True)
class Row:
    """[CLS]<|source|>x[SEP][CLS]<|candidate1|>a[SEP][CLS]<|candidate2|>b[SEP]: its ids and where the three marks stand."""

    ids: tuple[int, ...]
    marks: tuple[int, int, int]


class PairRM(nn.Module):
    """`n_tasks` scores an answer; PairRM has one."""

    def __init__(self, config: DebertaV2Config, n_tasks: int = 1) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.n_tasks = n_tasks
        self.pretrained_model = DebertaV2Model(config)
        # Dropout keeps its place, so that the weights keep their names (head_layer.1, head_layer.4).
        self.head_layer = nn.Sequential(
            nn.Dropout(0.05), nn.Linear(2 * hidden, hidden), nn.Tanh(), nn.Dropout(0.05), nn.Linear(hidden, n_tasks)
        )

    @property
    def device(self) -> torch.device:
        return self.pretrained_model.device

    def forward(self, ids_BL: torch.Tensor, mask_BL: torch.Tensor, marks_B3: torch.Tensor) -> torch.Tensor:
        """Logits [B], float32: the mean over tasks of the first answer's score less the second's."""
        hidden_BLD = self.pretrained_model(input_ids=ids_BL, attention_mask=mask_BL).last_hidden_state
        rows = torch.arange(len(ids_BL), device=ids_BL.device)
        source, first, second = (hidden_BLD[rows, marks_B3[:, i]].float() for i in range(3))
        left = self.head_layer(torch.cat([source, first], dim=-1))
        right = self.head_layer(torch.cat([source, second], dim=-1))
        return (left - right).mean(dim=-1)

    @torch.no_grad()
    def logits(self, rows: Sequence[Row]) -> list[float]:
        """One forward over `rows`, padded right to the longest."""
        device = self.device
        ids = pad_sequence([torch.tensor(row.ids) for row in rows], batch_first=True).to(device)
        lengths = torch.tensor([len(row.ids) for row in rows], device=device)
        mask = (torch.arange(ids.shape[1], device=device) < lengths[:, None]).long()
        marks = torch.tensor([row.marks for row in rows], device=device)
        return self(ids, mask, marks).double().tolist()


def build(config: DebertaV2Config, weights: Mapping[str, torch.Tensor], dtype: torch.dtype) -> PairRM:
    """The network with `weights`, in evaluation mode; `ValueError` names the first weight that is missing, foreign or misshapen.

    The vocabulary's size is the weights' own: Blender's files say nothing of the four marks that were added to it.
    """
    words = weights.get("pretrained_model.embeddings.word_embeddings.weight")
    top = weights.get("head_layer.4.weight")
    if words is None or top is None:
        raise ValueError("its weights have no pretrained_model.* and head_layer.*: it is not PairRM")
    config.vocab_size = words.shape[0]
    with torch.device("meta"):  # no time or memory for weights that are replaced at once
        model = PairRM(config, n_tasks=top.shape[0])
    kept = {name: w for name, w in weights.items() if not name.endswith(IGNORED)}
    wanted = model.state_dict()
    for name in sorted(wanted.keys() | kept.keys()):
        if name not in kept:
            raise ValueError(f"its weights lack {name}: it is not PairRM, or config.json is another model's")
        if name not in wanted:
            raise ValueError(f"its weights hold {name}, which its config.json has no place for")
        if wanted[name].shape != kept[name].shape:
            shapes = f"{tuple(kept[name].shape)}, where config.json means {tuple(wanted[name].shape)}"
            raise ValueError(f"its weight {name} has shape {shapes}")
    model.load_state_dict(kept, assign=True)
    positions = torch.arange(config.max_position_embeddings).expand((1, -1))  # its one buffer is saved nowhere
    model.pretrained_model.embeddings.register_buffer("position_ids", positions, persistent=False)
    model.to(dtype)
    model.head_layer.float()
    return model.eval().requires_grad_(False)
