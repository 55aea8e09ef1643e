"""A row with named fields -> a `Row`: what its columns hold, by the kind of its layout.

In: the cells of one row and the columns of its layout. Out: the prompt, the responses, and what is known of how good each is. A row that
cannot be read is a `UserError` of one line that names its place and field.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from windvane.core.records import Prompt
from windvane.datasets.columns import Layout
from windvane.datasets.fields import fail
from windvane.datasets.row_turns import (
    Weighted,
    implied_prompt,
    prompt_turns,
    response_turns,
    weighted_prompt_turns,
    with_system,
)
from windvane.datasets.scores import label, optional_number, scored_responses
from windvane.datasets.turns import Turns, Weight


@dataclass(frozen=True, slots=True)
class Row:
    """A prompt with its responses. A response is one assistant turn, or several with the user's turns between them.

    `place`: where it was read, such as "pairs.jsonl: row 17"; `prompt`: the turns before the response, its id that of their content.
    `chosen`, `rejected`: which responses are, None where scores or probabilities say it; `wins`: the probability that each response beats
    the others; `probability`: of a pair, that chosen beats rejected; `scores`: a number each, the larger the better, in a unit of the
    data's own; `desirable`: of a labelled response; `weights`: the loss weight of each turn of each response, empty where all are 1;
    `fields`: the columns that no role reads (ids, sources, ...), as they stand.
    """

    place: str
    prompt: Prompt
    responses: tuple[Turns, ...]
    chosen: int | None = None
    rejected: int | None = None
    wins: tuple[float, ...] | None = None
    scores: tuple[float, ...] | None = None
    desirable: bool | None = None
    probability: float | None = None
    weights: tuple[tuple[Weight, ...], ...] = ()
    fields: Mapping[str, Any] = field(default_factory=dict)

    @property
    def system(self) -> str | None:
        """The prompt's system message."""
        first = self.prompt.messages[0]
        return first.content if first.role == "system" else None


def _row(where: str, messages: Turns, responses: Sequence[Weighted], **worth: Any) -> Row:
    weights = tuple(w for _, w in responses)
    weighted = any(w != 1.0 for turns, each in responses for m, w in zip(turns, each) if m.role == "assistant")
    prompt = Prompt.of(tuple(messages))
    return Row(where, prompt, tuple(turns for turns, _ in responses), weights=weights if weighted else (), **worth)


