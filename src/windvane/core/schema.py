"""Frozen dataclasses <-> plain data (what JSON and TOML hold), strictly.

In: a dataclass instance or class, plain dicts and lists. Out: the other one. An unknown key, a missing key or a wrong type is a
`UserError` naming the path of the value (`train.lr`), never a default taken in silence.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from windvane.core.errors import UserError

T = TypeVar("T")
PLAIN = frozenset({str, int, float, bool, type(None)})


def encode(value: Any) -> Any:
    """Dataclasses, tuples and mappings as dicts and lists; anything else as it is."""
    if type(value) in PLAIN:  # most of what there is
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: encode(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, (list, tuple)):
        return [encode(v) for v in value]
    if isinstance(value, Mapping):
        return {str(k): encode(v) for k, v in value.items()}
    return value


def dumps(value: Any) -> str:
    """One line of JSON, the same bytes for the same value; NaN and infinity are refused (`ValueError`)."""
    return json.dumps(encode(value), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def torn(value: Any) -> bool:
    """Whether a text in plain `value` holds half of a surrogate pair: JSON can spell it ("\\ud83d" alone), no file can hold it."""
    try:
        json.dumps(value, ensure_ascii=False, default=str).encode()
    except UnicodeEncodeError:
        return True
    return False


def whole_text(text: str) -> str:
    """`text` with each half of a surrogate pair as U+FFFD, as a tokenizer shows broken bytes."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace") if torn(text) else text


def decode(cls: type[T], data: Any, where: str = "") -> T:
    """Build `cls` (a dataclass) from a mapping; `where` names the file and row in errors."""
    return _value(cls, data, where, "")


def _fail(where: str, path: str, text: str) -> typing.NoReturn:
    place = ": ".join(p for p in (where, f"field '{path}'" if path else "") if p)
    raise UserError(f"{place}: {text}" if place else text)


@functools.cache
def _shape(cls: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Field name -> type, and -> field; once a class, for its annotations are text that Python compiles at each look."""
    return typing.get_type_hints(cls), {f.name: f for f in dataclasses.fields(cls)}


def _record(cls: Any, data: Any, where: str, path: str) -> Any:
    if not isinstance(data, Mapping):
        _fail(where, path, f"expected a table, got {_kind(data)}")
    hints, fields = _shape(cls)
    for key in data:
        if key not in fields:
            dotted = f"{path}.{key}" if path else str(key)
            _fail(where, dotted, f"unknown; known here: {', '.join(fields)}")
    values = {}
    for name, field in fields.items():
        dotted = f"{path}.{name}" if path else name
        if name in data:
            values[name] = _value(hints[name], data[name], where, dotted)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            _fail(where, dotted, "missing")
    try:
        return cls(**values)
    except UserError:
        raise
    except ValueError as error:
        _fail(where, path, str(error))


def _value(hint: Any, data: Any, where: str, path: str) -> Any:
    origin = typing.get_origin(hint)
    if hint is Any:
        return data
    if dataclasses.is_dataclass(hint):
        return _record(hint, data, where, path)
    if origin in (typing.Union, types.UnionType):
        return _union(hint, data, where, path)
    if origin is typing.Literal:
        if data not in typing.get_args(hint):
            _fail(where, path, f"expected one of {', '.join(map(repr, typing.get_args(hint)))}, got {data!r}")
        return data
    if origin in (tuple, list):
        return _sequence(hint, origin, data, where, path)
    if origin in (dict, Mapping) or hint is dict:
        return _mapping(hint, data, where, path)
    if hint is float and isinstance(data, int) and not isinstance(data, bool):
        return float(data)
    if not isinstance(data, hint) or (isinstance(data, bool) and hint is not bool):
        _fail(where, path, f"expected {hint.__name__}, got {_kind(data)}")
    return data


def _union(hint: Any, data: Any, where: str, path: str) -> Any:
    options = typing.get_args(hint)
    if data is None and type(None) in options:
        return None
    rest = [o for o in options if o is not type(None)]
    for option in rest[:-1]:
        try:
            return _value(option, data, where, path)
        except UserError:
            continue
    return _value(rest[-1], data, where, path)


def _sequence(hint: Any, origin: Any, data: Any, where: str, path: str) -> Any:
    if not isinstance(data, (list, tuple)):
        _fail(where, path, f"expected a list, got {_kind(data)}")
    args = typing.get_args(hint)
    if origin is tuple and len(args) > 1 and args[-1] is not Ellipsis:
        if len(args) != len(data):
            _fail(where, path, f"expected {len(args)} values, got {len(data)}")
        return tuple(_value(a, d, where, f"{path}[{i}]") for i, (a, d) in enumerate(zip(args, data)))
    if args[0] is int and all(type(d) is int for d in data):  # token ids: the common, long case
        return origin(data)
    return origin(_value(args[0], d, where, f"{path}[{i}]") for i, d in enumerate(data))


def _mapping(hint: Any, data: Any, where: str, path: str) -> Any:
    if not isinstance(data, Mapping):
        _fail(where, path, f"expected a table, got {_kind(data)}")
    args = typing.get_args(hint)
    inner = args[1] if args else Any
    return {str(k): _value(inner, v, where, f"{path}.{k}") for k, v in data.items()}


def _kind(data: Any) -> str:
    names = {type(None): "nothing", dict: "a table", list: "a list", tuple: "a list"}
    return names.get(type(data), f"{type(data).__name__} {str(data)[:40]!r}")
