"""What a judge without any cycle would look like, as noisy as this one: the reference that keeps noise from being sold as intransitivity.

In: blocks of a judge's two readings of each pair (one in each order). Out: per prompt the cyclic energy, noise energy and cyclic
triples that a transitive judge shows on average over draws, and the same summed over prompts for each draw.

A *soft* judge (graded probabilities): each prompt's Bradley-Terry scores by maximum likelihood, shrunk by the noise they were fitted
with; on a drawn pair the noise is that pair's own half difference of its two readings, less the judge's lean to the answer shown first,
with a random sign (a wild bootstrap: whatever the noise depends on, it keeps). A *hard* judge (0, 1/2 or 1): scores by least squares,
scaled so that answers drawn from them turn round with the order as often as the judge's do, and lean to the first as much; both orders
are drawn. Where the two readings always agree, or there is one, no noise is known and none is drawn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from windvane.evals.intransitivity.hodge import Basis, cyclic_triples, energies, scores
from windvane.evals.intransitivity.preference_matrix import Block
from windvane.stages.pair import TIE

WIDE = 1e-6  # probabilities are kept this far from 0 and 1 where only their finiteness matters
STEEPEST = 1e3  # the largest scale of scores: no noise at all
RIDGE = 1e-6  # keeps scores finite where one answer always wins


@dataclass(frozen=True, slots=True)
class Null:
    """For one block: means over draws, each [prompts]; and sums over prompts, each [draws]. `noise`: the total energy that is noise."""

    cyclic: np.ndarray
    noise: np.ndarray
    triples: np.ndarray
    cyclic_draws: np.ndarray
    triples_draws: np.ndarray


@dataclass(frozen=True, slots=True)
class Noise:
    """`kind`: "orders" (or repeated votes), "none seen" (the readings always agree) or "not measured" (one reading). `lean`: log-odds for
    the answer shown first; `flips`: the share of pairs whose two readings name different winners; `scale`: a hard judge's factor on
    its scores."""

    kind: str
    hard: bool
    lean: float
    flips: float | None
    scale: float | None


def log_odds(p: np.ndarray, clip: float) -> np.ndarray:
    kept = np.clip(p, clip, 1.0 - clip)
    return np.log(kept) - np.log1p(-kept)


def flow(block: Block, clip: float) -> np.ndarray:
    """[n, E]: the mean of the two readings' log-odds, each clipped; a constant lean to the answer shown first cancels."""
    first, second = log_odds(block.first, clip), log_odds(block.second, clip)
    return np.where(np.isnan(second), first, (first + second) / 2.0)


def sigmoid(x: np.ndarray) -> np.ndarray:
    """As `stats.logistic.sigmoids`, but for the last bit, which published results of this evaluation depend on."""
    return 0.5 * (1.0 + np.tanh(x / 2.0))


def measure_noise(blocks: Sequence[Block], clip: float) -> Noise:
    """What the two readings say about the judge's noise, over all blocks."""
    first = np.concatenate([b.first.ravel() for b in blocks])
    second = np.concatenate([b.second.ravel() for b in blocks])
    asked = np.concatenate([first, second[~np.isnan(second)]])
    hard = bool(np.all(np.min(np.abs(asked[:, None] - np.array([0.0, 0.5, 1.0])), axis=1) < TIE))
    both = ~np.isnan(second)
    if not both.any():
        return Noise("not measured", hard, 0.0, None, STEEPEST if hard else None)
    first, second = first[both], second[both]
    kind = "orders" if np.abs(first - second).max() > TIE else "none seen"
    signs = _signs(first), _signs(second)
    decided = (signs[0] != 0) & (signs[1] != 0)
    flips = float((signs[0] != signs[1])[decided].mean()) if decided.any() else None
    if hard and kind == "none seen":
        return Noise(kind, hard, 0.0, flips, STEEPEST)
    if hard:
        lean, scale = _calibrate(blocks, clip, flips or 0.0, _first_wins(first, second))
        return Noise(kind, hard, lean, flips, scale)
    half = (log_odds(first, clip) - log_odds(second, clip)) / 2.0
    inside = np.maximum(np.abs(first - 0.5), np.abs(second - 0.5)) < 0.5 - clip
    lean = float(np.median(half[inside])) if inside.any() else 0.0
    return Noise(kind, hard, lean, flips, None)


