"""Chats -> token ids through the tokenizer's own template, once; and whether that template can be trusted.

In: a Hugging Face tokenizer, `Prompt`s. Out: the same prompts with `token_ids`: what generation conditions on and what training reads,
by id, never rendered or tokenised again. Departures from SPPO's released code, whose prompts carry two BOS and whose answers end with
an empty assistant header: the template alone writes the special tokens, the answer is never rendered (so no placeholder is searched
for in the text), and a prompt that does not fit is named, not cut.

A template that prints today's date gets a fixed one (the default of Llama 3's own template), so that a run can be repeated tomorrow.
Control tokens written out in a user's text ("</s>") are read as transformers reads them by default.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import jinja2

from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt

TODAY = {  # 26 July 2024, a Friday, at noon, by strftime's letters
    "%d": "26", "%-d": "26", "%e": "26", "%m": "07", "%-m": "7", "%b": "Jul", "%B": "July", "%Y": "2024", "%y": "24",
    "%A": "Friday", "%a": "Fri", "%j": "208", "%H": "12", "%I": "12", "%M": "00", "%S": "00", "%p": "PM",
    "%F": "2024-07-26", "%T": "12:00:00",
}  # fmt: skip
System = Literal["template", "merge"]
USER, ANSWER, SYSTEM = "Qwx user turn", "Qwx answer", "Qwx system turn"  # probes: text no template writes by itself


@dataclass(frozen=True, slots=True)
class Refused:
    """A prompt left out: its id, its length in tokens and the reason, one line."""

    prompt_id: str
    tokens: int
    reason: str


def render(tokenizer: Any, messages: Sequence[Message], system: System = "template") -> tuple[int, ...]:
    """Token ids of the chat with the generation prompt.

    `system`: "template" leaves the system message to the template (a `UserError` where it refuses the role); "merge" writes it at the
    head of the first user turn, a blank line between. Raises `UserError` where there is no template or it refuses the chat.
    """
    return tuple(_apply(tokenizer, merged(messages) if system == "merge" else messages, tokenize=True))


def answered(tokenizer: Any, messages: Sequence[Message], answer: str) -> tuple[int, ...]:
    """Token ids of the chat with `answer` as its last turn, as a text-based trainer would make them (for comparison alone)."""
    return tuple(_apply(tokenizer, [*messages, Message("assistant", answer)], tokenize=True, generation_prompt=False))


def rendered(
    tokenizer: Any, messages: Sequence[Message], generation_prompt: bool = True
) -> tuple[str, tuple[int, ...]]:
    """(text, token ids) of the chat as it stands."""
    text = _apply(tokenizer, messages, generation_prompt=generation_prompt)
    return text, tuple(_apply(tokenizer, messages, tokenize=True, generation_prompt=generation_prompt))


def check_template(tokenizer: Any, stop_ids: Collection[int] | None = None) -> list[str]:
    """Probe the template; returns warnings, one line each.

    `stop_ids`: the ids that end generation (default: the tokenizer's EOS alone). Errors (`UserError`), because every prompt would be
    wrong: no template, a doubled BOS, no generation prompt although the template writes a header before an answer, a user's text that
    does not appear. Warnings, because training by sampled id is right all the same: the prompt is no token prefix of prompt + answer
    or something stands between them, as Qwen3's empty thoughts do (other trainers would see other tokens); no BOS although the
    tokenizer writes one before plain text; no stop token after an answer (answers may run on to max_new_tokens); today's date.
    """
    chat = [Message("user", USER)]
    text = _apply(tokenizer, chat)
    full = _apply(tokenizer, [*chat, Message("assistant", ANSWER)], generation_prompt=False)
    ids = render(tokenizer, chat)
    whole = answered(tokenizer, chat, ANSWER)
    bos = tokenizer.bos_token_id
    stops = {tokenizer.eos_token_id} if stop_ids is None else set(stop_ids)
    warnings = []

    if USER not in text:
        raise UserError("tokenizer: its chat template leaves out what the user says; mend the template")
    if bos is not None and ids[:2] == (bos, bos):
        raise UserError(
            f"tokenizer: its chat template opens with {tokenizer.bos_token} twice; take one out of the template"
        )
    between = full[len(text) : full.rfind(ANSWER)].strip() if full.startswith(text) and ANSWER in full else ""
    if between and text == _apply(tokenizer, chat, generation_prompt=False):
        raise UserError(
            f"tokenizer: its chat template writes {between[:40]!r} before an answer but not when asked for a generation "
            "prompt; honour add_generation_prompt in the template"
        )
    if bos is not None and bos not in ids[:1] and tokenizer("x")["input_ids"][:1] == [bos]:
        warnings.append(
            f"the chat template writes no {tokenizer.bos_token}, which this tokenizer puts before plain text"
        )
    if "strftime_now" in tokenizer.get_chat_template():
        warnings.append(
            "the chat template prints today's date; it is given 26 July 2024, so that a run can be repeated"
        )
    if whole[: len(ids)] != ids or between:
        what = (
            f"writes {between[:40]!r} between prompt and answer"
            if between
            else "renders the prompt otherwise under an answer"
        )
        mend = (
            "; where no thoughts are wanted, write {%- set enable_thinking = false -%} at the template's head"
            if "enable_thinking" in tokenizer.get_chat_template()
            else ""
        )
        warnings.append(
            f"the chat template {what}; Windvane trains on the sampled ids, but a trainer that tokenises exported text will see others"
            f"{mend}"
        )
    if not stops & set(whole[-3:]):
        warnings.append(
            "the chat template ends an answer with none of the tokens that stop generation; answers may run on to max_new_tokens: name "
            "the template's own end in generation_config.json's eos_token_id"
        )
    return warnings


def prepare(
    prompts: Sequence[Prompt],
    tokenizer: Any,
    window: int,
    max_new_tokens: int,
    source: str = "",
    system: System = "template",
    setting: str = "max_new_tokens",
) -> list[Prompt]:
    """`screen`, for callers that need every prompt: the first that does not fit, and how many there are, raise a `UserError`.

    `source` (the prompts' file) opens the line where it is known.
    """
    try:
        ready, refused = screen(prompts, tokenizer, window, max_new_tokens, system, setting)
    except UserError as error:
        raise UserError(f"{source}: {error}" if source else str(error)) from None
    if refused:
        more = f" ({len(refused)} of {len(prompts)} prompts do not fit)" if len(refused) > 1 else ""
        line = f"{refused[0].reason}{more}; shorten or remove it, lower {setting} or take another model"
        raise UserError(f"{source}: {line}" if source else line)
    return ready


def screen(
    prompts: Sequence[Prompt],
    tokenizer: Any,
    window: int,
    max_new_tokens: int,
    system: System = "template",
    setting: str = "max_new_tokens",
) -> tuple[list[Prompt], list[Refused]]:
    """Render prompts and sort out those that do not fit: tokens + `max_new_tokens` <= `window` (the model's, in tokens).

    Returns (ready, refused), both in the order of `prompts`; nothing is cut. A chat that the template refuses, or whose system message
    it leaves out in silence, raises a `UserError` naming the prompt. `setting` is the flag that a user would lower.
    """
    if window <= max_new_tokens:
        raise UserError(
            f"{setting} is {max_new_tokens} and the model's window {window} tokens, prompt included; lower {setting}"
        )
    drops = system == "template" and any(p.messages[0].role == "system" for p in prompts) and drops_system(tokenizer)
    ready, refused = [], []
    for prompt in prompts:
        name = f"prompt {prompt.id} ({_head(prompt)!r})"
        if drops and prompt.messages[0].role == "system":
            raise UserError(f"{name}: {SYSTEM_MEND.format('leaves the system message out in silence')}")
        try:
            ids = render(tokenizer, prompt.messages, system)
        except UserError as error:
            raise UserError(f"{name}: {error}") from None
        if len(ids) + max_new_tokens <= window:
            ready.append(dataclasses.replace(prompt, token_ids=ids))
        elif len(ids) > window:
            refused.append(
                Refused(prompt.id, len(ids), f"{name}: {len(ids)} tokens, longer than the window of {window}")
            )
        else:
            reason = f"{name}: {len(ids)} tokens and {max_new_tokens} new ones do not fit the window of {window}"
            refused.append(Refused(prompt.id, len(ids), reason))
    return ready, refused


SYSTEM_MEND = "the chat template {}; merge it into the user turn (system = 'merge') or take a model that knows the role"


def _apply(tokenizer: Any, messages: Sequence[Message], tokenize: bool = False, generation_prompt: bool = True) -> Any:
    """Text, or ids where `tokenize`; no special token is added to what the template writes."""
    try:
        template = tokenizer.get_chat_template()
    except (ValueError, NotImplementedError):  # the second: a mistral-common tokenizer, which has none by design
        named = getattr(tokenizer, "chat_template", None)
        if isinstance(named, dict) and named:
            raise UserError(
                f"tokenizer: its chat templates are named {', '.join(map(str, named))}, and none of them is 'default'; set "
                "tokenizer.chat_template to the one to take, and save it"
            ) from None
        raise UserError(
            "tokenizer: it has no chat template; take the instruct model, or set tokenizer.chat_template and save it"
        ) from None
    chat = [{"role": m.role, "content": m.content} for m in messages]
    options = {"add_generation_prompt": generation_prompt, "chat_template": _dated(template)}
    try:
        if not tokenize:
            return tokenizer.apply_chat_template(chat, tokenize=False, **options)
        return tokenizer.apply_chat_template(chat, tokenize=True, return_dict=True, **options)["input_ids"]
    except (jinja2.TemplateError, TypeError) as error:
        if messages[0].role == "system" and _accepts(tokenizer, messages[1:]):
            raise UserError(SYSTEM_MEND.format(f"refuses the system message ({error})")) from None
        raise UserError(f"the chat template refuses this chat ({error}); mend the chat or the template") from None


def _dated(template: str) -> str:
    """The template with a clock that stands still: a macro takes the place of the global function."""
    if "strftime_now" not in template:
        return template
    filters = "".join(f" | replace('{letter}', '{text}')" for letter, text in TODAY.items())
    return f"{{%- macro strftime_now(format) -%}}{{{{ format{filters} }}}}{{%- endmacro -%}}{template}"


def _accepts(tokenizer: Any, messages: Sequence[Message]) -> bool:
    try:
        _apply(tokenizer, messages)
    except UserError:
        return False
    return True


def drops_system(tokenizer: Any) -> bool:
    """Whether the template leaves a system message out in silence; False where it refuses one."""
    chat = [Message("system", SYSTEM), Message("user", USER)]
    return _accepts(tokenizer, chat) and SYSTEM not in _apply(tokenizer, chat)


def merged(messages: Sequence[Message]) -> Sequence[Message]:
    """The chat with its system message, if any, at the head of the first user turn."""
    if messages[0].role != "system":
        return messages
    first = Message(messages[1].role, f"{messages[0].content}\n\n{messages[1].content}")
    return [first, *messages[2:]]


def _head(prompt: Prompt) -> str:
    text = " ".join(prompt.messages[-1].content.split())
    return text if len(text) <= 40 else text[:39] + "…"
