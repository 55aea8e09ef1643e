"""The verbs of a LongPO run on one run folder, each a call that does nothing where its files stand.

In: settings. Out: RUN/documents.jsonl and documents/, and a round: iter-t/documents, questions, chosen, rejected, turns, reference,
kl-start, train, model, kl, retention. Policies are read back from disk, one in memory at a time (two where they are compared).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from windvane.core.errors import UserError
from windvane.core.records import Response, TokenReference, seed_of
from windvane.core.schema import encode
from windvane.core.settings import to_toml
from windvane.engines.local import Sampling, stop_ids
from windvane.longpo.cost import disk_estimate, estimate, measure_rate, shape_of
from windvane.longpo.decode import TrunkReader
from windvane.longpo.documents import (
    Cut,
    Held,
    Texts,
    choose_documents,
    document_units,
    gather_documents,
    read_cuts,
    run_chunks,
)
from windvane.longpo.examples import short_contexts
from windvane.longpo.finish import finish
from windvane.longpo.kl import run_kl
from windvane.longpo.methods import ARMS, objective_of, preference_weight
from windvane.longpo.policies import Policies
from windvane.longpo.questions import Question, grounding_of, run_questions
from windvane.longpo.responses import CHOSEN, REJECTED, Prompts, run_long_answers, run_short_answers
from windvane.longpo.retention import run_retention
from windvane.longpo.reuse import take_data
from windvane.longpo.settings import LongPO
from windvane.longpo.turns import DocumentExamples, Turns, TurnsOf, example_of, on_the_long_input, run_turns
from windvane.models.generate.decode import plain_model
from windvane.models.load import save_model
from windvane.prompts.chat import check_template
from windvane.runs.local_runner import LocalRunner
from windvane.runs.publish import link_file
from windvane.runs.settings_file import discard_settings, record_settings, renew_loss, resolved, use_threads
from windvane.runs.start import mend, opening
from windvane.runs.store import RunFolder, published, read_records
from windvane.train.batches import Example, micro_batches, set_aside, with_reference
from windvane.train.reference import of_tokens, reference_logps
from windvane.train.settings import only_warms_up
from windvane.train.stage import clear_checkpoints, run_train, with_loss_digests

FAINT = 10.0  # below it the preference is said to be faint; docs/papers/longpo.md has what 1 to 5 and 17 to 67 did
BEFORE, AFTER = 2, 3  # indices of the answers on which the short-to-long KL is measured


class LongFlow:
    """A recipe calls the methods in the order of the paper."""

    def __init__(self, settings: LongPO, out: str, quiet: bool = False) -> None:
        settings = with_loss_digests(resolved(settings, out))
        self.arm, self.objective = ARMS[settings.arm], objective_of(settings)
        if settings.data is None:
            grounding_of(settings.ask.grounding)  # a name that is none is told before the documents are read
        self.s, self.quiet = settings, quiet
        self.folder = RunFolder(out)
        self.runner = LocalRunner(self.folder, quiet)
        self.policies = Policies(settings, self.folder)
        self._prompts: tuple[int, Prompts] | None = None

    def __enter__(self) -> LongFlow:
        with opening(self.folder):
            recipe = self.folder / "recipe.toml"
            made = any(self.folder.finished(name) for name in ("documents.jsonl", "iter-1/model"))
            if not made and recipe.exists() and recipe.read_text(encoding="utf-8") != to_toml(self.s):
                discard_settings(self.folder, self.s)  # nothing of it is kept
                (self.folder / "documents.journal").unlink(missing_ok=True)
            renew_loss(self.folder, self.s)
            record_settings(recipe, self.s)
            mend(self.folder)
            use_threads(self.s)
            if self.s.data is not None and not self.folder.finished("manifest.json"):
                take_data(self.folder, self.s, Path(self.s.data))
        return self

    def __exit__(self, *error: object) -> None:
        self.folder.__exit__(*error)

    def tell(self, text: str) -> None:
        """A line that the user should see, on standard error and in log.jsonl."""
        self.folder.tell(text, self.quiet)

    # Files of a round

    def missing(self, t: int, name: str) -> bool:
        return not self.folder.finished(f"iter-{t}/{name}.jsonl")

    def records(self, t: int, name: str, cls: Any) -> list[Any]:
        return read_records(self.folder / f"iter-{t}/{name}.jsonl", cls)

    def cuts(self, t: int) -> list[Cut]:
        return read_cuts(self.folder / f"iter-{t}/documents.jsonl")

    def prompts(self, t: int) -> Prompts:
        """What both sides of round t read; the last round's are kept."""
        if self._prompts is None or self._prompts[0] != t:
            tokenizer = self.policies.of(0, 0, beside=True).tokenizer
            asked = self.records(t, "questions", Question)
            self._prompts = t, Prompts(self.s, tokenizer, self.texts, self.cuts(t), asked)
        return self._prompts[1]

    @property
    def texts(self) -> Texts:
        return Texts(self.folder / "documents")

    def _answers(self, t: int, name: str) -> dict[str, Response]:
        return {r.prompt_id: r for r in self.records(t, name, Response)}

    # Stages

    def gather(self) -> None:
        """Documents of every length."""
        listed = self.folder / "documents.jsonl"
        if listed.exists() and not all(self.texts.has(h.id) for h in read_records(listed, Held) if h.status == "kept"):
            listed.unlink()  # a text was lost: it is read again
        if not listed.exists():
            policy = self.policies.of(0, 0)
            seen = getattr(plain_model(policy.model()).config.get_text_config(decoder=True), "sliding_window", None)
            if seen is not None and seen < self.s.targets[-1]:
                self.tell(
                    f"{self.s.model}: a sliding window of {seen} tokens: its layers that have it see no further back"
                )
            for warning in check_template(policy.tokenizer, stop_ids(policy.model(), policy.tokenizer)):
                self.tell(f"{self.s.model}: {warning}")
            again = gather_documents(self.folder, self.s, policy.tokenizer, self.quiet)
            if again:
                self.tell(f"documents: {again} stand there again, word for word; each is used once")

    def chunk(self, t: int) -> None:
        """Round t's documents and the chunks drawn from them."""
        if self.missing(t, "documents"):
            held = read_records(self.folder / "documents.jsonl", Held)
            found = choose_documents(self.s, held, t)
            run_chunks(
                self.runner, f"iter-{t}/documents", self.s, t, found, self.texts, self.policies.of(0, 0).tokenizer
            )
        if self.missing(t, "rejected"):
            cuts, model = self.cuts(t), self.policies.short(t).model()
            if not any(c.chunks for c in cuts):
                raise UserError(
                    f"round {t}: none of its {len(cuts)} documents has a chunk of {self.s.least_chunk} to {self.s.chunks.tokens} tokens; "
                    "lower --chunks.min-chunk or raise --chunks.tokens"
                )
            took = estimate(shape_of(model), measure_rate(model, self.s.targets[t - 1]), cuts, self.s, t)
            self.tell(f"{took}. {disk_estimate(model, cuts, self.s, t, self.folder.path)}")
            used = sum(bool(c.chunks) for c in cuts)
            if self.objective is not None and only_warms_up(used, self.s.train):
                self.tell(
                    f"round {t}: {used} documents are one step of {self.s.train.batch}, all warm-up from a rate of 0: nothing will be "
                    "learnt; lower --train.batch or --train.warmup"
                )
            weight = preference_weight(self.s, max(c.tokens for c in cuts if c.chunks))
            if weight is not None and 0 < weight < FAINT:
                self.tell(
                    f"round {t}: on a token of an answer the preference weighs {weight:.2g} times the document's NLL (65 in the "
                    f"paper, at 128K): the NLL rules; --lam {self.s.lam * 65 / weight:.2g} gives 65"
                )

    def ask(self, t: int) -> None:
        """Questions by pi_S from each chunk alone."""
        if self.missing(t, "questions"):
            short = self.policies.short(t)
            generator = short.generator(self.s.ask.sampling)
            stage, cuts = f"iter-{t}/questions", self.cuts(t)
            run_questions(self.runner, stage, generator, self.s, t, cuts, self.texts, short.window())
            found = self.records(t, "questions", Question)
            if not any(q.text for q in found):
                reasons = sorted({q.reason or "" for q in found})
                raise UserError(
                    f"round {t}: none of {len(found)} chunks has a usable question ({', '.join(reasons)}); look at "
                    f"iter-{t}/questions.jsonl; --ask.attempts, --ask.prompt and --ask.grounding can change it"
                )

    def choose(self, t: int) -> None:
        """y_S ~ pi_S(.|chunk, question)."""
        self._short_answers(t, "chosen", CHOSEN)

    def reject(self, t: int) -> None:
        """y_L ~ pi_S(.|document, question), theta raised; a placebo's is another answer from the chunk."""
        if self.arm.placebo:
            self._short_answers(t, "rejected", REJECTED)
        elif self.missing(t, "rejected"):
            generator = self.policies.long(t).generator(self.s.answer.sampling)
            run_long_answers(self.runner, f"iter-{t}/rejected", generator, self.s, t, self.prompts(t), REJECTED)

    def _short_answers(self, t: int, name: str, index: int) -> None:
        if self.missing(t, name):
            short = self.policies.short(t)
            generator, window = short.generator(self.s.answer.sampling), short.window()
            run_short_answers(self.runner, f"iter-{t}/{name}", generator, self.s, t, self.prompts(t), index, window)

    def filter(self, t: int) -> None:
        """What is trained on; every drop with its reason."""
        if self.missing(t, "turns"):
            answers = self._answers(t, "chosen"), self._answers(t, "rejected")
            run_turns(
                self.runner, f"iter-{t}/turns", self.s, self.prompts(t), *answers, self.policies.short(t).window()
            )

    def reference(self, t: int) -> None:
        """log pi_S(y|chunk, question) of both answers, once, without history; or, in arms whose reference reads the long input, the
        policy's start there."""
        if self.arm.reference is None or not self.missing(t, "reference"):
            return
        long, train = self.arm.reference == "long", self.s.train
        scorer = (self.policies.long(t) if long else self.policies.short(t)).scorer(training=True)
        turns_of = self._turns_of(t, scorer.model)
        build = self._example(t, turns_of)

        def work(batch: Sequence[Turns]) -> list[dict[str, Any]]:
            found: list[Example] = []
            for row in batch:
                found += [build(row)] if long else short_contexts(turns_of(row, False))
            bf16 = train.precision == "bfloat16"
            tokens = self.objective is not None and self.objective.level == "token"
            return [
                encode(r)
                for part in micro_batches(found, train.micro_tokens)
                for r in reference_logps(scorer, part, bf16, tokens)
            ]

        self.runner.run(f"iter-{t}/reference", document_units(self._trained_on(t), self.s.batch_documents), work)

    def train(self, t: int) -> None:
        """The arm's loss; pi_t."""
        iteration = f"iter-{t}"
        if not self.folder.finished(f"{iteration}/model"):
            policy = self.policies.long(t)
            if self.objective is None:
                self._publish_untrained(t)
                return
            scorer = policy.scorer(training=True)
            training, held = self._split(t)
            build = self._example(t, self._turns_of(t, scorer.model))
            cached = self.records(t, "reference", TokenReference) if self.arm.reference else None
            logps = {r.id: r.logps for r in cached} if cached is not None else None
            tokens = of_tokens(cached or ())

            def referenced(row: Turns) -> Example:
                example = build(row)
                return with_reference([example], logps, tokens=tokens)[0] if logps is not None else example

            run_train(
                self.folder, iteration, scorer, policy.tokenizer, self.objective, self.s.train,
                DocumentExamples(training, referenced), DocumentExamples(held, referenced), seed_of(self.s.seed, "train", t), self.s.model,
                self.quiet,
            )  # fmt: skip
            policy.release()
        clear_checkpoints(self.folder, iteration)

    def _publish_untrained(self, t: int) -> None:
        """Theta raised and nothing else."""
        policy = self.policies.long(t)
        self.folder.status(f"iter-{t}/train", 0, 1)
        with published(self.folder / f"iter-{t}" / "model") as aside:
            save_model(policy.model(), policy.tokenizer, aside, self.s.model)

    def measure(self, t: int) -> None:
        """KL(pi(.|document) || pi_S(.|chunk)) before and after the round, on held-out documents where there are any."""
        if not self.s.kl_documents or self.missing(t, "questions"):
            return
        for stage, index in (("kl-start", BEFORE), ("kl", AFTER)):
            if self.missing(t, stage):
                cuts, _ = self._measured_on(t)
                policy = self.policies.long(t) if index == BEFORE else self.policies.of(t, t)
                generator = policy.generator(Sampling(1, 1.0, 1.0, self.s.answer.max_new_tokens))
                reader = TrunkReader(generator.model, generator.stops, generator.sampling)
                scorers = policy.scorer(training=False), self.policies.short(t, beside=True).scorer(training=False)
                seed, target = seed_of(self.s.seed, "kl", t), self.s.targets[t - 1]
                run_kl(
                    self.runner, f"iter-{t}/{stage}", reader, *scorers, self.prompts(t), cuts, index, seed, target, self.s.batch_documents
                )  # fmt: skip

    def retain(self, t: int) -> None:
        """Nats a token of short texts (chunks of the documents that `measure` takes), at the start and after the round."""
        over = self.folder.finished("manifest.json")  # of an earlier version: left as it is
        if not self.s.kl_documents or not self.missing(t, "retention") or over:
            return
        cuts, aside = self._measured_on(t)
        start, after = self.policies.of(0, 0), self.policies.of(t, t, beside=True)
        run_retention(
            self.runner, f"iter-{t}/retention", start.scorer(training=False), after.scorer(training=False), start.tokenizer,
            self.texts, cuts, start.window(), aside, self.s.batch_documents,
        )  # fmt: skip

    def _measured_on(self, t: int) -> tuple[list[Cut], bool]:
        """(at most `kl_documents` documents, whether they were held aside from training)."""
        training, held = self._split(t)
        rows = sorted(held or training, key=lambda r: seed_of(self.s.seed, "kl", r.id))[: self.s.kl_documents]
        return [self.prompts(t).cuts[r.id] for r in rows], bool(held)

    def report(self) -> None:
        """Summary, final model with its card, manifest; then the table on the terminal."""
        finish(self.folder, self.s, self._final_model)

    def _final_model(self, aside: Path) -> None:
        """The last round's model, whole: an adapter is merged, because its base alone has another theta."""
        last = self.s.rounds
        source = self.folder / f"iter-{last}" / "model"
        if (source / "adapter_config.json").exists():
            policy = self.policies.of(last, last)
            save_model(policy.model().merge_and_unload(), policy.tokenizer, aside, self.s.model)
            policy.release()
            return
        for file in sorted(source.iterdir()):
            link_file(file, aside / file.name)

    # What training reads

    def _turns_of(self, t: int, model: Any) -> TurnsOf:
        prompts = self.prompts(t)
        stops = stop_ids(model, prompts.tokenizer)
        return TurnsOf(self.s, prompts, stops, self._answers(t, "chosen"), self._answers(t, "rejected"))

    def _example(self, t: int, turns_of: TurnsOf) -> Callable[[Turns], Example]:
        history, long = self.s.turns == "history", self.arm.reference == "long"

        def build(row: Turns) -> Example:
            example = example_of(self.arm.view, row, turns_of, history)
            return on_the_long_input(example) if long else example

        return build

    def _trained_on(self, t: int) -> list[Turns]:
        found = [row for row in self.records(t, "turns", Turns) if row.turns]
        if not found:
            raise UserError(
                f"round {t}: every question was dropped; iter-{t}/turns.jsonl has the reasons, filters.* and answer.* can change them"
            )
        return found

    def _split(self, t: int) -> tuple[list[Turns], list[Turns]]:
        """(trained on, held out)."""
        found = cast(Any, self._trained_on(t))
        training, held = set_aside(found, self.s.train.held_out, seed_of(self.s.seed, "train", t))
        return cast(Any, training), cast(Any, held)
