"""What a claim will measure, written down and committed before it is run: arms, metric, seeds, world, and the one primary contrast.

In: a TOML file beside the claim's code (sppo.toml). Out: a `Declaration`. Learning rates are chosen once an arm, all from the same list, on
the development seed; what is reported comes from the fresh seeds. Arms marked `secondary` run on the first `secondary_seeds` of them. The
settings of a claim's own parts stand in `parts` and are read by the part's module.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.core.settings import from_toml


@dataclass(frozen=True, slots=True)
class Arm:
    """One method: what it is in words, and what of the common settings it changes."""

    what: str
    settings: dict[str, Any]
    secondary: bool = False


@dataclass(frozen=True, slots=True)
class Declaration:
    """`primary`: the two arms compared, first minus second, in `metric`; the claim holds where the interval lies above 0."""

    name: str
    statement: str
    metric: str
    primary: tuple[str, str]
    development_seed: int
    seeds: tuple[int, ...]
    secondary_seeds: int
    learning_rates: tuple[float, ...]
    world: str
    world_sha256: str
    arms: dict[str, Arm]
    parts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for arm in self.primary:
            if arm not in self.arms or self.arms[arm].secondary:
                raise UserError(f"primary: {arm} is no arm that runs on every seed; there are {', '.join(self.arms)}")
        if self.development_seed in self.seeds or len(set(self.seeds)) != len(self.seeds) or not self.seeds:
            raise UserError("seeds: must be distinct, at least one, and without the development seed")
        if not self.learning_rates:
            raise UserError("learning_rates: give at least one")

    def fresh(self, arm: str, seeds: tuple[int, ...]) -> tuple[int, ...]:
        """The seeds, of those that are run, that an arm runs on."""
        return seeds[: self.secondary_seeds] if self.arms[arm].secondary else seeds


def declared(name: str) -> Declaration:
    """The committed declaration of a claim."""
    return from_toml(Declaration, Path(__file__).parent / "declarations" / f"{name}.toml")


def take_seeds(declaration: Declaration, count: int | None) -> tuple[int, ...]:
    """The first `count` declared seeds (None: all). More than were declared is refused: a seed chosen later is no declared one."""
    every = declaration.seeds
    if count is None:
        return every
    if not 1 <= count <= len(every):
        raise UserError(f"--seeds: {count}; {declaration.name} declares {len(every)}: give 1 to {len(every)}")
    return every[:count]
