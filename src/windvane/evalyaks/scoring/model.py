"""A language model as a scorer of transcripts: by the likelihood of every valid answer, or by an answer that is checked.

In: a model's or backend's name, perhaps one adapter (or server's model) a part. Out: `Assessment`s. Methods:

- likelihood, weights in this process: log-probability of all 25 (parts 1, 2) or 125 valid answers in one tree; the expected bands and
  their probabilities are the marginals of that distribution. No other answer exists.
- likelihood, a server: one question a criterion, whose first token's alternatives are read where the server offers them (at most five,
  so a band that is not among them counts as 0); where it does not, or they are mostly no bands, its text.
- json: the answer is read strictly; one that is none is asked for again in another wording, three in all. What stays is "invalid" with
  its reason, never a default.

EvalYaks (arXiv 2408.12226) decodes one answer greedily and has no probabilities.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np

from windvane.core.errors import UserError
from windvane.core.families import is_family
from windvane.core.records import Message
from windvane.engines.http.budget import ExpectedCall, estimate
from windvane.engines.http.server import Server
from windvane.evalyaks.adapter_scorers import AdaptedAsker, open_adapted
from windvane.evalyaks.label_likelihood import ClosedAnswers, distribution
from windvane.evalyaks.prompts.bands import BANDS
from windvane.evalyaks.prompts.scoring import (
    FORMS,
    WORDINGS,
    answer_text,
    grading_messages,
    one_band_messages,
    why_messages,
)
from windvane.evalyaks.scoring.clean import guarded
from windvane.evalyaks.scoring.score import Assessment, Band, TranscriptScorer, nearest, refused, scored, without
from windvane.evalyaks.transcripts.record import PART_CRITERIA, Transcript
from windvane.evalyaks.transcripts.scores import parse_scores
from windvane.judges.questions import Ask, Asker, LocalAsker, ServerAsker, Told, open_asker
from windvane.prompts.chat import render
from windvane.prompts.reasoning import after_thought

Method = Literal["auto", "likelihood", "json"]
METHODS = ("auto", "likelihood", "json")
ANSWER_TOKENS, WHY_TOKENS = 64, 200  # the paper's answers take some 40 tokens
FEWEST = 0.5  # of the first token's probability that must lie on bands


class ModelScorer:
    """One asker for all parts, or one a part. `form`: of the prompt (evalyaks/prompts/scoring.py)."""

    def __init__(
        self, name: str, askers: Mapping[int, Asker], method: Method = "auto", form: str = "descriptors"
    ) -> None:
        self.name, self.askers, self.form = name, dict(askers), form
        self.about = (
            f"the model {name}, asked in this project's words ({form}); no human-marked set was used to choose it"
        )
        likely = all(isinstance(a, (LocalAsker, ServerAsker)) for a in self.askers.values())
        if method == "likelihood" and not likely:
            raise UserError(f"scorer {name}: tells no probabilities; take --method json, or local:MODEL or a server")
        self.method = ("likelihood" if likely else "json") if method == "auto" else method
        self._closed: dict[int, ClosedAnswers] = {}

    def assess(self, records: Sequence[Transcript], rationale: bool = False) -> list[Assessment]:
        """In the order given; what need not be asked (abstentions) is not asked."""
        found: dict[int, Assessment] = {i: out for i, r in enumerate(records) if (out := self._refused(r)) is not None}
        for part, asker in self.askers.items():
            at = [i for i, r in enumerate(records) if i not in found and r.part == part]
            own = [records[i] for i in at]
            found |= dict(zip(at, self._bands(part, asker, own), strict=True))
            if rationale:
                told = [i for i in at if found[i].status == "scored"]
                found |= dict(zip(told, self._reasons(asker, [records[i] for i in told], [found[i] for i in told])))
        return [found[i] for i in range(len(records))]

    def cost(self, records: Sequence[Transcript], server: Server) -> str | None:
        """What servers would be asked for, in words; None where no part's model is behind one."""
        chats: list[ExpectedCall] = []
        for record in records:
            if isinstance(self.askers.get(record.part or 0), ServerAsker) and refused(record) is None:
                each = PART_CRITERIA[record.part or 0] if self.method == "likelihood" else ("all",)
                chats += [ExpectedCall(self._messages(record), ANSWER_TOKENS) for _ in each]
        return estimate(server, chats).told(server) if chats else None

    def _refused(self, record: Transcript) -> Assessment | None:
        out = refused(record)
        if out is None and record.part not in self.askers:
            out = without(
                record, "invalid", f"no model for part {record.part}; name one with --adapter {record.part}=MODEL"
            )
        return out

    def _bands(self, part: int, asker: Asker, records: Sequence[Transcript]) -> list[Assessment]:
        if not records:
            return []
        if self.method == "json":
            return self._json(asker, records)
        if isinstance(asker, LocalAsker):
            return [self._joint(part, asker, r) for r in records]
        return self._first_tokens(asker, records)

    def _joint(self, part: int, asker: LocalAsker, record: Transcript) -> Assessment:
        criteria = PART_CRITERIA[part]
        combinations = list(itertools.product(BANDS, repeat=len(criteria)))
        answers = [answer_text(self.form, dict(zip(criteria, bands))) for bands in combinations]
        whose = id(asker.model)  # adapters share their base
        if whose not in self._closed:
            self._closed[whose] = ClosedAnswers(asker.model, asker.tokenizer)
        if isinstance(asker, AdaptedAsker):
            asker.activate()
        logps = self._closed[whose].logps(render(asker.tokenizer, self._messages(record)), answers)
        if isinstance(logps, str):
            return without(record, "invalid", logps)
        chance = distribution(logps).reshape([len(BANDS)] * len(criteria))
        bands = []
        for k, criterion in enumerate(criteria):
            marginal = chance.sum(tuple(j for j in range(len(criteria)) if j != k))
            bands.append(band_of(criterion, marginal))
        return scored(record, tuple(bands))

    def _first_tokens(self, asker: Asker, records: Sequence[Transcript]) -> list[Assessment]:
        labels = [str(b) for b in BANDS]
        asks = [
            Ask(f"{r.id}-{c}", one_band_messages(self.form, r.part or 0, spoken(r), r.context, c))
            for r in records
            for c in PART_CRITERIA[r.part or 0]
        ]
        told = iter(asker.ask(asks, 4, labels))
        found = []
        for record in records:
            read = {c: read_band(c, next(told)) for c in PART_CRITERIA[record.part or 0]}
            wrong = next((f"{c}: {b}" for c, b in read.items() if isinstance(b, str)), None)
            bands = tuple(b for b in read.values() if isinstance(b, Band))
            found.append(without(record, "invalid", wrong) if wrong else scored(record, bands))
        return found

    def _json(self, asker: Asker, records: Sequence[Transcript]) -> list[Assessment]:
        found: dict[int, Assessment] = {}
        left = list(range(len(records)))
        for wording in range(WORDINGS if self.form != "compact" else 1):
            told = asker.ask(
                [Ask(f"{records[i].id}-{wording}", self._messages(records[i], wording)) for i in left], ANSWER_TOKENS
            )
            for i, t in zip(left, told, strict=True):
                scores = read_answer(t, PART_CRITERIA[records[i].part or 0])
                if isinstance(scores, str):
                    found[i] = without(records[i], "invalid", f"{scores} (asked {wording + 1} times)")
                else:
                    found[i] = scored(records[i], tuple(Band(c, b, b) for c, b in scores.items()))
            left = [i for i in left if found[i].status == "invalid"]
            if not left:
                break
        return [found[i] for i in range(len(records))]

    def _reasons(self, asker: Asker, records: Sequence[Transcript], given: Sequence[Assessment]) -> list[Assessment]:
        asks = [
            Ask(
                f"{r.id}-why",
                why_messages(self._messages(r), answer_text(self.form, {b.criterion: b.band for b in a.bands})),
            )
            for r, a in zip(records, given)
        ]
        told = asker.ask(asks, WHY_TOKENS)
        return [
            dataclasses.replace(a, rationale=(t.text or f"none: {t.reason}").strip())
            for a, t in zip(given, told, strict=True)
        ]

    def _messages(self, record: Transcript, wording: int = 0) -> tuple[Message, ...]:
        return grading_messages(self.form, record.part or 0, spoken(record), record.context, wording)


