"""A prompt and an answer given as text -> the token ids that a model would have sampled, and which of them are the assistant's.

In: a tokenizer with its chat template, the turns before the answer, the answer's turns. Out: `Rendered`: the prompt's ids exactly as
generation sees them, the answer's ids behind them up to the token that stops, and the spans of the assistant's turns among these, the only
tokens that a loss reads. Text that was never sampled has to be tokenised, and a template can make that go wrong; here nothing is guessed:

- the prompt is no token prefix of prompt plus answer because tokens merge across the border: the answer is tokenised by itself, since
  generation never merges them (counted: "border"), and without the blank that a SentencePiece tokenizer puts before a text of its own;
- a part of the answer that the template leaves out (a thought before </think>, say) would not be learnt: refused;
- the template writes the prompt otherwise under an answer (a thought opened for generation alone, earlier turns rewritten): refused,
  because training would then teach another context than generation sees. TRL 1.16 cuts the prompt where the two part and goes on;
- what stands behind the stop token (ChatML's line end) is never sampled and not trained on; closing "template" keeps it, as TRL does;
- no stop token ends the answer: refused, unless `append_eos`, because the model would never learn to end.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.prompts.chat import System, merged, rendered

Closing = Literal["stop", "template"]
NO_STOP = (
    "the chat template ends an answer with none of the tokens that stop generation ({}), so that the model would never learn to stop; "
    "give --append-eos, or mend the template or eos_token"
)


@dataclass(frozen=True, slots=True)
class Rendered:
    """`spans`: [start, stop) in `answer_ids`; `border`: the prompt's tokens would have merged with the answer's; `stopped`: a token that
    stops generation closes the answer."""

    prompt_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    spans: tuple[tuple[int, int], ...]
    border: bool
    stopped: bool
    weights: tuple[float, ...] = ()  # the loss weight of each span; empty: 1 each

    @property
    def learnt(self) -> int:
        """Tokens that a loss reads."""
        return sum(stop - start for start, stop in self.spans)


class Rewritten(UserError):
    """The template writes the turns before an answer otherwise once more turns follow."""


def render_answer(
    tokenizer: Any,
    before: Sequence[Message],
    turns: Sequence[Message],
    stops: Collection[int],
    closing: Closing = "stop",
    append_eos: bool = False,
    system: System = "template",
) -> Rendered:
    """`before` ends with a user turn; `turns` begins and ends with the assistant's. `stops`: ids that end generation.

    Raises `UserError` where the template cannot be trained on, `Rewritten` where several turns cannot be one row.
    """
    head = tuple(merged(before) if system == "merge" else before)
    if len(turns) > 1:
        return _several(tokenizer, head, turns, stops, closing, append_eos)
    prompt_text, prompt_ids = rendered(tokenizer, head)
    text, ids = rendered(tokenizer, [*head, turns[0]], generation_prompt=False)
    border = False
    if ids[: len(prompt_ids)] == prompt_ids:
        rest = ids[len(prompt_ids) :]
    elif text.startswith(prompt_text):
        border = True
        rest = _continued(tokenizer, prompt_ids, text[len(prompt_text) :], ids)
    else:
        at = next((i for i, (a, b) in enumerate(zip(prompt_text, text)) if a != b), min(len(prompt_text), len(text)))
        raise UserError(
            f"the chat template ends the prompt with {prompt_text[at:][:40]!r} when it asks for an answer and goes on with "
            f"{text[at:][:40]!r} when the answer is there, so that training would teach another context than generation sees; "
            "take --thinking off where the model thinks, or mend the template"
        )
    if "".join(turns[0].content.split()) not in "".join(
        text[len(prompt_text) if text.startswith(prompt_text) else 0 :].split()
    ):
        raise UserError(
            "the chat template leaves out a part of the answer (a thought before </think>, say), which would not be learnt; take it out of "
            "the answer, or mend the template"
        )
    rest, stopped = _closed(tokenizer, rest, stops, closing, append_eos)
    return Rendered(prompt_ids, rest, ((0, len(rest)),), border, stopped)


def render_text(tokenizer: Any, prompt: str, answer: str, stops: Collection[int]) -> Rendered:
    """Plain text through no template, as a base model reads it: the tokenizer's own BOS, the prompt, the answer, EOS once."""
    prompt_ids = text_ids(tokenizer, prompt)
    eos = tokenizer.eos_token or ""
    answer += "" if answer.endswith(eos) else eos
    ids = text_ids(tokenizer, prompt + answer)
    border = ids[: len(prompt_ids)] != prompt_ids
    rest = _continued(tokenizer, prompt_ids, answer, ids) if border else ids[len(prompt_ids) :]
    return Rendered(prompt_ids, rest, ((0, len(rest)),), border, rest[-1:] != () and rest[-1] in stops)


