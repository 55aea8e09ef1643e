"""One arm of the LongPO claim with one seed: the recipe's rounds, looked at on the way.

In: an arm, a rate, a seed; for all arms but LongPO the data that LongPO made with that seed. Out: the measures of
studies/longpo/measure.py at
points along every round, at the end, and at the start (by LongPO alone: it is the same for all arms). The loop is the recipe's own
(`windvane.longpo.recipe.run`); what differs from its settings for the embedded world is the lengths, theta, documents and seed.
"""

from __future__ import annotations

import contextlib
import io
import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studies.longpo.measure import Probe, Sizes, data_of
from windvane.longpo.recipe import toy_recipe
from windvane.longpo.settings import LongPO
from windvane.longpo.stages import LongFlow
from windvane.runs.store import RunFolder


@dataclass(frozen=True, slots=True)
class Size:
    """`documents` a round; `points`: looks along a round's training; `theta`: one a round."""

    lengths: str
    theta: tuple[float, ...]
    documents: int
    epochs: int
    points: int
    sizes: Sizes


class Watched(RunFolder):
    """A run folder that tells `seen` how far a training stage is."""

    def __init__(self, path: Path, seen: Callable[[int, int], None]) -> None:
        super().__init__(path)
        self.seen = seen

    def status(self, stage: str, done: int, total: int) -> None:
        super().status(stage, done, total)
        if stage.endswith("/train") and done:
            self.seen(done, total)


def settings(size: Size, arm: str, lr: float, seed: int, data: Path | None, lam: float | None = None) -> LongPO:
    """The embedded world's settings at this size. `data`: the run whose documents, questions and answers are taken; `lam`: the
    preference's weight, left out the world's own."""
    world = toy_recipe("world:facts")
    return replace(
        world,
        documents=(f"world:facts:{seed}",),
        lengths=size.lengths,
        theta=size.theta,
        arm=arm,  # type: ignore[arg-type]  # LongPO checks it
        lam=world.lam if lam is None else lam,
        data=None if data is None else str(data),
        chunks=replace(world.chunks, per_round=size.documents),
        train=replace(world.train, lr=lr, epochs=size.epochs),
        kl_documents=0,  # drift is measured from the start, on short inputs
        seed=seed,
    )


def unit(made: LongPO, size: Size, folder: Path, keep: Path | None) -> dict[str, Any]:
    """Run and measure what `settings` made. `keep`: where the run's data go for the other arms. A unit that was killed begins anew: its
    points were not kept."""
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)
    probe = Probe(size.sizes, made.targets[-1], made.seed)
    result: dict[str, Any] = {"points": []}
    if keep is not None:
        result["start"] = probe.whole(probe.start.model)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        flow = LongFlow(made, str(run), quiet=True)
        place = [0]

        def look(done: int, total: int) -> None:
            marks = {math.ceil(total * k / size.points) for k in range(1, size.points + 1)}
            if done in marks:
                told = probe.point(flow.policies.long(place[0]).model(training=True))
                result["points"].append({"round": place[0], "step": done, **told})

        flow.folder = Watched(run, look)
        with flow:
            _rounds(flow, made, place, probe, result)
            result["end"] = probe.whole(flow.policies.of(made.rounds, made.rounds).model())
    if made.arm != "theta":
        result["data"] = data_of(run, made.rounds)
    if keep is not None:
        keep_data(run, keep, made.rounds)
    end = result["end"]
    result["told"] = f"right {' '.join(f'{v:.2f}' for v in end['right'])}, reversed {end['reversed']:.2f}"
    return result


def _rounds(flow: LongFlow, made: LongPO, place: list[int], probe: Probe, result: dict[str, Any]) -> None:
    """The recipe's loop."""
    trained = flow.arm.objective is not None
    if trained:
        flow.gather()
    for t in range(1, made.rounds + 1):
        place[0] = t
        if trained:
            for stage in (flow.chunk, flow.ask, flow.choose, flow.reject, flow.filter, flow.reference):
                stage(t)
        result["points"].append({"round": t, "step": 0, **probe.point(flow.policies.long(t).model())})
        flow.train(t)


def keep_data(run: Path, target: Path, rounds: int) -> None:
    """What `--data` of another arm reads."""
    aside = target.with_name(f"{target.name}.tmp")
    shutil.rmtree(aside, ignore_errors=True)
    names = ["recipe.toml", "documents.jsonl"]
    names += [
        f"iter-{t}/{n}.jsonl" for t in range(1, rounds + 1) for n in ("documents", "questions", "chosen", "rejected")
    ]
    shutil.copytree(run / "documents", aside / "documents")
    for name in names:
        (aside / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(run / name, aside / name)
    shutil.rmtree(target, ignore_errors=True)
    aside.rename(target)
