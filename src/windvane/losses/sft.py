"""Supervised fine-tuning on the chosen answer: cross-entropy of its tokens, the prompt masked.

-log pi_theta(y|x), summed over tokens; the loop divides by the tokens of the whole optimizer batch (token mean)
"""

from torch import Tensor

from windvane.losses.batch import Batch

BRANCHES = "single"
REFERENCE = False
REDUCTION = "token"
SEQUENCE = "sum"


def loss(batch: Batch) -> Tensor:
    """[B] nats, summed over the answer's tokens."""
    return -batch.logps[:, 0]
