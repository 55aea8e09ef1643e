"""`windvane import-config FILE --out recipe.toml`: another trainer's config as the settings of `windvane train`.

    windvane import-config dpo.yaml --data pairs.jsonl --out recipe.toml
    windvane train --recipe recipe.toml --out RUN

In: a YAML or JSON config of TRL (`trl dpo`, `trl sft`, `trl kto`, ORPO, CPO's SimPO: their trainers' arguments) or of LLaMA-Factory
(stage dpo, kto, sft).
Out: a recipe, and on the terminal every key of the file in one of three lists: carried over; known and without effect on what is learnt
here (logging, saving, data loading); not understood, or without a counterpart, with the reason. What the file leaves out takes that
trainer's default, not ours. Nothing of the other trainer is imported.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from windvane.arguments import Parser
from windvane.errors import UserError
from windvane.objectives.batch import load_objective
from windvane.recipes.import_keys import FRAMEWORKS, SILENT, TRAINERS, Framework
from windvane.recipes.own import Own
from windvane.settings import to_toml
from windvane.store import write_atomic
from windvane.train.settings import Train


@dataclass(slots=True)
class Imported:
    """`carried`: "theirs = value -> ours = value"; `silent`: keys that change nothing learnt here; `lost`: key -> why it is not carried."""

    settings: Own
    carried: list[str] = field(default_factory=list)
    silent: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    defaults: list[str] = field(default_factory=list)


def import_config(path: Path, data: str | None = None, processes: int = 1, trainer: str | None = None) -> Imported:
    """Read the config. `data`: the file to train on, over what the config names; `processes`: how many the config was meant for;
    `trainer`: which of TRL's it is for, where its keys do not tell."""
    config = _read(path)
    framework = next((f for f in FRAMEWORKS if f.recognises(config)), None)
    if framework is None:
        raise UserError(
            f"{path}: neither TRL's nor LLaMA-Factory's (keys: {', '.join(list(config)[:8])}); a TRL config names model_name_or_path and "
            "a trainer's arguments, a LLaMA-Factory one its stage"
        )
    return _Translation(path, config, framework, data, processes, trainer).made()


def _read(path: Path) -> dict[str, Any]:
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        config = json.loads(text) if path.suffix == ".json" else yaml.safe_load(text)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file") from None
    except (yaml.YAMLError, ValueError) as error:
        raise UserError(f"{path}: not valid {'JSON' if path.suffix == '.json' else 'YAML'} ({error})") from None
    if not isinstance(config, dict) or not all(isinstance(k, str) for k in config):
        raise UserError(f"{path}: expected a table of settings")
    return config


