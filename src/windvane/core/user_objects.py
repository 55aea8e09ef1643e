"""A user's own object, named `py:module:object`: loading it, making an instance of it, and saying in one line what went wrong in it.

Whatever goes wrong in a user's code is a `UserError` that names the object and the place in the user's file.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

from windvane.core.errors import UserError


def load_object(spec: str) -> Any:
    """The object that `module:object` names; modules in the current folder can be imported."""
    module, colon, name = spec.partition(":")
    if not colon or not module or not name:
        raise UserError(f"py:{spec}: expected py:module:object")
    folder = str(Path.cwd())
    if folder not in sys.path:
        sys.path.insert(0, folder)
    try:
        loaded: Any = importlib.import_module(module)
    except Exception as error:
        if isinstance(error, ModuleNotFoundError) and error.name == module:
            raise UserError(f"py:{spec}: no module {module}; run in the folder of {module}.py or install it") from None
        raise UserError(f"py:{spec}: importing {module} failed with {error_line(error)}") from error
    for part in name.split("."):
        if not hasattr(loaded, part):
            raise UserError(f"py:{spec}: {module} has no {name}; check the name")
        loaded = getattr(loaded, part)
    return loaded


def make_instance(spec: str, kind: type, *args: Any) -> Any:
    """`kind(*args)`, where `kind` is the class that `spec` names."""
    try:
        return kind(*args)
    except Exception as error:
        given = "the sampling alone" if args else "no arguments"
        raise UserError(f"py:{spec}: making a {kind.__name__} with {given} failed with {error_line(error)}") from error


def error_line(error: BaseException) -> str:
    """The error's type, the first line of its message and, where the file is known, the place."""
    first = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    trace, place = error.__traceback__, ""
    while trace is not None:
        place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    if isinstance(error, SyntaxError) and error.filename:
        place = f" at {Path(error.filename).name}:{error.lineno}"
    return f"{type(error).__name__}{': ' if first else ''}{first[:200]}{place}"
