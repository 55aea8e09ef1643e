"""The stages of a self-play run, each a call that does nothing where its files stand.

In: a `Run` with SPPO's settings. Out: its folder: heldout.jsonl, and for each iteration iter-t/prompts, responses, verdicts, groups,
reference, train, model and evaluation.
"""

from __future__ import annotations

from functools import cached_property
from itertools import combinations
from typing import Literal

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
from windvane.runs.run import Run
from windvane.runs.store import write_atomic
from windvane.sppo.judges import (
    Judges,
    check_rubrics,
    estimated,
    evaluation_pairs,
    one_budget,
    open_judges,
    open_sampler,
    outlook,
    outlook_line,
    remarks,
    sampler_of,
)
from windvane.sppo.loss_targets import at_equal_eta, retarget, slow_iteration
from windvane.sppo.settings import Sppo
from windvane.stages.generate import run_generate
from windvane.stages.judge import questions, run_judge
from windvane.stages.pair import run_pair
from windvane.stages.policy import Policy
from windvane.stages.rendered_prompts import check_budgets, rendered
from windvane.train.batches import Example, examples, set_aside, with_reference
from windvane.train.processes import call, here
from windvane.train.reference import of_tokens, run_reference
from windvane.train.stage import clear_checkpoints, run_train

# |log-prob when sampled - log-prob as reference| a token (nats), by bfloat16 or not: decoding and scoring round differently
SAMPLED_TOLERANCE = {False: 1e-2, True: 0.3}


