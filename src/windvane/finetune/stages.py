"""The stages of `windvane train` on one run folder; each is skipped if its output exists.

In: `settings.Finetune`. Out: RUN/iter-1/prompts.jsonl, responses.jsonl and groups.jsonl (the rows as they are trained on), spans.jsonl
(where responses have several turns), refused.jsonl, reference.jsonl, train/metrics.jsonl and model; held_out.jsonl holds the prompts of
the rows that are kept out of training.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from windvane.core.errors import UserError
from windvane.core.records import Group, Prompt, Response, TokenReference, seed_of
from windvane.datasets.columns import KINDS, mapping
from windvane.engines.local import stop_ids
from windvane.finetune.examples import NEEDS, hold_out, own_examples
from windvane.finetune.finish import finish_own
from windvane.finetune.settings import Finetune
from windvane.losses.batch import load_objective
from windvane.plan.time import training_estimate
from windvane.prompts.template_checks import findings, refuse, set_thinking
from windvane.runs.local_runner import LocalRunner
from windvane.runs.settings_file import discard_settings, record_settings, renew_loss, resolved, use_threads
from windvane.runs.start import mend, opening
from windvane.runs.store import RunFolder, read_records, write_jsonl
from windvane.stages.policy import Policy
from windvane.stages.rendered_prompts import check_vocabulary
from windvane.stages.row_sources import made_from
from windvane.stages.rows import Made
from windvane.stages.source_files import Source, source_files
from windvane.train.batches import Example, with_reference
from windvane.train.processes import call, here
from windvane.train.reference import of_tokens, run_reference
from windvane.train.stage import clear_checkpoints, run_train, with_loss_digests

STAGE = "iter-1"


@dataclass(frozen=True, slots=True)
class Spans:
    """[start, stop) of what is learned among a response's tokens, and the loss weight of each where they are not 1; `id` is the
    response's."""

    id: str
    spans: tuple[tuple[int, int], ...]
    weights: tuple[float, ...] = ()


