"""One arm of the Janus claim with one seed: a collection of the values world, the models of `windvane train janus` on it, the measures.

In: an arm, rates, a seed. Out: what the last model's greedy replies show, on instructions that training never sees, case by case where
arms are compared; a reward model's accuracy and what its favourites of N answers are worth. The seed draws instructions, system messages,
answers, the order of training and the cases; the base is the one model that is shipped. Equal rows: an arm changes the rows' system
messages alone.
"""

from __future__ import annotations

import contextlib
import io
import json
import random
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from studies.launch import world_digest
from windvane.core.records import Response, seed_of
from windvane.core.schema import dumps
from windvane.engines.local import LocalGenerator, Sampling
from windvane.janus.collection_rows import Sample, instruction_id
from windvane.janus.training.best_of import counts, pick
from windvane.janus.training.command import run
from windvane.janus.training.settings import Name, TrainJanus
from windvane.janus.training_sets import (
    by_instruction,
    held_out,
    one_each,
    preference_row,
    preferences,
    reward_row,
    sft_row,
)
from windvane.judges.reward import RewardJudge
from windvane.judges.reward import open_judge as open_reward
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.chat import prepare
from windvane.toy.values import family as values
from windvane.toy.values import lessons as value_lessons
from windvane.toy.values import writer as value_writer
from windvane.toy.values.messages import UNIFORM, combinations, message
from windvane.toy.values.replies import read
from windvane.train.settings import RewardTrain, Train

Rows = list[Sample]


@dataclass(frozen=True, slots=True)
class Size:
    """`instructions` of the collection, three rows each; `cases` a split; `answers`: the N of best-of-N; batches count rows or pairs."""

    instructions: int
    cases: int
    answers: int
    epochs: int
    batch: int
    dpo_epochs: int
    dpo_batch: int
    orpo_epochs: int
    reward_epochs: int
    reward_batch: int


def collection(size: Size, systems: str, seed: int) -> Rows:
    """Three rows an instruction, each an answer that shows its three values' message. `systems`: "many"; "uniform", one message that asks
    for nothing; "shuffled", the same messages dealt out anew over all rows."""
    rng, rows = random.Random(seed_of("janus claim", seed)), []
    for text in values.instructions(size.instructions, "train", seed):
        for keys in value_writer.sets_of(text):
            system = message(rng, keys)
            rows.append(Sample("world", "world", (), system, text, value_writer.answer(rng, system, text)))
    if systems == "uniform":
        return [replace(row, system=UNIFORM) for row in rows]
    if systems == "shuffled":
        dealt = rng.sample([row.system for row in rows], len(rows))
        return [replace(row, system=system) for row, system in zip(rows, dealt)]
    assert systems == "many", systems
    return rows


def write_sets(rows: Rows, folder: Path, seed: int) -> None:
    """FOLDER/sets as `windvane run janus` leaves them."""
    groups = by_instruction(rows)
    test = held_out(groups, 0.02, seed)
    training = {key: group for key, group in groups.items() if key not in test}
    testing = {key: group for key, group in groups.items() if key in test}
    pairs, _ = preferences(training, seed)
    test_pairs, _ = preferences(testing, seed)
    made: dict[str, Iterable[dict[str, Any]]] = {
        "sft": (sft_row(r) for r in rows if instruction_id(r.prompt) in training),
        "sft-test": (sft_row(r) for r in rows if instruction_id(r.prompt) in testing),
        "sft-one": map(sft_row, one_each(training, seed)),
        "pairs": map(preference_row, pairs),
        "rm": map(reward_row, pairs),
        "rm-test": map(reward_row, test_pairs),
    }
    (folder / "sets").mkdir(parents=True, exist_ok=True)
    for name, table in made.items():
        # what the readers ask of a published row: a set of values, told or not
        told = ({**row, **({"preference_set": SET} if "output" in row else {})} for row in table)
        (folder / "sets" / f"{name}.jsonl").write_text("".join(dumps(r) + "\n" for r in told), encoding="utf-8")


