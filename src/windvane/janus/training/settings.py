"""Every setting of `windvane train janus`, the paper's by default, each model's from `janus_presets`.

The paper is arXiv 2405.17977. A model that starts from another trains that one too (janus-dpo: janus-star; reward: janus-1-epoch).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from windvane.core.errors import UserError
from windvane.janus.training.presets import BASE, GENERAL_PAIRS, MODELS, REWARD
from windvane.train.settings import RewardTrain, Train

Name = Literal["janus", "janus-1-epoch", "janus-star", "janus-dpo", "janus-orpo", "reward", "reward-general"]
STARTS = {"reward": "janus-1-epoch", "reward-general": "reward"}
ORDER: tuple[Name, ...] = (
    "janus",
    "janus-1-epoch",
    "janus-star",
    "janus-dpo",
    "janus-orpo",
    "reward",
    "reward-general",
)


@dataclass(frozen=True, slots=True)
class BestOf:
    """Answers drawn for each test prompt, the reward model's favourite kept (the paper: N = 64)."""

    model: Name | None = None  # whose answers; None: no best-of-N
    most: int = 64  # N
    prompts: int = 100  # of sets/sft-test.jsonl, the first so many by id
    temperature: float = 1.0  # released inference script
    top_p: float = 0.9
    max_new_tokens: int = 1024
    batch: int = 16  # prompts a unit of work

    def __post_init__(self) -> None:
        for name in ("most", "prompts", "max_new_tokens", "batch"):
            if getattr(self, name) < 1:
                raise UserError(f"best_of.{name}: {getattr(self, name)}; must be at least 1")
        if self.model in ("reward", "reward-general"):
            raise UserError(f"best_of.model: {self.model} answers nothing; take one that does")


@dataclass(frozen=True, slots=True)
class TrainJanus:
    """Settings. `batch` of SFT counts rows, also where one tree holds several; that of the others counts pairs."""

    data: str  # a finished `windvane run janus` folder
    models: tuple[Name, ...] = ("janus-star", "janus-dpo")
    model: str = BASE  # where the paper starts from its base
    share: bool = True  # one tree an instruction: its system messages share what stands before they part
    longest: int | None = (
        None  # tokens of prompt and answer; None: each model's own in the paper, or the window if that is less
    )
    too_long: Literal["refuse", "leave-out"] = "refuse"  # a longer row stops the run, or is listed in left-out.jsonl
    janus: Train = MODELS["janus"].train
    janus_1_epoch: Train = MODELS["janus-1-epoch"].train
    janus_star: Train = MODELS["janus-star"].train
    janus_dpo: Train = MODELS["janus-dpo"].train
    janus_orpo: Train = MODELS["janus-orpo"].train
    reward: RewardTrain = REWARD
    reward_general: RewardTrain = REWARD
    # FILE=WEIGHT of stage 2 of the reward model: hh-rlhf, oasst1, webgpt at 0.72, 0.14, 0.14 in the paper
    general: tuple[str, ...] = ()
    general_pairs: int | None = GENERAL_PAIRS  # of an epoch of stage 2; None: until every source was gone through
    best_of: BestOf = field(default_factory=BestOf)
    seed: int = 42
    device: str = "auto"
    threads: int | None = None  # CPU threads; None: what PyTorch takes here

    def __post_init__(self) -> None:
        if not self.models:
            raise UserError(f"models: name at least one of {', '.join(ORDER)}")
        if self.longest is not None and self.longest < 2:
            raise UserError(f"longest: {self.longest}; must be at least 2")
        if "reward-general" in self.models and not self.general:
            raise UserError("models: reward-general is trained on a mixture; give --general FILE=WEIGHT ...")
        if self.best_of.model is not None and "reward" not in self.wanted and "reward-general" not in self.wanted:
            raise UserError("best_of.model: needs a reward model to choose by; add reward to --models")
        for name in ("threads", "general_pairs"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}: {value}; must be at least 1")
        if self.seed < 0:
            raise UserError(f"seed: {self.seed}; must be 0 or more")

    @property
    def wanted(self) -> list[Name]:
        """The models asked for and those that they start from, in the order of their making."""
        found = set(self.models) | ({self.best_of.model} if self.best_of.model else set())
        while more := {start for name in found if (start := start_of(name)) is not None} - found:
            found |= more
        return [name for name in ORDER if name in found]

    def train_of(self, name: Name) -> Train:
        """The policy loop's settings of a model."""
        found = getattr(self, name.replace("-", "_"))
        assert isinstance(found, Train), name
        return found


def start_of(name: str) -> Name | None:
    """The model that another starts from; None where that is the base."""
    start = STARTS.get(name) or MODELS[name].start
    return None if start == BASE else start  # type: ignore[return-value]
