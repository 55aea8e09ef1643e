"""What a tokenizer's chat template does in each place where templates have gone wrong, found out by rendering probes.

In: a tokenizer and the ids that stop generation. Out: a `Finding` a check, with the mend where something is amiss. "refuse" stops a run,
because every row would be wrong; "note" is something to know, which is handled. docs/templates.md has the findings for ten families.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.records import Message
from windvane.prompts.chat import ANSWER, SYSTEM, USER, check_template, rendered
from windvane.prompts.responses import Rewritten, render_answer

Level = Literal["ok", "note", "refuse"]
SECOND, REPLY, THOUGHT = "Qwx second user turn", "Qwx second answer", "Qwx thought"
THINK = re.compile(r"<think|<\|channel\|?>|<seed:think|\[THINK\]|<thought|<\|START_THINKING\|>")


@dataclass(frozen=True, slots=True)
class Finding:
    """`check`: what was looked at; `told`: what was found; `mend`: what to do about it, empty where nothing is to be done."""

    check: str
    level: Level
    told: str
    mend: str = ""

    @property
    def line(self) -> str:
        return f"{self.told}; {self.mend}" if self.mend else self.told


def findings(tokenizer: Any, stop_ids: Collection[int] | None = None) -> list[Finding]:
    """One finding a check, in the order of `CHECKS`; the first alone where there is no template that can be asked."""
    stops = {tokenizer.eos_token_id} if stop_ids is None else set(stop_ids)
    try:
        check_template(tokenizer, stops)
    except UserError as error:
        told, _, mend = str(error).removeprefix("tokenizer: ").rpartition("; ")
        return [Finding("template", "refuse", told, mend)]
    return [check(tokenizer, stops) for check in CHECKS]


def refuse(found: Collection[Finding]) -> None:
    """`UserError` for the first finding that must stop a run."""
    for finding in found:
        if finding.level == "refuse":
            raise UserError(f"tokenizer: {finding.line}")


def set_thinking(tokenizer: Any, on: bool) -> None:
    """Fix a thinking template's switch in the template itself, so that it holds everywhere and is saved with the model."""
    template = tokenizer.get_chat_template()
    if "enable_thinking" not in template:
        raise UserError("--thinking: this chat template has no switch enable_thinking; leave --thinking out")
    tokenizer.chat_template = f"{{%- set enable_thinking = {'true' if on else 'false'} -%}}{template}"


def _bos(tokenizer: Any, stops: Collection[int]) -> Finding:
    _, ids = rendered(tokenizer, [Message("user", USER)])
    bos, token = tokenizer.bos_token_id, tokenizer.bos_token
    if bos is None:
        return Finding("BOS", "ok", "the tokenizer has none")
    if ids[0] == bos:
        return Finding("BOS", "ok", f"{token} once, by the template; the tokenizer adds none to it here")
    if tokenizer("x")["input_ids"][:1] == [bos]:
        return Finding(
            "BOS", "note", f"the template writes no {token}, which this tokenizer puts before plain text",
            "if the model was trained with it, write {{ bos_token }} at the template's head",
        )  # fmt: skip
    return Finding("BOS", "ok", f"{token} is not used, neither by the template nor before plain text")


def _prefix(tokenizer: Any, stops: Collection[int]) -> Finding:
    name = "prompt is a prefix of prompt + answer"
    text, ids = rendered(tokenizer, [Message("user", USER)])
    full, whole = rendered(tokenizer, [Message("user", USER), Message("assistant", ANSWER)], False)
    if whole[: len(ids)] == ids:
        return Finding(name, "ok", "yes, in tokens")
    if full.startswith(text):
        return Finding(name, "note", "in text; tokens merge across the border, so the answer is tokenised by itself")
    at = _parting(text, full)
    told = f"no: the prompt ends with {text[at:][:30]!r} for generation and goes on with {full[at:][:30]!r} under an answer"
    mend = (
        "sampled answers are trained on by id; to train on text take --thinking off, or mend the template"
        if "enable_thinking" in tokenizer.get_chat_template()
        else "sampled answers are trained on by id; to train on text mend the template"
    )
    return Finding(name, "note", told, mend)