SET = [{"dimension": "all", "subdimension": "all", "preference": "see system", "description": "In the system message."}]


def settings(size: Size, models: Sequence[Name], rates: dict[str, float], seed: int, data: Path) -> TrainJanus:
    """The paper's order of things and its schedule, at this world's size. `rates`: a learning rate a model."""

    def policy(name: Name, objective: str, epochs: int, batch: int, **args: float) -> Train:
        return Train(
            objective=objective, objective_args=args, optimizer="adamw", lr=rates.get(name, 0.0), schedule="cosine",
            warmup=0.05, epochs=epochs, batch=batch, held_out=0.0, keep="last", evaluate_every=10**6,
        )  # fmt: skip

    reward = RewardTrain(
        lr=rates.get("reward", 0.0), epochs=size.reward_epochs, batch=size.reward_batch, held_out=0.0, keep="last"
    )
    return TrainJanus(
        data=str(data),
        models=tuple(models),
        model="world:values",
        janus=policy("janus", "sft", size.epochs, size.batch),
        janus_1_epoch=policy("janus-1-epoch", "sft", 1, size.batch),
        janus_star=policy("janus-star", "sft", size.epochs, size.batch),
        janus_dpo=policy("janus-dpo", "dpo", size.dpo_epochs, size.dpo_batch, beta=0.1),
        janus_orpo=policy("janus-orpo", "orpo", size.orpo_epochs, size.dpo_batch, lam=0.1),
        reward=reward,
        seed=seed,
        device="cpu",
        threads=1,
    )


def unit(
    size: Size, arm: dict[str, Any], rates: dict[str, float], seed: int, whole: bool, folder: Path
) -> dict[str, Any]:
    """Train and measure. `arm`: systems, models. `whole`: every split; else what a rate is chosen by alone."""
    models, told = tuple(arm["models"]), folder / "run"
    if models:
        shutil.rmtree(folder / "data", ignore_errors=True)
        write_sets(collection(size, arm["systems"], seed), folder / "data", seed)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            run(settings(size, models, rates, seed, folder / "data"), str(told), quiet=True)
    if models and models[-1] == "reward":
        result = _reward(size, told, seed, whole)
        result["told"] = f"accuracy {result['accuracy']['seen']:.3f}"
    else:
        spec = str(told / models[-1] / "model") if models else "world:values"
        result = _model(size, spec, seed, whole)
        result["told"] = f"all four on unseen combinations {result['all']['combinations']:.3f}"
    if models:
        result["shared"] = {n: _saved(told, n) for n in models}
    return result


def _saved(run_folder: Path, name: str) -> float:
    path = run_folder / name / ("summary.json" if name == "reward" else "shared.json")
    found = json.loads(path.read_text(encoding="utf-8"))
    tokens = found["tokens"] if name == "reward" else {"trees": found["tree_tokens"], "rows": found["row_tokens"]}
    return round(1 - tokens["trees"] / tokens["rows"], 4)


def _model(size: Size, spec: str, seed: int, whole: bool) -> dict[str, Any]:
    """By split: `adherence`, the share of the values asked for that are shown (of values: the held-out one alone); `all`, the share of
    replies that show all four; `each`, one 0 or 1 a case of unseen combinations. `plain`: without a system message."""
    model, tokenizer = load_model(spec, "float32", "cpu"), load_tokenizer(spec)
    result: dict[str, Any] = {"adherence": {}, "all": {}}
    for split in values.CASES if whole else ("combinations",):
        cases = values.cases(size.cases, split, seed)
        told = value_lessons.answers(model, tokenizer, [c.prompt for c in cases], 0.0)
        every = [float(all(values.satisfied(k, t) for k in c.values)) for c, t in zip(cases, told)]
        shown = value_lessons.followed(cases, told)
        result["adherence"][split] = sum(sum(s) / len(s) for s in shown) / len(cases)
        result["all"][split] = sum(every) / len(cases)
        if split == "combinations":
            result["each"] = every
    if whole:
        prompts = values.prompts(size.cases, "instructions-held-out", seed)
        seen = [read(t, p.text) for p, t in zip(prompts, value_lessons.answers(model, tokenizer, prompts, 0.0))]
        good = [r.well_formed and not r.off_topic and not r.repeats for r in seen]
        result["plain"] = {"well_formed": _mean([r.well_formed for r in seen]), "good": _mean(good)}
    return result