class SppoStages:
    """The stages over a `Run`, to be called in the order of the paper's algorithm box."""

    def __init__(self, run: Run[Sppo]) -> None:
        self.run, s = run, run.settings
        self.settings = s
        objective = load_objective(s.train.objective, s.train.objective_args, gives=("slow",))
        self.objective = at_equal_eta(objective, s)
        self.policies: dict[int, Policy] = {}
        self.account: Account | None = None

    def open_backends(self) -> None:
        """The prompts of a run that was not begun, and, unless it is finished, judges and servers with one account for all."""
        if not self._divided():
            _ = self.pool
        if not self.run.finished:
            self.account = one_budget([*self.judges.values(), self.sampler])

    @cached_property
    def judges(self) -> Judges:
        """The training judge, the true one (or None) and the proxy that evaluates."""
        return open_judges(self.settings, self.run.path)

    @cached_property
    def sampler(self) -> HttpGenerator | None:
        """The server that samples what is trained on, where one is named."""
        return open_sampler(self.settings, self.run.path)

    @cached_property
    def pool(self) -> Pool:
        return read_pool(self.settings)

    def policy(self, t: int, beside: bool = False) -> Policy:
        """What iteration t made; 0 is the start. The weights of all others are let go unless it is wanted `beside` them."""
        if t not in self.policies:
            spec = self.settings.model if t == 0 else str(self.run / f"iter-{t}" / "model")
            seed = seed_of(self.settings.seed, "adapter")
            self.policies[t] = Policy(spec, self.settings.train, self.settings.device, seed)
        for other, policy in self.policies.items():
            if other != t and not beside:
                policy.release()
        return self.policies[t]

    def prompts(self, t: int) -> list[Prompt]:
        return self.run.read(f"iter-{t}/prompts.jsonl", Prompt)

    def _log_costs(self, stage: str, expected: Estimate | None) -> None:
        """What a server is going to be asked for, which is reported however quiet the run is."""
        if expected is not None:
            self.run.log(f"{stage}: {expected.told(self.settings.server)}", always=True)

    def _divided(self) -> bool:
        names = [f"iter-{t}/prompts.jsonl" for t in range(1, self.settings.iterations + 1)]
        return not any(self.run.missing(n) for n in ("heldout.jsonl", *names))

    def split_prompts(self) -> None:
        """Held-out prompts, and each iteration's own part, rendered through the template by id."""
        s = self.settings
        if not self._divided():
            tokenizer = self.policy(0).tokenizer
            for warning in check_template(tokenizer, stop_ids(self.policy(0).model(training=False), tokenizer)):
                self.run.log(f"{s.model}: {warning}")
            check_budgets(self.policy(0), s)
            held, parts = portions(s, self.pool, self.run.log)
            check_rubrics(self.judges, [p for part in parts for p in part], held)
            for t, part in enumerate(parts, 1):
                self._write_prompts(f"iter-{t}/prompts.jsonl", part, self.pool.told, "sampling")
            # Last: with it the run has begun, and its settings bind.
            source = s.evaluate.prompts or self.pool.told
            self._write_prompts("heldout.jsonl", held, source, "evaluate")
        if self.run.missing("iter-0/evaluation.jsonl"):
            parts, held = [self.prompts(t) for t in range(1, s.iterations + 1)], self._held_out()
            self.run.log(estimate(self.policy(0).model(training=False), parts, held, s, self.objective, self.run.path))
            calls = outlook(s, self.judges, [p for part in parts for p in part], held)
            if calls:
                self.run.log(outlook_line(calls, s.server), always=True)

    def _write_prompts(
        self, name: str, part: list[Prompt], source: str, group: Literal["sampling", "evaluate"]
    ) -> None:
        ready = rendered(self.policy(0), part, self.settings, source, group)
        self.run.write(name, ready)

    def _generator(self, t: int) -> Generator:
        """Who samples iteration t's answers: pi_t itself, in this process or behind a server."""
        generator = self.settings.generator
        if self.sampler is None or generator is None:
            return self.policy(t - 1).generator(self.settings.sampling)
        return sampler_of(self.sampler, generator, t - 1, self.policy(t - 1).tokenizer)

    def generate(self, t: int) -> None:
        """K answers of pi_t to each of this iteration's prompts."""
        if self.run.missing(f"iter-{t}/responses.jsonl"):
            s, generator, seed = self.settings, self._generator(t), seed_of(self.settings.seed, "generate", t)
            stage, indices, prompts = f"iter-{t}/responses", range(self.settings.sampling.k), self.prompts(t)
            if isinstance(generator, HttpGenerator):
                self._log_costs(stage, generator.estimate(prompts, indices, seed))
            run_generate(self.run.runner, stage, generator, prompts, indices, seed, s.batch_prompts)
            lost = len(prompts) * s.sampling.k - len(self._responses(t))
            if lost:
                self.run.log(f"{stage}: {lost} answers could not be had; calls-generate.journal says why")

    def judge(self, t: int) -> None:
        if self.run.missing(f"iter-{t}/verdicts.jsonl"):
            judge = self.judges["train"]
            assert judge is not None
            stage, prompts, answers = f"iter-{t}/verdicts", self.prompts(t), self._responses(t)
            if self.account is not None:
                grouped = by_prompt(answers)
                pairs = [(p, a, b) for p in prompts for a, b in combinations(grouped.get(p.id, []), 2)]
                self._log_costs(stage, estimated(judge, questions(pairs)))
            run_judge(self.run.runner, stage, judge, prompts, answers, self.settings.batch_prompts)
            path = self.run / f"{stage}.jsonl"
            try:
                for line in remarks(stage, self.run.read(f"{stage}.jsonl", Verdict)):
                    self.run.log(line)
            except UserError:
                path.unlink()  # a judge that was repaired is asked again
                raise

    def pair(self, t: int) -> None:
        if self.run.missing(f"iter-{t}/groups.jsonl"):
            answers, verdicts = self._responses(t), self.run.read(f"iter-{t}/verdicts.jsonl", Verdict)
            pairing = self.settings.pairing
            run_pair(self.run.runner, f"iter-{t}/groups", self.prompts(t), answers, verdicts, pairing)

    def reference(self, t: int) -> None:
        """Log-probs of every answer that training reads, under the model that sampled it."""
        if self.objective.reference and self.run.missing(f"iter-{t}/reference.jsonl"):
            self._score(f"iter-{t}/reference", self.policy(t - 1), t, tokens=self.objective.level == "token")
            self._same_weights(t)

    def slow(self, t: int) -> None:
        """The same answers under the slow reference, for an objective that reads one (INPO)."""
        name, k = f"iter-{t}/slow", slow_iteration(t, self.settings.slow_every)
        if "slow" not in self.objective.reads or not self.run.missing(f"{name}.jsonl"):
            return
        if k == t - 1:  # it is the reference
            write_atomic(self.run / f"{name}.jsonl", (self.run / f"iter-{t}/reference.jsonl").read_text("utf-8"))
            return
        self._score(name, self.policy(k), t)

    def _score(self, stage: str, policy: Policy, t: int, tokens: bool = False) -> None:
        train = self.settings.train
        scorer, bf16 = policy.scorer(training=True), train.precision == "bfloat16"
        run_reference(self.run.runner, stage, scorer, self._examples(t), train.micro_tokens, bf16, tokens)

    def _same_weights(self, t: int) -> None:
        """What sampled and what is the reference are one model: their log-probs of the same answers agree, but for rounding."""
        sampled = {r.id: r for r in self._responses(t)}
        limit = SAMPLED_TOLERANCE[self.settings.train.precision == "bfloat16"]
        for row in self.run.read(f"iter-{t}/reference.jsonl", TokenReference):
            logps = sampled[row.id].logps if row.id in sampled else None  # KTO's mismatched answers were never sampled
            if logps is not None and not abs(logps - row.logps) / row.tokens <= limit:
                (self.run / f"iter-{t}/reference.jsonl").unlink()
                raise UserError(
                    f"model {self.policy(t - 1).spec}: its log-prob of answer {row.id} is {row.logps:.3f}, and was {logps:.3f} when it was "
                    "sampled: the weights were changed under the run; put them back or use another --out"
                )

    def train(self, t: int) -> None:
        """pi_{t+1}, published as iter-t/model; every rank takes its part."""
        iteration, s, ranks = f"iter-{t}", self.settings, here()
        if self.run.missing(f"{iteration}/model"):
            if ranks.lead:
                call("windvane.sppo.stages:train_rank", settings=s, out=str(self.run.path), t=t)
            examples = self._examples(t)
            if self.objective.reference:
                slow = None
                if "slow" in self.objective.reads:
                    slow = {r.id: r.logps for r in self.run.read(f"{iteration}/slow.jsonl", Reference)}
                reference = self.run.read(f"{iteration}/reference.jsonl", TokenReference)
                examples = with_reference(examples, {r.id: r.logps for r in reference}, slow, of_tokens(reference))
            seed = seed_of(s.seed, "train", t)
            training, held = set_aside(examples, s.train.held_out, seed)
            if s.train.keep == "best" and not held and ranks.lead:
                self.run.log(
                    f"iteration {t}: no group is held out (train.held_out), so the last step's weights are kept"
                )
            policy = self.policy(t - 1)
            scorer, tokenizer = policy.scorer(training=True), policy.tokenizer
            run_train(
                self.run.folder, iteration, scorer, tokenizer, self.objective, s.train, training, held, seed, s.model, self.run.quiet, ranks
            )  # fmt: skip
            policy.release()
        if ranks.lead:
            clear_checkpoints(self.run.folder, iteration)

    def evaluate(self, t: int) -> None:
        """Answers to the held-out prompts, compared with the start's and with those before. At t = 0 the start meets a second
        sample of itself: what it shows beside 1/2 is noise."""
        name, e = f"iter-{t}", self.settings.evaluate
        if not self.run.missing(f"{name}/evaluation.jsonl"):
            return
        prompts = self._held_out()
        policy, plain = self.policy(t), e.sampling.temperature == 1.0 and e.sampling.top_p == 1.0
        for stage, sampling, indices in (
            ("answers", e.sampling, range(e.answers if t else 2 * e.answers)),
            ("samples", Sampling(1, 1.0, 1.0, e.max_new_tokens), range(1)),
        ):
            if (stage == "answers" or not plain) and self.run.missing(f"{name}/{stage}.jsonl"):
                seed = seed_of(self.settings.seed, "evaluate", stage, t)
                generator = policy.generator(sampling)
                run_generate(self.run.runner, f"{name}/{stage}", generator, prompts, indices, seed, e.batch_prompts)
        start = self._answers(0)
        first = {p: a[: e.answers] for p, a in start.items()}
        now = self._answers(t) if t else {p: a[e.answers :] for p, a in start.items()}
        before = self._answers(t - 1) if t > 1 else first
        sides = Sides(now, first, before, now if plain else self._answers(t, "samples"))
        if self.account is not None:
            asked = questions(evaluation_pairs(prompts, now, first, before))
            for role in ("true", "proxy"):
                self._log_costs(f"{name}/evaluation ({role})", estimated(self.judges[role], asked))
        scorers = policy.scorer(training=False), self.policy(0, beside=True).scorer(training=False)
        run_evaluate(
            self.run.runner, f"{name}/evaluation", prompts, sides, self.judges["true"], self.judges["proxy"], scorers, e.batch_prompts
        )  # fmt: skip

    def _held_out(self) -> list[Prompt]:
        return self.run.read("heldout.jsonl", Prompt)

    def _responses(self, t: int) -> list[Response]:
        return self.run.read(f"iter-{t}/responses.jsonl", Response)

    def _answers(self, t: int, stage: str = "answers") -> dict[str, list[Response]]:
        return by_prompt(self.run.read(f"iter-{t}/{stage}.jsonl", Response))

    def _examples(self, t: int) -> list[Example]:
        groups = self.run.read(f"iter-{t}/groups.jsonl", Group)
        prompts, responses = {p.id: p for p in self.prompts(t)}, {r.id: r for r in self._responses(t)}
        which = "all" if self.settings.answers == "all" else "best-worst"
        found = examples(prompts, responses, groups, self.objective.branches, which, self.settings.self_term)
        if self.settings.targets == "policy":
            return found
        verdicts = self.run.read(f"iter-{t}/verdicts.jsonl", Verdict)
        kept = retarget(found, verdicts, {r.id: r.index for r in responses.values()}, self.settings.targets)
        if len(kept) < len(found) and self.run.missing(f"iter-{t}/reference.jsonl"):
            self.run.log(
                f"iteration {t}: {len(found) - len(kept)} of {len(found)} pairs have no verdict of their own and are left out"
            )
        return kept


def train_rank(settings: Sppo, out: str, t: int) -> None:
    """Another rank's part in iteration t's training, from the files that the first one wrote."""
    SppoStages(Run.of_another_rank(settings, out)).train(t)
