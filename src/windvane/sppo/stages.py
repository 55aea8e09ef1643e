"""The verbs of a self-play run on one run folder, each a call that does nothing where its files stand.

In: a recipe's settings. Out: the run folder of design.md section 2. A recipe calls these in the order of its paper's algorithm box.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from itertools import combinations
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.protocols import Generator
from windvane.core.records import Group, Prompt, Reference, Response, TokenReference, Verdict, by_prompt, seed_of
from windvane.datasets.prompt_splits import Pool, portions, read_pool
from windvane.engines.http.budget import Account, Estimate
from windvane.engines.http.generator import HttpGenerator
from windvane.engines.local import Sampling, stop_ids
from windvane.evals.winrate import Sides, run_evaluate
from windvane.losses.batch import load_objective
from windvane.plan.time import estimate
from windvane.prompts.chat import check_template
from windvane.run.local_runner import HereRunner
from windvane.run.start import begin, mend, opening, resolved, take_threads
from windvane.run.store import RunFolder, read_records, write_atomic, write_jsonl
from windvane.sppo.finish import finish
from windvane.sppo.judges import (
    Judges,
    check_rubrics,
    estimated,
    evaluation_pairs,
    one_budget,
    open_judges,
    open_sampler,
    outlook,
    remarks,
    sampler_of,
    told,
)
from windvane.sppo.loss_targets import at_equal_eta, retarget, slow_iteration
from windvane.stages.generate import run_generate
from windvane.stages.judge import questions, run_judge
from windvane.stages.pair import Pairing, run_pair
from windvane.stages.policy import Policy
from windvane.stages.rendered_prompts import check_budgets, rendered
from windvane.train.batches import Example, examples, set_aside, with_reference
from windvane.train.processes import call, here
from windvane.train.reference import of_tokens, run_reference
from windvane.train.stage import clear_checkpoints, run_train

# |log-prob when sampled - log-prob as reference| a token (nats), by bfloat16 or not: decoding and scoring round differently
SAMPLED_TOLERANCE = {False: 1e-2, True: 0.3}


class Flow:
    """`settings` is a recipe's dataclass with the fields of `windvane.sppo.recipe.Sppo`."""

    def __init__(self, settings: Any, out: str, quiet: bool = False) -> None:
        self.objective = load_objective(settings.train.objective, settings.train.objective_args, gives=("slow",))
        if settings.answers == "all" and self.objective.branches not in ("group", "unpaired"):
            raise UserError(
                f"answers: all K go with an objective that reads groups; {self.objective.name} reads best and worst"
            )
        train = replace(settings.train, objective_args=self.objective.arguments)
        self.s, self.quiet = resolved(replace(settings, train=train), out), quiet
        self.objective = at_equal_eta(self.objective, settings)
        seed = seed_of(settings.seed, "pair")
        self.pairing = Pairing(settings.estimate, settings.answers if settings.answers != "all" else "best-worst", seed)
        self.folder = RunFolder(out)
        self.runner = HereRunner(self.folder, quiet)
        self.policies: dict[int, Policy] = {}
        self.account: Account | None = None

    def __enter__(self) -> Flow:
        with opening(self.folder):
            begin(self.folder, self.s)
            mend(self.folder)
            take_threads(self.s)
            if not self._divided():
                _ = self.pool  # prompts and judges that cannot be had are found out now, not after hours of sampling
            if not self.folder.finished("manifest.json"):
                self.account = one_budget([*self.judges.values(), self.sampler])
        return self

    def __exit__(self, *error: object) -> None:
        self.folder.__exit__(*error)

    @cached_property
    def judges(self) -> Judges:
        """The training judge, the true one (or None) and the proxy that evaluates."""
        return open_judges(self.s, self.folder.path)

    @cached_property
    def sampler(self) -> HttpGenerator | None:
        """The server that samples what is trained on, where one is named."""
        return open_sampler(self.s, self.folder.path)

    @cached_property
    def pool(self) -> Pool:
        return read_pool(self.s)

    def policy(self, t: int, beside: bool = False) -> Policy:
        """What iteration t made; 0 is the start. The weights of all others are let go unless it is wanted `beside` them."""
        if t not in self.policies:
            spec = self.s.model if t == 0 else str(self.folder / f"iter-{t}" / "model")
            seed = seed_of(self.s.seed, "adapter")
            self.policies[t] = Policy(spec, self.s.train, self.s.device, seed)
        for other, policy in self.policies.items():
            if other != t and not beside:
                policy.release()
        return self.policies[t]

    def tell(self, text: str) -> None:
        """A line that the user should see, on standard error and in log.jsonl."""
        self.folder.tell(text, self.quiet)

    def prompts(self, t: int) -> list[Prompt]:
        return read_records(self.folder / f"iter-{t}/prompts.jsonl", Prompt)

    def tell_costs(self, stage: str, found: Estimate | None) -> None:
        """What a server is going to be asked for: said however quiet the run is."""
        if found is not None:
            self.folder.tell(f"{stage}: {found.told(self.s.server)}")

    def _divided(self) -> bool:
        names = [f"iter-{t}/prompts.jsonl" for t in range(1, self.s.iterations + 1)]
        return all(self.folder.finished(n) for n in ("heldout.jsonl", *names))

    def split_prompts(self) -> None:
        """Held-out prompts, and each iteration's own part, rendered through the template by id."""
        s = self.s
        if not self._divided():
            tokenizer = self.policy(0).tokenizer
            for warning in check_template(tokenizer, stop_ids(self.policy(0).model(training=False), tokenizer)):
                self.tell(f"{s.model}: {warning}")
            check_budgets(self.policy(0), s)
            held, parts = portions(s, self.pool, self.tell)
            check_rubrics(self.judges, [p for part in parts for p in part], held)
            for t, part in enumerate(parts, 1):
                self._write_prompts(f"iter-{t}/prompts.jsonl", part, self.pool.told, "sampling")
            # last: with it the run has begun, and its settings stand
            source = s.evaluate.prompts or self.pool.told
            self._write_prompts("heldout.jsonl", held, source, "evaluate")
        if not self.folder.finished("iter-0/evaluation.jsonl"):
            parts, held = [self.prompts(t) for t in range(1, s.iterations + 1)], self._held_out()
            self.tell(estimate(self.policy(0).model(training=False), parts, held, s, self.objective, self.folder.path))
            found = outlook(s, self.judges, [p for part in parts for p in part], held)
            if found:
                self.folder.tell(told(found, s.server))

    def _write_prompts(
        self, name: str, part: list[Prompt], source: str, group: Literal["sampling", "evaluate"]
    ) -> None:
        ready = rendered(self.policy(0), part, self.s, source, group)
        write_jsonl(self.folder / name, ready)

    def _generator(self, t: int) -> Generator:
        """Who samples iteration t's answers: pi_t itself, here or behind a server."""
        if self.sampler is None:
            return self.policy(t - 1).generator(self.s.sampling)
        return sampler_of(self.sampler, self.s.generator, t - 1, self.policy(t - 1).tokenizer)

    def generate(self, t: int) -> None:
        """K answers of pi_t to each of this iteration's prompts."""
        if not self.folder.finished(f"iter-{t}/responses.jsonl"):
            s, generator, seed = self.s, self._generator(t), seed_of(self.s.seed, "generate", t)
            stage, indices, prompts = f"iter-{t}/responses", range(self.s.sampling.k), self.prompts(t)
            if isinstance(generator, HttpGenerator):
                self.tell_costs(stage, generator.estimate(prompts, indices, seed))
            run_generate(self.runner, stage, generator, prompts, indices, seed, s.batch_prompts)
            lost = len(prompts) * s.sampling.k - len(self._responses(t))
            if lost:
                self.tell(f"{stage}: {lost} answers could not be had; calls-generate.journal says why")

    def judge(self, t: int) -> None:
        if not self.folder.finished(f"iter-{t}/verdicts.jsonl"):
            judge = self.judges["train"]
            assert judge is not None
            stage, prompts, answers = f"iter-{t}/verdicts", self.prompts(t), self._responses(t)
            if self.account is not None:
                said = by_prompt(answers)
                pairs = [(p, a, b) for p in prompts for a, b in combinations(said.get(p.id, []), 2)]
                self.tell_costs(stage, estimated(judge, questions(pairs)))
            run_judge(self.runner, stage, judge, prompts, answers, self.s.batch_prompts)
            self._tell_verdicts(stage)

    def _tell_verdicts(self, stage: str) -> None:
        path = self.folder / f"{stage}.jsonl"
        try:
            for line in remarks(stage, read_records(path, Verdict)):
                self.tell(line)
        except UserError:
            path.unlink()  # a mended judge is asked again
            raise

    def pair(self, t: int) -> None:
        if not self.folder.finished(f"iter-{t}/groups.jsonl"):
            verdicts = read_records(self.folder / f"iter-{t}/verdicts.jsonl", Verdict)
            run_pair(self.runner, f"iter-{t}/groups", self.prompts(t), self._responses(t), verdicts, self.pairing)

    def reference(self, t: int) -> None:
        """Log-probs of every answer that training reads, under the model that sampled it."""
        if self.objective.reference and not self.folder.finished(f"iter-{t}/reference.jsonl"):
            scorer, train = self.policy(t - 1).scorer(training=True), self.s.train
            bf16 = train.precision == "bfloat16"
            examples = self._examples(t)
            tokens = self.objective.level == "token"
            run_reference(self.runner, f"iter-{t}/reference", scorer, examples, train.micro_tokens, bf16, tokens)
            self._same_weights(t)

    def slow(self, t: int) -> None:
        """The same answers under the slow reference, for an objective that reads one (INPO)."""
        name, k = f"iter-{t}/slow", slow_iteration(t, self.s.slow_every)
        if "slow" not in self.objective.reads or self.folder.finished(f"{name}.jsonl"):
            return
        if k == t - 1:  # it is the reference
            write_atomic(self.folder / f"{name}.jsonl", (self.folder / f"iter-{t}/reference.jsonl").read_text("utf-8"))
            return
        scorer, train = self.policy(k).scorer(training=True), self.s.train
        bf16 = train.precision == "bfloat16"
        run_reference(self.runner, name, scorer, self._examples(t), train.micro_tokens, bf16)

    def _same_weights(self, t: int) -> None:
        """What sampled and what is the reference are one model: their log-probs of the same answers agree, but for rounding."""
        sampled = {r.id: r for r in self._responses(t)}
        limit = SAMPLED_TOLERANCE[self.s.train.precision == "bfloat16"]
        for row in read_records(self.folder / f"iter-{t}/reference.jsonl", TokenReference):
            logps = sampled[row.id].logps if row.id in sampled else None  # KTO's mismatched answers were never sampled
            if logps is not None and not abs(logps - row.logps) / row.tokens <= limit:
                (self.folder / f"iter-{t}/reference.jsonl").unlink()
                raise UserError(
                    f"model {self.policy(t - 1).spec}: its log-prob of answer {row.id} is {row.logps:.3f}, and was {logps:.3f} when it was "
                    "sampled: the weights were changed under the run; put them back or use another --out"
                )

    def train(self, t: int) -> None:
        iteration = f"iter-{t}"
        if not self.folder.finished(f"{iteration}/model"):
            if here().lead:
                call("windvane.sppo.stages:train_beside", settings=self.s, out=str(self.folder.path), t=t)
            found = self._examples(t)
            if self.objective.reference:
                cached = read_records(self.folder / iteration / "reference.jsonl", TokenReference)
                slowly = None
                if "slow" in self.objective.reads:
                    slowly = {r.id: r.logps for r in read_records(self.folder / iteration / "slow.jsonl", Reference)}
                found = with_reference(found, {r.id: r.logps for r in cached}, slowly, of_tokens(cached))
            seed = seed_of(self.s.seed, "train", t)
            training, held = set_aside(found, self.s.train.held_out, seed)
            if self.s.train.keep == "best" and not held:
                self.tell(f"iteration {t}: no group is held out (train.held_out), so the last step's weights are kept")
            policy = self.policy(t - 1)
            scorer, tokenizer = policy.scorer(training=True), policy.tokenizer
            run_train(
                self.folder, iteration, scorer, tokenizer, self.objective, self.s.train, training, held, seed, self.s.model, self.quiet,
                here(),
            )  # fmt: skip
            policy.release()
        if here().lead:
            clear_checkpoints(self.folder, iteration)

    def evaluate(self, t: int) -> None:
        """Answers to the held-out prompts, compared with the start's and with those before. At t = 0 the start meets a second
        sample of itself: what it shows beside 1/2 is noise."""
        name, e = f"iter-{t}", self.s.evaluate
        if self.folder.finished(f"{name}/evaluation.jsonl"):
            return
        prompts = self._held_out()
        policy, plain = self.policy(t), e.sampling.temperature == 1.0 and e.sampling.top_p == 1.0
        for stage, sampling, indices in (
            ("answers", e.sampling, range(e.answers if t else 2 * e.answers)),
            ("samples", Sampling(1, 1.0, 1.0, e.max_new_tokens), range(1)),
        ):
            if (stage == "answers" or not plain) and not self.folder.finished(f"{name}/{stage}.jsonl"):
                seed = seed_of(self.s.seed, "evaluate", stage, t)
                generator = policy.generator(sampling)
                run_generate(self.runner, f"{name}/{stage}", generator, prompts, indices, seed, e.batch_prompts)
        start = self._answers(0)
        first = {p: a[: e.answers] for p, a in start.items()}
        now = self._answers(t) if t else {p: a[e.answers :] for p, a in start.items()}
        before = self._answers(t - 1) if t > 1 else first
        sides = Sides(now, first, before, now if plain else self._answers(t, "samples"))
        if self.account is not None:
            asked = questions(evaluation_pairs(prompts, now, first, before))
            for role in ("true", "proxy"):
                self.tell_costs(f"{name}/evaluation ({role})", estimated(self.judges[role], asked))
        scorers = policy.scorer(training=False), self.policy(0, beside=True).scorer(training=False)
        run_evaluate(
            self.runner, f"{name}/evaluation", prompts, sides, self.judges["true"], self.judges["proxy"], scorers, e.batch_prompts
        )  # fmt: skip

    def report(self) -> None:
        """Summary, report page, final model with its card, manifest; then the table on the terminal."""
        finish(self.folder, self.s)
        if self.account is not None:
            gone, counts = self.account.spent, self.account.counts
            print(
                f"{counts.answered} answered calls, {counts.reused} taken from the journals; {gone.tokens} tokens, {gone.cost:.4f} in "
                "money, over all resumes"
            )

    def _held_out(self) -> list[Prompt]:
        return read_records(self.folder / "heldout.jsonl", Prompt)

    def _responses(self, t: int) -> list[Response]:
        return read_records(self.folder / f"iter-{t}/responses.jsonl", Response)

    def _answers(self, t: int, stage: str = "answers") -> dict[str, list[Response]]:
        return by_prompt(read_records(self.folder / f"iter-{t}/{stage}.jsonl", Response))

    def _examples(self, t: int) -> list[Example]:
        groups = read_records(self.folder / f"iter-{t}/groups.jsonl", Group)
        prompts, responses = {p.id: p for p in self.prompts(t)}, {r.id: r for r in self._responses(t)}
        which = "all" if self.s.answers == "all" else "best-worst"
        found = examples(prompts, responses, groups, self.objective.branches, which, self.s.self_term)
        if self.s.targets == "policy":
            return found
        verdicts = read_records(self.folder / f"iter-{t}/verdicts.jsonl", Verdict)
        kept = retarget(found, verdicts, {r.id: r.index for r in responses.values()}, self.s.targets)
        if len(kept) < len(found) and not self.folder.finished(f"iter-{t}/reference.jsonl"):
            self.tell(
                f"iteration {t}: {len(found) - len(kept)} of {len(found)} pairs have no verdict of their own and are left out"
            )
        return kept


def train_beside(settings: Any, out: str, t: int) -> None:
    """Another process's part in iteration t's training, from the files that the first one wrote; it holds no lock and writes nothing."""
    take_threads(settings)
    Flow(settings, out, quiet=True).train(t)