def spoken(record: Transcript) -> list[tuple[str, str]]:
    """Turns as prompts take them: what asks the marker for something is left out (`scoring.clean.guarded`)."""
    return [(t.role, t.text) for t in guarded(record).turns]


def band_of(criterion: str, probabilities: np.ndarray) -> Band:
    """From [5] probabilities of bands 1 to 5."""
    expected = float(np.dot(BANDS, probabilities))
    band = nearest(expected)
    shares = {str(b): float(p) for b, p in zip(BANDS, probabilities)}
    return Band(criterion, expected, band, shares[f"{band:g}"], shares)


def read_band(criterion: str, told: Told) -> Band | str:
    """From a first token's alternatives where most of their probability lies on bands, else from a text that is one digit."""
    weight = np.zeros(len(BANDS))
    for token, logp in told.top.items():
        if token.strip() in {str(b) for b in BANDS}:
            weight[int(token) - 1] += np.exp(logp)
    if weight.sum() >= FEWEST:
        return band_of(criterion, weight / weight.sum())
    if told.text is None:
        return told.reason or "no answer"
    digit = re.fullmatch(r"\W*([1-5])\W*", after_thought(told.text))
    return Band(criterion, float(digit[1]), float(digit[1])) if digit else f"{told.text.strip()[:40]!r} is no band"


