"""The verbs of an EvalYaks run on one run folder, each a call that does nothing where its files stand.

In: the settings of `windvane.evalyaks.recipe.EvalYaks`. Out: RUN/transcripts.jsonl and items.jsonl (what is trained and tested on, with
its split), RUN/adapters/NAME/{train/metrics.jsonl,model}, RUN/scores-base.jsonl and scores-trained.jsonl, RUN/evaluations. Every stage is
journaled or checkpointed, so a killed run goes on; on CPU it ends in the same bytes.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import content_id, seed_of
from windvane.core.schema import encode
from windvane.engines.local import window
from windvane.evalyaks.finish import finish, measure
from windvane.evalyaks.instructions import Instruction, part_instructions
from windvane.evalyaks.label_likelihood import answer_ids
from windvane.evalyaks.level_stages import answer_levels, level_items
from windvane.evalyaks.scoring.model import open_model
from windvane.evalyaks.scoring.score import TranscriptScorer
from windvane.evalyaks.splits import HELD, TEST, TRAIN, Item, split_transcripts
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript
from windvane.losses.batch import load_objective
from windvane.models.trees.tree import Tree
from windvane.plan.time import training_estimate
from windvane.prompts.chat import check_template, render
from windvane.runs.local_runner import LocalRunner
from windvane.runs.settings_file import discard_settings, record_settings, renew_loss, resolved, use_threads
from windvane.runs.start import mend, opening
from windvane.runs.store import RunFolder, read_records, write_atomic, write_jsonl
from windvane.stages.policy import Policy
from windvane.train.batches import Example
from windvane.train.processes import call, here
from windvane.train.stage import clear_checkpoints, run_train, with_loss_digests

BATCH = 16  # records a unit of scoring


class SpeechFlow:
    """`settings` is an `EvalYaks`."""

    def __init__(self, settings: Any, out: str, quiet: bool = False) -> None:
        self.s, self.quiet = with_loss_digests(resolved(settings, out)), quiet
        self.objective = load_objective(settings.train.objective, settings.train.objective_args)
        if self.objective.branches != "single" or self.objective.reference:
            raise UserError(f"train.objective: {self.objective.name}; answers are learnt by sft")
        self.folder = RunFolder(out)
        self.runner = LocalRunner(self.folder, quiet)

    def __enter__(self) -> SpeechFlow:
        with opening(self.folder):
            if not self.folder.finished("items.jsonl"):  # nothing was made yet: a failed start binds nobody
                discard_settings(self.folder, self.s)
            renew_loss(self.folder, self.s)
            record_settings(self.folder / "recipe.toml", self.s)
            mend(self.folder)
            use_threads(self.s)
        return self

    def __exit__(self, *error: object) -> None:
        self.folder.__exit__(*error)

    def gather(self) -> None:
        """Read, split, write down: transcripts.jsonl with each record's split, items.jsonl, and what was left out in split.json."""
        if self.folder.finished("items.jsonl"):
            return
        s = self.s
        split = split_transcripts(s.data, s.test, s.held_out, s.seed)
        items: list[Item] = []
        for name, records in split.records.items():
            forms = s.forms if name == TRAIN else (s.score_form,)
            items += [Item(name, i) for r in records for i in part_instructions(r, forms, s.seed)]
        items += level_items(
            s.words, s.sentences, "compact" if s.score_form == "compact" else "full", s.held_out, s.seed
        )
        tokenizer = Policy(s.model, s.train, s.device, s.seed).tokenizer
        for warning in check_template(tokenizer):
            self.folder.event("template", warning=warning)
        rows = [{"split": name, "record": encode(r)} for name, records in split.records.items() for r in records]
        write_jsonl(self.folder / "transcripts.jsonl", rows)
        counts = {name: len(records) for name, records in split.records.items()}
        told = {"conversations": counts, "left_out": split.left_out}
        write_atomic(self.folder / "split.json", json.dumps(told, indent=1) + "\n")
        write_jsonl(self.folder / "items.jsonl", items)

    @cached_property
    def items(self) -> list[Item]:
        return read_records(self.folder / "items.jsonl", Item)

    @cached_property
    def records(self) -> dict[str, list[Transcript]]:
        """By split."""
        found: dict[str, list[Transcript]] = {TRAIN: [], HELD: [], TEST: []}
        for row in read_records(self.folder / "transcripts.jsonl", SplitRecord):
            found[row.split].append(row.record)
        return found

    @property
    def names(self) -> list[str]:
        """Adapters (or models) to train, in order."""
        there = sorted({i.instruction.adapter for i in self.items if i.split == TRAIN})
        return there if self.s.arm == "separate" else [self.s.arm]

    def model_of(self, adapter: str) -> str:
        """Where the model that answers for `adapter` is."""
        return str(self.folder / "adapters" / (adapter if self.s.arm == "separate" else self.s.arm) / "model")

    def train(self, name: str) -> None:
        stage = f"adapters/{name}"
        if not self.folder.finished(f"{stage}/model"):
            if here().lead:
                call("windvane.evalyaks.stages:train_beside", settings=self.s, out=str(self.folder.path), name=name)
            policy = Policy(self.s.model, self.s.train, self.s.device, seed_of(self.s.seed, "adapter", name))
            own = [i for i in self.items if self.s.arm != "separate" or i.instruction.adapter == name]
            scorer = policy.scorer(training=True)
            longest = window(scorer.model)
            found, held = (
                examples(policy.tokenizer, [i.instruction for i in own if i.split == k], longest) for k in (TRAIN, HELD)
            )
            if here().lead:
                begun = self.folder.finished(f"{stage}/train/checkpoints")
                told = training_estimate(scorer.model, found, self.s.train, False, self.folder.path, begun)
                self.folder.tell(f"{stage}: {told}", self.quiet)
            seed = seed_of(self.s.seed, "train", name)
            run_train(
                self.folder, stage, scorer, policy.tokenizer, self.objective, self.s.train, found, held, seed, self.s.model,
                self.quiet, here(),
            )  # fmt: skip
            policy.release()
        if here().lead:
            clear_checkpoints(self.folder, stage)

    def score(self, which: str) -> None:
        """Bands of the held-out and test conversations, levels of held-out words and sentences, by the `base` or what was `trained`."""
        if not self.folder.finished(f"scores-{which}.jsonl"):
            self._bands(which)
        asked = [i for i in self.items if i.instruction.level is not None]
        adapters = {i.instruction.adapter for i in asked}
        spec = {a: self.s.model if which == "base" else self.model_of(a) for a in adapters}
        answer_levels(self.runner, f"levels-{which}", asked, spec, self._dtype, self.s.device)

    def _bands(self, which: str) -> None:
        scorer = self._scorer(which)

        def work(batch: Sequence[Transcript]) -> Iterable[dict[str, Any]]:
            return [encode(a) for a in scorer.assess(batch)]

        records = sorted((r for split in (HELD, TEST) for r in self.records[split]), key=lambda r: (r.part or 0, r.id))
        parts = [records[i : i + BATCH] for i in range(0, len(records), BATCH)]
        self.runner.run(f"scores-{which}", [(content_id([r.id for r in part]), part) for part in parts], work)

    @property
    def _dtype(self) -> str:
        return str(self.s.train.precision)

    def _scorer(self, which: str) -> TranscriptScorer:
        s = self.s
        options: dict[str, Any] = {
            "device": s.device,
            "dtype": self._dtype,
            "method": "likelihood",
            "form": s.score_form,
        }
        if which == "base":
            return open_model(s.model, **options)
        if s.arm != "separate":
            return open_model(self.model_of(s.arm), **options)
        parts = [p for p in PART_CRITERIA if f"part{p}" in self.names]
        return open_model(s.model, adapters={p: self.model_of(f"part{p}") for p in parts}, **options)

    def evaluate(self) -> None:
        """The paper's measures and the usual ones: base and trained beside constants, majority, length and the weight-free scorer."""
        for split, records in self.records.items():
            if split != TRAIN and records:
                measure(self.folder, split, records, self.records[TRAIN], self.s)

    def report(self) -> None:
        """Summary, report page, manifest; then the table on the terminal."""
        finish(self.folder, self.s, self.names)


