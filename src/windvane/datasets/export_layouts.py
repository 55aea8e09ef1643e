"""A pair's row in the layouts of other trainers, and what their configs say of the file.

In: TRL's row (`prompt`, `chosen`, `rejected` as lists of turns) of `export`. Out: the same pair as axolotl's `chat_template.default` and as
LLaMA-Factory's ranking in ShareGPT's form have it; what else the row holds (probabilities, whether an answer was cut) stays beside it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

Row = dict[str, Any]
SPEAKERS = {"user": "human", "assistant": "gpt"}


def trl(row: Mapping[str, Any]) -> Row:
    """As it is: conversational prompt, chosen, rejected."""
    return dict(row)


def axolotl(row: Mapping[str, Any]) -> Row:
    """`messages` before the answers, `chosen` and `rejected` a turn each."""
    rest = {k: v for k, v in row.items() if k not in ("prompt", "chosen", "rejected")}
    return {"messages": row["prompt"], "chosen": row["chosen"][0], "rejected": row["rejected"][0], **rest}


def llama_factory(row: Mapping[str, Any]) -> Row:
    """`conversations` with "from" and "value", the system message in a column of its own."""
    turns = list(row["prompt"])
    system = turns.pop(0)["content"] if turns[0]["role"] == "system" else ""
    rest = {k: v for k, v in row.items() if k not in ("prompt", "chosen", "rejected")}
    return {
        "conversations": [_said(t) for t in turns],
        "system": system,
        "chosen": _said(row["chosen"][0]),
        "rejected": _said(row["rejected"][0]),
        **rest,
    }


def _said(turn: Mapping[str, str]) -> dict[str, str]:
    return {"from": SPEAKERS[turn["role"]], "value": turn["content"]}


def trl_config(file: str) -> str:
    return f"load_dataset({'parquet' if file.endswith('.parquet') else 'json'!r}, data_files={file!r}, split='train')"


def axolotl_config(file: str) -> str:
    """The lines of a `rl: dpo` config."""
    kind = "parquet" if file.endswith(".parquet") else "json"
    return (
        f"rl: dpo\ndatasets:\n  - path: {file}\n    ds_type: {kind}\n    split: train\n    type: chat_template.default\n"
        "    field_messages: messages\n    field_chosen: chosen\n    field_rejected: rejected"
    )


def llama_factory_config(file: str) -> str:
    """The entry of dataset_info.json."""
    columns = {"messages": "conversations", "system": "system", "chosen": "chosen", "rejected": "rejected"}
    entry = {"windvane_pairs": {"file_name": file, "ranking": True, "formatting": "sharegpt", "columns": columns}}
    return json.dumps(entry, indent=2)


LAYOUTS: dict[str, tuple[Callable[[Mapping[str, Any]], Row], Callable[[str], str], str]] = {
    "trl": (trl, trl_config, "in Python"),
    "axolotl": (axolotl, axolotl_config, "in the config"),
    "llama-factory": (llama_factory, llama_factory_config, "in data/dataset_info.json"),
}