class OwnFlow:
    """`with OwnFlow(settings, out, quiet) as flow`."""

    def __init__(self, settings: Finetune, out: str, quiet: bool = False) -> None:
        if settings.train.objective not in (settings.objective, "sppo", "dpo"):
            raise UserError(f"--train.objective {settings.train.objective}: name the objective by --objective alone")
        self.objective = load_objective(settings.objective, settings.train.objective_args)
        if settings.answers == "all" and self.objective.branches not in ("group", "unpaired"):
            raise UserError(
                f"answers: all K go with an objective that reads groups; {settings.objective} reads best and worst"
            )
        train = replace(settings.train, objective=settings.objective, objective_args=self.objective.arguments)
        self.s, self.quiet = with_loss_digests(resolved(replace(settings, train=train), out)), quiet
        self.folder = RunFolder(out)

    def __enter__(self) -> OwnFlow:
        with opening(self.folder):
            if not self.folder.finished("iter-1/held_out.jsonl"):  # nothing was made yet: a failed start binds nobody
                discard_settings(self.folder, self.s)
            renew_loss(self.folder, self.s, ["iter-1/held_out.jsonl"])  # it may read other rows
            record_settings(self.folder / "recipe.toml", self.s)
            record_settings(self.folder / "data.toml", Source(source_files(self.s.data)))
            mend(self.folder)
            use_threads(self.s)
        return self

    def __exit__(self, *error: object) -> None:
        self.folder.__exit__(*error)

    @cached_property
    def policy(self) -> Policy:
        made = Policy(self.s.model, self.s.train, self.s.device, seed_of(self.s.seed, "adapter"), self.s.stack)
        if self.s.thinking != "template":
            set_thinking(made.tokenizer, self.s.thinking == "on")
        return made

    def tell(self, text: str) -> None:
        """A line that the user should see, on standard error and in log.jsonl."""
        self.folder.tell(text, self.quiet)

    def rows(self) -> None:
        """The data, rendered through the template, the refused with their reasons, some prompts held out."""
        if self.folder.finished("iter-1/held_out.jsonl"):
            return
        s = self.s
        tokenizer, model = self.policy.tokenizer, self.policy.model(training=False)
        if not s.stack:
            self.policy.refuse_rank(model, training=True)
        stops = stop_ids(model, tokenizer)
        if s.text == "chat":
            found = findings(tokenizer, stops)
            refuse(found)
            for finding in found:
                if finding.level == "note":
                    self.tell(f"{s.model}: {finding.check}: {finding.line}")
        self.folder.status(f"{STAGE}/rows", 0, 1)
        collect, kind = s.refused == "leave-out", None if s.layout == "auto" else s.layout
        made, what = made_from(
            s.data, mapping(s.columns), kind, s.split, collect, tokenizer, stops, self.policy.window(), s.rendering
        )
        if made.weights and self.objective.level == "token":
            raise UserError(
                f"{s.data}: turns with loss weights other than 0 and 1, which a token-level loss does not read; remove them"
            )
        self._refuse(made, what)
        self._tell(made)
        self._write("prompts", made.prompts)
        self._write("responses", made.responses)
        self._write("groups", made.groups)
        spans = [
            {"id": id, "spans": spans} | ({"weights": made.weights[id]} if id in made.weights else {})
            for id, spans in sorted(made.spans.items())
        ]
        write_jsonl(self.folder / f"{STAGE}/spans.jsonl", spans)
        self._write("refused", [{"place": r.place, "reason": r.reason} for r in made.refused])
        examples = self._examples()
        self.tell(training_estimate(model, examples, s.train, self.objective.reference, self.folder.path))
        _, held = hold_out(examples, s.train.held_out, s.seed)
        ids = {e.id for e in held}
        # last: with it the rows stand
        self._write("held_out", [p for p in made.prompts if p.id in ids])

    def _write(self, name: str, rows: Sequence[Any]) -> None:
        ordered = sorted(rows, key=lambda r: r.id) if name != "refused" else rows
        write_jsonl(self.folder / f"{STAGE}/{name}.jsonl", ordered)

    def _refuse(self, made: Made, what: str) -> None:
        """Rows that hold nothing which the objective reads, and tokens that the model does not know."""
        examples = _built(
            made.prompts, made.responses, made.groups, made.spans, made.weights, self.objective.branches, self.s.answers
        )
        if not made.groups and made.refused:
            raise UserError(f"{self.s.data}: no row can be used; the first: {made.refused[0].reason}")
        if not examples:
            status = ", ".join(sorted({g.status for g in made.groups})) or "none"
            raise UserError(
                f"{self.s.data}: objective {self.s.objective} reads {NEEDS[self.objective.branches]}; this file's rows are "
                f"{KINDS.get(what, what)} ({status})"
            )
        check_vocabulary(self.policy, [p.token_ids for p in made.prompts] + [r.token_ids for r in made.responses])
        t = self.s.train
        training, _ = hold_out(examples, t.held_out, self.s.seed)
        steps = math.ceil(len(training) / t.batch)
        if math.ceil(t.warmup * steps * (t.schedule_epochs or t.epochs)) >= steps * t.epochs:
            raise UserError(
                f"{self.s.data}: {len(training)} rows are {steps} step{'s' if steps > 1 else ''} of {t.batch} an epoch, and all of "
                f"{t.epochs} epoch{'s' if t.epochs > 1 else ''} is warm-up from a rate of 0; lower --train.batch or --train.warmup"
            )
        unused = len(made.groups) - len(examples)
        if unused:
            self.tell(
                f"{unused} of {len(made.groups)} rows hold nothing that {self.s.objective} reads (equal scores or answers, say)"
            )

    def _tell(self, made: Made) -> None:
        counts, data = made.counts, self.s.data
        if made.unread:
            self.tell(f"{data}: columns that are not read: {', '.join(made.unread)}")
        if made.refused:
            self.tell(
                f"{data}: {len(made.refused)} rows left out (refused.jsonl says why), the first: {made.refused[0].reason}"
            )
        for name, what in (
            ("duplicates", "rows repeat an earlier one, word for word; they count as often as they stand there"),
            ("border", "rows whose prompt and answer would merge at the border; the answer is tokenised by itself"),
            (
                "split",
                "chats whose assistant turns became a row each, since the template renders earlier turns otherwise",
            ),
            ("endless", "answers end with no stop token, and do not teach the model to end"),
            (
                "inner",
                "answers hold a token that stops generation before their end, written out in their text; it is learnt there",
            ),
            ("unknown", "answers hold a token that stands for what the tokenizer does not know"),
            ("retokenised", "answers were sampled by another tokenizer and are tokenised again from their text"),
        ):
            if counts[name]:
                self.tell(f"{data}: {counts[name]} {what}")

    def _examples(self) -> list[Example]:
        folder = self.folder / STAGE
        marked = read_records(folder / "spans.jsonl", Spans)
        return _built(
            read_records(folder / "prompts.jsonl", Prompt),
            read_records(folder / "responses.jsonl", Response),
            read_records(folder / "groups.jsonl", Group),
            {r.id: r.spans for r in marked},
            {r.id: r.weights for r in marked if r.weights},
            self.objective.branches,
            self.s.answers,
        )

    def reference(self) -> None:
        """Log-probs of every answer under the start, where the objective reads them."""
        if self.objective.reference and not self.folder.finished(f"{STAGE}/reference.jsonl"):
            scorer, train = self.policy.scorer(training=True), self.s.train
            runner = LocalRunner(self.folder, self.quiet)
            bf16 = train.precision == "bfloat16"
            tokens = self.objective.level == "token"
            run_reference(runner, f"{STAGE}/reference", scorer, self._examples(), train.micro_tokens, bf16, tokens)

    def train(self) -> None:
        if not self.folder.finished(f"{STAGE}/model"):
            if here().lead:
                call("windvane.finetune.stages:train_beside", settings=self.s, out=str(self.folder.path))
            found = self._examples()
            if self.objective.reference:
                rows = read_records(self.folder / f"{STAGE}/reference.jsonl", TokenReference)
                found = with_reference(found, {r.id: r.logps for r in rows}, tokens=of_tokens(rows))
            seed = seed_of(self.s.seed, "train", 1)
            training, held = hold_out(found, self.s.train.held_out, self.s.seed)
            if not held and here().lead:
                self.tell(
                    "no prompt is held out (train.held_out, or fewer than ten prompts): the last step's weights are kept"
                )
            run_train(
                self.folder, STAGE, self.policy.scorer(training=True), self.policy.tokenizer, self.objective, self.s.train, training, held,
                seed, self.s.model, self.quiet, here(),
            )  # fmt: skip
            self.policy.release()
        if here().lead:
            clear_checkpoints(self.folder, STAGE)
            shutil.rmtree(self.folder / f"{STAGE}/model.tmp", ignore_errors=True)

    def report(self) -> None:
        """Summary, page, model with its card, manifest; then what was measured, on the terminal."""
        finish_own(self.folder, self.s)


def _built(
    prompts: Sequence[Prompt], responses: Sequence[Response], groups: Sequence[Group], spans: Any, weights: Any, branches: str, answers: str
) -> list[Example]:  # fmt: skip
    by_id = {p.id: p for p in prompts}, {r.id: r for r in responses}
    return own_examples(*by_id, groups, spans, branches, answers, weights)


def train_beside(settings: Finetune, out: str) -> None:
    """Another process's part in the training, from the files that the first one wrote; it holds no lock and writes nothing."""
    use_threads(settings)
    OwnFlow(settings, out, quiet=True).train()
