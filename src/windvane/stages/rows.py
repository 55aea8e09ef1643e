"""One's own rows -> the records that training reads, rendered through the model's template, every refusal kept with its reason.

In: `Rows`, a tokenizer, the ids that stop generation, the model's window. Out: `Made`: prompts, responses and groups as in any run
folder, and the spans of the assistant's turns where an answer has several. A prompt's id is its content's, with .2, .3 behind it where
more rows have the same prompt, or are turns of one chat. Scores become probabilities by their order (1, 1/2, 0), or by `score_scale` s
as sigmoid((a - b)/s).
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.records import Group, Member, Message, Prompt, Response
from windvane.datasets.row_kinds import Row
from windvane.datasets.rows import Rows
from windvane.datasets.sources import Unread
from windvane.datasets.turns import Turns, Weight
from windvane.prompts.chat import SYSTEM_MEND, System, drops_system, render
from windvane.prompts.responses import Closing, Rendered, Rewritten, render_answer, render_text, text_ids, token_weights
from windvane.stages.pair import TIE, inclusive


@dataclass(frozen=True, slots=True)
class Rendering:
    """How rows become tokens; see `recipes.own.Own`, whose fields these are."""

    text: Literal["chat", "plain"] = "chat"
    system: System = "template"
    learn: Literal["all", "last"] = "all"
    closing: Closing = "stop"
    append_eos: bool = False
    score_scale: float | None = None
    max_length: int | None = None


@dataclass(slots=True)
class Made:
    """`spans`: response id -> [start, stop) of the assistant's turns in its tokens, where it has several. `counts`: what was noticed."""

    prompts: list[Prompt] = field(default_factory=list)
    responses: list[Response] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)
    spans: dict[str, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    weights: dict[str, tuple[float, ...]] = field(
        default_factory=dict
    )  # response id -> the loss weight of each span, where not 1
    places: dict[str, str] = field(default_factory=dict)
    refused: list[Unread] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    unread: tuple[str, ...] = ()  # columns that nothing reads


def make_records(
    data: Rows, tokenizer: Any, stops: Collection[int], window: int, how: Rendering, collect: bool = False
) -> Made:
    """Render every row. `collect`: rows that do not fit join the refused; else the first is a `UserError`."""
    made = Made(refused=list(data.refused))
    seen: Counter[str] = Counter()
    exact: set[tuple[str, tuple[Turns, ...]]] = set()
    systems = how.text == "chat" and how.system == "template" and any(_has_system(row) for row in data.rows)
    drops = systems and drops_system(tokenizer)
    for row in data.rows:
        try:
            if drops and _has_system(row):
                raise UserError(SYSTEM_MEND.format("leaves the system message out in silence"))
            alone = None if row.responses else _alone(row, tokenizer, window, how)
            found = list(_rows(row, tokenizer, stops, window, how, made.counts)) if alone is None else []
        except UserError as error:
            reason = str(error) if str(error).startswith(row.place) else f"{row.place}: {error}"
            if not collect:
                raise UserError(reason) from None
            made.refused.append(Unread(row.place, reason))
            continue
        made.counts["duplicates"] += (row.prompt.id, row.responses) in exact
        exact.add((row.prompt.id, row.responses))
        if alone is not None:
            seen[row.prompt.id] += 1
            key = row.prompt.id if seen[row.prompt.id] == 1 else f"{row.prompt.id}.{seen[row.prompt.id]}"
            made.places[key] = row.place
            made.prompts.append(Prompt(key, row.prompt.messages, alone))
        for one, rendered in found:
            content = one.prompt.id if len(found) == 1 else row.prompt.id  # rows of one chat are held out together
            seen[content] += 1
            _add(made, one, rendered, content if seen[content] == 1 else f"{content}.{seen[content]}", tokenizer, how)
    return made


def _alone(row: Row, tokenizer: Any, window: int, how: Rendering) -> tuple[int, ...]:
    """Token ids of a prompt without answers, as `inspect` shows it."""
    ids = prompt_ids(row.prompt, tokenizer, how)
    if len(ids) >= window:
        raise UserError(f"{len(ids)} tokens, and the model's window is {window}; shorten or remove the row")
    return ids


def prompt_ids(prompt: Prompt, tokenizer: Any, how: Rendering) -> tuple[int, ...]:
    """Token ids of what the model is asked."""
    if how.text == "chat":
        return render(tokenizer, prompt.messages, how.system)
    return text_ids(tokenizer, prompt.text)


def _rows(
    row: Row, tokenizer: Any, stops: Collection[int], window: int, how: Rendering, counts: Counter[str]
) -> Iterator[tuple[Row, list[Rendered]]]:
    """The row with its answers rendered; several rows where a chat's answers cannot be one."""
    if how.learn == "last" and any(len(turns) > 1 for turns in row.responses):
        if len(row.responses) > 1:
            raise UserError("answers of several turns, of which --learn last would leave some out of the comparison")
        *before, last = row.responses[0]
        weights = tuple(each[-1:] for each in row.weights)
        row = replace(row, prompt=Prompt.of((*row.prompt.messages, *before)), responses=((last,),), weights=weights)
    try:
        found = [rendered(row.prompt.messages, turns, tokenizer, stops, how) for turns in row.responses]
    except Rewritten as error:
        if len(row.responses) > 1:
            raise UserError(
                f"{error}; make each compared turn a row of its own, with the turns before it as its prompt"
            ) from None
        counts["split"] += 1
        chat = [*row.prompt.messages, *row.responses[0]]
        for j in range(len(row.prompt.messages), len(chat), 2):
            weight = row.weights[0][j - len(row.prompt.messages)] if row.weights else 1.0
            if weight == 0.0:
                continue
            weights = ((weight,),) if row.weights else ()
            turn = replace(row, prompt=Prompt.of(tuple(chat[:j])), responses=((chat[j],),), weights=weights)
            yield from _rows(turn, tokenizer, stops, window, how, counts)
        return
    limit = min(window, how.max_length or window)
    for one in found:
        if not one.answer_ids:
            raise UserError("an answer without a token; remove the row")
        tokens = len(one.prompt_ids) + len(one.answer_ids)
        if tokens > limit:
            what = "--max-length" if how.max_length and how.max_length < window else "the model's window"
            raise UserError(f"{tokens} tokens with its answer, and {what} is {limit}; shorten or remove the row")
    counts["border"] += any(one.border for one in found)
    if how.closing == "stop":
        counts["inner"] += sum(
            any(i in stops for x, y in one.spans for i in one.answer_ids[x : y - 1]) for one in found
        )
    if row.weights:
        found = [
            _weighted(one, turns, weights, tokenizer) for one, turns, weights in zip(found, row.responses, row.weights)
        ]
    yield row, found


def _weighted(one: Rendered, turns: Turns, weights: Sequence[Weight], tokenizer: Any) -> Rendered:
    """The spans that are learned, with their weights; what weighs 0 is context."""
    spans: list[tuple[int, int, float]] = []
    for (start, stop), turn, weight in zip(one.spans, turns[::2], weights[::2]):
        if isinstance(weight, float):
            spans += [(start, stop, weight)] if weight else []
            continue
        each = token_weights(tokenizer, one.answer_ids[start:stop], turn.content, weight)
        for value, run in itertools.groupby(range(start, stop), key=lambda i: each[i - start]):
            tokens = list(run)
            spans += [(tokens[0], tokens[-1] + 1, value)] if value else []
    if not spans:
        raise UserError("no token of an answer is learned, as its turns say; remove the row")
    kept = tuple(weight for *_, weight in spans)
    return replace(one, spans=tuple((a, b) for a, b, _ in spans), weights=() if set(kept) == {1.0} else kept)


def _has_system(row: Row) -> bool:
    return row.prompt.messages[0].role == "system"


def rendered(
    before: Sequence[Message], turns: Turns, tokenizer: Any, stops: Collection[int], how: Rendering
) -> Rendered:
    """One answer's ids behind its prompt's, through the template or as text."""
    if how.text == "chat":
        return render_answer(tokenizer, before, turns, stops, how.closing, how.append_eos, how.system)
    if len(before) > 1 or len(turns) > 1:
        raise UserError(
            "--text plain takes one prompt and one answer, and this row has several turns; take --text chat"
        )
    return render_text(tokenizer, before[0].content, turns[0].content, stops)


def _add(made: Made, row: Row, rendered: list[Rendered], key: str, tokenizer: Any, how: Rendering) -> None:
    if len({r.prompt_ids for r in rendered}) != 1:
        raise UserError(f"{row.place}: its prompt has other tokens under each answer; remove the row")
    made.places[key] = row.place
    made.prompts.append(Prompt(key, row.prompt.messages, rendered[0].prompt_ids))
    for i, (turns, one) in enumerate(zip(row.responses, rendered)):
        id, finish = f"{key}-{i}", "stop" if one.stopped else "length"
        made.responses.append(Response(id, key, i, told(turns), one.answer_ids, finish))
        made.counts["endless"] += not one.stopped
        made.counts["unknown"] += tokenizer.unk_token_id is not None and tokenizer.unk_token_id in one.answer_ids
        if one.spans != ((0, len(one.answer_ids)),) or one.weights:
            made.spans[id] = one.spans
        if one.weights:
            made.weights[id] = one.weights
    made.groups.append(grouped(key, row, [r.answer_ids for r in rendered], how.score_scale))


def told(turns: Turns) -> str:
    """An answer's text; of several turns, each under its role."""
    first, *rest = turns
    return "\n\n".join([first.content, *(f"{m.role.capitalize()}: {m.content}" for m in rest)])


def refuse_several(row: Row) -> None:
    """`UserError` for an answer of several turns: a record holds the text of one, and training would learn the user's words as its own."""
    if any(len(turns) > 1 for turns in row.responses):
        raise UserError(
            f"{row.place}: an answer of several turns, which a record of one text cannot hold; make each compared turn a row of its "
            "own, with the turns before it as its prompt (windvane train reads the file as it is)"
        )


def grouped(key: str, row: Row, answers: Sequence[Sequence[int] | str], scale: float | None) -> Group:
    """The row's preferences as a Group. Status "single": one answer, with nothing to compare it with."""
    count = len(row.responses)
    ids = [f"{key}-{i}" for i in range(count)]
    if row.desirable is not None or count < 2:
        p = 1.0 if row.desirable is None else float(row.desirable)
        members = tuple(Member(i, id, p, p) for i, id in enumerate(ids))
        return Group(key, members, row.chosen, row.rejected, "single", 0, 0, 0, None, 0, 0)
    if row.wins is not None:
        p_loo = list(row.wins)
    elif row.chosen is not None and row.rejected is not None and scale is None:
        p_loo = [float(i == row.chosen) for i in range(count)]
    elif row.scores is not None:
        p_loo = wins_of_scores(row.scores, scale)
    else:
        raise UserError(f"{row.place}: --score-scale asks for the scores of both answers; this row has none")
    members = tuple(Member(i, id, p, inclusive(p, count - 1)) for i, (id, p) in enumerate(zip(ids, p_loo)))
    best, worst = row.chosen, row.rejected
    if best is None or worst is None:
        best, worst = max(range(count), key=lambda i: (p_loo[i], -i)), min(range(count), key=lambda i: (p_loo[i], i))
        if p_loo[best] - p_loo[worst] < TIE:
            return Group(key, members, None, None, "tie", 0, 0, 0, None, 0, 0)
    status = "same" if answers[best] == answers[worst] else "pair"
    if status == "same":
        best = worst = None
    return Group(key, members, best, worst, status, 0, 0, 0, None, 0, 0)


def wins_of_scores(scores: Sequence[float], scale: float | None) -> list[float]:
    """[K] each answer's mean probability of beating the others."""
    beats: Callable[[float, float], float]
    if scale is None:
        beats = lambda a, b: 0.5 if a == b else float(a > b)  # noqa: E731
    else:
        beats = lambda a, b: 1.0 / (1.0 + math.exp(-max(-700.0, min(700.0, (a - b) / scale))))  # noqa: E731
    rest = len(scores) - 1
    return [sum(beats(a, b) for j, b in enumerate(scores) if j != i) / rest for i, a in enumerate(scores)]
