"""DPO written with each token's log-probs, as a user would write it, with metrics of every shape."""

from torch.nn.functional import logsigmoid

BRANCHES = "pair"
REFERENCE = True
REDUCTION = "example"
LEVEL = "token"


def loss(batch, *, beta: float = 0.1):
    ratio = ((batch.token_logps - batch.token_reference) * batch.token_mask).sum(-1)
    h = beta * batch.margin(ratio)
    metrics = {
        "margin": h,
        "mean_margin": h.mean(),
        "length": batch.token_mask.sum(-1),
        "token_logp": batch.token_logps,
    }
    return -logsigmoid(h), metrics
