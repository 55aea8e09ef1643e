"""Several adapters over one base in memory: an asker each, which switches its adapter on before it answers.

In: a base's name, folders of PEFT adapters by name. Out: `AdaptedAsker`s that share the base's weights. The base is loaded once; an
answer is what the adapter alone on its base would give (tested).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from windvane.core.errors import UserError
from windvane.judges.questions import Ask, LocalAsker, Told
from windvane.models.load import load_model, load_tokenizer
from windvane.models.lora import load_adapter


class AdaptedAsker(LocalAsker):
    """`activate` before the model is used in any other way."""

    def __init__(self, model: Any, tokenizer: Any, adapter: str) -> None:
        super().__init__(model, tokenizer)
        self.adapter = adapter

    def activate(self) -> None:
        self.model.set_adapter(self.adapter)

    def ask(self, asks: Sequence[Ask], max_tokens: int, labels: Sequence[str] = ()) -> list[Told]:
        self.activate()
        return super().ask(asks, max_tokens, labels)


def open_adapted(base: str, folders: Mapping[str, str], device: str, dtype: str) -> dict[str, AdaptedAsker]:
    """Adapters by name. `UserError` where the base is an adapter itself or one does not fit it."""
    model = load_model(base, dtype, device)
    tokenizer = load_tokenizer(base)
    if hasattr(model, "peft_config"):
        raise UserError(f"model {base}: holds an adapter itself; name its base, and the adapters beside it")
    adapted: Any = None
    for name, folder in folders.items():
        if adapted is None:
            adapted = load_adapter(model, folder, name=name)
        else:
            load_adapter(adapted, folder, name=name)
    return {name: AdaptedAsker(adapted.eval(), tokenizer, name) for name in folders}
