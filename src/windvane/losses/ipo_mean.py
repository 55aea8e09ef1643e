"""IPO as TRL has it: each log-ratio is divided by its answer's length in tokens (the paper, see `ipo`, sums).

( logratio_w/|w| - logratio_l/|l| - 1/(2 beta) )^2
"""

from torch import Tensor

from windvane.losses.batch import Batch

BRANCHES = "pair"
REFERENCE = True
REDUCTION = "example"
SEQUENCE = "mean"


def loss(batch: Batch, *, beta: float = 0.1) -> Tensor:
    """[B]; beta in 1/(nats per token)."""
    return (batch.margin(batch.logratio / batch.lengths) - 0.5 / beta).square()