def text_ids(tokenizer: Any, text: str) -> tuple[int, ...]:
    """A text that goes on: what the tokenizer puts before one (BOS), and nothing of what it may put behind (EOS)."""
    bare, whole = (list(tokenizer("x", add_special_tokens=s)["input_ids"]) for s in (False, True))
    before = next((i for i in range(len(whole)) if whole[i : i + len(bare)] == bare), 0)
    return (*whole[:before], *tokenizer(text, add_special_tokens=False)["input_ids"])


def token_weights(
    tokenizer: Any, ids: Sequence[int], content: str, segments: Sequence[tuple[int, int, float]]
) -> list[float]:
    """The loss weight of each of a turn's tokens, from the weights of its text's characters ([start, stop, weight], the whole of
    `content`).

    A token counts with the smallest weight of its characters; what stands before the text with that of its first character, and what stands
    behind it (the token that stops) with that of its last. `UserError` where the tokens cannot be told apart in their text.
    """
    whole = tokenizer.decode(ids)
    text = content.strip()
    at, cut = whole.find(text), len(content) - len(content.lstrip())
    edges = [0]
    for stop in range(1, len(ids) + 1):
        head = tokenizer.decode(ids[:stop]).rstrip("\ufffd")
        if at < 0 or not whole.startswith(head):
            raise UserError(
                "its tokens cannot be told apart in its text, so that no part of it can be left out (train_detail)"
            )
        edges.append(max(edges[-1], len(head)))
    characters = [weight for start, stop, weight in segments for _ in range(start, stop)]
    weights = []
    for start, stop in itertools.pairwise(edges):
        if stop == start:  # a part of a character, which ends with a later token
            stop = next((edge for edge in edges if edge > start), start + 1)
        first, last = (min(max(edge - at + cut, cut), cut + len(text) - 1) for edge in (start, stop - 1))
        weights.append(min(characters[first : last + 1]))
    return weights


def _continued(tokenizer: Any, before: tuple[int, ...], text: str, whole: tuple[int, ...]) -> tuple[int, ...]:
    """Ids of `text` by itself, behind `before`; `whole` are those of both together, whose text must come back."""
    wanted = tokenizer.decode(whole)
    for anchor in ("", "\n", "a", ".", ")", "0"):  # behind another character no blank is put before it
        head = list(tokenizer(anchor, add_special_tokens=False)["input_ids"]) if anchor else []
        ids = list(tokenizer(anchor + text, add_special_tokens=False)["input_ids"])
        found = tuple(ids[len(head) :])
        if ids[: len(head)] == head and tokenizer.decode(before + found) == wanted:
            return found
    raise UserError(
        f"the tokens of prompt and answer merge at their border, and the answer ({text[:30]!r}) has none of its own that give the same "
        "text; begin it with a blank, or take the row out"
    )


def _several(
    tokenizer: Any, head: Sequence[Message], turns: Sequence[Message], stops: Collection[int], closing: Closing, append: bool
) -> Rendered:  # fmt: skip
    """Several assistant turns in one row: each must be rendered as it was when it was the last."""
    chat = [*head, *turns]
    _, whole = rendered(tokenizer, chat, generation_prompt=False)
    parts, border = [], False
    for j in range(len(head), len(chat), 2):
        one = render_answer(tokenizer, chat[:j], [chat[j]], stops, closing, append)
        border = border or one.border
        row = one.prompt_ids + one.answer_ids
        if whole[: len(row)] != row:
            raise Rewritten(
                "the chat template renders an earlier turn otherwise once more turns follow (a thought that it leaves out, say), so "
                "several answers of one chat cannot be one row"
            )
        parts.append((len(one.prompt_ids), len(row), one.stopped))
    start, end = parts[0][0], parts[-1][1]
    spans = tuple((a - start, b - start) for a, b, _ in parts)
    return Rendered(whole[:start], whole[start:end], spans, border, all(s for *_, s in parts))


def _closed(
    tokenizer: Any, ids: tuple[int, ...], stops: Collection[int], closing: Closing, append_eos: bool
) -> tuple[tuple[int, ...], bool]:
    """The answer up to its stop token, and whether there is one: the first with nothing but blanks and stops behind it
    (Phi-3's template writes an EOS behind the turn's own end)."""
    tail = next((i for i in range(len(ids)) if _only_stops(tokenizer, ids[i:], stops)), None)
    if tail is not None:
        return (ids if closing == "template" else ids[: tail + 1]), True
    if append_eos and tokenizer.eos_token_id is not None:
        return (*ids, tokenizer.eos_token_id), True
    return ids, False


def _only_stops(tokenizer: Any, ids: Sequence[int], stops: Collection[int]) -> bool:
    return ids[0] in stops and not tokenizer.decode([i for i in ids if i not in stops]).strip()


def refuse_endless(tokenizer: Any, stops: Collection[int]) -> UserError:
    """What to say where no answer ends with a stop token."""
    names = ", ".join(map(str, tokenizer.convert_ids_to_tokens(sorted(stops))))
    return UserError(NO_STOP.format(names))
