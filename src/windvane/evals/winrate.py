"""Did it get better: win rates on held-out prompts against the start and the iteration before, length, and drift from the start.

In: answers of iteration t, of the start and of t-1 to the same held-out prompts; a true judge that training never saw (or none) and
the proxy that training used (on its own scale, before any noise). Out: one row a prompt in RUN/iter-t/evaluation.jsonl; answer i is
compared with answer i. KL(current || start) is summed over the full vocabulary at every token of samples drawn at temperature 1
from the current policy, in nats per sequence and per token.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from windvane.core.errors import UserError
from windvane.core.protocols import PairJudge, Runner
from windvane.core.records import Prompt, Response, batches
from windvane.engines.local import Sampling
from windvane.models.trees.logprobs import Scorer
from windvane.models.trees.tree import Tree
from windvane.stages.judge import compare
from windvane.stats.bootstrap import Interval, bootstrap_mean

Answers = Mapping[str, Sequence[Response]]


@dataclass(frozen=True, slots=True)
class Evaluate:
    """How it is measured whether the model got better. Without a `judge` of its own the win rate is not measured: the judge that
    trained would also evaluate; the proxy's figures are reported as such."""

    judge: str | None = None  # one that training never sees, named as the training judge is; None: no win rate
    proxy: str | None = None  # the training judge, without its noise where it has any; None: the training judge
    prompts: str | None = None  # None: `count` prompts are set aside (a fifth at most)
    prompt_column: str | None = None  # of a table with several columns
    count: int = 256  # held-out prompts at most
    answers: int = 1  # a prompt; answer i is compared with answer i
    temperature: float = 0.7  # SPPO's AlpacaEval decoding
    top_p: float = 0.9  # the same
    max_new_tokens: int = 2048  # the same
    batch_prompts: int = 8  # prompts a unit of work

    def __post_init__(self) -> None:
        for name in ("count", "answers", "batch_prompts"):
            if getattr(self, name) < 1:
                raise UserError(f"evaluate.{name}: {getattr(self, name)}; must be at least 1")

    @property
    def sampling(self) -> Sampling:
        return Sampling(self.answers, self.temperature, self.top_p, self.max_new_tokens)


@dataclass(frozen=True, slots=True)
class Sides:
    """Who is compared: each maps a prompt id to its answers, in the same order on every side."""

    now: Answers
    start: Answers
    previous: Answers
    drift: Answers  # samples of the current policy at temperature 1


def win_rates(
    judge: PairJudge | None,
    prompts: Sequence[Prompt],
    ours: Answers,
    theirs: Answers,
    failed: dict[str, list[str]] | None = None,
) -> list[float | None]:
    """P(ours beats theirs) for each prompt, the mean over its answer pairs that were judged; None where none was. What could not be
    judged goes into `failed`, prompt id -> reasons."""
    if judge is None:
        return [None] * len(prompts)
    pairs = [(p, a, b) for p in prompts for a, b in zip(ours[p.id], theirs[p.id], strict=True)]
    told: dict[str, list[float]] = {}
    for verdict in compare(judge, pairs):
        if verdict.p is not None:
            told.setdefault(verdict.prompt_id, []).append(verdict.p)
        elif failed is not None:
            failed.setdefault(verdict.prompt_id, []).append(verdict.reason or "")
    return [sum(told[p.id]) / len(told[p.id]) if p.id in told else None for p in prompts]


def drift(now: Scorer, start: Scorer, prompts: Sequence[Prompt], samples: Answers) -> list[tuple[float, float]]:
    """(KL a sequence, KL a token) in nats for each prompt, averaged over its samples."""
    found = now.token_kl(start, [Tree.of(p.token_ids, [r.token_ids for r in samples[p.id]]) for p in prompts])
    rows = []
    for nodes in found:
        sums = [(float(kl.double().sum()), len(kl)) for kl in nodes[1:] if kl is not None]
        total, tokens = sum(s for s, _ in sums), sum(n for _, n in sums)
        rows.append((total / len(sums), total / tokens))
    return rows


def run_evaluate(
    runner: Runner,
    stage: str,
    prompts: Sequence[Prompt],
    sides: Sides,
    true_judge: PairJudge | None,
    proxy_judge: PairJudge | None,
    scorers: tuple[Scorer, Scorer],
    batch_prompts: int,
) -> None:
    """Fill `stage`; `scorers` are the current policy's and the start's."""

    def work(batch: list[Prompt]) -> Iterable[dict[str, Any]]:
        failed: dict[str, list[str]] = {}
        columns = {
            "win_start": win_rates(true_judge, batch, sides.now, sides.start, failed),
            "win_previous": win_rates(true_judge, batch, sides.now, sides.previous, failed),
            "proxy_start": win_rates(proxy_judge, batch, sides.now, sides.start, failed),
            "proxy_previous": win_rates(proxy_judge, batch, sides.now, sides.previous, failed),
        }
        kl = drift(*scorers, batch, sides.drift)
        rows = []
        for i, prompt in enumerate(batch):
            mine = sides.now[prompt.id]
            rows.append(
                {
                    "id": prompt.id,
                    **{name: column[i] for name, column in columns.items()},
                    "mean_length": sum(len(r.token_ids) for r in mine) / len(mine),
                    "kl": kl[i][0],
                    "kl_token": kl[i][1],
                    "failed": len(failed.get(prompt.id, ())),
                    "reasons": sorted(set(failed.get(prompt.id, ()))),
                    "finish_length_share": sum(r.finish == "length" for r in mine) / len(mine),
                }
            )
        return rows

    runner.run(stage, batches(prompts, batch_prompts), work)


def summarise(rows: Sequence[Mapping[str, Any]], seed: int, judged: bool = True) -> dict[str, Any]:
    """The numbers of one iteration: win rates with 95% intervals over prompts, mean length in tokens, KL in nats. `judged`: whether
    there was a true judge."""

    def interval(name: str) -> Interval | None:
        return bootstrap_mean([r[name] for r in rows if r[name] is not None], seed)

    def mean(name: str) -> float:
        return sum(r[name] for r in rows) / len(rows)

    record: dict[str, Any] = {}
    names = (
        ("win_start", "win_rate"),
        ("win_previous", "win_rate_previous"),
        ("proxy_start", "proxy_win_rate"),
        ("proxy_previous", "proxy_win_rate_previous"),
    )
    for column, name in names:
        found = interval(column)
        record[name] = found.mean if found else None
        head = "proxy_" if column.startswith("proxy") else ""
        tail = "_previous" if column.endswith("previous") else ""
        low, high = f"{head}low{tail}", f"{head}high{tail}"
        record[low], record[high] = (found.low, found.high) if found else (None, None)
    return {
        **record,
        "mean_length": mean("mean_length"),
        "kl": mean("kl"),
        "kl_token": mean("kl_token"),
        "finish_length_share": mean("finish_length_share"),
        "prompts": len(rows),
        "unjudged": sum(r["win_start"] is None for r in rows) if judged else 0,
        "failed_verdicts_evaluation": sum(r["failed"] for r in rows),
    }
