"""`windvane train reward`: a Bradley-Terry reward model or a general preference model (GPM) from preference pairs, on trees.

    windvane train reward --kind bt --model M --data PAIRS --out DIR
    windvane train reward --kind gpm --model M --mixture a.jsonl=0.72 b.jsonl=0.14 c.jsonl=0.14 --samples 66000 --out DIR

In: a language model (or a reward model, to train it on), pairs in TRL's layouts. Out: DIR/model, a plain transformers classifier that
`--judge reward:DIR/model` (or gpm:) opens; DIR/train/metrics.jsonl; DIR/summary.json with the accuracy on held-out prompts;
DIR/manifest.json. The same command goes on where it was killed; on CPU it ends in the same bytes.
"""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

from windvane.core.errors import UserError
from windvane.datasets.columns import mapping
from windvane.datasets.preference_pairs import PreferencePair, read_pairs
from windvane.models.load import load_tokenizer
from windvane.models.preference_heads import HeadShape
from windvane.models.preference_model import PreferenceModel, save_preference_model, start_preference_model
from windvane.plan.time import training_estimate
from windvane.prompts.system_role import system_mode
from windvane.runs.launch import launch
from windvane.runs.settings_file import discard_settings, record_settings, resolved, use_threads
from windvane.runs.store import RunFolder, file_sha256, published, write_atomic, write_jsonl
from windvane.train.loop import Trainer
from windvane.train.reward import RewardExample, RewardTask, hold_out, mixed, reward_example
from windvane.train.settings import RewardTrain
from windvane.train.stage import progress


@dataclass(frozen=True, slots=True)
class TrainReward:
    """Every setting. One of `data` and `mixture` is given."""

    kind: Literal["bt", "gpm"]  # bt: one number an answer; gpm: an embedding, which can hold cycles (arXiv 2410.02197)
    model: str  # a folder or hub id of a language model or adapter; or of a reward model or GPM, to train it on
    # JSONL, JSON, CSV, Parquet, a data set's folder or hub id: columns chosen, rejected, perhaps prompt
    data: str | None = None
    mixture: tuple[str, ...] = ()  # FILE=WEIGHT of each source, WEIGHT a probability up to a common factor
    samples: int | None = None  # pairs of an epoch; None: until every source was gone through once
    columns: tuple[str, ...] = ()  # ROLE=COLUMN where names are not usual: prompt=frage chosen=gut
    split: str | None = None  # of the data sets
    test: str | None = None  # pairs to measure on when all is done, as `data`; none of their prompts may be trained on
    dim: int = 8  # of the GPM's embedding, 2k
    gate: bool = True  # the GPM's prompt scales its k blocks
    temperature: float | None = None  # of the GPM's scores; None: 0.1 (the released scripts'). A reward model has none
    seed: int = 42  # released scripts
    train: RewardTrain = field(default_factory=RewardTrain)
    device: str = "auto"  # auto, cpu, cuda, cuda:1, ...
    threads: int | None = None  # CPU threads; None: what PyTorch takes here. Written down, and kept on resume

    def __post_init__(self) -> None:
        if (self.data is None) == (not self.mixture):
            raise UserError("--data PAIRS or --mixture FILE=WEIGHT ...: give one of them")
        for name in ("samples", "threads"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name}: {value}; must be at least 1")
        if self.seed < 0:
            raise UserError(f"seed: {self.seed}; must be 0 or more")
        _ = self.sources, self.shape, mapping(self.columns)  # checked as soon as they are given

    @property
    def sources(self) -> list[tuple[str, float]]:
        """(file, weight) in the order given."""
        return [(self.data, 1.0)] if self.data is not None else [_weighted(item) for item in self.mixture]

    @property
    def shape(self) -> HeadShape:
        return HeadShape.of(self.kind, self.dim, self.gate, self.temperature)


@dataclass(frozen=True, slots=True)
class _Inputs:
    """SHA-256 of each file of pairs: what must be the same when the command is given again."""

    files: dict[str, str]


def run(settings: TrainReward, out: str, quiet: bool = False) -> None:
    """Read, hold out, train, save, measure; what is finished is not done again."""
    settings = resolved(settings, out)
    with RunFolder(out) as folder:
        begun = folder.finished("train") or folder.finished("model")
        if not begun:
            discard_settings(folder, settings)
        record_settings(folder / "recipe.toml", settings)
        names = [name for name, _ in settings.sources]
        test = [settings.test] if settings.test else []
        record_settings(
            folder / "data.toml", _Inputs({n: file_sha256(Path(n)) for n in [*names, *test] if Path(n).is_file()})
        )
        if not folder.finished("summary.json") or not folder.finished("model"):
            sources = [read_pairs(name, settings.split, mapping(settings.columns)) for name in names]
            _train(settings, folder, sources, _test_pairs(settings, sources), quiet)
        shutil.rmtree(folder / "train" / "checkpoints", ignore_errors=True)
        folder.write_manifest()
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    print(_told(summary, out))


