"""Best-of-N: of N answers to one prompt the one that the reward model likes best (the paper: N = 64; arXiv 2405.17977).

In: a model, a reward model, test samples. Out: RUN/best-of-answers.jsonl (every answer, a Response a line) and RUN/best-of.jsonl, a row a
prompt: {id, system, prompt, rewards, curve: {N: expected reward}, picks: {N: index}}. For N = 1, 2, 4, ... the pick is the favourite among
the first N answers, the earliest on a tie, as in the released code. `expected` averages over all subsets of N of the drawn answers, so
that the curve does not hang on their order; both rise with N by their making. Whether the picked answers are better is for another judge
to say.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import comb
from typing import Any

from windvane.core.records import Prompt, Response, by_prompt, seed_of, units
from windvane.engines.local import LocalGenerator, Sampling, window
from windvane.engines.open import NO_LIMIT
from windvane.janus.collection_rows import Sample
from windvane.janus.training.settings import BestOf
from windvane.janus.value_prompts import answer_prompt
from windvane.judges.reward import open_judge
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.chat import prepare
from windvane.prompts.system_role import system_mode
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import read_records
from windvane.stages.generate import run_generate

ANSWERS, BEST = "best-of-answers", "best-of"


def counts(most: int) -> list[int]:
    """1, 2, 4, ... and `most`."""
    found = [1]
    while found[-1] * 2 <= most:
        found.append(found[-1] * 2)
    return found if found[-1] == most else [*found, most]


def pick(rewards: Sequence[float], n: int) -> int:
    """The index of the highest of the first `n` rewards, the earliest on a tie."""
    return max(range(n), key=lambda i: (rewards[i], -i))


def expected(rewards: Sequence[float], n: int) -> float:
    """The mean, over all subsets of `n` of the rewards, of the highest: sum over ranks i of r_(i) C(i - 1, n - 1) / C(K, n)."""
    ranked = sorted(rewards)
    assert 1 <= n <= len(ranked)
    return sum(r * comb(i, n - 1) for i, r in enumerate(ranked)) / comb(len(ranked), n)


def run_best_of(
    runner: LocalRunner, s: BestOf, samples: Sequence[Sample], model: str, reward: str, device: str, seed: int
) -> None:
    """Fill both files; what stands is not made again."""
    prompts = sorted(
        {p.id: p for p in (answer_prompt(x.system, x.prompt) for x in samples)}.values(), key=lambda p: p.id
    )
    prompts = prompts[: s.prompts]
    if not runner.folder.finished(f"{ANSWERS}.jsonl"):
        loaded, tokenizer = load_model(model, "float32", device), load_tokenizer(model)
        mode = system_mode(tokenizer)[0]
        ready = prepare(prompts, tokenizer, window(loaded) or NO_LIMIT, s.max_new_tokens, "sft-test.jsonl", mode)
        generator = LocalGenerator(loaded, tokenizer, Sampling(s.most, s.temperature, s.top_p, s.max_new_tokens))
        run_generate(runner, ANSWERS, generator, ready, range(s.most), seed_of(seed, "best-of"), s.batch)
    if runner.folder.finished(f"{BEST}.jsonl"):
        return
    judge = open_judge(reward, device, "float32")
    answers = by_prompt(read_records(runner.folder / f"{ANSWERS}.jsonl", Response))

    def work(part: Sequence[Prompt]) -> Iterable[dict[str, Any]]:
        for p in part:
            told = answers[p.id]
            rewards = judge.rewards([(p, r) for r in told])
            yield {
                "id": p.id,
                "system": p.messages[0].content,
                "prompt": p.messages[-1].content,
                "rewards": rewards,
                "curve": {str(n): expected(rewards, n) for n in counts(s.most)},
                "picks": {str(n): pick(rewards, n) for n in counts(s.most)},
            }

    runner.run(BEST, units(prompts, s.batch), work)
