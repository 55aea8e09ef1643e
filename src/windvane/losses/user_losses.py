"""A loss that a user gives: found, read and bound, with every mistake told in one line that names the file.

In: `FILE.py`, `FILE.py:object`, `module` or `module:object`. Out: something that has the names of an objective (batch.py lists them), the
file that it is written in and that file's SHA-256, by which a resumed run sees that it is still the same loss. A file is run from the
bytes that the digest is of, so that no compiled copy of an earlier version can take its place. The object may be a class, an instance or
a function; a function takes the constants of the module around it.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from windvane.core.errors import UserError

NAMES = ("BRANCHES", "REFERENCE", "REDUCTION", "SEQUENCE", "READS", "LEVEL")
_LOADED: dict[tuple[str, str], ModuleType] = {}


@dataclass(frozen=True, slots=True)
class Given:
    """`holder` has `loss` and what it declares; `file` is None where it has none (an interpreter's own)."""

    holder: Any
    file: str | None
    sha256: str | None


def find(name: str, shipped: str) -> Given:
    """The loss that `name` stands for; `shipped` are the names that could have been meant. Errors: `UserError`."""
    path, attribute = _file_of(name)
    if path is not None:
        module, sha = _run_file(name, path)
        return Given(_object(name, module, attribute), str(path.resolve()), sha)
    place, _, attribute = name.partition(":")
    module = _import(name, place, shipped)
    file: str | None = getattr(module, "__file__", None)
    digest = hashlib.sha256(Path(file).read_bytes()).hexdigest() if file is not None and Path(file).is_file() else None
    return Given(_object(name, module, attribute), file, digest)


def settings_of(
    name: str, loss: Callable[..., Any], arguments: Mapping[str, float]
) -> tuple[dict[str, Any], dict[str, float]]:
    """(what `loss` is called with beside the batch, those of them that are numbers, which the run's settings hold): `arguments` over the
    defaults of its signature. An integer stays one where the default is one. Errors: `UserError` for a setting that the loss does not
    have, or has no value for."""
    parameters = list(inspect.signature(loss).parameters.values())
    takes_all = any(p.kind is p.VAR_KEYWORD for p in parameters)
    known = {
        p.name: p.default
        for i, p in enumerate(parameters)
        if p.kind is p.KEYWORD_ONLY or (i > 0 and p.kind is p.POSITIONAL_OR_KEYWORD)
    }
    if not parameters or parameters[0].kind in (inspect.Parameter.KEYWORD_ONLY, inspect.Parameter.VAR_KEYWORD):
        raise UserError(f"objective {name}: its loss takes no batch; write loss(batch, *, beta=0.1)")
    told = dict(known)
    for key, value in arguments.items():
        if key not in known and not takes_all:
            raise UserError(f"objective {name}: no setting '{key}'; it has {', '.join(known) or 'none'}")
        whole = type(known.get(key)) is int and float(value).is_integer()
        told[key] = int(value) if whole else value
    for key, value in told.items():
        if value is inspect.Parameter.empty:
            raise UserError(
                f"objective {name}: its setting '{key}' has no default; give it one, or a value on the command line"
            )
    numbers = {k: v for k, v in told.items() if type(v) in (int, float)}
    return told, numbers


def place_of(error: BaseException, file: str | None) -> str:
    """ "FILE, line N" of the last step of `error` in `file`, or of its very last step."""
    if isinstance(error, SyntaxError) and error.lineno is not None:
        return f"{error.filename}, line {error.lineno}"
    steps = [s for s in traceback.extract_tb(error.__traceback__) if not s.filename.startswith("<frozen")]
    own = [s for s in steps if file is not None and s.filename == file] or steps[-1:]
    return f"{own[-1].filename}, line {own[-1].lineno}" if own else str(file)


def said(error: BaseException) -> str:
    """The kind of error and its words, in one line."""
    text = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {' '.join(text.split())[:300]}"


def _file_of(name: str) -> tuple[Path | None, str]:
    """(the path, the object's name) where `name` is a file's, else (None, "")."""
    if name.endswith(".py"):
        return Path(name), ""
    file, colon, attribute = name.rpartition(":")
    return (Path(file), attribute) if colon and file.endswith(".py") else (None, "")


def _run_file(name: str, path: Path) -> tuple[ModuleType, str]:
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UserError(
            f"objective {name}: {path}: cannot be read ({error.strerror}); name a file that is there"
        ) from None
    file, sha = str(path.resolve()), hashlib.sha256(text).hexdigest()
    if (file, sha) not in _LOADED:
        module = ModuleType(f"windvane_loss_{path.stem}_{sha[:12]}")
        module.__file__ = file
        folder = str(path.resolve().parent)
        if folder not in sys.path:
            sys.path.append(folder)  # what stands beside the file can be imported, and hides nothing
        sys.modules[module.__name__] = module  # dataclasses look themselves up there
        try:
            exec(compile(text, file, "exec"), module.__dict__)
        except Exception as error:
            del sys.modules[module.__name__]
            raise UserError(f"objective {name}: {place_of(error, file)}: {said(error)}") from None
        _LOADED[file, sha] = module
    return _LOADED[file, sha], sha


def _import(name: str, place: str, shipped: str) -> ModuleType:
    if "" not in sys.path:
        sys.path.insert(0, "")
    unknown = f"objective {name}: unknown; there are {shipped}, or give your own as FILE.py, module or module:object"
    if not all(part.isidentifier() for part in place.split(".")):
        raise UserError(unknown)
    try:
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and (place == error.name or place.startswith(f"{error.name}.")):
            raise UserError(unknown) from None
        raise UserError(f"objective {name}: {place_of(error, None)}: {said(error)}") from None
    except Exception as error:
        raise UserError(f"objective {name}: cannot be imported: {place_of(error, None)}: {said(error)}") from None


def _object(name: str, module: ModuleType, attribute: str) -> Any:
    """The module, or its object with the module's constants where the object is a function."""
    if not attribute:
        return module
    if not hasattr(module, attribute):
        raise UserError(
            f"objective {name}: {module.__file__ or module.__name__} has no '{attribute}'; name what is there"
        )
    found = getattr(module, attribute)
    if hasattr(found, "loss") or not callable(found):
        return found
    constants = {n: getattr(module, n) for n in NAMES if hasattr(module, n)}
    target = {"target": module.target} if attribute == "loss" and hasattr(module, "target") else {}
    return SimpleNamespace(**constants, **target, loss=found)
