"""DPO (Rafailov et al., arXiv 2305.18290, eq. 7), with label smoothing (cDPO; Mitchell 2023).

h = beta [(logratio_w) - (logratio_l)];   -(1 - s) log sigmoid(h) - s log sigmoid(-h)          sums over tokens
"""

from torch import Tensor
from torch.nn.functional import logsigmoid

from windvane.losses.batch import Batch

BRANCHES = "pair"
REFERENCE = True
REDUCTION = "example"
SEQUENCE = "sum"


def loss(batch: Batch, *, beta: float = 0.1, label_smoothing: float = 0.0) -> Tensor:
    """[B]; beta in 1/nats, label_smoothing in [0, 1/2)."""
    h = beta * batch.margin(batch.logratio)
    return -(1 - label_smoothing) * logsigmoid(h) - label_smoothing * logsigmoid(-h)
