"""A user's loss that fails in one process alone."""

import os

BRANCHES = "pair"
REFERENCE = True
REDUCTION = "example"


def loss(batch):
    if os.environ.get("RANK") == "1":
        raise ValueError("no such thing")
    return -batch.margin(batch.logratio)
