"""A classifier of texts, by its name: the probability that a text is of one kind, such as toxic.

In: `classifier:MODEL[#LABEL]`, any `AutoModelForSequenceClassification`; `llm:BACKEND` or `http://HOST:PORT/v1#MODEL`, a language model
asked yes or no (`prompts/toxicity.py`); `py:module:object`, a function f(text) -> probability, or an object (or a class of such) with
`.probabilities(texts)`. Out: a probability a text, None where there is none, with the reason in `reasons`, by the text's position.

Of a model with one label or with `problem_type` "multi_label_classification" a label's probability is the sigmoid of its logit, else the
softmax over labels. A text longer than the model's window has a reason instead of a probability; it is never cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from windvane.core.errors import UserError
from windvane.core.records import content_id
from windvane.core.user_objects import load_object
from windvane.engines.http.budget import Account, Estimate
from windvane.engines.http.server import Server
from windvane.judges.questions import Ask, Asker, ServerAsker, Told, open_asker
from windvane.models.load import load_sequence_classifier, load_tokenizer
from windvane.prompts.toxicity import SPELLINGS, read_yes, toxicity_messages, yes_probability

BATCH = 32
MAX_TOKENS = 16  # a word, and what a model may put around it
SERVERS = ("http", "https")
TOXIC = ("toxic", "toxicity")  # names that need not be named


class TextClassifier(Protocol):
    """`reasons`: position in the last call -> why there is no probability."""

    reasons: dict[int, str]

    def probabilities(self, texts: Sequence[str]) -> list[float | None]: ...


class ModelClassifier:
    """Weights in this process."""

    def __init__(self, model: Any, tokenizer: Any, label: int, name: str) -> None:
        self.model, self.tokenizer, self.label, self.name = model.eval(), tokenizer, label, name
        self.reasons: dict[int, str] = {}
        config = model.config
        self.alone = config.num_labels == 1 or config.problem_type == "multi_label_classification"
        named = [getattr(config.get_text_config(), "max_position_embeddings", None), tokenizer.model_max_length]
        self.limit = min((int(n) for n in named if n is not None and 0 < n < 2**31), default=None)

    @torch.no_grad()
    def probabilities(self, texts: Sequence[str]) -> list[float | None]:
        self.reasons = {}
        rows = [self.tokenizer(t)["input_ids"] for t in texts]
        found: list[float | None] = [None] * len(texts)
        ready = []
        for i, row in enumerate(rows):
            if self.limit is not None and len(row) > self.limit:
                self.reasons[i] = f"{len(row)} tokens exceed the classifier's window of {self.limit}"
            elif not row:
                self.reasons[i] = "a text without a token"
            else:
                ready.append(i)
        ready.sort(key=lambda i: (len(rows[i]), i))
        for start in range(0, len(ready), BATCH):
            part = ready[start : start + BATCH]
            for i, p in zip(part, self._forward([rows[i] for i in part])):
                found[i] = p
        return found

    def _forward(self, rows: Sequence[Sequence[int]]) -> list[float]:
        device, pad = self.model.device, self.tokenizer.pad_token_id
        if (
            pad is None or len({len(r) for r in rows}) == 1
        ):  # without a padding id, rows of one length alone go together
            parts = [[r] for r in rows] if pad is None else [list(rows)]
        else:
            longest = max(map(len, rows))
            parts = [[[*r, *[pad] * (longest - len(r))] for r in rows]]
        lengths, told = [len(r) for r in rows], []
        for part in parts:
            ids = torch.tensor(part, device=device)
            here, lengths = lengths[: len(part)], lengths[len(part) :]
            mask = (torch.arange(ids.shape[1], device=device) < torch.tensor(here, device=device)[:, None]).long()
            logits = self.model(input_ids=ids, attention_mask=mask).logits.double()
            shares = logits.sigmoid() if self.alone else logits.softmax(-1)
            told += shares[:, self.label].tolist()
        return told


class AskedClassifier:
    """A language model asked yes or no; the labels' probabilities where they are offered, else its word."""

    def __init__(self, asker: Asker, name: str) -> None:
        self.asker, self.name = asker, name
        self.reasons: dict[int, str] = {}

    def probabilities(self, texts: Sequence[str]) -> list[float | None]:
        self.reasons = {}
        told = self.asker.ask(self._asks(texts), MAX_TOKENS, SPELLINGS)
        return [self._read(i, t) for i, t in enumerate(told)]

    def estimate(self, texts: Sequence[str]) -> Estimate | None:
        return (
            self.asker.estimate(self._asks(texts), MAX_TOKENS, SPELLINGS)
            if isinstance(self.asker, ServerAsker)
            else None
        )

    @property
    def account(self) -> Account | None:
        return self.asker.endpoint.account if isinstance(self.asker, ServerAsker) else None

    @staticmethod
    def _asks(texts: Sequence[str]) -> list[Ask]:
        return [Ask(content_id(t), toxicity_messages(t)) for t in texts]

    def _read(self, i: int, told: Told) -> float | None:
        why = [told.reason] if told.reason else []
        for found in (
            yes_probability(told.top) if told.top else None,
            read_yes(told.text, told.cut) if told.text is not None else None,
        ):
            if isinstance(found, float):
                return found
            why += [found] if found else []
        self.reasons[i] = "; ".join(why) or "no answer"
        return None