@dataclasses.dataclass(frozen=True, slots=True)
class SplitRecord:
    """A line of transcripts.jsonl: a record and its split."""

    split: str
    record: Transcript


def examples(tokenizer: Any, items: Sequence[Instruction], longest: int | None) -> list[Example]:
    """A row an item: the rendered prompt, then the answer's own tokens and the closing one; the loss reads the answer. Long rows are
    refused by name, never cut."""
    found = []
    for item in items:
        prompt = render(tokenizer, item.messages)
        answer = (*answer_ids(tokenizer, item.answer), tokenizer.eos_token_id)
        if longest is not None and len(prompt) + len(answer) > longest:
            raise UserError(
                f"{item.adapter} {item.id}: {len(prompt)} tokens and the answer's {len(answer)} exceed the model's window of {longest}; "
                "leave this conversation out"
            )
        found.append(
            Example(
                id=item.id,
                tree=Tree.of(prompt, [answer]),
                response_ids=(item.id,),
                p_win=(1.0,),
                lengths=(len(answer),),
                chosen=0,
                rejected=None,
            )
        )
    return found


def train_beside(settings: Any, out: str, name: str) -> None:
    """Another process's part in a training, from the files that the first one wrote; it holds no lock and writes nothing."""
    use_threads(settings)
    SpeechFlow(settings, out, quiet=True).train(name)
