"""ORPO as TRL has it: the NLL runs over prompt and chosen answer, and is a mean over the tokens of the whole batch (the paper, see
`orpo`: over the answer alone, a mean per answer; its authors' code has both, and TRL's by default).

sum of NLLs(x, y_w) / sum of their tokens + lam * mean of -log sigmoid(log odds_w - log odds_l)
"""

from torch import Tensor

from windvane.losses.batch import Batch
from windvane.losses.orpo import odds_term

BRANCHES = "pair"
REFERENCE = False
REDUCTION = "example"
SEQUENCE = "mean"
READS = ("nll",)


def loss(batch: Batch, *, lam: float = 0.1) -> Tensor:
    """[B] nats a token: over the batch's mean number of tokens, so that the mean over examples is the mean over tokens."""
    return batch.nll / batch.nll_batch_tokens + lam * odds_term(batch)