def _signs(p: np.ndarray) -> np.ndarray:
    return np.where(np.abs(p - 0.5) < TIE, 0.0, np.sign(p - 0.5))


def _first_wins(first: np.ndarray, second: np.ndarray) -> float:
    """How often the answer shown first wins; `second` is P(a wins) with b first."""
    return float((first.mean() + 1.0 - second.mean()) / 2.0)


def _calibrate(blocks: Sequence[Block], clip: float, flips: float, first_wins: float) -> tuple[float, float]:
    """(lean, scale) at which answers drawn from the scores turn round and lean as often as the judge's; by bisection."""
    gaps = np.concatenate([_gaps(b, clip)[~np.isnan(b.second)] for b in blocks])[:10_000]

    def lean_at(scale: float) -> float:
        low, high = -30.0, 30.0
        for _ in range(30):
            lean = (low + high) / 2.0
            seen = (sigmoid(scale * gaps + lean) + 1.0 - sigmoid(scale * gaps - lean)).mean() / 2.0
            low, high = (lean, high) if seen < first_wins else (low, lean)
        return (low + high) / 2.0

    def flips_at(scale: float) -> float:
        lean = lean_at(scale)
        one, other = sigmoid(scale * gaps + lean), sigmoid(scale * gaps - lean)
        return float((one * (1 - other) + other * (1 - one)).mean())

    low, high = 1e-4, STEEPEST
    if flips_at(high) >= flips:
        return lean_at(high), high
    for _ in range(30):  # in logarithms: the scale of scores is anything
        middle = (low * high) ** 0.5
        low, high = (middle, high) if flips_at(middle) > flips else (low, middle)
    return lean_at(high), high


def _gaps(block: Block, clip: float) -> np.ndarray:
    """[n, E]: least-squares score differences along the edges."""
    return scores(block.base, flow(block, clip)) @ block.base.incidence.T


def bradley_terry(base: Basis, target: np.ndarray, start: np.ndarray, steps: int = 40) -> np.ndarray:
    """[n, nodes]: scores that minimise the counted cross-entropy to `target` [n, E] (P(i wins)); Newton's method on all prompts at once
    with steps of at most 2. Exact Bradley-Terry probabilities give back their scores."""
    theta, counts, incidence = start.copy(), base.root**2, base.incidence
    ridge = RIDGE * np.eye(base.graph.nodes)
    for _ in range(steps):
        p = sigmoid(theta @ incidence.T)
        slope = ((p - target) * counts) @ incidence + RIDGE * theta
        weight = p * (1.0 - p) * counts
        bend = np.einsum("ne,ei,ej->nij", weight, incidence, incidence, optimize=True) + ridge
        step = np.linalg.solve(bend, slope[..., None])[..., 0]
        theta -= step * np.minimum(1.0, 2.0 / np.maximum(np.abs(step).max(axis=1, keepdims=True), 1e-12))
        if np.abs(slope).max() < 1e-9:
            break
    return theta


def draw(blocks: Sequence[Block], noise: Noise, clip: float, draws: int, seed: int) -> list[Null]:
    """The transitive judge's figures for each block."""
    rng = np.random.default_rng(seed)
    if noise.hard:
        return [_tally(b, draws, partial(_hard, b, _gaps(b, clip), noise, clip, rng), noise) for b in blocks]
    fitted = [_fit(b, clip) for b in blocks]
    spread = [_spread(b, gaps, noise, clip) for b, gaps in zip(blocks, fitted)]
    shrink = _shrink(blocks, spread, clip)
    return [
        _tally(b, draws, partial(_soft, b, shrink * gaps, s, noise.lean, clip, rng), noise)
        for b, gaps, s in zip(blocks, fitted, spread)
    ]


def _fit(block: Block, clip: float) -> np.ndarray:
    wide = flow(block, WIDE)
    theta = bradley_terry(block.base, sigmoid(wide), scores(block.base, wide))
    return theta @ block.base.incidence.T


