"""A language model as a `PairJudge`: two labelled answers, one label back; its probability where log-probabilities are offered.

In: pairwise questions; both orders come from `windvane.stages.judge`. Out: P(first wins). Where the first token's alternatives hold a label
the probability is read from them, else from the text: 1, 0 or a tie (then two orders that contradict each other make 1/2). What
can be read neither way is None, with the reason in `reasons`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from windvane.core.protocols import Question
from windvane.engines.http.budget import Account, Estimate
from windvane.engines.http.server import Server
from windvane.judges.questions import Ask, Asker, ServerAsker, Told, open_asker
from windvane.prompts.pairwise import LABELS, label_probability, pairwise_messages, read_label

MAX_TOKENS = 16  # a label, and what a model may put around it


class LlmJudge:
    """`reasons`: for each question of the last call without an answer, why. `max_tokens`: more for a model that thinks aloud first."""

    def __init__(self, asker: Asker, name: str, max_tokens: int = MAX_TOKENS) -> None:
        self.asker, self.name, self.max_tokens = asker, name, max_tokens
        self.reasons: dict[str, str] = {}

    def judge(self, questions: Sequence[Question]) -> list[float | None]:
        self.reasons = {}
        told = self.asker.ask(list(self._asks(questions)), self.max_tokens, LABELS)
        return [self._read(q.key, t) for q, t in zip(questions, told, strict=True)]

    def estimate(self, questions: Sequence[Question]) -> Estimate | None:
        """What a server would be asked for `questions`; None where the judge is no server."""
        if not isinstance(self.asker, ServerAsker):
            return None
        return self.asker.estimate(self._asks(questions), self.max_tokens, LABELS)

    @property
    def account(self) -> Account | None:
        """What was spent, where the judge is a server's model."""
        return self.asker.endpoint.account if isinstance(self.asker, ServerAsker) else None

    @staticmethod
    def _asks(questions: Sequence[Question]) -> Iterator[Ask]:
        return (Ask(q.key, pairwise_messages(q.prompt, q.first.text, q.second.text)) for q in questions)

    def _read(self, key: str, told: Told) -> float | None:
        why = [told.reason] if told.reason else []
        if told.top:
            found = label_probability(told.top)
            if isinstance(found, float):
                return found
            why.append(found)
        if told.text is not None:
            found = read_label(told.text, told.cut)
            if isinstance(found, float):
                return found
            why.append(found)
        self.reasons[key] = f"llm:{self.name}: {key}: {'; '.join(why)}"
        return None


def open_judge(spec: str, device: str, dtype: str, server: Server | None = None, calls: Path | None = None) -> LlmJudge:
    """`llm:BACKEND`, BACKEND a generator's name."""
    tokens = server.judge_tokens if server is not None else MAX_TOKENS
    return LlmJudge(open_asker(spec, device, dtype, tokens, server, calls), spec, tokens)
