"""IPO (Azar et al., arXiv 2310.12036, eq. 17), with sums over tokens as in the paper; `ipo_mean` is TRL's reading.

( logratio_w - logratio_l - 1/(2 beta) )^2
"""

from torch import Tensor

from windvane.losses.batch import Batch

BRANCHES = "pair"
REFERENCE = True
REDUCTION = "example"
SEQUENCE = "sum"


def loss(batch: Batch, *, beta: float = 0.1) -> Tensor:
    """[B]; beta is the paper's tau, in 1/nats."""
    return (batch.margin(batch.logratio) - 0.5 / beta).square()
