"""SimPO (Meng et al., arXiv 2405.14734, eq. 6), no reference model.

-log sigmoid(beta/|w| log pi(y_w|x) - beta/|l| log pi(y_l|x) - gamma)

With label smoothing as TRL's CPOTrainer has it for loss_type "simpo".
"""

from torch import Tensor
from torch.nn.functional import logsigmoid

from windvane.losses.batch import Batch

BRANCHES = "pair"
REFERENCE = False
REDUCTION = "example"
SEQUENCE = "mean"


def loss(batch: Batch, *, beta: float = 2.0, gamma: float = 1.0, label_smoothing: float = 0.0) -> Tensor:
    """[B]; beta 2.0 to 2.5 and gamma 0.25 to 1.6 in the released models (gamma/beta 0.1 to 0.8); the defaults are Llama-3-Base's."""
    h = beta * batch.margin(batch.logps / batch.lengths) - gamma
    return -(1 - label_smoothing) * logsigmoid(h) - label_smoothing * logsigmoid(-h)
