"""Files of pairwise judgements in the three published forms, as battles.

In, JSON or JSON lines, one form a file:
- Arena-Hard (lmarena/arena-hard-auto, model_judgment/*.jsonl): `model`, `question_id` or `uid`, `games`: two tables with `score`. In the
  first game answer A is the baseline's and B the model's, in the second the other way round. "A>>B" and "B>>A" count 3 times.
- MT-Bench pairs (lm-sys/FastChat, *_pair.jsonl): `model_1`, `model_2`, `g1_winner`, `g2_winner` (both orders, already turned back),
  `question_id`, `turn`. A win needs both orders; anything else but an error is a tie, as published.
- battles: `model_a`, `model_b`, `winner` ("model_a", "model_b", "tie"), and, where known, `question_id` and `weight`.
Out: battles, what was left out and why, and how the judge leant to the answer shown first.

Departure: Arena-Hard 2.0 drops both games of a question where one is missing; the other one is kept here, as in 0.1.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.evals.alpaca.annotations import read_tables
from windvane.stats.bradley_terry import Battle

STRONG = 3.0  # show_result.py: WEIGHT = 3
MOST = 1e9  # a weight from which one battle would drown all others in rounding
# verdict -> (share of answer A, weight)
VERDICTS = {
    "A>>B": (1.0, STRONG), "A>B": (1.0, 1.0), "A=B": (0.5, 1.0), "B>A": (0.0, 1.0), "B>>A": (0.0, STRONG),
    "B<<A": (1.0, STRONG), "B<A": (1.0, 1.0), "B=A": (0.5, 1.0), "A<B": (0.0, 1.0), "A<<B": (0.0, STRONG),
}  # fmt: skip
PAIR_WINNERS = {"model_1": 1.0, "model_2": 0.0, "tie": 0.5}
WINNERS = {"model_a": 1.0, "model_b": 0.0, "tie": 0.5, "tie (bothbad)": 0.5}


@dataclass(slots=True)
class Judgements:
    """`shown_first`: the share that went to the answer shown first, of each verdict whose order is known. `contradicted`: questions
    where the two orders named different winners, of `both_orders` that have two verdicts."""

    battles: list[Battle] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    notes: list[str] = field(default_factory=list)
    shown_first: list[float] = field(default_factory=list)
    contradicted: int = 0
    both_orders: int = 0


def read_judgements(paths: Iterable[Path], baseline: str) -> Judgements:
    """Read every file; `baseline` names the other side of Arena-Hard's games, whose rows do not (a row's own `baseline` wins)."""
    found = Judgements()
    for path in paths:
        values, broken, notes = read_tables(path)
        found.notes += [f"{path}: {note}" for note in notes]
        found.left_out.update({"broken JSON": broken} if broken else {})
        before = len(found.battles)
        for value in values:
            _read_row(value, baseline, found)
        if len(found.battles) == before:
            why = ", ".join(f"{count} {reason}" for reason, count in found.left_out.items()) or "none"
            raise UserError(
                f"{path}: no usable judgement (left out: {why}); expected model+games, model_1+g1_winner or model_a+winner"
            )
    return found


def _read_row(row: Any, baseline: str, found: Judgements) -> None:
    if not isinstance(row, dict):
        found.left_out["not a table"] += 1
    elif "games" in row:
        _games(row, baseline, found)
    elif "g1_winner" in row:
        _pair(row, found)
    elif "winner" in row:
        _battle(row, found)
    else:
        found.left_out["no games, g1_winner or winner"] += 1


def _question(row: dict[str, Any], found: Judgements) -> Any:
    for key in ("question_id", "uid", "id", "instruction", "prompt"):
        if isinstance(row.get(key), (str, int)):
            return row[key]
    return ("row", len(found.battles))


def _names(row: dict[str, Any], first: str, second: str, found: Judgements) -> tuple[str, str] | None:
    one, other = row.get(first), row.get(second)
    if isinstance(one, str) and isinstance(other, str) and one != other:
        return one, other
    found.left_out[f"no two models in {first}, {second}"] += 1
    return None


def _games(row: dict[str, Any], baseline: str, found: Judgements) -> None:
    names = _names({"baseline": baseline, **row}, "model", "baseline", found)
    games = row["games"] if isinstance(row["games"], list) else []
    if names is None:
        return
    question, told = _question(row, found), []
    for number in range(2):
        score = games[number].get("score") if number < len(games) and isinstance(games[number], dict) else None
        if not isinstance(score, str) or score not in VERDICTS:
            found.left_out["game without a verdict"] += 1
            continue
        share_a, weight = VERDICTS[score]
        found.shown_first.append(share_a)
        share = share_a if number == 1 else 1 - share_a
        told.append(share)
        found.battles.append(Battle(*names, share, question, weight))
    if len(told) == 2:
        found.both_orders += 1
        found.contradicted += told[0] + told[1] == 1 and told[0] != 0.5


def _pair(row: dict[str, Any], found: Judgements) -> None:
    names = _names(row, "model_1", "model_2", found)
    if names is None:
        return
    told = [row.get("g1_winner"), row.get("g2_winner")]
    shares = [PAIR_WINNERS[winner] for winner in told if isinstance(winner, str) and winner in PAIR_WINNERS]
    if len(shares) < 2:
        found.left_out["judge's error"] += 1
        return
    # Game 1 shows model_1 first, game 2 model_2.
    found.shown_first += [shares[0], 1 - shares[1]]
    found.both_orders += 1
    found.contradicted += abs(shares[0] - shares[1]) == 1
    found.battles.append(Battle(*names, shares[0] if shares[0] == shares[1] else 0.5, _question(row, found)))


def _battle(row: dict[str, Any], found: Judgements) -> None:
    names = _names(row, "model_a", "model_b", found)
    weight = row.get("weight", 1.0)
    if names is None:
        return
    if not isinstance(row["winner"], str) or row["winner"] not in WINNERS:
        found.left_out["winner is not model_a, model_b or tie"] += 1
    elif isinstance(weight, bool) or not isinstance(weight, (int, float)) or not 0 < weight < MOST:
        found.left_out["weight is not between 0 and 1e9"] += 1
    else:
        found.battles.append(Battle(*names, WINNERS[row["winner"]], _question(row, found), float(weight)))
