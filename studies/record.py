"""A claim's result: claim.json, its primary interval and its verdict.

In: a declaration, each arm's number a seed, the primary arms' values prompt by prompt. Out: a `Claim`, written as claim.json and read back
by the page. The interval of the primary contrast draws seeds first and prompts within them: its standard error is the standard deviation of
means so drawn, times sqrt(n/(n-1)) for the few seeds, and its half-width Student's t with n - 1 degrees of freedom times that. (Prompts
count twice in it, once in the spread of the seeds: it errs on the wide side.) With one seed there is no interval and nothing is decided.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import stdtrit

from windvane.core.errors import UserError
from windvane.core.schema import decode, encode
from windvane.runs.store import write_atomic

HOLDS, FAILS, UNDECIDED = "holds", "does not hold", "undecided"


@dataclass(frozen=True, slots=True)
class Contrast:
    """A mean with its 95% interval over `n` seeds; `low` and `high` are None for one seed."""

    mean: float
    low: float | None
    high: float | None
    n: int


@dataclass(frozen=True, slots=True)
class Finding:
    """One more thing that was looked at, and what came of it. Not the primary contrast: no correction for looking often is made."""

    statement: str
    verdict: str  # HOLDS, FAILS or UNDECIDED
    numbers: str


@dataclass(frozen=True, slots=True)
class Claim:
    """claim.json. `per_seed`: one number a seed, in the order of `seeds` (secondary arms: of its first few); `spread`: their standard
    deviation (None for one); `per_prompt`: the primary arms' values, a list a seed, from which `interval` and `verdict` are computed;
    `arms`: what each is, its settings, chosen learning rate and the sweep it was chosen from; `figures`: what the page draws."""

    claim: str
    statement: str
    metric: str
    primary: tuple[str, str]
    seeds: tuple[int, ...]
    per_seed: dict[str, list[float]]
    mean: dict[str, float]
    spread: dict[str, float | None]
    interval: Contrast
    verdict: str
    findings: list[Finding]
    arms: dict[str, Any]
    settings: dict[str, Any]
    world: str
    world_sha256: str
    declaration_sha256: str
    code_version: str
    reduced: bool
    seconds: float
    cpu_seconds: float
    figures: dict[str, Any] = field(default_factory=dict)
    per_prompt: dict[str, list[list[float]]] = field(default_factory=dict)


def t_quantile(n: int) -> float:
    """Student's t for a 95% interval over `n` >= 2 seeds, to three decimals: the published intervals were computed from a printed table."""
    return round(float(stdtrit(n - 1, 0.975)), 3)


def over_seeds(values: Sequence[float]) -> Contrast:
    """The mean of one number a seed with its t interval."""
    mean, n = float(np.mean(values)), len(values)
    if n < 2:
        return Contrast(mean, None, None, n)
    half = t_quantile(n) * float(np.std(values, ddof=1)) / n**0.5
    return Contrast(mean, mean - half, mean + half, n)


def contrast(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> Contrast:
    """Mean of first - second, a list of paired values (prompts) a seed, with the interval of drawing seeds first and prompts within
    them. The variance of means so drawn is known without drawing: (1/n) (variance of the seeds' means + mean over seeds of the
    variance within / prompts), all of them population variances."""
    assert len(first) == len(second) and all(len(a) == len(b) > 0 for a, b in zip(first, second)), "pairs must line up"
    gaps = [np.subtract(a, b) for a, b in zip(first, second)]
    n, means = len(gaps), np.array([g.mean() for g in gaps])
    if n < 2:
        return Contrast(float(means.mean()), None, None, n)
    variance = (means.var() + np.mean([g.var() / len(g) for g in gaps])) / n
    half = t_quantile(n) * float(np.sqrt(variance * n / (n - 1)))
    return Contrast(float(means.mean()), float(means.mean()) - half, float(means.mean()) + half, n)


def verdict(found: Contrast) -> str:
    """Whether the first arm is better: the interval above 0, below 0, or on both sides of it."""
    if found.low is None or found.high is None:
        return UNDECIDED
    return HOLDS if found.low > 0 else FAILS if found.high < 0 else UNDECIDED


def shown(found: Contrast) -> str:
    if found.low is None:
        return f"{found.mean:+.3f}, one seed"
    return f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}], {found.n} seeds"


def gap_finding(statement: str, values: Sequence[float], name: str) -> Finding:
    """One difference a seed, `name` says of what from what: the statement holds where its t interval lies above 0."""
    gap = over_seeds(list(values))
    return Finding(statement, verdict(gap), f"{name} {shown(gap)}")


def agreed(answers: Sequence[bool]) -> str:
    """For few seeds, whose t interval is very wide: each is asked, and what not all answer alike is undecided."""
    return HOLDS if all(answers) else FAILS if not any(answers) else UNDECIDED


def figures_of(per_seed: Mapping[str, Sequence[float]]) -> tuple[dict[str, float], dict[str, float | None]]:
    """(mean, spread) of every arm."""
    means = {arm: float(np.mean(values)) for arm, values in per_seed.items()}
    spreads = {arm: float(np.std(values, ddof=1)) if len(values) > 1 else None for arm, values in per_seed.items()}
    return means, spreads


def code_version() -> str:
    """The package's version, and the commit it runs from where it runs from a checkout (".changed": with changes not committed)."""
    here = Path(__file__).parents[1]

    def git(*words: str) -> str:
        try:
            done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            return ""
        return done.stdout.strip()

    commit = git("rev-parse", "--short=12", "HEAD") if git("ls-files", "record.py") else ""
    changed = ".changed" if commit and git("status", "--porcelain", "--untracked-files=no", "--", ".") else ""
    return version("windvane") + (f"+{commit}{changed}" if commit else "")


def write_claim(claim: Claim, path: Path) -> None:
    """Numbers are kept to 6 decimals."""
    write_atomic(path, json.dumps(_rounded(encode(claim)), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def read_claim(path: Path) -> Claim:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run the claim first") from None
    except json.JSONDecodeError as error:
        raise UserError(f"{path}: not valid JSON ({error})") from None
    return decode(Claim, data, str(path))


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_rounded(v) for v in value]
    return value
