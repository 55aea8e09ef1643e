"""The arms of a LongPO comparison: the method, what it leaves out, and what it is compared with, all on the same documents and answers.

A literal table: the loss, what of the data it sees, and what the frozen reference read (arXiv 2502.13922, section 4 and its ablations;
SoLoPO is arXiv 2505.11166; theta and placebo are our controls)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from windvane.longpo.settings import LongPO
from windvane.losses.batch import Objective, load_objective


@dataclass(frozen=True, slots=True)
class Arm:
    """`objective` None: nothing is trained. `reference`: what the frozen reference reads, "short" (chunk and question) or "long" (what
    the policy reads; it is then the policy's start, theta raised). `placebo`: the rejected answer is another one from the chunk."""

    objective: str | None
    view: Literal["pair", "answers", "whole", "aligned"] = "pair"
    reference: Literal["short", "long"] | None = None
    nll: float = 1.0
    placebo: bool = False


ARMS = {
    "longpo": Arm("longpo", reference="short"),
    "longpo-no-nll": Arm("longpo", reference="short", nll=0.0),
    "dpo": Arm("dpo", reference="long"),
    "dpo-nll": Arm("longpo", reference="long"),  # the same loss as LongPO's, its constraint on the long input
    "sft": Arm("sft", view="answers"),  # the chosen answers alone; the paper's ran at 2e-5
    "sft-full": Arm("sft", view="whole"),  # every token of document, questions and chosen answers
    "solopo": Arm("solopo", view="aligned", reference="long"),
    "theta": Arm(None),
    "placebo": Arm("longpo", reference="short", placebo=True),
}


def objective_of(s: LongPO) -> Objective | None:
    """The arm's loss with the run's settings; for the arm longpo, `train.objective` may name another that reads the same."""
    arm = ARMS[s.arm]
    if arm.objective is None:
        return None
    name = s.train.objective if s.arm in ("longpo", "placebo") else arm.objective
    own = {
        "longpo": {"beta": s.beta, "lam": s.lam, "nll": arm.nll},
        "dpo": {"beta": s.beta},
        "solopo": {"beta": s.beta, "alpha": s.alpha},
    }
    return load_objective(name, {**own.get(name, {}), **s.train.objective_args}, gives=("short",))


def preference_weight(s: LongPO, tokens: int) -> float | None:
    """How much more the preference weighs than the NLL on one token of an answer in a row of `tokens` tokens, before training parts the
    pair (sigma = 1/2): lam beta/2 against 1/tokens. 65 at 131,072 tokens by the paper; None for an arm that has not both."""
    arm = ARMS[s.arm]
    if arm.objective != "longpo" or not arm.nll:
        return None
    return s.lam * s.beta / 2 * tokens
