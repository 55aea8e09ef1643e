"""One unit of the EvalYaks claim: a trained arm with a rate and a seed, or the arms that train no weights with a seed.

In: sizes, an arm's settings, a rate, a seed. Out: by arm, on the test conversations (another generator family) and on held-out ones of the
training family: the paper's outcomes and DOV, the usual measures, and each test conversation's outcome. The seed draws the conversations,
their split, the adapters' start and the order of training; the base is the shipped one. Every arm learns from the same conversations and
is asked by the same scorer: the nearest band to the expected one, by the likelihood of every valid answer.
"""

from __future__ import annotations

import contextlib
import io
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from windvane.core.schema import dumps, encode
from windvane.evalyaks.evaluation.measures import Scale, agreement, misses, outcomes, strict
from windvane.evalyaks.evaluation.systems import Bands
from windvane.evalyaks.finish import bands_of
from windvane.evalyaks.recipe import EvalYaks, toy_recipe
from windvane.evalyaks.scoring.baseline import expected
from windvane.evalyaks.scoring.fit import fit
from windvane.evalyaks.scoring.model import open_model
from windvane.evalyaks.splits import HELD, TEST, TRAIN, split_transcripts
from windvane.evalyaks.stages import SpeechFlow
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript
from windvane.runs.store import read_jsonl
from windvane.toy.grades import family as grades

UNTRAINED = ("base", "affine", "weight-free", "constant")


@dataclass(frozen=True, slots=True)
class Size:
    """`train`, `test`: conversations a part; `held_out`: the share of `train` that no arm learns from."""

    train: int
    test: int
    held_out: float
    epochs: int
    batch: int


def unit(size: Size, arm: Mapping[str, Any], lr: float, seed: int, folder: Path) -> dict[str, Any]:
    """{arm's measures} of a trained arm; of those without training {"arms": {name: measures}}."""
    files = _data(size, seed, folder)
    if not arm:
        return _untrained(size, files, seed)
    run = folder / "run"
    shutil.rmtree(run, ignore_errors=True)  # a unit that was killed begins anew
    made = settings(size, arm, lr, seed, files)
    quiet = contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO())
    with quiet[0], quiet[1], SpeechFlow(made, str(run), quiet=True) as flow:
        flow.gather()
        for name in flow.names:
            flow.train(name)
        flow.score("trained")
        records = flow.records
    told = {row["id"]: bands_of(row) for _, row in read_jsonl(run / "scores-trained.jsonl")}
    return measured({k: (records[k], [told[r.id] for r in records[k]]) for k in (TEST, HELD)})


def settings(size: Size, arm: Mapping[str, Any], lr: float, seed: int, files: Mapping[str, str]) -> EvalYaks:
    """The embedded world's settings at this size."""
    world = toy_recipe("world:grades")
    train = replace(
        world.train,
        lr=lr,
        epochs=size.epochs,
        batch=size.batch,
        lora_rank=arm["lora_rank"],
        lora_alpha=arm["lora_alpha"],
    )
    return replace(
        world,
        data=(files[TRAIN],),
        test=(files[TEST],),
        words=None,
        sentences=None,
        arm=arm["trained"],
        held_out=size.held_out,
        train=train,
        seed=seed,
    )


def _data(size: Size, seed: int, folder: Path) -> dict[str, str]:
    found = {}
    for name, family, count in ((TRAIN, "train", size.train), (TEST, "test", size.test)):
        path = folder / f"{name}.jsonl"
        records = grades.transcripts(seed, count, family)
        path.write_text("".join(dumps(encode(r)) + "\n" for r in records), encoding="utf-8")
        found[name] = str(path)
    return found


