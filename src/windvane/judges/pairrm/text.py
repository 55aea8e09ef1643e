"""What PairRM reads: the texts of a prompt and two answers, laid out as LLM-Blender lays them out.

In: a `Question`, or two conversations with the same user turns. Out: `Texts`.

- one user turn: its text as it is (Blender's `compare` and `rank`);
- several turns: Blender's `compare_conversations`, its misspelt instruction included, because the model was trained on it: every user turn
  with "<Response i>" where the assistant spoke, and an answer that lists the assistant's turns, those of the history too;
- a system message, for which Blender has no place, goes to the head, a blank line after it (ours).

Departure from SPPO's released code, which hands PairRM the prompt in the policy's chat format ("<s>[INST] x [/INST]"): PairRM reads the
chat itself, so its verdict does not depend on the policy's template.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Message

CONVERSATION = "Finish the following coversation in each i-th turn by filling in <Response i> with your response."


@dataclass(frozen=True, slots=True)
class Texts:
    """One ordered comparison: `first` is shown first."""

    source: str
    first: str
    second: str


def texts(question: Question) -> Texts:
    """`UserError` names the prompt whose turns are not user, assistant, ..., user."""
    messages = question.prompt.messages
    head, turns = _split(messages)
    try:
        if len(turns) == 1:
            _check([*turns, Message("assistant", "")])
            return Texts(head + turns[0].content, question.first.text, question.second.text)
        both = ([*messages, Message("assistant", r.text)] for r in (question.first, question.second))
        return conversations(*both)
    except ValueError as error:
        raise UserError(f"pairrm: prompt {question.prompt.id}: {error}") from None


def conversations(first: Sequence[Message], second: Sequence[Message]) -> Texts:
    """Two whole conversations, each ending with the assistant; their assistant turns may all differ. `ValueError` where roles do not
    alternate from a user turn on, or the user's turns are not the same."""
    (head, a), (other, b) = _split(first), _split(second)
    _check(a)
    _check(b)
    if head != other or [m.content for m in a[::2]] != [m.content for m in b[::2]]:
        raise ValueError("the two conversations must have the same system message and the same user turns")
    asked = "\n".join(f"USER: {m.content}\nAssistant: <Response {i}>" for i, m in enumerate(a[::2], 1))
    told = ("\n".join(f"<Response {i}>: {m.content}" for i, m in enumerate(c[1::2], 1)) for c in (a, b))
    return Texts(head + CONVERSATION + asked, *told)


def _split(messages: Sequence[Message]) -> tuple[str, list[Message]]:
    """The system message with its blank line, and the turns."""
    if messages and messages[0].role == "system":
        return f"{messages[0].content}\n\n", list(messages[1:])
    return "", list(messages)


def _check(turns: Sequence[Message]) -> None:
    if not turns or len(turns) % 2 or any(m.role != ("user", "assistant")[i % 2] for i, m in enumerate(turns)):
        roles = ", ".join(m.role for m in turns)
        raise ValueError(f"its roles are {roles}; PairRM reads user and assistant in turns, the answer last")
