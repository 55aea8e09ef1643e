"""alpaca_eval 0.6.6 as a test oracle. It imports `pkg_resources`, which newer setuptools left out, for helpers not used here: an empty
module stands in for it while the import lasts, and no longer (others look for it and would take it for the real one)."""

import importlib
import importlib.util
import sys
import types


def alpaca_eval(module: str) -> types.ModuleType:
    """`alpaca_eval.<module>`."""
    stand_in = "pkg_resources" not in sys.modules and importlib.util.find_spec("pkg_resources") is None
    if stand_in:
        sys.modules["pkg_resources"] = types.ModuleType("pkg_resources")
    try:
        return importlib.import_module(f"alpaca_eval.{module}")
    finally:
        if stand_in:
            del sys.modules["pkg_resources"]
