"""Prompts as the model of a run reads them: rendered by its template, inside its window and its vocabulary.

In: the start's `Policy`, prompts, a recipe's settings. Out: prompts with token ids, by id. Errors: one line for budgets that leave a
prompt no room, for prompts that are longer than the window, and for a tokenizer that is another model's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from windvane.core.errors import UserError
from windvane.core.records import Prompt
from windvane.prompts.chat import prepare
from windvane.stages.policy import Policy


def check_budgets(policy: Policy, settings: Any) -> None:
    """Both settings that leave a prompt no room, in one line."""
    window, asked = policy.window(), {"sampling": settings.sampling, "evaluate": settings.evaluate}
    over = [f"--{name}.max-new-tokens {a.max_new_tokens}" for name, a in asked.items() if a.max_new_tokens >= window]
    if over:
        raise UserError(
            f"model {settings.model}: its window is {window} tokens, prompt included; lower {' and '.join(over)}"
        )


def rendered(
    policy: Policy, part: Sequence[Prompt], settings: Any, source: str, group: Literal["sampling", "evaluate"]
) -> list[Prompt]:
    """`source`: where they are from, for the line that refuses one. `group`: whose `max_new_tokens` must fit after them."""
    most, flag = getattr(settings, group).max_new_tokens, f"--{group}.max-new-tokens"
    ready = prepare(part, policy.tokenizer, policy.window(), most, source, settings.system, flag)
    found = sorted(ready, key=lambda p: p.id)
    check_vocabulary(policy, (p.token_ids for p in found))
    return found


def check_vocabulary(policy: Policy, rows: Iterable[Sequence[int]]) -> None:
    """Ids of `rows` that the model has no embedding for: its tokenizer is another's."""
    size = policy.vocabulary()
    for ids in rows:
        if ids and max(ids) >= size:
            raise UserError(
                f"model {policy.spec}: its tokenizer gives id {max(ids)} and its vocabulary ends at {size - 1}; they do not belong "
                "together"
            )
