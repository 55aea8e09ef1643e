"""INPO, iterative Nash policy optimization (Zhang et al., arXiv 2407.00617): its loss on pairs (y_w, y_l) that the judge labelled.

h = log pi(y_w)/pi(y_l) - (tau/eta) log pi_ref(y_w)/pi_ref(y_l) - (1 - tau/eta) log pi_t(y_w)/pi_t(y_l);   (h - 1/(2 eta))^2

pi_t, the policy that sampled, is `reference`; pi_ref, fixed over iterations, is `slow` (renewed now and then it is COMAL, arXiv
2410.23223). tau = 0 is IPO against pi_t at beta = eta; the minimum is the mirror-descent step, pi ~ pi_ref^(tau/eta)
pi_t^(1 - tau/eta) exp(P(y beats pi_t)/eta). Departure: the paper draws which answer won from the judge's probability; here it
is what the pairs say (the best and the worst of K, unless pairs are drawn otherwise).
"""

from torch import Tensor

from windvane.losses.batch import Batch

BRANCHES = "pair"
REFERENCE = True
REDUCTION = "example"
SEQUENCE = "sum"
READS = ("slow",)


def loss(batch: Batch, *, eta: float = 0.0075, tau: float = 0.0025) -> Tensor:
    """[B]; eta and tau in 1/nats. Defaults: public re-implementations' (tau/eta = 1/3)."""
    towards = (tau / eta) * batch.slow + (1 - tau / eta) * batch.reference
    return (batch.margin(batch.logps - towards) - 0.5 / eta).square()
