"""The README.md beside an EvalYaks adapter: a Hugging Face model card with the run's measured numbers and its limits.

In: a run's summary and settings, an adapter's name. Out: the card's text, a function of these alone: no date, no host, no path outside the
run but a folder's last name. Read back by huggingface_hub, as the other recipes' cards are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from windvane.evalyaks.scoring.score import LIMITS
from windvane.report.model_card import HUB_NAME

TASKS = {
    "vocabulary": "tells the CEFR level of a list of words, and lists words of a level",
    "sentences": "tells the CEFR level of a sentence, and writes one of a level",
    "merged": "gives bands for every part of a B2 speaking test",
    "full": "gives bands for every part of a B2 speaking test",
}
SYSTEMS = ("base", "trained", "weight-free")


def adapter_card(summary: Mapping[str, Any], settings: Any, name: str) -> str:
    """The card of RUN/adapters/`name`/model."""
    base = settings.model if HUB_NAME.fullmatch(settings.model) else PurePath(settings.model).name
    front: dict[str, Any] = {"tags": ["windvane", "evalyaks"], "pipeline_tag": "text-generation"}
    front["library_name"] = "peft" if settings.train.lora_rank else "transformers"
    if HUB_NAME.fullmatch(settings.model):
        front["base_model"] = settings.model
    task = TASKS.get(name) or f"gives bands for {re.sub('part', 'part ', name)} of a B2 speaking test"
    t = settings.train
    how = (
        f"LoRA, rank {t.lora_rank}, alpha {t.lora_alpha}, dropout {t.lora_dropout:g}"
        if t.lora_rank
        else "all weights trained"
    )
    counts = ", ".join(f"{n} {split}" for split, n in summary["conversations"].items())
    parts = [
        f"---\n{ModelCardData(**front).to_yaml()}\n---",
        f"# {base.replace(':', '-')}-evalyaks-{name}",
        f"{'An adapter' if t.lora_rank else 'A model'} that {task}, trained from `{base}` by Windvane's recipe `evalyaks` "
        f"(arXiv 2408.12226): {how}; {t.epochs} epochs, {t.schedule} from {t.lr:g}, batch {t.batch}, seed "
        f"{settings.seed}; loss on the answer alone.",
        f"Conversations of the run: {counts}. What is held out or tested on was never trained on, nor were its near-duplicates.",
        "## What was measured",
        *(_measured(where, rows) for where, rows in summary["evaluations"].items()),
        *_levels(summary, name),
        "## Limits",
        LIMITS,
    ]
    text = "\n\n".join(parts) + "\n"
    ModelCard(text)  # raises where the front matter cannot be read back
    return text


def _measured(where: str, rows: list[dict[str, Any]]) -> str:
    """Means over parts, of the whole run: all its adapters together."""
    constants = [r for r in rows if r["system"].startswith("constant")]
    best = max(constants, key=lambda r: r["acceptable_accuracy"] or 0.0)
    shown = [r for r in rows if r["system"] in SYSTEMS] + [best]
    lines = [
        f"{where.removeprefix('cefr-')} conversations, the run's adapters together, means over parts:",
        "",
        "| by | acceptable accuracy | strict | degree of variation, bands | QWK |",
        "|---|---|---|---|---|",
    ]
    keys = ("acceptable_accuracy", "strict_acceptable_accuracy", "dov", "qwk")
    for row in shown:
        cells = " | ".join("-" if row[k] is None else f"{row[k]:.3f}" for k in keys)
        lines.append(f"| {row['system']} | {cells} |")
    return "\n".join(lines)


def _levels(summary: Mapping[str, Any], name: str) -> list[str]:
    rows = [r for r in summary["levels"] if r["adapter"] == name]
    return [
        f"Level of {r['items']} held-out items told right, by the {'base' if r['by'] == 'base' else 'adapter'}: {r['accurate']:.3f} "
        f"(95% interval {r['low']:.3f} to {r['high']:.3f})."
        for r in rows
    ]
