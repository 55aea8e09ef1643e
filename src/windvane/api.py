"""The functions of the public API (`import windvane as wv`): run a recipe, or use one stage on records in memory.

Each function is thin: the work is done by the rooms that the command line uses, so a result from Python equals one from the shell.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.protocols import Generator, PairJudge
from windvane.core.records import Group, Message, Prompt, Response, Verdict

RECIPES = {  # the module and the settings class of a recipe; its `run(settings, out, quiet)` does the work
    ("windvane.sppo.settings", "Sppo"): "windvane.sppo.recipe",
    ("windvane.longpo.settings", "LongPO"): "windvane.longpo.recipe",
    ("windvane.janus.collection.settings", "Janus"): "windvane.janus.collection.recipe",
    ("windvane.evalyaks.recipe", "EvalYaks"): "windvane.evalyaks.recipe",
    ("windvane.finetune.settings", "Finetune"): "windvane.finetune.recipe",
}


@dataclass(frozen=True, slots=True)
class RunResult:
    """What a finished run left: `summary` (the content of summary.json), `model` (the trained model's folder, or None where the recipe
    trains none) and `folder` (the run folder)."""

    summary: dict[str, Any]
    model: Path | None
    folder: Path


def run(settings: Any, out: str | Path, quiet: bool = False) -> RunResult:
    """Run a recipe in the folder `out`, or continue the run that is there.

    `settings` is an instance of `Sppo`, `LongPO`, `Janus`, `EvalYaks` or `Train`. Stages whose output exists are skipped, so the same call
    continues a run that was stopped. Raises `UserError` with one line for settings, data or a folder that cannot be used.
    """
    key = (type(settings).__module__, type(settings).__name__)
    if key not in RECIPES:
        raise UserError(
            f"run: {type(settings).__name__} is not a recipe's settings; use Sppo, LongPO, Janus, EvalYaks or Train"
        )
    importlib.import_module(RECIPES[key]).run(settings, str(out), quiet)
    folder = Path(out)
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    model = folder / "model"
    return RunResult(summary, model if model.is_dir() else None, folder)


def load_model(name: str, dtype: str = "float32", device: str = "auto") -> tuple[Any, Any]:
    """The model and the tokenizer that `name` stands for: a folder, a hub id, an adapter's folder, or a toy model.

    Returns (model, tokenizer) as transformers has them, the model in evaluation mode; a `PeftModel` for an adapter.
    """
    from windvane.models import load

    return load.load_model(name, dtype, device), load.load_tokenizer(name)


def load_generator(
    name: str,
    k: int = 1,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new_tokens: int = 256,
    dtype: str = "float32",
    device: str = "auto",
) -> Generator:
    """The generator that `name` stands for, as `windvane generate --model NAME` opens it: a model here, a server, or your own function."""
    from windvane.engines.local import Sampling
    from windvane.engines.names import resolve_generator
    from windvane.stages.generate_command import generator_spec

    return resolve_generator(generator_spec(name), Sampling(k, temperature, top_p, max_new_tokens), device, dtype)


def load_judge(name: str, dtype: str = "float32", device: str = "auto") -> PairJudge:
    """The judge that `name` stands for, as `--judge NAME` opens it: `pairrm:MODEL`, `llm:BACKEND`, `py:module:function`, ..."""
    from windvane.judges.names import resolve_judge

    return resolve_judge(name, device, dtype)


def generate(
    prompts: Sequence[str | Prompt],
    model: str | Generator,
    k: int = 1,
    temperature: float = 1.0,
    top_p: float = 1.0,
    max_new_tokens: int = 256,
    seed: int = 42,
) -> list[list[Response]]:
    """Sample `k` responses to each prompt; the result is in the order of `prompts`.

    `model` is a name (see `load_generator`) or an opened generator, whose own sampling settings then hold. A prompt that does not fit the
    model's window raises `UserError` naming it: nothing is cut. Each response's seed depends on `seed`, its prompt and its index alone.
    """
    import sys

    from windvane.engines.local import LocalGenerator, window
    from windvane.prompts.chat import prepare

    generator = load_generator(model, k, temperature, top_p, max_new_tokens) if isinstance(model, str) else model
    asked = [prompt if isinstance(prompt, Prompt) else Prompt.of((Message("user", prompt),)) for prompt in prompts]
    if isinstance(generator, LocalGenerator):
        limit = window(generator.model) or sys.maxsize
        asked = prepare(asked, generator.tokenizer, limit, generator.sampling.max_new_tokens)
    return generator.generate(asked, range(k), seed)


def judge(
    prompts: Sequence[str | Prompt], responses: Sequence[Sequence[Response]], judge: str | PairJudge
) -> list[Verdict]:
    """Compare all pairs of each prompt's responses in both orders: K(K-1)/2 verdicts per prompt.

    `responses[i]` are the K responses to `prompts[i]`. `judge` is a name (see `load_judge`) or an opened judge. A verdict whose answer was
    unusable has `p` None and its reason.
    """
    from windvane.stages.judge import verdicts

    opened = load_judge(judge) if isinstance(judge, str) else judge
    asked = [prompt if isinstance(prompt, Prompt) else Prompt.of((Message("user", prompt),)) for prompt in prompts]
    return verdicts(opened, asked, responses)


def pair(
    responses: Sequence[Sequence[Response]],
    verdicts: Sequence[Verdict],
    estimate: Literal["paper", "released"] = "paper",
    answers: Literal["best-worst", "cross-fit", "drawn"] = "best-worst",
    seed: int = 42,
) -> list[Group]:
    """Turn verdicts into one preference group per prompt: win probabilities, and which response is chosen and which rejected.

    `estimate` and `answers` are those of SPPO's settings: the paper's average win probability against the other responses, and the best
    against the worst, by default.
    """
    from windvane.core.records import seed_of
    from windvane.stages.pair import Pairing, group

    pairing = Pairing(estimate, answers, seed_of(seed, "pair"))
    by_prompt: dict[str, list[Verdict]] = {}
    for verdict in verdicts:
        by_prompt.setdefault(verdict.prompt_id, []).append(verdict)
    return [group(some[0].prompt_id, some, by_prompt.get(some[0].prompt_id, []), pairing) for some in responses if some]


def score(
    files: str | Path | Sequence[str | Path], scorer: str = "default", part: int | None = None, **options: Any
) -> list[Any]:
    """Score the speaking transcripts in `files`, as `windvane score` does: one `Assessment` per transcript, in the order of the files.

    `scorer` is "default" (shipped, without a language model), a saved scorer's JSON file, or a model's name (`options`: device, dtype,
    method, adapters). `part` is the exam part of rows that do not name theirs. Files without a readable transcript raise `UserError`.
    """
    from windvane.evalyaks.scoring.open import open_scorer
    from windvane.evalyaks.transcripts.read import read_transcripts

    given = [files] if isinstance(files, (str, Path)) else list(files)
    read = read_transcripts(given, part)
    if read.quarantined:
        first = read.quarantined[0]
        raise UserError(f"{first.source}: {first.reason} ({len(read.quarantined)} transcripts cannot be read)")
    return open_scorer(scorer, **options).assess(read.records)
