"""The verbs of a self-play run on one run folder, each a call that does nothing where its files stand.

In: a recipe's settings. Out: the run folder of design.md section 2. A recipe calls these in the order of its paper's algorithm box.
"""

from __future__ import annotations

import json
import shutil
import sys
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from windvane.backends.local import Sampling, stop_ids
from windvane.backends.names import resolve_judge
from windvane.data.readers import read_prompts
from windvane.errors import UserError
from windvane.evaluate.winrate import Sides, run_evaluate
from windvane.generate import run_generate
from windvane.judge import run_judge
from windvane.objectives.batch import load_objective
from windvane.pair import run_pair
from windvane.prompts.chat import check_template, prepare
from windvane.protocols import PairJudge
from windvane.recipes.finish import finish
from windvane.recipes.policy import Policy
from windvane.records import Group, Prompt, Reference, Response, Verdict, by_prompt, seed_of
from windvane.runners.here import HereRunner
from windvane.schema import dumps
from windvane.settings import settle
from windvane.store import RunFolder, read_records, write_atomic
from windvane.train.batches import Example, examples, set_aside, with_reference
from windvane.train.reference import run_reference
from windvane.train.stage import clear_checkpoints, run_train

# |log-prob when sampled - log-prob as reference| a token (nats), by bfloat16 or not: decoding and scoring round differently
SAMPLED_TOLERANCE = {False: 1e-2, True: 0.3}


def canonical(judge: str) -> str:
    """One name for one judge: defaults filled in, folders resolved."""
    kind, _, rest = judge.partition(":")
    if kind == "world":
        return judge if ":" in rest else f"{judge}:proxy"
    folder = Path(rest).expanduser()
    return f"{kind}:{folder.resolve()}" if folder.is_dir() else judge


def mend(run: RunFolder) -> None:
    """Where a finished run lost a file, forget that it was finished: what is missing is made again."""
    manifest = run / "manifest.json"
    if not manifest.exists():
        return
    missing = [name for name in json.loads(manifest.read_text(encoding="utf-8")) if not (run / name).exists()]
    for name in missing:
        folder = (run / name).parent
        if "model" in Path(name).parts[:-1] and folder.exists():
            shutil.rmtree(folder)
    if missing:
        manifest.unlink()
        run.log("made again: files that the manifest names were missing", files=missing)


