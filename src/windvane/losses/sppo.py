"""SPPO, the soft loss (arXiv 2405.00675, eq. 4.7), for best and worst or for all K answers.

    mean over answers of [ log pi_theta(y|x)/pi_t(y|x) - eta (P(y beats pi_t) - baseline) ]^2

Log-probs are sums over tokens. For a pair this equals the released trainer's 0.5 [(..)_w^2 + (..)_l^2] with beta = 1/eta. The
baseline 1/2 stands for log Z / eta ("coin-flip" preferences, appendix A) and may be tuned.
"""

from torch import Tensor

from windvane.losses.batch import Batch

BRANCHES = "group"
REFERENCE = True
REDUCTION = "example"
SEQUENCE = "sum"


def loss(batch: Batch, *, eta: float = 1e3, baseline: float = 0.5) -> Tensor:
    """[B]; `eta` in nats per unit of win probability."""
    return batch.mean((batch.logratio - target(batch, eta=eta, baseline=baseline)).square())


def target(batch: Batch, *, eta: float, baseline: float) -> Tensor:
    """[B, K] nats: eta (P - baseline)."""
    return eta * (batch.p_win - baseline)
