"""ORPO (Hong et al., arXiv 2403.07691, eq. 3-7), no reference model; `orpo_trl` has the NLL of TRL and of the authors' default.

-log p_w + lam * -log sigmoid(log odds_w - log odds_l),   log p = log pi(y|x)/|y|,   log odds = log p - log(1 - p)

log(1 - p) is taken in float32 without cancellation; p is kept below 1 by one float32 epsilon, where TRL divides by zero.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from windvane.losses.batch import Batch

BRANCHES = "pair"
REFERENCE = False
REDUCTION = "example"
SEQUENCE = "mean"


def log1mexp(x: Tensor) -> Tensor:
    """log(1 - e^x) of each element of x [...] < 0 (nats), in float32, same shape."""
    x = x.float().clamp(max=-torch.finfo(torch.float32).eps)
    return torch.where(x < -math.log(2), torch.log1p(-x.exp()), torch.log(-torch.expm1(x)))


def odds_term(batch: Batch) -> Tensor:
    """[B] -log sigmoid of the log odds ratio."""
    mean = batch.logps.float() / batch.lengths.float()
    return -logsigmoid(batch.margin(mean - log1mexp(mean)))


def loss(batch: Batch, *, lam: float = 0.1) -> Tensor:
    """[B] nats a token; lam 0.1 for Mistral-7B in the paper."""
    return -batch.logps[:, 0] / batch.lengths[:, 0] + lam * odds_term(batch)