def read_answer(told: Told, criteria: Sequence[str]) -> dict[str, float] | str:
    """All of `criteria`, or why not."""
    if told.text is None:
        return told.reason or "no answer"
    return parse_scores(after_thought(told.text), criteria)


def open_model(
    spec: str,
    device: str = "auto",
    dtype: str = "float32",
    method: Method = "auto",
    form: str | None = None,
    adapters: Mapping[int, str] | None = None,
    server: Server | None = None,
    calls: Path | None = None,
) -> TranscriptScorer:
    """`spec`: a folder or hub id, `local:MODEL`, `world:grades`, `http://HOST:PORT/v1#MODEL`, `scripted:FILE`, `py:module:object`.
    `adapters`: part -> an adapter's folder over `spec`, or another backend's name. `form`: "compact" for the embedded world."""
    form = form or ("compact" if is_family(spec) else "descriptors")
    if form not in FORMS:
        raise UserError(f"scorer {spec}: form {form} is not known; there are: {', '.join(FORMS)}")
    if method not in METHODS:
        raise UserError(f"scorer {spec}: method {method} is not known; there are: {', '.join(METHODS)}")
    own = dict(adapters or {})
    wrong = [p for p in own if p not in PART_CRITERIA]
    if wrong:
        raise UserError(f"scorer {spec}: part {wrong[0]} is none of 1, 2, 3, 4")
    kind = spec.partition(":")[0]
    local = kind == "local" or is_family(spec) or not re.match(r"(?:https?|scripted|py|vllm):", spec)
    plain = spec if kind == "local" or is_family(spec) or not local else f"local:{spec}"
    askers: dict[int, Asker] = {}
    if local and own:
        named = open_adapted(
            plain.removeprefix("local:"), {f"part{p}": folder for p, folder in own.items()}, device, dtype
        )
        askers = {p: named[f"part{p}"] for p in own}
    else:
        shared = (
            open_asker(plain, device, dtype, ANSWER_TOKENS, server, calls) if len(own) < len(PART_CRITERIA) else None
        )
        for part in PART_CRITERIA:
            asker = open_asker(own[part], device, dtype, ANSWER_TOKENS, server, calls) if part in own else shared
            if asker is not None:
                askers[part] = asker
    return ModelScorer(spec, askers, method, form)
