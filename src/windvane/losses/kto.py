"""KTO, Kahneman-Tversky optimization (Ethayarajh et al., arXiv 2402.01306, eq. 7-8): answers are desirable or not, no pairs needed.

r = log pi(y|x)/pi_ref(y|x);   z0 = max(0, mean over the batch of log pi(y'|x)/pi_ref(y'|x)), y' an answer to another prompt, no gradient
w_d (1 - sigmoid(beta (r - z0))) where y is desirable,   w_u (1 - sigmoid(beta (z0 - r))) where it is not;   mean over answers

Departure: z0 is over the optimizer batch, whatever the micro-batches (the paper: the microbatch), and y' is fixed once for a run.
"""

import torch
from torch import Tensor

from windvane.losses.batch import Batch

BRANCHES = "unpaired"
REFERENCE = True
REDUCTION = "answer"
SEQUENCE = "sum"
READS = ("desirable", "kl")


def loss(batch: Batch, *, beta: float = 0.1, desirable: float = 1.0, undesirable: float = 1.0) -> Tensor:
    """[B] summed over answers; beta in 1/nats; weight times number of desirable answers should be 1 to 4/3 of undesirable's (eq. 8)."""
    gain = batch.logratio - batch.kl.clamp(min=0)
    losses = torch.where(
        batch.desirable, desirable * torch.sigmoid(-beta * gain), undesirable * torch.sigmoid(beta * gain)
    )
    return torch.where(batch.mask, losses, 0.0).sum(1)
