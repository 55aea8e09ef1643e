"""Packages that only some commands need: they are installed as extras and imported where they are used."""

from __future__ import annotations

import importlib
from typing import Any

from windvane.core.errors import UserError


def require(module: str, purpose: str, extra: str) -> Any:
    """The imported `module`. Raises `UserError` with the line that installs it where it is missing: `purpose` says what needs it."""
    try:
        return importlib.import_module(module)
    except ImportError:
        package = module.partition(".")[0]
        package = "scikit-learn" if package == "sklearn" else package
        raise UserError(f"{purpose} needs {package}: pip install 'windvane[{extra}]'") from None