def _untrained(size: Size, files: Mapping[str, str], seed: int) -> dict[str, Any]:
    split = split_transcripts((files[TRAIN],), (files[TEST],), size.held_out, seed).records
    scorer = open_model("world:grades", device="cpu", method="likelihood", form="compact")
    asked = {k: [a.expected for a in scorer.assess(split[k])] for k in (TRAIN, TEST, HELD)}
    lines = affine(split[TRAIN], asked[TRAIN])
    features = fit(split[TRAIN], "ordinal", "the conversations trained on")
    medians = median_bands(split[TRAIN])
    found = {}
    for name, of in (
        ("base", lambda r, own: own),
        ("affine", lambda r, own: {c: lines[r.part, c][0] * v + lines[r.part, c][1] for c, v in own.items()}),
        ("weight-free", lambda r, own: expected(features, r)),
        ("constant", lambda r, own: {c: medians[r.part, c] for c in own}),
    ):
        found[name] = measured(
            {k: (split[k], [of(r, own) for r, own in zip(split[k], asked[k])]) for k in (TEST, HELD)}
        )
    return {"arms": found, "told": ", ".join(f"{name} {r['acceptable']:.3f}" for name, r in found.items())}


def affine(records: Sequence[Transcript], told: Sequence[Bands]) -> dict[tuple[int | None, str], tuple[float, float]]:
    """(part, criterion) -> (a, b) of least squares of the reference band on the told one."""
    found: dict[tuple[int | None, str], tuple[float, float]] = {}
    for part, criteria in PART_CRITERIA.items():
        for c in criteria:
            pairs = [(own[c], r.scores[c]) for r, own in zip(records, told) if r.part == part]
            x, y = (np.array(v, dtype=float) for v in zip(*pairs))
            slope = float(np.cov(x, y, bias=True)[0, 1] / x.var()) if x.var() > 1e-12 else 0.0
            found[part, c] = slope, float(y.mean() - slope * x.mean())
    return found


def median_bands(records: Sequence[Transcript]) -> dict[tuple[int | None, str], float]:
    """(part, criterion) -> the median band, the constant with the least DOV."""
    return {
        (part, c): float(np.floor(np.median([r.scores[c] for r in records if r.part == part]) + 0.5))
        for part, criteria in PART_CRITERIA.items()
        for c in criteria
    }


def measured(sides: Mapping[str, tuple[Sequence[Transcript], Sequence[Bands | None]]]) -> dict[str, Any]:
    """Means over parts: acceptable, strict, accurate, dov, qwk; `parts`: the first and the DOV a part; `held_out`: those two on the
    training family; `per_prompt`: 1 where a test conversation's bands are acceptable, in the order of part and id."""
    records, told = sides[TEST]
    found: dict[str, list[float]] = {name: [] for name in ("acceptable", "strict", "accurate", "dov", "qwk")}
    per_prompt: list[float] = []
    for part in PART_CRITERIA:
        own = _part(records, told, part)
        per_prompt += own.pop("outcomes")
        for name, value in own.items():
            found[name].append(value)
    held = [_part(*sides[HELD], part) for part in PART_CRITERIA]
    means = {name: float(np.mean(values)) for name, values in found.items()}
    return {
        "told": f"acceptable {means['acceptable']:.3f}, DOV {means['dov']:.3f}",
        **means,
        "parts": {"acceptable": found["acceptable"], "dov": found["dov"]},
        "held_out": {n: float(np.mean([h[n] for h in held])) for n in ("acceptable", "dov")},
        "per_prompt": per_prompt,
    }


def _part(records: Sequence[Transcript], told: Sequence[Bands | None], part: int) -> dict[str, Any]:
    """An answer that is none is inaccurate and 4 bands off."""
    criteria, scale = PART_CRITERIA[part], Scale()
    own = sorted(((r, t) for r, t in zip(records, told) if r.part == part), key=lambda pair: pair[0].id)
    nan = float("nan")
    y = np.array([[r.scores[c] for c in criteria] for r, _ in own])
    p = np.array([[(t or {}).get(c, nan) for c in criteria] for _, t in own])
    bands = scale.band(p)
    kinds, off = outcomes(y, bands), misses(y, bands)
    valid = ~np.isnan(off)
    qwk = [float(agreement(y[valid, k], p[valid, k])["qwk"][0]) for k in range(len(criteria))]
    return {
        "acceptable": float((kinds < 3).mean()),
        "strict": float(strict(y, bands).mean()),
        "accurate": float((kinds == 0).mean()),
        "dov": float(np.where(valid, off, 4.0).mean()),
        "qwk": float(np.nan_to_num(np.mean(qwk))),  # a constant agrees by chance alone
        "outcomes": [float(k < 3) for k in kinds],
    }