class _Translation:
    def __init__(
        self,
        path: Path,
        config: dict[str, Any],
        framework: Framework,
        data: str | None,
        processes: int,
        trainer: str | None,
    ) -> None:
        self.path, self.config, self.framework = path, config, framework
        self.data, self.processes, self.trainer = data, processes, trainer
        self.usual: dict[str, Any] = {}
        self.left = dict(config)
        self.own: dict[str, Any] = {}
        self.train: dict[str, Any] = {}
        self.arguments: dict[str, float] = {}
        self.told = Imported(Own("dpo", "", ""))

    def value(self, key: str, default: Any = None) -> Any:
        """The file's value, taken out of what is left; else the framework's default, which is told."""
        if key in self.left:
            found = self.left.pop(key)
            if found is not None:
                return found
        return self.usual.get(key, self.framework.defaults.get(key, default))

    def carry(self, key: str, ours: str, value: Any, note: str = "") -> None:
        """`ours`: a dotted setting, `objective_args.NAME` among them."""
        room, _, name = ours.rpartition(".")
        {"": self.own, "train": self.train, "objective_args": self.arguments}[room][name] = value
        shown = "train.objective_args." + name if room == "objective_args" else ours
        line = f"{key} = {self.config.get(key, 'default')!r} -> {shown} = {value!r}{note}"
        (self.told.carried if key in self.config else self.told.defaults).append(line)

    def lose(self, key: str, reason: str) -> None:
        self.left.pop(key, None)
        if key in self.config:
            self.told.lost[key] = reason

    def number(self, key: str, kind: type = float) -> Any:
        value = self.value(key)
        if value is None:
            return None
        try:
            found = kind(value)  # YAML reads 5e-6 as text
        except (TypeError, ValueError):
            raise UserError(f"{self.path}: field '{key}': expected a number, got {str(value)[:40]!r}") from None
        if kind is int and float(value) != found:
            epochs = "; ours takes whole epochs" if key == "num_train_epochs" else ""
            self.lose(key, f"{value} is no whole number{epochs}")
            return None
        return found

    def made(self) -> Imported:
        self.framework.translate(self)
        self._common()
        for key in list(self.left):
            if key in SILENT or any(key.startswith(p) for p in SILENT if p.endswith("_")):
                self.told.silent.append(key)
            else:
                self.told.lost[key] = "not understood"
        objective = self.own.get("objective", "dpo")
        known = load_objective(objective, {}).arguments
        for name in [n for n in self.arguments if n not in known]:
            value = self.arguments.pop(name)
            self.told.lost[name] = (
                f"{value}: {objective} has no such setting here (it has {', '.join(known) or 'none'})"
            )
        start = Train(objective=objective, optimizer="adamw", held_out=0.0, keep="last")
        train = replace(start, objective_args=self.arguments, **self.train)
        self.told.settings = Own(**{"model": "MODEL", "data": "DATA", **self.own, "train": train})
        return self.told

    def _common(self) -> None:
        """What both share with transformers' TrainingArguments."""
        if (model := self.value("model_name_or_path")) is not None:
            self.carry("model_name_or_path", "model", str(model))
        if self.data is not None:
            self.own["data"] = self.data
        for key, ours in (
            ("learning_rate", "train.lr"),
            ("weight_decay", "train.weight_decay"),
            ("max_grad_norm", "train.clip"),
        ):
            if (number := self.number(key)) is not None:
                self.carry(key, ours, number)
        for key, ours in (("num_train_epochs", "train.epochs"), ("seed", "seed")):
            if (number := self.number(key, int)) is not None:
                self.carry(key, ours, number)
        self._batch()
        self._schedule()
        optimizer = str(self.value("optim", "adamw_torch"))
        if optimizer.startswith("adamw"):
            self.carry(
                "optim",
                "train.optimizer",
                "adamw",
                "" if optimizer in ("adamw_torch", "adamw_torch_fused") else " (plain AdamW)",
            )
        elif optimizer == "rmsprop":
            self.carry("optim", "train.optimizer", "rmsprop")
        else:
            self.lose("optim", f"{optimizer}: ours are adamw and rmsprop")
        if self.value("bf16") or str(self.value("torch_dtype") or self.value("dtype") or "").endswith("bfloat16"):
            key = next((k for k in ("bf16", "torch_dtype", "dtype") if k in self.config), "bf16")
            self.carry(key, "train.precision", "bfloat16")
        if self.value("fp16"):
            self.lose("fp16", "half precision is not trained in here; take bfloat16 or float32")
        if self.value("gradient_checkpointing"):
            self.carry("gradient_checkpointing", "train.gradient_checkpointing", True)
        if self.value("packing"):
            self.lose(
                "packing", "a batch counts rows here, however they are packed into one forward (train.micro_tokens)"
            )
        if self.config.get("max_steps") not in (None, -1):
            self.lose("max_steps", "ours counts whole epochs; shorten the data or set train.epochs")
        self.left.pop("max_steps", None)

    def _batch(self) -> None:
        each, turns = (
            self.number("per_device_train_batch_size", int),
            self.number("gradient_accumulation_steps", int) or 1,
        )
        note = f" ({each} rows x {turns} accumulated x {self.processes} process{'es' if self.processes > 1 else ''})"
        key = "per_device_train_batch_size"
        self.carry(key, "train.batch", each * turns * self.processes, note)

    def _schedule(self) -> None:
        shape = str(self.value("lr_scheduler_type", "linear"))
        if shape in ("linear", "cosine", "constant"):
            self.carry("lr_scheduler_type", "train.schedule", shape)
        elif shape == "constant_with_warmup":
            self.carry("lr_scheduler_type", "train.schedule", "constant")
        else:
            self.lose("lr_scheduler_type", f"{shape}: ours are linear, cosine and constant")
        warmup = self.number("warmup_steps")
        ratio = self.number("warmup_ratio")
        if warmup and warmup >= 1:
            self.lose("warmup_steps", f"{warmup:g} steps: ours is a fraction of the schedule (train.warmup)")
        elif warmup:
            self.carry("warmup_steps", "train.warmup", warmup)
        if ratio is not None and (ratio or not warmup):
            self.carry("warmup_ratio", "train.warmup", ratio)
        self.train.setdefault("warmup", 0.0)


def main(argv: Sequence[str]) -> int:
    """Write the recipe and tell what became of every key."""
    parser = Parser(
        "windvane import-config", description="TRL's or LLaMA-Factory's config as settings of windvane train."
    )
    add = parser.add_argument
    add("config", metavar="FILE", type=Path, help="YAML or JSON")
    add("--out", required=True, metavar="recipe.toml", type=Path, help="the recipe to write")
    add("--data", metavar="FILE", help="what to train on (else what the config names)")
    add(
        "--processes", type=int, default=1, metavar="N", help="how many the config was run on: its batch is times N (1)"
    )
    add("--trainer", choices=TRAINERS, help="which of TRL's trainers it is for (told by its keys where they tell)")
    add("--json", action="store_true", help="print one JSON object")
    o = parser.parse_args(list(argv))
    if o.processes < 1:
        raise UserError(f"--processes {o.processes}: must be at least 1")
    if o.out.exists():
        raise UserError(f"--out {o.out}: is there already; name a new file")
    found = import_config(o.config, o.data, o.processes, o.trainer)
    write_atomic(o.out, to_toml(found.settings))
    if o.json:
        told = {
            "carried": found.carried,
            "defaults": found.defaults,
            "without_effect": found.silent,
            "not_carried": found.lost,
        }
        print(json.dumps(told))
        return 0
    for title, lines in (
        ("carried over", found.carried),
        ("not in the file, so that trainer's default", found.defaults),
        ("without effect on what is learnt here", [", ".join(found.silent)] if found.silent else []),
        ("NOT carried over", [f"{key}: {why}" for key, why in found.lost.items()]),
    ):
        if lines:
            print(f"{title}:\n" + "\n".join(f"  {line}" for line in lines))
    wants = [
        w
        for w, v in (("--model M", found.settings.model == "MODEL"), ("--data FILE", found.settings.data == "DATA"))
        if v
    ]
    print(f"\n{o.out}   (next: windvane train --recipe {o.out} {' '.join([*wants, '--out RUN'])})")
    return 0
