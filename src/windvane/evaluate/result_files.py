"""What an evaluation leaves for a report: DIR/result.json (one object with its `name`) and DIR/plot.svg, written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windvane.store import write_atomic


def keep_result(folder: Path, result: Mapping[str, Any], svg: str) -> None:
    """The same bytes for the same result. A number that is not finite is a programming mistake (`ValueError`)."""
    assert isinstance(result.get("name"), str), "a result says which evaluation it is of"
    if svg:  # rows without what is drawn have no plot
        write_atomic(folder / "plot.svg", svg)
    write_atomic(folder / "result.json", json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n")
