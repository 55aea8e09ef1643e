"""SoLoPO, short-to-long preference optimization by parts (Sun et al., arXiv 2505.11166), on DPO.

-log sigmoid(r(x_S, y_w) - r(x_S, y_l)) + alpha |r(x_S, y_w) - r(x_L, y_w)|,   r(x, y) = beta log pi(y|x)/pi_ref(y|x)

The preference is learnt on the short context; on the long one only the chosen answer is read, whose reward is to be the same
("chosen-only" alignment). Answers of a comparison: chosen and rejected after the short context, the chosen one after the long
(longpo/examples.py, `aligned`); the reference reads what the policy reads. The paper's own alpha was not at hand: 1 is ours."""

from torch import Tensor
from torch.nn.functional import logsigmoid

from windvane.losses.batch import Batch

BRANCHES = "group"
REFERENCE = True
REDUCTION = "example"
SEQUENCE = "sum"
READS = ("short",)


def loss(batch: Batch, *, beta: float = 0.1, alpha: float = 1.0) -> Tensor:
    """[B] of [B, 3] log-probs; beta in 1/nats, alpha weighs the alignment."""
    short_w, short_l, long_w = (beta * batch.logratio).unbind(1)
    return -logsigmoid(short_w - short_l) + alpha * (short_w - long_w).abs()