def main(argv: Sequence[str]) -> int:
    """`windvane train reward --kind bt|gpm --model M --data PAIRS --out DIR`."""
    return launch(TrainReward, run, argv, "windvane train reward", __doc__)


def _test_pairs(s: TrainReward, sources: list[list[PreferencePair]]) -> list[PreferencePair]:
    if s.test is None:
        return []
    found = read_pairs(s.test, s.split, mapping(s.columns))
    trained = {p.prompt.id for pairs in sources for p in pairs}
    both = [i for i, p in enumerate(found, 1) if p.prompt.id in trained]
    if both:
        raise UserError(
            f"test {s.test}: row {both[0]}: its prompt is trained on, too ({len(both)} such rows); remove the rows here or there"
        )
    return found


def _train(
    s: TrainReward, folder: RunFolder, sources: list[list[PreferencePair]], test: list[PreferencePair], quiet: bool
) -> None:
    use_threads(s)
    start, cpu = time.perf_counter(), time.process_time()
    tokenizer = load_tokenizer(s.model)
    note = None
    if any(p.prompt.messages[0].role == "system" for pairs in [*sources, test] for p in pairs):
        note = system_mode(tokenizer)[1]  # the judge that opens the model does the same
        print(f"windvane: note: {s.model}: {note}", file=sys.stderr) if note else None
    training, held_pairs = hold_out(sources, s.train.held_out, s.seed)
    model = _opened(s, tokenizer)
    sets = [[reward_example(model, tokenizer, p) for p in pairs] for pairs in training]
    examples = mixed(sets, [weight for _, weight in s.sources], s.seed, s.samples)
    held_out, tested = ([reward_example(model, tokenizer, p) for p in pairs] for pairs in (held_pairs, test))
    begun = folder.finished("train/checkpoints")
    if examples:
        train = s.train.as_train()
        folder.tell(training_estimate(model.decoder, examples, train, False, folder.path, begun), quiet)
    task = RewardTask(model, s.train)
    with progress(folder, "train", quiet) as report:
        trainer = Trainer(task, folder / "train/checkpoints", s.seed, report)
        metrics = trainer.fit(examples, held_out)
    # of a step's fields the epoch stands second, as in every file that this verb has written
    rows = [{"step": row["step"], "epoch": row["epoch"], **row} if row["step"] else row for row in metrics]
    write_jsonl(folder / "train/metrics.jsonl", rows)
    summary = {
        "kind": s.kind,
        "model": s.model,
        "pairs": {name: len(pairs) for (name, _), pairs in zip(s.sources, sources)},
        "drawn": len(examples),
        "held_out": {"pairs": len(held_out), **(trainer.measure(held_out) if held_out else {})},
        **({"test": {"pairs": len(test), **(trainer.measure(tested) if test else {})}} if s.test else {}),
        "computed_as": task.pooler.mode,
        **({"notes": [note]} if note else {}),
        "tokens": {"trees": sum(e.tokens for e in examples), "rows": sum(_row_tokens(e) for e in examples)},
    }
    if s.train.precision == "bfloat16" and not s.train.lora_rank:
        model.to(torch.bfloat16)
    with published(folder / "model") as aside:
        save_preference_model(model, tokenizer, aside, s.model)
    write_atomic(folder / "summary.json", json.dumps(summary, indent=1, allow_nan=False) + "\n")
    folder.timing("train", time.perf_counter() - start, time.process_time() - cpu, len(metrics))


def _opened(s: TrainReward, tokenizer: Any) -> PreferenceModel:
    """In the base's own precision under LoRA, in float32 where all weights are trained."""
    dtype = "bfloat16" if s.train.precision == "bfloat16" and s.train.lora_rank else "float32"
    model = start_preference_model(s.model, tokenizer, s.shape, dtype, s.device, s.seed)
    if s.train.lora_rank:
        model.add_lora(s.train.lora_rank, s.train.lora_alpha, s.train.lora_dropout, s.seed)
    return model


def _row_tokens(e: RewardExample) -> int:
    return sum(len(e.tree.row(leaf)) for leaf in e.tree.leaves[:2])


def _weighted(item: str) -> tuple[str, float]:
    name, equals, weight = item.rpartition("=")
    try:
        return (name, float(weight)) if equals and name else _no_weight(item)
    except ValueError:
        return _no_weight(item)


def _no_weight(item: str) -> tuple[str, float]:
    raise UserError(f"--mixture {item}: write FILE=WEIGHT, the weight a number above 0")


def _told(summary: dict[str, Any], out: str) -> str:
    held, judge = summary["held_out"], {"bt": "reward", "gpm": "gpm"}[summary["kind"]]
    measured = (
        f"held-out accuracy {held['accuracy']:.3f} on {held['pairs']} pairs of prompts never trained on"
        if "accuracy" in held
        else "no pairs were held out, so nothing was measured"
    )
    tested = summary.get("test", {})
    if "accuracy" in tested:
        measured = f"accuracy {tested['accuracy']:.3f} on the {tested['pairs']} pairs of the test file"
    return f"{measured}\nmodel: {Path(out) / 'model'}   (as a judge: {judge}:{Path(out) / 'model'})"
