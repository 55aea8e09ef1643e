"""LongPO's second declaration, with the preference weighed against the NLL as in the paper: `python -m studies.longpo_weight`."""

from studies.launch import start
from studies.longpo.study import weight

start("studies.longpo_weight", weight)
