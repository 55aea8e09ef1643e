"""Steerability's result for a terminal, and its plot: value asked for x value measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from windvane.janus.steerability.plot import heat_maps
from windvane.janus.steerability.score import MEANS


def plot(result: Mapping[str, Any], name: str) -> str:
    """A heat map for each split; `name` says of what model or file."""
    gap, accuracy = result["own_minus_swapped"], result["swap_accuracy"]
    text = ""
    if gap is not None:
        text = f"asked for minus not asked for: {gap['mean']:+.2f} [{gap['low']:+.2f}, {gap['high']:+.2f}]"
    if accuracy is not None:
        text += f"; swap test right in {100 * accuracy['mean']:.0f}% (chance 50%)"
    return heat_maps(result["matrices"], f"What {name} changes, by what it is asked to"[:90], text)


def table(result: Mapping[str, Any]) -> str:
    """A line a split."""
    head = (
        "grades 1 to 5",
        "asked",
        "swapped",
        "none",
        "asked - swapped",
        "at equal length",
        "swapped - none",
        "swap test",
    )
    widths = (18, 6, 8, 6, 22, 22, 22, 20)
    lines = ["".join(f"{h:>{w}}" if i else f"{h:{w}}" for i, (h, w) in enumerate(zip(head, widths)))]
    for part in [*result["splits"], {"split": "all", **result}]:
        cells = [_cell(part[name], name.startswith(("own_", "at_", "swapped_"))) for name in MEANS]
        accuracy = part["swap_accuracy"]
        right = (
            "-"
            if accuracy is None
            else "{:.0f}% [{:.0f}, {:.0f}]".format(*(100 * accuracy[k] for k in ("mean", "low", "high")))
        )
        row = [part["split"][:17], *cells, right]
        lines.append("".join(f"{c:>{w}}" if i else f"{c:{w}}" for i, (c, w) in enumerate(zip(row, widths))))
    lines.append(
        f"{result['cases']} system messages on {result['prompts']} prompts, {result['grades']} grades; 95% intervals over prompts"
    )
    if result["unreadable"]:
        why = ", ".join(f"{n} {reason}" for reason, n in result["reasons"].items())
        lines.append(f"{result['unreadable']} of {result['grades']} grades could not be read: {why}")
    if result["values_without_a_swap"]:
        lines.append(
            f"{result['values_without_a_swap']} values that every other message of their prompt asks for too: not swapped"
        )
    if result.get("without_answer"):
        lines.append("without an answer: " + ", ".join(f"{n} {why}" for why, n in result["without_answer"].items()))
    lines += [f"note: {note}" for note in result["notes"]]
    return "\n".join(lines)


def _cell(figure: Mapping[str, Any] | None, gap: bool) -> str:
    if figure is None:
        return "-"
    return f"{figure['mean']:+.2f} [{figure['low']:+.2f}, {figure['high']:+.2f}]" if gap else f"{figure['mean']:.2f}"
