"""Every setting of `windvane run sppo`, each with its source; the defaults are the paper's (arXiv 2405.00675)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from windvane.core.errors import UserError
from windvane.core.records import seed_of
from windvane.datasets.columns import mapping
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling
from windvane.evals.winrate import Evaluate
from windvane.stages.pair import Choice, Estimate, Pairing
from windvane.train.settings import Train

# What the loss pulls at (sppo/loss_targets.py). policy: P(y beats pi_t); pair: P(w beats l); hard: 1 and 0
Targets = Literal["policy", "pair", "hard"]


def paper_train() -> Train:
    """Section 5.1 and the model cards: soft loss with eta 1e3, RMSprop at 5e-7, linear schedule with warm-up 0.1 over 18 epochs of
    which the first is run, 64 pairs a step."""
    return Train(
        objective="sppo",
        objective_args={},  # the objective's own defaults, written down: eta 1e3 for sppo (section 5.1)
        optimizer="rmsprop",  # model cards; the paper does not say
        lr=5e-7,
        schedule="linear",
        warmup=0.1,
        epochs=1,
        schedule_epochs=18,  # the kept model is inside the warm-up: the rate reaches 2.8e-7
        batch=64,
        keep="last",  # the model at the end of epoch 1; "best" keeps the lowest held-out loss instead
    )


# --help shows the comment beside a field or above it; a field without one would be told its neighbour's.
@dataclass(frozen=True, slots=True)
class Sppo:
    """Every setting of a run."""

    model: str  # a folder or a hub id of a decoder, or a PEFT adapter
    # JSONL, JSON, CSV, Parquet, a data set's folder or hub id: one source, which is divided, or one an iteration
    prompts: str | tuple[str, ...]
    # pairrm:MODEL, reward:MODEL, gpm:MODEL, llm:BACKEND, http://HOST:PORT/v1#MODEL, world:FAMILY:NAME, py:module:object
    # (f(prompt, a, b) -> P(a wins)), rubric:BACKEND (grades by each user's own rubric) or human
    judge: str
    prompt_column: str | None = None  # of a table with several columns
    prompt_columns: tuple[str, ...] = ()  # ROLE=COLUMN where names are not usual: prompt=frage history=verlauf
    prompt_split: str | None = None  # of a data set with several; UltraFeedback's portions: train
    # who samples; None: the model itself; http://HOST:PORT/v1#MODEL: the same weights served, {t} their iteration
    generator: str | None = None
    iterations: int = 3  # how often it samples, judges and trains (section 5.1)
    prompts_per_iteration: int | None = None  # None: equal parts, as the three portions of UltraFeedback
    seed: int = 42  # of everything drawn (released scripts)
    sampling: Sampling = field(default_factory=lambda: Sampling(k=5, temperature=1.0, top_p=1.0, max_new_tokens=2048))
    batch_prompts: int = 8  # prompts a unit of work
    # section 4: the best and the worst. cross-fit: chosen on half of the opponents, target from the others; drawn: two at random, the
    # winner by the judge's probability, as INPO has it; all: every judged answer, for a loss that reads groups
    answers: Literal["best-worst", "all", "cross-fit", "drawn"] = "best-worst"
    # P(y_i beats y_k). paper: the judge's own, averaged over K (eq. 4.5); released: sigmoid of aggregated score differences
    estimate: Estimate = "paper"
    self_term: bool = True  # (1/K) sum over all K, the answer itself at 1/2
    equal_eta: bool = False  # without the self term take eta (K-1)/K, so that targets are those of a run with it
    targets: Targets = "policy"  # P(y beats pi_t); pair: P(w beats l), the released sppo_single; hard: 1 and 0
    # INPO's second reference; None: the start's weights; n: the policy, renewed every n iterations (COMAL)
    slow_every: int | None = None
    system: Literal["template", "merge"] = "template"  # merge: the system message goes into the first user turn
    train: Train = field(default_factory=paper_train)
    evaluate: Evaluate = field(default_factory=Evaluate)
    # how every http judge and generator is asked; one budget for all of them
    server: Server = field(default_factory=Server)
    # of judges named rubric:BACKEND: a file with system, prompt and rubrics; None: a prompt's system message is its rubric
    rubrics: str | None = None
    rubric_slope: float | None = None  # of the same: logits of P(a wins) a grade; None: 1
    judge_dtype: Literal["float32", "bfloat16"] = "float32"  # of local judges' weights: an 8B judge takes 32 or 16 GB
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    threads: int | None = None  # CPU threads; None: what PyTorch takes here. Written down, and kept on resume

    def __post_init__(self) -> None:
        mapping(self.prompt_columns)
        for name in ("iterations", "prompts_per_iteration", "batch_prompts", "slow_every", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}: {value}; must be at least 1")
        if self.seed < 0:
            raise UserError(f"seed: {self.seed}; must be 0 or more")
        if self.iterations > 1000:
            raise UserError(f"iterations: {self.iterations}; 1000 at most")
        if self.sampling.k < 2:
            raise UserError(f"sampling.k: {self.sampling.k}; answers are compared with each other, so take at least 2")
        if self.answers == "cross-fit" and self.sampling.k < 3:
            raise UserError(f"answers: cross-fit needs sampling.k of at least 3, not {self.sampling.k}")
        if self.targets != "policy" and self.answers == "all":
            raise UserError(f"targets: {self.targets} is said of a pair; take answers best-worst")
        _ = self.pairing

    @property
    def pairing(self) -> Pairing:
        """How verdicts become groups. Where all answers are trained on, a group's pair is the best and the worst."""
        choice: Choice = "best-worst" if self.answers == "all" else self.answers
        return Pairing(self.estimate, choice, seed_of(self.seed, "pair"))
