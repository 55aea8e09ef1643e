"""What an evaluation leaves for a report: DIR/result.json (one object with its `name`) and DIR/plot.svg, written whole or not at all."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError
from windvane.runs.store import write_atomic


def default_folder(evaluation: str, model: str) -> Path:
    """evaluations/EVALUATION/MODEL below the working folder, told on standard error: for `--model M` without `--out`."""
    folder = Path("evaluations") / evaluation / (re.sub(r"[^A-Za-z0-9._]+", "-", model).strip("-.") or "model")
    print(f"windvane: rows and results go to {folder}", file=sys.stderr)
    return folder


def kept_result(folder: Path, evaluation: str) -> dict[str, Any] | None:
    """What this evaluation left in `folder` before, None for nothing. Another's result is a `UserError`: two in one folder would overwrite
    each other, so ask before hours of answers."""
    path = folder / "result.json"
    if not path.exists():
        return None
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("name") != evaluation:
        raise UserError(f"{path}: not a result of windvane eval {evaluation}; remove it or use another --out")
    return found


def keep_result(folder: Path, result: Mapping[str, Any], svg: str) -> None:
    """The same bytes for the same result; another evaluation's is not overwritten (`UserError`).
    A number that is not finite is a programming mistake (`ValueError`)."""
    assert isinstance(result.get("name"), str), "a result says which evaluation it is of"
    kept_result(folder, result["name"])
    if svg:  # rows without what is drawn have no plot
        write_atomic(folder / "plot.svg", svg)
    write_atomic(folder / "result.json", json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def print_live(
    options: argparse.Namespace, result: Mapping[str, Any], table: str, spent: Mapping[str, Any] | None, rows: str
) -> None:
    """With --json one object, with the folder and what servers took; else the table, and where the rows are."""
    if options.json:
        print(json.dumps({**result, "out": str(options.out), "spent": spent}, allow_nan=False))
    else:
        print(f"{table}\nrows: {options.out}/{rows}")