def _generation(tokenizer: Any, stops: Collection[int]) -> Finding:
    name = "generation prompt"
    text, _ = rendered(tokenizer, [Message("user", USER)])
    bare, _ = rendered(tokenizer, [Message("user", USER)], False)
    at = _parting(text, bare)
    opened = text.rfind("<", 0, at)
    written = text[
        opened if 0 <= at - opened <= 2 else at :
    ]  # not from inside a special token: <|end|> and <|assistant|>
    return Finding(
        name, "ok", f"{written!r}" if written else "none, and none is needed: the answer follows the user turn"
    )


def _parting(a: str, b: str) -> int:
    """Where two texts part."""
    return next((i for i, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))


def _thinking(tokenizer: Any, stops: Collection[int]) -> Finding:
    name, template = "thinking", tokenizer.get_chat_template()
    text, _ = rendered(tokenizer, [Message("user", USER)])
    full, _ = rendered(tokenizer, [Message("user", USER), Message("assistant", ANSWER)], False)
    switch = "--thinking off renders the empty thought in the prompt, where it is not learnt"
    offered = switch if "enable_thinking" in template else ""
    tail = text[text.rfind(USER) + len(USER) :]
    before = full[len(text) : full.rfind(ANSWER)] if full.startswith(text) else ""
    if THINK.search(tail):
        return Finding(name, "note", f"the prompt of generation itself writes {tail.strip()[-30:]!r}", "")
    if before.strip():
        what = "an empty thought" if "think" in before.lower() else "a header of its own"
        told = f"an answer without a thought gets {what}, {before.strip()[:30]!r}, and learns to write it"
        return Finding(name, "note", told, offered)
    if THINK.search(template):
        return Finding(name, "note", "the template knows thoughts; an answer without one gets none", "")
    return Finding(name, "ok", "the template knows none")


def _system(tokenizer: Any, stops: Collection[int]) -> Finding:
    name, mend = "system role", "take --system merge, which puts it at the head of the first user turn"
    try:
        text, _ = rendered(tokenizer, [Message("system", SYSTEM), Message("user", USER)])
    except UserError:
        return Finding(name, "note", "refused by the template", mend)
    if SYSTEM not in text:
        return Finding(name, "note", "left out in silence: rows with a system message are refused", mend)
    alone, _ = rendered(tokenizer, [Message("user", USER)])
    extra = re.sub(r"\s+", " ", alone[: alone.find(USER)]).strip()
    return Finding(name, "ok", "known" + (f"; without one it writes {extra[:60]!r}" if "system" in extra else ""))


def _several(tokenizer: Any, stops: Collection[int]) -> Finding:
    name = "several turns in one row"
    turns = [Message("assistant", ANSWER), Message("user", SECOND), Message("assistant", REPLY)]
    try:
        render_answer(tokenizer, [Message("user", USER)], turns, stops)
    except Rewritten:
        return Finding(
            name,
            "note",
            "no: an earlier answer is rendered otherwise once more turns follow, so each answer is a row of its own",
        )
    except UserError:
        return Finding(name, "note", "cannot be trained on from text (see above)")
    return Finding(name, "ok", "yes")


def _stop(tokenizer: Any, stops: Collection[int]) -> Finding:
    name = "EOS is learnt"
    try:
        ids = render_answer(tokenizer, [Message("user", USER)], [Message("assistant", ANSWER)], stops).answer_ids[-1:]
    except UserError:
        ids = rendered(tokenizer, [Message("user", USER), Message("assistant", ANSWER)], False)[1][-3:]
    found = [i for i in ids if i in stops]
    if not found:
        names = ", ".join(map(str, tokenizer.convert_ids_to_tokens(sorted(stops))))
        return Finding(
            name, "note", f"no: the template ends an answer with none of the tokens that stop generation ({names})",
            "train with --append-eos, or name the template's own end in generation_config.json's eos_token_id",
        )  # fmt: skip
    last = tokenizer.convert_ids_to_tokens(found[-1])
    if found[-1] == tokenizer.pad_token_id:
        told = f"yes, {last}; pad is the same token, which a trainer that masks padding by id never learns (here places are masked)"
        return Finding(name, "note", told)
    return Finding(name, "ok", f"yes, {last}")


def _date(tokenizer: Any, stops: Collection[int]) -> Finding:
    if "strftime_now" in tokenizer.get_chat_template():
        return Finding(
            "date", "note", "today's date is written; it is given 26 July 2024, so that a run can be repeated"
        )
    return Finding("date", "ok", "none is written")


CHECKS: tuple[Callable[[Any, Collection[int]], Finding], ...] = (
    _bos, _generation, _prefix, _thinking, _system, _several, _stop, _date,
)  # fmt: skip