def _spread(block: Block, gaps: np.ndarray, noise: Noise, clip: float) -> np.ndarray:
    """[n, E]: the half difference of the two readings, less what the lean alone would make of it; 0 where there is one reading."""
    bound = float(log_odds(np.array(0.0), clip))
    leant = (np.clip(gaps + noise.lean, bound, -bound) - np.clip(gaps - noise.lean, bound, -bound)) / 2.0
    half = (log_odds(block.first, clip) - log_odds(block.second, clip)) / 2.0
    return np.where(np.isnan(half), 0.0, half - leant)


def _shrink(blocks: Sequence[Block], spread: Sequence[np.ndarray], clip: float) -> float:
    """The factor that takes from the fitted scores' energy what their noise put there."""
    energy = noise = 0.0
    for block, part in zip(blocks, spread):
        found = energies(block.base, flow(block, clip))
        energy += float((found.total - found.cyclic).sum())
        noise += float(np.square(part * block.base.root).sum(0) @ np.square(block.base.gradient).sum(1))
    return float(np.sqrt(max(0.0, 1.0 - noise / energy))) if energy > 0 else 0.0


def _soft(
    block: Block, gaps: np.ndarray, spread: np.ndarray, lean: float, clip: float, rng: np.random.Generator, times: int
) -> tuple[np.ndarray, np.ndarray]:
    """(flows, signs), each [times * n, E]: `times` draws one after another."""
    bound = -float(log_odds(np.array(0.0), clip))
    moved = np.tile(gaps, (times, 1))
    moved += np.tile(spread, (times, 1)) * rng.choice([-1.0, 1.0], moved.shape)
    made = (np.clip(moved + lean, -bound, bound) + np.clip(moved - lean, -bound, bound)) / 2.0
    return made, np.where(np.abs(moved) < TIE, 0.0, np.sign(moved))


def _hard(
    block: Block, gaps: np.ndarray, noise: Noise, clip: float, rng: np.random.Generator, times: int
) -> tuple[np.ndarray, np.ndarray]:
    """The same for a hard judge; an answer that was a tie stays one. Without noise an order of equal scores is drawn, not a coin a pair."""
    bound = -float(log_odds(np.array(0.0), clip))
    jitter = rng.normal(0.0, 1e-6, (times * len(gaps), block.base.graph.nodes)) @ block.base.incidence.T
    wide, told = np.tile(gaps, (times, 1)), []
    for reading, lean in ((block.first, noise.lean), (block.second, -noise.lean)):
        chance = sigmoid((noise.scale or 0.0) * wide + lean)
        won = rng.random(wide.shape) < chance if noise.kind == "orders" else wide + jitter > 0
        tied = np.tile(np.abs(reading - 0.5) < TIE, (times, 1))
        told.append(np.where(tied, 0.0, np.where(won, 1.0, -1.0)))
    told[1] = np.where(np.tile(np.isnan(block.second), (times, 1)), told[0], told[1])
    return bound * (told[0] + told[1]) / 2.0, np.sign(told[0] + told[1])


def _tally(block: Block, draws: int, some: Callable[[int], tuple[np.ndarray, np.ndarray]], noise: Noise) -> Null:
    """`some(times)` makes that many draws."""
    n, edges = block.first.shape
    chunk = max(1, 1_000_000 // (n * max(edges, len(block.base.triangles))))
    cyclic, triples, sums, squares = [], [], np.zeros((n, edges)), np.zeros((n, edges))
    for at in range(0, draws, chunk):
        times = min(chunk, draws - at)
        flows, signs = some(times)
        cyclic.append(energies(block.base, flows).cyclic.reshape(times, n))
        triples.append(cyclic_triples(block.base, signs).reshape(times, n))
        sums += flows.reshape(times, n, edges).sum(0)
        squares += np.square(flows).reshape(times, n, edges).sum(0)
    drawn = [np.concatenate(rows) for rows in (cyclic, triples)]  # [draws, n]
    variance = np.maximum(squares - sums * sums / draws, 0.0) / max(draws - 1, 1)
    heard = variance @ block.base.root**2 if noise.kind == "orders" else np.zeros(n)
    means, per_draw = [rows.mean(0) for rows in drawn], [rows.sum(1).astype(float) for rows in drawn]
    return Null(means[0], heard, means[1], *per_draw)
