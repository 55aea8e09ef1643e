"""JSON and Python literals without losing what stands twice.

In: text. Out: the value, each object as `Pairs` (a key that stands twice stays twice: two turns of one speaker, or two contradictory
scores), or None where the text is no such literal.
"""

from __future__ import annotations

import ast
import json
import warnings
from typing import Any


class Pairs(list[tuple[str, Any]]):
    """An object as it is written: (key, value), in order."""


DECODER = json.JSONDecoder(object_pairs_hook=Pairs)


def json_value(text: str, strict: bool = True) -> Any:
    """`strict` refuses raw line ends inside strings, as JSON does."""
    try:
        return json.loads(text, object_pairs_hook=Pairs, strict=strict)
    except (ValueError, RecursionError):
        return None


def python_value(text: str) -> Any:
    """Of strings, numbers, lists, tuples and dicts alone."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SyntaxWarning)  # "\\d" in what somebody said
            return _value(ast.parse(text.strip(), mode="eval").body)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return None


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, (ast.List, ast.Tuple)):
        return [_value(item) for item in node.elts]
    if isinstance(node, ast.Dict) and all(key is not None for key in node.keys):
        return Pairs((_value(key), _value(value)) for key, value in zip(node.keys, node.values) if key is not None)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
        return ast.literal_eval(node)
    raise ValueError("no literal")
