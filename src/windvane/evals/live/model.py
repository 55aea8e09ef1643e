"""The models that an evaluation asks: any generator by its name, one or several responses to each request.

In: a source of generators (`windvane.engines.open.Opened`: a folder or hub id, `local:MODEL`, `world:FAMILY`,
`http://HOST:PORT/v1#MODEL`, `scripted:FILE`, `py:module:object`) and requests. Out: RUN/<stage>.jsonl with a row for each response: `id`,
`text`, `finish`, `tokens`, or no text and the `reason`. A prompt that does not fit into the model's window is such a row, too: it is
counted and never cut.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from windvane.core.errors import UserError
from windvane.core.families import spelled
from windvane.core.records import Message, Prompt, content_id, units
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling
from windvane.engines.open import Opened
from windvane.evals.live.budget import JUDGE_CALLS, model_server
from windvane.models.load import load_tokenizer
from windvane.prompts.chat import merged, screen
from windvane.prompts.system_role import system_mode
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import RunFolder

Rows = Mapping[str, Mapping[str, Any]]  # the rows of one stage by their ids


@dataclass(frozen=True, slots=True)
class Request:
    """A chat that the model is asked to continue. `id` names the row of its response; `temperature` replaces the evaluation's for this
    request."""

    id: str
    messages: tuple[Message, ...]
    temperature: float | None = None


class Candidate:
    """A model under evaluation. `name` stands in every row; `source` gives its generators and is opened by the first request."""

    def __init__(self, name: str, source: Opened) -> None:
        self.name, self.source = name, source

    @property
    def spec(self) -> str:
        return self.source.spec

    @property
    def server(self) -> Server | None:
        """How a server is asked; None where the model is not behind one."""
        return self.source.server if self.source.behind_server else None

    def seat(self, requests: Sequence[Request]) -> tuple[list[Request], str | None]:
        """The requests as the model's template takes them, and a note where it has no system role: then the system message is put at the
        head of the user's turn."""
        if self.source.local is None or not any(r.messages[0].role == "system" for r in requests):
            return list(requests), None
        mode, note = system_mode(load_tokenizer(self.source.local))
        if mode == "template":
            return list(requests), None
        seated = [
            replace(r, messages=tuple(merged(r.messages))) if r.messages[0].role == "system" else r for r in requests
        ]
        return seated, note

    def respond(
        self, requests: Sequence[Request], sampling: Sampling, indices: Sequence[int], seed: int
    ) -> list[list[dict[str, Any]]]:
        """For each request a row for each index, in order."""
        prompts = [Prompt.of(r.messages) for r in requests]
        refused: dict[str, str] = {}
        ready = prompts
        if self.source.local is not None:
            tokenizer, limit = self.source.tokenizer, self.source.window
            ready, too_long = screen(prompts, tokenizer, limit, sampling.max_new_tokens)
            refused = {r.prompt_id: r.reason for r in too_long}
        unique = list({p.id: p for p in ready}.values())  # the same chat twice is asked once
        generator = self.source.generator(sampling)
        responses = generator.generate(unique, indices, seed) if unique else []
        by_prompt = {p.id: {r.index: r for r in many} for p, many in zip(unique, responses)}
        reasons = getattr(generator, "reasons", {})
        rows: list[list[dict[str, Any]]] = []
        for request, prompt in zip(requests, prompts):
            rows.append([])
            for index in indices:
                response = by_prompt.get(prompt.id, {}).get(index)
                if response is not None:
                    row = {"text": response.text, "finish": response.finish, "tokens": len(response.token_ids) or None}
                    rows[-1].append({"id": request.id, **row, "reason": None})
                else:
                    why = refused.get(prompt.id) or reasons.get(f"{prompt.id}-{index}", "the model gave no answer")
                    rows[-1].append({"id": request.id, "text": None, "finish": None, "tokens": None, "reason": why})
        return rows

    def close(self) -> None:
        """Release the weights, or the server's journal."""
        self.source.close()


def specs_of(options: argparse.Namespace) -> list[str]:
    """The models of --model, in the order given."""
    return [options.model] if isinstance(options.model, str) else list(options.model or [])


