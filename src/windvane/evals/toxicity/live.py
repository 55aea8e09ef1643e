"""Toxicity with a live model or given responses: several responses to each prompt, each scored by a classifier.

In: the options of `windvane eval toxicity`. Out: DIR/answers.jsonl, DIR/classified.jsonl (each different text once), DIR/scored.jsonl (a
row for each response, with its toxicity or the reason why there is none), DIR/result.json, DIR/plot.svg.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.records import Message, content_id, seed_of
from windvane.core.schema import encode
from windvane.engines.http.budget import Account, Estimate, ExpectedCall
from windvane.engines.http.server import Server
from windvane.evals.live.driver import Collected, Evaluation, Responses
from windvane.evals.live.model import Request, Rows, sample_row
from windvane.evals.toxicity.rows import ToxicityPrompt, read_outputs, read_toxicity_prompts
from windvane.evals.toxicity.score import NAME, ScoredResponse, plot, summarise, table
from windvane.judges.text_classifier import MAX_TOKENS, TextClassifier, open_classifier
from windvane.prompts.toxicity import toxicity_messages
from windvane.runs.store import write_jsonl

STAGE = "classified"


@dataclass(frozen=True, slots=True)
class ToxicitySettings:
    """What must be the same when the command is given again. `prompts`: by content."""

    classifier: str
    prompts: str
    name: str
    model: str | None
    system: str | None
    samples: int
    limit: int | None
    temperature: float
    top_p: float
    max_new_tokens: int
    seed: int
    batch: int


@dataclass(frozen=True, slots=True)
class Text:
    """A text to be classified; it is its own key."""

    key: str


class Classified:
    """A classifier as a judge: `toxicity` is a probability, or None with the `reason`."""

    by_hand = False

    def __init__(self, spec: str, device: str = "auto", classifier: TextClassifier | None = None) -> None:
        self.spec, self.device, self.classifier = spec, device, classifier

    def expected(self, question: Text) -> ExpectedCall:
        return ExpectedCall(tuple(toxicity_messages(question.key)), MAX_TOKENS)

    def open(self, server: Server, calls: Path) -> None:
        if self.classifier is None:
            self.classifier = open_classifier(self.spec, self.device, server=server, calls=calls)

    def estimate(self, questions: Sequence[Text]) -> Estimate | None:
        estimate = getattr(self.classifier, "estimate", None)
        return None if estimate is None else estimate([q.key for q in questions])

    def verdicts(self, questions: Sequence[Text]) -> Iterable[dict[str, Any]]:
        assert self.classifier is not None, "a classifier is opened before it is asked"
        probabilities = self.classifier.probabilities([q.key for q in questions])
        for i, (q, p) in enumerate(zip(questions, probabilities, strict=True)):
            reason = None if p is not None else self.classifier.reasons.get(i, "the classifier gave nothing")
            yield {"id": content_id(q.key), "toxicity": p, "reason": reason}

    @property
    def account(self) -> Account | None:
        return getattr(self.classifier, "account", None)


def toxicity(options: argparse.Namespace) -> Evaluation:
    """The evaluation that checked `options` describe."""
    prompts = read_toxicity_prompts(options.prompts) if options.outputs is None else read_outputs(options.outputs)
    if options.limit is not None:
        prompts = sorted(prompts, key=lambda p: seed_of("limit", p.id))[: options.limit]
    options.name = options.name or options.model or options.outputs.stem
    of_prompt = {p.id: p.toxicity for p in prompts}
    given = {} if options.outputs is None else {options.name: [_given(prompts)]}

    def questions(responses: Responses) -> dict[str, list[Text]]:
        texts = [row["text"] for row in responses[options.name][0].values()]
        return {STAGE: [Text(t) for t in dict.fromkeys(texts) if (t or "").strip()]}

    def figures(collected: Collected) -> tuple[dict[str, Any], str]:
        responses, verdicts = collected.responses[options.name][0], collected.verdicts[STAGE]
        rows = [_scored(row, of_prompt[row["prompt"]], verdicts) for row in responses.values()]
        write_jsonl(collected.run / "scored.jsonl", rows)
        result = {
            "name": NAME,
            "label": f"RealToxicityPrompts' definitions by {options.classifier}: another classifier than Perspective, other numbers",
            "model": options.name,
            "classifier": options.classifier,
            **summarise(rows, options.samples, options.seed),
            "empty_answers": sum(r.text.strip() == "" and r.toxicity == 0 for r in rows),
        }
        return result, plot(result, options.name)

    drawing = (options.temperature, options.top_p, options.max_new_tokens, options.seed, options.batch)
    fixed = (options.classifier, content_id(encode(prompts)), options.name, options.model, options.system)
    return Evaluation(
        name=NAME,
        settings=ToxicitySettings(*fixed, options.samples, options.limit, *drawing),
        requests=lambda _: [Request(p.id, _chat(p, options.system)) for p in prompts],
        questions=questions,
        figures=figures,
        table=table,
        samples=options.samples,
        given=given,
    )


def _chat(prompt: ToxicityPrompt, system: str | None) -> tuple[Message, ...]:
    head = (Message("system", system),) if system else ()
    messages = prompt.messages[1:] if head and prompt.messages[0].role == "system" else prompt.messages
    return (*head, *messages)


def _given(prompts: Sequence[ToxicityPrompt]) -> Rows:
    samples = [(sample_row(p.id, i), text) for p in prompts for i, text in enumerate(p.answers)]
    return {row["id"]: {**row, "text": text, "reason": None} for row, text in samples}


def _scored(row: Mapping[str, Any], of_prompt: float | None, verdicts: Rows) -> ScoredResponse:
    prompt, index, text = row["prompt"], row["index"], row["text"]
    if text is None:
        return ScoredResponse(prompt, index, "", None, of_prompt, (row["reason"] or "no answer").partition(": ")[0])
    if not text.strip():
        return ScoredResponse(prompt, index, text, 0.0, of_prompt)
    verdict = verdicts[content_id(text)]
    reason = None if verdict["reason"] is None else verdict["reason"].partition(": '")[0]
    return ScoredResponse(prompt, index, text, verdict["toxicity"], of_prompt, reason)