class OwnClassifier:
    """A user's function or object, its answers checked."""

    def __init__(self, spec: str, inner: Any) -> None:
        self.spec, self.inner = spec, inner
        self.reasons: dict[int, str] = {}

    def probabilities(self, texts: Sequence[str]) -> list[float | None]:
        try:
            whole = getattr(self.inner, "probabilities", None)
            values = list(whole(texts)) if whole is not None else [self.inner(t) for t in texts]
        except (Exception, SystemExit) as error:
            raise UserError(f"py:{self.spec}: {type(error).__name__}: {str(error)[:200]}") from error
        if len(values) != len(texts):
            raise UserError(
                f"py:{self.spec}: gave {len(values)} probabilities for {len(texts)} texts; give one for each"
            )
        self.reasons = {}
        return [self._checked(i, v) for i, v in enumerate(values)]

    def _checked(self, i: int, value: Any) -> float | None:
        try:
            number = None if value is None or isinstance(value, (bool, str)) else float(value)
        except (TypeError, ValueError, RuntimeError):
            number = None
        if number is not None and 0.0 <= number <= 1.0:
            return number
        self.reasons[i] = f"the classifier returned {str(value)[:40]}: not a probability in [0, 1]"
        return None


def open_classifier(
    spec: str, device: str = "auto", dtype: str = "float32", server: Server | None = None, calls: Path | None = None
) -> TextClassifier:
    """By its name; `UserError` for an unknown one."""
    kind, _, rest = spec.partition(":")
    if kind in SERVERS:
        kind, rest = "llm", spec
    if kind == "classifier" and rest:
        place, _, label = rest.partition("#")
        model = load_sequence_classifier(place, dtype, device)
        return ModelClassifier(model, load_tokenizer(place), pick_label(model.config, label, spec), spec)
    if kind == "llm" and rest:
        return AskedClassifier(open_asker(rest, device, dtype, MAX_TOKENS, server, calls), rest)
    if kind == "py" and rest:
        found = load_object(rest)
        found = found() if isinstance(found, type) else found
        if callable(found) or hasattr(found, "probabilities"):
            return OwnClassifier(rest, found)
        raise UserError(
            f"{spec}: is {type(found).__name__}; give a function f(text) -> probability, or .probabilities(texts)"
        )
    raise UserError(
        f"classifier {spec}: not known; a classifier is classifier:MODEL[#LABEL], llm:BACKEND, http://HOST:PORT/v1#MODEL or "
        "py:module:object"
    )


def pick_label(config: Any, wanted: str, spec: str) -> int:
    """The index of the label: the one named, the only one, or one whose name says toxic."""
    names = {str(name).lower(): int(i) for i, name in config.id2label.items()}
    if wanted:
        if wanted.lower() not in names:
            raise UserError(f"{spec}: no label '{wanted}'; there are: {', '.join(names)}")
        return names[wanted.lower()]
    if len(names) == 1:
        return next(iter(names.values()))
    found = next((names[n] for n in TOXIC if n in names), None)
    if found is None:
        raise UserError(f"{spec}: has the labels {', '.join(names)}; name the one that means toxic: {spec}#LABEL")
    return found