class Flow:
    """`settings` is a recipe's dataclass with the fields of `windvane.recipes.sppo.Sppo`."""

    def __init__(self, settings: Any, out: str, quiet: bool = False) -> None:
        self.objective = load_objective(settings.train.objective, settings.train.objective_args)
        if settings.answers == "all" and self.objective.branches not in ("group", "unpaired"):
            raise UserError(
                f"answers: all K go with an objective that reads groups; {self.objective.name} reads best and worst"
            )
        train = replace(settings.train, objective_args=self.objective.arguments)
        self.s, self.quiet = replace(settings, train=train), quiet
        self.folder = RunFolder(out)
        self.runner = HereRunner(self.folder, quiet)
        self.policies: dict[int, Policy] = {}

    def __enter__(self) -> Flow:
        self.folder.__enter__()
        try:
            if not self.folder.finished("heldout.jsonl"):  # nothing was made yet: a failed start binds nobody
                (self.folder / "recipe.toml").unlink(missing_ok=True)
            settle(self.folder / "recipe.toml", self.s)
            mend(self.folder)
            torch.set_num_threads(self.s.threads)
            if not self.folder.finished("manifest.json"):
                _ = self.judges  # a judge that cannot be had is found out now, not after hours of sampling
        except BaseException:
            self.folder.__exit__()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.folder.__exit__(*error)

    @cached_property
    def judges(self) -> dict[str, PairJudge | None]:
        """The training judge, the true one (or None) and the proxy that evaluates."""
        s = self.s
        found: dict[str, PairJudge | None] = {}
        named = {"train": s.judge, "true": s.evaluate.judge, "proxy": s.evaluate.proxy or s.judge}
        if s.evaluate.judge and canonical(s.evaluate.judge) == canonical(s.judge):
            raise UserError(f"evaluate.judge: {s.judge} trains already; give another judge, or none")
        for role, spec in named.items():
            same = next((found[r] for r in found if named[r] == spec), None)
            found[role] = same if same is not None else resolve_judge(spec, device=s.device) if spec else None
        return found

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
        self.folder.log(text)
        if not self.quiet:
            print(f"windvane: {text}", file=sys.stderr)

    def prompts(self, t: int) -> list[Prompt]:
        return read_records(self.folder / f"iter-{t}/prompts.jsonl", Prompt)

    def split_prompts(self) -> None:
        """Held-out prompts, and each iteration's own part, rendered through the template by id."""
        s, names = self.s, [f"iter-{t}/prompts.jsonl" for t in range(1, self.s.iterations + 1)]
        if all(self.folder.finished(n) for n in ("heldout.jsonl", *names)):
            return
        tokenizer, limit = self.policy(0).tokenizer, self.policy(0).window()
        for warning in check_template(tokenizer, stop_ids(self.policy(0).model(training=False), tokenizer)):
            self.tell(f"{s.model}: {warning}")
        read = read_prompts(s.prompts, column=s.prompt_column)
        if read.duplicates:
            self.tell(f"{s.prompts}: {read.duplicates} of {read.rows} rows repeat a prompt and were merged")
        pool = sorted(read.prompts, key=lambda p: seed_of(s.seed, "split", p.id))
        if s.evaluate.prompts:
            split = "held-out" if s.evaluate.prompts.startswith("world:") else None
            held = read_prompts(s.evaluate.prompts, column=s.evaluate.prompt_column, split=split).prompts
            held = sorted(held, key=lambda p: seed_of(s.seed, "split", p.id))[: s.evaluate.count]
            ids = {p.id for p in held}
            both = sum(p.id in ids for p in pool)
            if both:
                self.tell(f"{s.prompts}: {both} prompts are held out and were kept out of training")
            pool = [p for p in pool if p.id not in ids]
        else:
            aside = min(s.evaluate.count, max(1, len(pool) // 5))
            held, pool = pool[:aside], pool[aside:]
        each = s.prompts_per_iteration or len(pool) // s.iterations
        if each < 1 or each * s.iterations > len(pool):
            raise UserError(
                f"{s.prompts}: {len(pool)} prompts are left for training ({len(held)} held out, {read.duplicates} duplicates "
                f"merged); {s.iterations} iterations of {each or 'at least 1'} need {max(1, each) * s.iterations}"
            )
        parts = {n: pool[i * each : (i + 1) * each] for i, n in enumerate(names)}
        if s.prompts_per_iteration is None:
            parts[names[-1]] = pool[(s.iterations - 1) * each :]
        parts["heldout.jsonl"] = held  # last: with it the run has begun, and its settings stand
        for name, part in parts.items():
            reach = (s.evaluate if name == "heldout.jsonl" else s.sampling).max_new_tokens
            size = self.policy(0).vocabulary()
            source = s.evaluate.prompts or s.prompts if name == "heldout.jsonl" else s.prompts
            ready = sorted(prepare(part, tokenizer, limit, reach, source, s.system), key=lambda p: p.id)
            beyond = next((p for p in ready if max(p.token_ids) >= size), None)
            if beyond is not None:
                raise UserError(
                    f"model {s.model}: its tokenizer gives id {max(beyond.token_ids)} and its vocabulary ends at {size - 1}; they do not "
                    "belong together"
                )
            write_atomic(self.folder / name, "".join(dumps(p) + "\n" for p in ready))

    def generate(self, t: int) -> None:
        """K answers of pi_t to each of this iteration's prompts."""
        if not self.folder.finished(f"iter-{t}/responses.jsonl"):
            s = self.s
            generator, seed = self.policy(t - 1).generator(s.sampling), seed_of(s.seed, "generate", t)
            stage, indices = f"iter-{t}/responses", range(s.sampling.k)
            run_generate(self.runner, stage, generator, self.prompts(t), indices, seed, s.batch_prompts)

    def judge(self, t: int) -> None:
        if not self.folder.finished(f"iter-{t}/verdicts.jsonl"):
            judge = self.judges["train"]
            assert judge is not None
            stage, prompts, answers = f"iter-{t}/verdicts", self.prompts(t), self._responses(t)
            run_judge(self.runner, stage, judge, prompts, answers, self.s.batch_prompts)

    def pair(self, t: int) -> None:
        if not self.folder.finished(f"iter-{t}/groups.jsonl"):
            verdicts = read_records(self.folder / f"iter-{t}/verdicts.jsonl", Verdict)
            run_pair(self.runner, f"iter-{t}/groups", self.prompts(t), self._responses(t), verdicts)

    def reference(self, t: int) -> None:
        """Log-probs of every answer that training reads, under the model that sampled it."""
        if self.objective.reference and not self.folder.finished(f"iter-{t}/reference.jsonl"):
            scorer, train = self.policy(t - 1).scorer(training=True), self.s.train
            bf16 = train.precision == "bfloat16"
            examples = self._examples(t)
            run_reference(self.runner, f"iter-{t}/reference", scorer, examples, train.micro_tokens, bf16)
            self._same_weights(t)

    def _same_weights(self, t: int) -> None:
        """What sampled and what is the reference are one model: their log-probs of the same answers agree, but for rounding."""
        sampled = {r.id: r for r in self._responses(t)}
        limit = SAMPLED_TOLERANCE[self.s.train.precision == "bfloat16"]
        for row in read_records(self.folder / f"iter-{t}/reference.jsonl", Reference):
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
            found = self._examples(t)
            if self.objective.reference:
                cached = read_records(self.folder / iteration / "reference.jsonl", Reference)
                found = with_reference(found, {r.id: r.logps for r in cached})
            seed = seed_of(self.s.seed, "train", t)
            training, held = set_aside(found, self.s.train.held_out, seed)
            if self.s.train.keep == "best" and not held:
                self.tell(f"iteration {t}: no group is held out (train.held_out), so the last step's weights are kept")
            policy = self.policy(t - 1)
            scorer, tokenizer = policy.scorer(training=True), policy.tokenizer
            run_train(
                self.folder, iteration, scorer, tokenizer, self.objective, self.s.train, training, held, seed, self.s.model, self.quiet
            )  # fmt: skip
            policy.release()
        clear_checkpoints(self.folder, iteration)

    def evaluate(self, t: int) -> None:
        """Answers to the held-out prompts, compared with the start's and with those before. At t = 0 the start meets a second
        sample of itself: what it shows beside 1/2 is noise."""
        name, e = f"iter-{t}", self.s.evaluate
        if self.folder.finished(f"{name}/evaluation.jsonl"):
            return
        prompts = read_records(self.folder / "heldout.jsonl", Prompt)
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
        scorers = policy.scorer(training=False), self.policy(0, beside=True).scorer(training=False)
        run_evaluate(
            self.runner, f"{name}/evaluation", prompts, sides, self.judges["true"], self.judges["proxy"], scorers, e.batch_prompts
        )  # fmt: skip

    def report(self) -> None:
        """Summary, report page, final model with its card, manifest; then the table on the terminal."""
        finish(self.folder, self.s)

    def _responses(self, t: int) -> list[Response]:
        return read_records(self.folder / f"iter-{t}/responses.jsonl", Response)

    def _answers(self, t: int, stage: str = "answers") -> dict[str, list[Response]]:
        return by_prompt(read_records(self.folder / f"iter-{t}/{stage}.jsonl", Response))

    def _examples(self, t: int) -> list[Example]:
        groups = read_records(self.folder / f"iter-{t}/groups.jsonl", Group)
        prompts, responses = {p.id: p for p in self.prompts(t)}, {r.id: r for r in self._responses(t)}
        return examples(prompts, responses, groups, self.objective.branches, self.s.answers, self.s.self_term)