def _pairs(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Row:
    names = columns["chosen"], columns["rejected"]
    if "prompt" in columns or "chat" in columns:
        messages = prompt_turns(row, columns, where)
        *before, last = messages
        if last.role != "user":  # a chat that repeats an answer: what comes before it is the prompt
            messages = tuple(before)
        sides = [response_turns(row.get(n), where, n, messages) for n in names]
        if last.role != "user" and (last,) not in [turns for turns, _ in sides]:
            reason = "ends with an assistant's turn that is neither answer; end with the user turn that both answer"
            fail(where, columns["chat"], reason)
    else:
        messages, sides = implied_prompt(row, names, where)
        messages = with_system(messages, row, columns, where)
    if sides[0][0] == sides[1][0]:
        fail(where, names[1], f"the same as {names[0]}; remove the row")
    return _row(where, messages, sides, chosen=0, rejected=1, **_pair_worth(row, columns, where))


def _pair_worth(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> dict[str, Any]:
    """The probabilities and scores of chosen and rejected, each None where the row has none."""
    value = {role: optional_number(row, columns.get(role), where) for role in (
        "probability", "p_chosen", "p_rejected", "score_chosen", "score_rejected",
    )}  # fmt: skip
    for role in ("probability", "p_chosen", "p_rejected"):
        if value[role] is not None and not 0 <= value[role] <= 1:  # type: ignore[operator]
            fail(where, columns[role], f"{value[role]:g}; a probability is in [0, 1]")
    p = value["probability"]
    wins = (value["p_chosen"], value["p_rejected"])
    if None in wins:
        wins = (p, 1.0 - p) if p is not None else None  # type: ignore[assignment]
    scores = (value["score_chosen"], value["score_rejected"])
    return {"wins": wins, "scores": None if None in scores else scores, "probability": p}


def _groups(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Row:
    messages, sides, scores, wins = _listed(row, columns, where)
    if scores is None and wins is None:
        fail(where, columns["answers"], "an answer has no score and no probability; add scores, or remove the row")
    return _row(where, messages, sides, wins=tuple(wins) if wins else None, scores=tuple(scores) if scores else None)


def _answers(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Row:
    return _row(where, *_listed(row, columns, where)[:2])


def _listed(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> tuple[Turns, Any, Any, Any]:
    messages = _asked(row, columns, where)
    cells, scores, wins = scored_responses(row, columns, where)
    sides = [response_turns(v, where, f"{columns['answers']}[{i}]", messages) for i, v in enumerate(cells)]
    return messages, sides, scores, wins


def _asked(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Turns:
    messages = prompt_turns(row, columns, where)
    if messages[-1].role != "user":
        fail(where, columns["chat"], "the last turn is the assistant's; end with the user turn that the answers answer")
    return messages


def _single(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Row:
    if "answer" in columns:
        field = columns["answer"]
        messages = prompt_turns(row, columns, where)
        last = messages[-1]
        messages = messages[:-1] if last.role == "assistant" else messages
        response = response_turns(row.get(field), where, field, messages)
        if last.role == "assistant" and response[0] != (last,):
            fail(
                where,
                columns["chat"],
                f"ends with an assistant's turn that is not the {field}; end with the user turn that it answers",
            )
        return _row(where, messages, [response], chosen=0)
    messages, weights = weighted_prompt_turns(row, columns, where)
    if messages[-1].role != "assistant":
        fail(where, columns["chat"], "the last turn is the user's; end with the answer that is to be learned")
    learned = [i for i, (m, w) in enumerate(zip(messages, weights)) if m.role == "assistant" and w != 0.0]
    if not learned:
        fail(where, columns["chat"], "every assistant turn says that it is not learned; remove the row")
    # Turns before the first that is learned are its context; those behind the last that is learned have no part in any loss
    first, end = learned[0], learned[-1] + 1
    return _row(where, messages[:first], [(messages[first:end], weights[first:end])], chosen=0)


def _labelled(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Row:
    desirable = label(row.get(columns["label"]), where, columns["label"])
    read = _single(row, columns, where)
    if "answer" not in columns and read.responses[0][-1] != prompt_turns(row, columns, where)[-1]:
        fail(
            where,
            columns["chat"],
            "the last turn is the one that the label judges, and it says that it is not learned; remove the row",
        )
    if "answer" not in columns and len(read.responses[0]) > 1:  # of a chat the last response is the one that was judged
        *before, last = read.responses[0]
        weights = tuple(each[-1:] for each in read.weights)
        read = replace(read, prompt=Prompt.of((*read.prompt.messages, *before)), responses=((last,),), weights=weights)
    chosen, rejected = (0, None) if desirable else (None, 0)
    return replace(read, desirable=desirable, chosen=chosen, rejected=rejected)


def _prompts(row: Mapping[str, Any], columns: Mapping[str, str], where: str) -> Row:
    return _row(where, _asked(row, columns, where), ())


def only_prompt(row: Mapping[str, Any], layout: Layout, where: str) -> Row:
    """The prompt of a row of any kind, its responses left unread where they do not say what the prompt is."""
    columns = layout.columns
    if "prompt" not in columns and "chat" not in columns:
        return replace(_pairs(row, columns, where), responses=(), chosen=None, rejected=None, weights=())
    messages = prompt_turns(row, columns, where)
    if messages[-1].role == "user":
        return _row(where, messages, ())
    if layout.kind in ("groups", "answers", "prompts"):
        fail(where, columns["chat"], "the last turn is the assistant's; end with a user turn that waits for a response")
    if layout.kind == "single" and "answer" not in columns:
        read = _single(row, columns, where)
        if len(read.responses[0]) > 1:
            fail(
                where, columns["chat"],
                "the last turn is the assistant's, and the chat has several such turns, so it is open which of them is to be written anew; "
                "end with the user turn that waits for a response",
            )  # fmt: skip
        return replace(read, responses=(), chosen=None, weights=())
    return _row(where, messages[:-1], ())


READERS = {
    "pairs": _pairs, "groups": _groups, "answers": _answers, "labelled": _labelled, "single": _single, "prompts": _prompts,
}  # fmt: skip
