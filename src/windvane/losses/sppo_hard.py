"""SPPO with hard labels, as TRL has it (loss_type "sppo_hard"): P(chosen) = 1, P(rejected) = 0.

(logratio_w - 1/(2 beta))^2 + (logratio_l + 1/(2 beta))^2          twice the soft loss at P = 1, 0 and eta = 1/beta
"""

from torch import Tensor

from windvane.losses.batch import Batch

BRANCHES = "pair"
REFERENCE = True
REDUCTION = "example"
SEQUENCE = "sum"


def loss(batch: Batch, *, beta: float = 1e-3) -> Tensor:
    """[B]; beta in 1/nats."""
    chosen, rejected = batch.logratio.unbind(1)
    return (chosen - 0.5 / beta).square() + (rejected + 0.5 / beta).square()


def target(batch: Batch, *, beta: float) -> Tensor:
    """[B, 2] nats: 1/(2 beta) up for the chosen, down for the rejected."""
    return batch.logratio.new_tensor([0.5 / beta, -0.5 / beta]).expand_as(batch.logratio)