def names_of(options: argparse.Namespace) -> list[str]:
    """What the models are called. Raises `UserError` where --model and --name do not go together."""
    specs = specs_of(options)
    names = [options.name] if isinstance(options.name, str) else list(options.name or specs)
    if specs and (len(names) != len(specs) or len({slug(n) for n in names}) != len(names)):
        raise UserError(
            f"--model, --name: {len(specs)} models need as many names, all different (got {', '.join(names)})"
        )
    return names if specs else []


def open_candidates(options: argparse.Namespace, run: RunFolder) -> list[Candidate]:
    """The models of --model; nothing is loaded yet. One budget holds for all of them and the judge."""
    names = names_of(options)
    calls = {name: run / f"answers/{slug(name)}.calls.jsonl" for name in names}
    candidates = []
    for spec, name in zip(specs_of(options), names):
        others = [run / JUDGE_CALLS, *(path for other, path in calls.items() if other != name)]
        server = model_server(options, others)
        candidates.append(Candidate(name, Opened(spec, options.device, options.dtype, server, calls[name])))
    return candidates


def slug(name: str) -> str:
    """The file name for a model's name: readable, and different for different names."""
    name = spelled(name)
    plain = re.sub(r"[^A-Za-z0-9.]+", "-", name).strip("-.")[-60:].strip("-.")
    return plain if plain == name else f"{plain}-{content_id(name)[:6]}"


def run_responses(
    run: RunFolder,
    stage: str,
    candidate: Candidate,
    requests: Sequence[Request],
    sampling: Sampling,
    seed: int,
    batch: int,
    quiet: bool,
) -> None:
    """Fill RUN/<stage>.jsonl with one response to each request, a batch a unit; each temperature has batches of its own."""
    groups: dict[float, list[Request]] = {}
    for request in requests:
        heat = sampling.temperature if request.temperature is None else request.temperature
        groups.setdefault(heat, []).append(request)
    batches = []
    for number, heat in enumerate(sorted(groups)):
        of_group = replace(sampling, temperature=heat)
        for i in range(0, len(groups[heat]), batch):
            part = groups[heat][i : i + batch]
            batches.append((f"{number:03d}-{i // batch:06d}-{content_id([r.id for r in part])}", (of_group, part)))

    def work(unit: tuple[Sampling, Sequence[Request]]) -> Iterable[dict[str, Any]]:
        return [rows[0] for rows in candidate.respond(unit[1], unit[0], [0], seed)]

    LocalRunner(run, quiet).run(stage, batches, work)


def run_samples(
    run: RunFolder,
    stage: str,
    candidate: Candidate,
    requests: Sequence[Request],
    sampling: Sampling,
    seed: int,
    batch: int,
    quiet: bool,
) -> None:
    """Fill RUN/<stage>.jsonl with `sampling.k` responses to each request; their rows also hold `prompt` (the request's id) and `index`."""

    def work(part: Sequence[Request]) -> Iterable[dict[str, Any]]:
        for request, rows in zip(part, candidate.respond(part, sampling, range(sampling.k), seed)):
            for index, row in enumerate(rows):
                yield row | sample_row(request.id, index)

    LocalRunner(run, quiet).run(stage, units(requests, batch), work)


def sample_row(request: str, index: int) -> dict[str, Any]:
    """What identifies one of several responses to a request."""
    return {"id": f"{request}-{index:04d}", "prompt": request, "index": index}


def response_notes(name: str, limit: int, rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """What a reader of the scores should know about the responses: how many end at `limit` tokens, and how many hold the model's
    thoughts."""
    texts = [(row["text"], row["finish"]) for row in rows if row["text"]]
    cut = sum(finish == "length" for _, finish in texts)
    aloud = sum("</think>" in text or text.lstrip().startswith("<think>") for text, _ in texts)
    counted = (
        (cut, f"end at {limit} tokens, in mid-answer (--max-new-tokens)"),
        (aloud, "hold what the model thought aloud; the judge reads it and the length counts it"),
    )
    return [f"{name}: {count} of {len(texts)} answers {what}" for count, what in counted if count]
