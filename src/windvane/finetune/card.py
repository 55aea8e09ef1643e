"""The model card of a model trained on one's own data.

In: RUN/recipe.toml, summary.json, data.toml. Out: the card's text: no date, no host, no path; the data by its file names and hashes.
"""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCardData

HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


def own_card(run: Path) -> str:
    """The README.md of RUN/model."""
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    recipe = tomllib.loads((run / "recipe.toml").read_text(encoding="utf-8"))
    files = tomllib.loads((run / "data.toml").read_text(encoding="utf-8")).get("files", {})
    model, adapter = public(summary["model"]), bool(recipe["train"].get("lora_rank"))
    hub = (
        model if HUB_NAME.fullmatch(model) and "/" in summary["model"] and not Path(summary["model"]).exists() else None
    )
    tags = ["windvane", summary["objective"]]
    library = "peft" if adapter else "transformers"
    front = ModelCardData(base_model=hub, library_name=library, pipeline_tag="text-generation", tags=tags)
    name = f"{model.split('/')[-1].replace(':', '-')}-{summary['objective'].replace(':', '-')}"
    loader = "AutoPeftModelForCausalLM" if adapter else "AutoModelForCausalLM"
    held = summary["held_out"]
    parts = [
        f"---\n{front.to_yaml()}\n---",
        f"# {name}",
        f"{'A LoRA adapter for' if adapter else 'A model trained from'} `{model}` with Windvane's `{summary['objective']}` "
        f"on {summary['rows']} rows of the data below.",
        "## How to use it",
        f"```python\nfrom {'peft' if adapter else 'transformers'} import {loader}\n\nmodel = {loader}.from_pretrained(FOLDER)\n```",
        "## What it was trained on",
        "\n".join(f"- `{name}`, SHA-256 `{sha}`" for name, sha in files.items()) or f"- `{public(summary['data'])}`",
        f"{summary['refused']} rows were refused. What a row was counted as: "
        + ", ".join(f"{n} {status}" for status, n in summary["used"].items())
        + ".",
        "## What was measured",
        _measured(held),
        "## Settings",
        "```toml\n" + _settings(recipe) + "\n```",
    ]
    return "\n\n".join(parts) + "\n"


def _measured(held: dict[str, Any] | None) -> str:
    if held is None:
        return "Nothing: no row was held out of training."
    before, after = held["start"]["loss"], held["end"]["loss"]
    text = f"On {held['rows']} rows of prompts never trained on, the loss went from {before:.4f} to {after:.4f}"
    if "accuracy_low" in held:
        text += (
            f"; the chosen answer was ahead in {held['end']['accuracy']:.3f} of them (95% interval {held['accuracy_low']:.3f} to "
            f"{held['accuracy_high']:.3f})"
        )
    return f"{text}. One seed was run; whether its answers are better is not measured by this."


def _settings(recipe: dict[str, Any]) -> str:
    from tomli_w import dumps

    return dumps({**recipe, "model": public(recipe["model"]), "data": public(recipe["data"])}).strip()


def public(name: str) -> str:
    """A folder or file by its last name; a hub id, or the embedded world's, whole."""
    return Path(name).name if Path(name).is_absolute() or name.startswith((".", "~")) or Path(name).exists() else name
