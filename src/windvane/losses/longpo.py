"""LongPO, short-to-long preference optimization (Chen et al., arXiv 2502.13922, eq. 12-14).

lam * -log sigmoid(beta [log pi(y_S|x_L)/pi_S(y_S|x_S) - log pi(y_L|x_L)/pi_S(y_L|x_S)]) + nll * NLL(x_L, y_S)/|x_L, y_S|

The policy reads the long x_L, the frozen reference the short x_S; log-probs are sums over the tokens of all turns; the NLL is over
every token of the chosen conversation, document included, so lam weighs the preference. Paper against released code:
  beta      0.1 in the paper, 0.01 in its launch script; lam 0.01 in both; nll=0 is the ablation without NLL
  eq. 13    prints log of a sum of the turns' probabilities, which the likeliest turn alone would decide; the code, and this, sum
            their logs (the joint probability)
  padding   the code's NLL counts it; a tree has none
  turns     history and rejected history as in the code, or questions on their own: how the tree is built (longpo/examples.py)
"""

from torch import Tensor
from torch.nn.functional import logsigmoid

from windvane.losses.batch import Batch

BRANCHES = "pair"
REFERENCE = True
REDUCTION = "example"
SEQUENCE = "sum"
READS = ("nll", "short")


def loss(batch: Batch, *, beta: float = 0.1, lam: float = 0.01, nll: float = 1.0) -> Tensor:
    """[B]; beta in 1/nats, lam and nll are the weights of the two terms."""
    return -lam * logsigmoid(beta * batch.margin(batch.logratio)) + nll * batch.nll / batch.nll_tokens
