"""`windvane train janus`: from a finished collection to the paper's models (arXiv 2405.17977), each from the one that it starts from.

    windvane train janus --data RUN --models janus-star janus-dpo reward --best-of.model janus-dpo --out DIR

In: a `windvane run janus` folder, a base model. Out: DIR/NAME/model for each model (plain Hugging Face files; reward: a classifier that
`--judge reward:DIR/reward/model` opens), its reference.jsonl and train/metrics.jsonl; DIR/model, the last that answers; DIR/best-of.jsonl;
summary.json, report.html, manifest.json. Held-out losses are of the collection's own test instructions, which no training set has. Killed
at any moment, the same command goes on; on CPU it ends in the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from windvane.core.errors import UserError
from windvane.core.records import TokenReference, seed_of
from windvane.engines.local import stop_ids
from windvane.janus.collection_rows import read_preferences, read_samples
from windvane.janus.training.best_of import run_best_of
from windvane.janus.training.examples import Rows, Sharing, batch_of_trees, pair_examples, sft_examples
from windvane.janus.training.finish import finish, table
from windvane.janus.training.presets import MODELS
from windvane.janus.training.settings import Name, TrainJanus, start_of
from windvane.losses.batch import load_objective
from windvane.plan.time import training_estimate
from windvane.prompts.system_role import system_mode
from windvane.runs.launch import launch
from windvane.runs.local_runner import LocalRunner
from windvane.runs.settings_file import discard_settings, record_settings, renew_loss, resolved, use_threads
from windvane.runs.store import RunFolder, file_sha256, read_records, write_atomic
from windvane.stages import train_reward
from windvane.stages.policy import Policy
from windvane.train.batches import Example, with_reference
from windvane.train.processes import call, here
from windvane.train.reference import of_tokens, run_reference
from windvane.train.stage import clear_checkpoints, run_train, with_loss_digests

SETS = ("sft", "sft-one", "sft-test", "pairs", "rm", "rm-test")
REWARDS = ("reward", "reward-general")


@dataclass(frozen=True, slots=True)
class _Inputs:
    """SHA-256 of each training set: what must be the same when the command is given again."""

    files: dict[str, str]


def run(settings: TrainJanus, out: str, quiet: bool = False) -> None:
    """One model after another; what is finished is not done again."""
    settings = with_loss_digests(resolved(settings, out))
    with RunFolder(out) as folder:
        if not any(folder.finished(f"{name}/model") for name in settings.wanted):  # a failed start binds nobody
            discard_settings(folder, settings)
        renew_loss(folder, settings)
        record_settings(folder / "recipe.toml", settings)
        record_settings(folder / "data.toml", _Inputs({n: file_sha256(_set(settings, n)) for n in SETS}))
        use_threads(settings)
        work = Training(settings, folder, quiet)
        for name in settings.wanted:
            if name in REWARDS:
                work.reward(name)
            else:
                work.train(name)
        if settings.best_of.model is not None:
            work.best_of()
        if not folder.finished("manifest.json"):
            finish(folder, settings, work.notes)
        print(table(json.loads((folder / "summary.json").read_text(encoding="utf-8")), folder.path))


class Training:
    """The verbs of one run, each a call that does nothing where its files stand."""

    def __init__(self, s: TrainJanus, folder: RunFolder, quiet: bool) -> None:
        self.s, self.folder, self.quiet = s, folder, quiet

    def train(self, name: Name) -> None:
        """A model that answers: SFT, DPO or ORPO."""
        if not self.folder.finished(f"{name}/model"):
            train, policy = self.s.train_of(name), self._policy(name)
            objective = load_objective(train.objective, train.objective_args)
            found, held, sharing = self._examples(name, policy, objective.branches)
            if not found:
                raise UserError(f"{_set(self.s, _data(name))}: no row to train {name} on")
            if here().lead:
                begun = self.folder.finished(f"{name}/train/checkpoints")
                unread, model = objective.reference and not begun, policy.scorer(training=True).model
                self._tell(f"{name}: {training_estimate(model, found, train, unread, self.folder.path, begun)}")
            if objective.reference:
                found, held = self._referred(name, policy, found, held, objective.level == "token")
            if here().lead:  # what the others read stands
                call(
                    "windvane.janus.training.command:train_beside",
                    settings=self.s,
                    out=str(self.folder.path),
                    name=name,
                )
            if objective.branches == "single":  # a tree may hold several rows; a pair is one tree
                train = replace(train, batch=batch_of_trees(train.batch, sharing))
            train = replace(train, objective_args=objective.arguments)
            scorer, tokenizer = policy.scorer(training=True), policy.tokenizer
            if here().lead:
                self._note(name, sharing)
            seed = seed_of(self.s.seed, "train", name)
            run_train(
                self.folder, name, scorer, tokenizer, objective, train, found, held, seed, self.s.model, self.quiet, here()
            )  # fmt: skip
            policy.release()
        if here().lead:
            clear_checkpoints(self.folder, name)

    def reward(self, name: Name) -> None:
        """Stage 1 on the collection's pairs, stage 2 on general helpfulness; each a run of `windvane train reward` in its folder."""
        s, stage = self.s, self.s.reward if name == "reward" else self.s.reward_general
        if self.folder.finished(f"{name}/manifest.json"):
            return
        data = {"data": str(_set(s, "rm"))} if name == "reward" else {"mixture": s.general, "samples": s.general_pairs}
        made = train_reward.TrainReward(
            kind="bt", model=self._start(name), seed=s.seed, train=stage, device=s.device, threads=s.threads, test=self._tested(), **data
        )  # fmt: skip
        train_reward.run(made, str(self.folder / name), self.quiet)

    def _tested(self) -> str | None:
        """The pairs that a reward model is measured on: those of instructions in no other file. A share of its own pairs would not do: the
        model that it starts from was trained on both answers of each."""
        path = _set(self.s, "rm-test")
        return str(path) if path.stat().st_size else None

    def best_of(self) -> None:
        """The chosen model's answers to test prompts, scored by the last reward model."""
        model = self.s.best_of.model
        assert model is not None
        last = next(n for n in reversed(REWARDS) if n in self.s.wanted)
        samples = list(read_samples(_set(self.s, "sft-test")))
        run_best_of(
            LocalRunner(self.folder, self.quiet), self.s.best_of, samples,
            self._spec(model), str(self.folder / last / "model"), self.s.device, self.s.seed,
        )  # fmt: skip

    @cached_property
    def notes(self) -> list[str]:
        """What the template does with a system message, where that is not what its role says."""
        _, note = system_mode(Policy(self.s.model, self.s.janus, self.s.device, 0).tokenizer)
        return [f"{self.s.model}: {note}"] if note else []

    def _policy(self, name: Name) -> Policy:
        return Policy(self._start(name), self.s.train_of(name), self.s.device, seed_of(self.s.seed, "adapter", name))

    def _start(self, name: Name) -> str:
        start = start_of(name)
        return self.s.model if start is None else self._spec(start)

    def _spec(self, name: Name) -> str:
        return str(self.folder / name / "model")

    def _examples(self, name: Name, policy: Policy, branches: str) -> tuple[list[Example], list[Example], Sharing]:
        """(training examples, those of the test instructions, what is shared)."""
        s, tokenizer = self.s, policy.tokenizer
        longest = min(s.longest or MODELS[name].longest, policy.window())
        stops = stop_ids(policy.model(training=True), tokenizer)
        rows = Rows(tokenizer, system_mode(tokenizer)[0], stops, longest, s.too_long == "leave-out")
        if branches == "single":
            found, sharing = sft_examples(read_samples(_set(s, _data(name))), rows, s.share)
            held, _ = sft_examples(read_samples(_set(s, "sft-test")), rows, s.share)
        else:
            found, sharing = pair_examples(read_preferences(_set(s, _data(name))), rows)
            held, _ = pair_examples(read_preferences(_set(s, "rm-test")), rows)
        return found, held, sharing

    def _referred(
        self, name: Name, policy: Policy, found: list[Example], held: list[Example], tokens: bool
    ) -> tuple[list[Example], list[Example]]:
        """With the start's log-probs, computed once."""
        path, train = self.folder / f"{name}/reference.jsonl", self.s.train_of(name)
        if not path.exists() and here().lead:
            bf16 = train.precision == "bfloat16"
            scorer = policy.scorer(training=True)
            runner = LocalRunner(self.folder, self.quiet)
            run_reference(runner, f"{name}/reference", scorer, [*found, *held], train.micro_tokens, bf16, tokens)
        rows = read_records(path, TokenReference)
        cached, each = {r.id: r.logps for r in rows}, of_tokens(rows)
        return with_reference(found, cached, tokens=each), with_reference(held, cached, tokens=each)

    def _tell(self, text: str) -> None:
        self.folder.tell(text, self.quiet)

    def _note(self, name: Name, sharing: Sharing) -> None:
        """NAME/shared.json, and the rows that were left out."""
        told = sharing.told()
        write_atomic(self.folder / name / "shared.json", json.dumps(told, indent=1) + "\n")
        left = "".join(json.dumps(row) + "\n" for row in sharing.left_out)
        if left:
            write_atomic(self.folder / name / "left-out.jsonl", left)
        if not self.quiet:
            print(f"windvane: {name}: {told['rows']} rows in {told['trees']} trees, {told['saved']:.1%} of their tokens shared; "
                  f"{told['left_out']} rows left out", file=sys.stderr)  # fmt: skip


def train_beside(settings: TrainJanus, out: str, name: Name) -> None:
    """Another process's part in a model's training, from the same files; it holds no lock and writes nothing."""
    use_threads(settings)
    Training(settings, RunFolder(out), quiet=True).train(name)


def _data(name: Name) -> str:
    return MODELS[name].data.removesuffix(".jsonl")


def _set(s: TrainJanus, name: str) -> Path:
    path = Path(s.data) / "sets" / f"{name}.jsonl"
    if not path.is_file():
        raise UserError(f"data: {path}: not there; give the folder of a finished `windvane run janus`")
    return path


def main(argv: Sequence[str]) -> int:
    """`windvane train janus --data RUN --models NAME ... --out DIR`."""
    return launch(TrainJanus, run, argv, "windvane train janus", __doc__)