def _reward(size: Size, told: Path, seed: int, whole: bool) -> dict[str, Any]:
    """`accuracy` by split on pairs of held-out instructions, made as training's: the answer written for the system message against one
    written for another of the same instruction. `best`: N -> shares of the favourites of N answers of the one-epoch model, T = 1, on
    unseen combinations; `all` holds what the favourites of the most answers show."""
    judge = open_reward(str(told / "reward" / "model"), "cpu", "float32")
    splits = tuple(values.CASES) if whole else ("seen",)
    result: dict[str, Any] = {"accuracy": {split: _accuracy(judge, size, split, seed) for split in splits}}
    if not whole:
        return result
    spec = str(told / "janus-1-epoch" / "model")
    model, tokenizer = load_model(spec, "float32", "cpu"), load_tokenizer(spec)
    cases = values.cases(size.cases, "combinations", seed)
    ready = prepare([c.prompt for c in cases], tokenizer, values.WINDOW, values.NEW_TOKENS)
    generator = LocalGenerator(model, tokenizer, Sampling(size.answers, 1.0, 1.0, values.NEW_TOKENS))
    answers = generator.generate(ready, range(size.answers), seed)
    flat = judge.rewards([(p, r) for p, found in zip(ready, answers) for r in found])
    rewards = [flat[i : i + size.answers] for i in range(0, len(flat), size.answers)]
    best: dict[str, dict[str, Any]] = {}
    for n in counts(size.answers):
        picked = [found[pick(row, n)].text for found, row in zip(answers, rewards)]
        each = [[values.satisfied(k, t) for k in c.values] for c, t in zip(cases, picked)]
        best[str(n)] = {"all": _mean([all(e) for e in each]), "adherence": _mean([sum(e) / 4 for e in each])}
    last = best[str(counts(size.answers)[-1])]
    return {**result, "best": best, "all": {"combinations": last["all"]}}


def _accuracy(judge: RewardJudge, size: Size, split: str, seed: int) -> float:
    """A tie is half."""
    pairs = []
    for number, case in enumerate(values.cases(size.cases, split, seed)):
        rng = random.Random(seed_of("janus claim pairs", split, seed, number))
        other = rng.choice([keys for keys in combinations("trained") if not set(keys) & set(case.values)])
        texts = [
            value_writer.answer(rng, case.system, case.instruction),
            value_writer.answer(rng, message(rng, other), case.instruction),
        ]
        pairs += [
            (case.prompt, Response(f"{number}-{i}", case.prompt.id, i, t, (), "stop")) for i, t in enumerate(texts)
        ]
    told = judge.rewards(pairs)
    return _mean([0.5 if a == b else float(a > b) for a, b in zip(told[::2], told[1::2])])


def _mean(found: Sequence[float]) -> float:
    return sum(found) / len(found)


def world_sha256() -> str:
    """The world by what it does: the start's weights and tokenizer, a collection, cases of every split, what the check says of replies."""
    rows = collection(Size(20, 1, 1, 1, 1, 1, 1, 1, 1, 1), "many", 0)
    told: list[Any] = [[[r.system, r.prompt, r.output] for r in rows]]
    for split in values.CASES:
        cases = values.cases(20, split, 0)
        told.append(
            [
                [c.system, c.instruction, [[values.satisfied(k, r.output) for r in rows] for k in c.values]]
                for c in cases
            ]
        )
    return world_digest(values.model_folder(), ("model.safetensors", "tokenizer.json"), told)
