"""Which column of a preference file is what: the names in use, and what a file with them holds.

In: the column names of a file and the user's own mapping. Out: a `Layout`: the role of each column that is read, the kind of preference
that the columns make, and the columns that are left unread. Names are those of TRL, UltraFeedback (as released, binarized by Hugging Face
and by Argilla), ShareGPT and alpaca as LLaMA-Factory and axolotl have them, SPPO's released data, and this project's own export.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from windvane.core.errors import UserError

Kind = Literal["pairs", "groups", "labelled", "single", "answers", "prompts"]
KINDS: dict[str, str] = {
    "pairs": "a prompt with a chosen and a rejected answer",
    "groups": "a prompt with several answers, each with a score or a probability",
    "labelled": "a prompt with one answer, desirable or not",
    "single": "a prompt or chat with the answer to learn",
    "answers": "a prompt with several answers and no preference yet",
    "prompts": "prompts without answers",
}
ALIASES: dict[str, tuple[str, ...]] = {  # role: names, the likelier first; capitals do not matter
    "prompt": ("prompt", "instruction", "question", "query", "input"),
    "context": ("input",),  # alpaca's, beside an instruction
    "system": ("system", "system_prompt"),
    "history": ("history",),
    "chat": ("messages", "conversations", "conversation"),
    "chosen": ("chosen", "chosen_response"),
    "rejected": ("rejected", "rejected_response"),
    "answer": ("completion", "response", "output", "answer"),
    "label": ("label", "kto_tag"),
    "answers": ("responses", "completions", "answers", "candidates"),
    "scores": ("scores", "ratings", "rewards"),
    "probabilities": ("probabilities", "p_win"),
    "probability": ("probability", "chosen_probs"),
    "p_chosen": ("p_chosen", "chosen_probs_win", "chosen_p_loo"),
    "p_rejected": ("p_rejected", "chosen_probs_lose", "rejected_p_loo"),
    "score_chosen": ("score_chosen", "chosen_score", "chosen_avg_rating", "chosen-rating", "chosen_rating"),
    "score_rejected": ("score_rejected", "rejected_score", "rejected_avg_rating", "rejected-rating", "rejected_rating"),
}
READ: dict[str, tuple[str, ...]] = {  # what rows of each kind may hold
    "pairs": (
        "prompt", "context", "system", "history", "chat", "chosen", "rejected", "probability", "p_chosen", "p_rejected",
        "score_chosen", "score_rejected",
    ),
    "groups": ("prompt", "context", "system", "history", "chat", "answers", "scores", "probabilities"),
    "answers": ("prompt", "context", "system", "history", "chat", "answers"),
    "labelled": ("prompt", "context", "system", "history", "chat", "answer", "label"),
    "single": ("prompt", "context", "system", "history", "chat", "answer"),
    "prompts": ("prompt", "context", "system", "history", "chat"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Layout:
    """`columns`: role -> column; `unread`: columns that nothing reads."""

    kind: Kind
    columns: Mapping[str, str]
    unread: tuple[str, ...]


def layout_of(source: str, names: Sequence[str], given: Mapping[str, str], kind: Kind | None = None) -> Layout:
    """The layout of a file with the columns `names`. `given`: role -> column, as the user says; `kind`: what the user says the rows are.

    `kind` "groups" and "answers" of a file with one column of answers are told apart by its rows (`rows.read_rows`).
    """
    for role, column in given.items():
        if role not in ALIASES:
            raise UserError(f"--columns {role}={column}: no such role; roles are {', '.join(ALIASES)}")
        if column not in names:
            raise UserError(f"{source}: no column '{column}', which is to be the {role}; there are: {', '.join(names)}")
    free = [n for n in names if n not in given.values()]
    lower = {n.lower(): n for n in free}
    found = dict(given)
    for role, aliases in ALIASES.items():
        if role not in found and role != "context":
            there = [lower[a] for a in aliases if a in lower and lower[a] not in found.values()]
            if there:
                found[role] = there[0]
    if "context" not in found and "input" in lower and lower["input"] not in found.values():
        found["context"] = lower["input"]
    if kind is None:
        kind = _kind(found)
    if kind != "pairs" and "text" in lower and "prompt" not in found and "chat" not in found:
        found["prompt"] = lower["text"]  # of a file of pairs it is likelier the rendered row than the prompt
    _complete(source, kind, found, names)
    read = {role: column for role, column in found.items() if role in READ[kind]}
    if kind in ("groups", "pairs", "labelled", "single", "prompts") and "chat" in read and "prompt" in read:
        # UltraFeedback binarized repeats the chosen chat as messages; the prompt's own column is plainer
        del read["chat" if kind in ("pairs", "groups", "labelled") or "answer" in read else "prompt"]
    return Layout(kind, read, tuple(n for n in names if n not in read.values()))


def _kind(found: Mapping[str, str]) -> Kind:
    if "chosen" in found and "rejected" in found:
        return "pairs"
    if "answers" in found:
        return "groups" if "scores" in found or "probabilities" in found else "answers"
    if "label" in found and ("answer" in found or "chat" in found):
        return "labelled"
    return "single" if "answer" in found or "chat" in found else "prompts"


def _complete(source: str, kind: Kind, found: Mapping[str, str], names: Sequence[str]) -> None:
    """What rows of this kind cannot do without."""
    wanted = {
        "pairs": ("chosen", "rejected"), "groups": ("answers",), "answers": ("answers",), "labelled": ("label",),
        "single": (), "prompts": (),
    }[kind]  # fmt: skip
    absent = [role for role in wanted if role not in found]
    if kind in ("labelled", "single") and "answer" not in found and "chat" not in found:
        absent.append("answer")
    if kind != "pairs" and "prompt" not in found and "chat" not in found:
        absent.append("prompt")
    if absent:
        raise UserError(
            f"{source}: no column for {', '.join(absent)} ({KINDS[kind]}); columns: {', '.join(names) or 'none'}; "
            f"name one: --columns {absent[0]}=COLUMN"
        )


def mapping(columns: Sequence[str]) -> dict[str, str]:
    """ROLE=COLUMN ... as a table."""
    roles = {}
    for item in columns:
        role, equals, column = item.partition("=")
        if not (role and equals and column):
            raise UserError(f"--columns {item}: write ROLE=COLUMN, as in prompt=question")
        roles[role] = column
    return roles
