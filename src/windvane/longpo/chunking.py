"""A document -> contiguous chunks of at most so many tokens, cut where the text itself has a border.

In: text, a limit, a way to count tokens, what kind of text it is. Out: `Span`s of characters, in order, disjoint; text[start:stop] is the
chunk to the letter. The text is cut at its own borders (LaTeX sections, top-level blocks of code, blank lines) and the pieces are packed
greedily; a piece that alone is too long is cut at the next finer border (blank line, line, sentence, space, at last anywhere).

Departures from LongPO's released code (arXiv 2502.13922): chunks are contiguous pieces of the text (there the pieces inside a chunk are
joined by one space), a long paragraph is cut rather than left out, and the limits are settings (there 16,384 to 30,000 tokens).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

Kind = Literal["auto", "blank", "latex", "code"]
Count = Callable[[Sequence[str]], list[int]]  # tokens of each text

# Where a piece may begin: at the end of a match.
BORDERS = {
    "latex": re.compile(r"(?m)^(?=[ \t]*\\(?:part|chapter|(?:sub)*section)\b)"),
    # a line at the margin after a blank one begins a block; a closing bracket ends one
    "code": re.compile(r"(?<=\n)[ \t\r]*\n(?=[^\s)\]}])"),
    "blank": re.compile(r"\n(?:[ \t\r]*\n)+"),
    "line": re.compile(r"\n"),
    "sentence": re.compile(r"""[.!?]["')\]]*\s+"""),
    "space": re.compile(r"\s+"),
}
FINER = {
    "latex": ("latex", "blank", "line", "sentence", "space"),
    "code": ("code", "blank", "line", "space"),
    "blank": ("blank", "line", "sentence", "space"),
}
CODE = frozenset(
    (
        ".py",
        ".c",
        ".h",
        ".cc",
        ".cpp",
        ".hpp",
        ".java",
        ".js",
        ".ts",
        ".go",
        ".rs",
        ".rb",
        ".php",
        ".cs",
        ".swift",
        ".kt",
        ".scala",
        ".jl",
    )
)


@dataclass(frozen=True, slots=True)
class Span:
    """[start, stop) in characters, and the tokens of that text alone."""

    start: int
    stop: int
    tokens: int


def kind_of(text: str, source: str = "") -> str:
    """Is "latex" where there are two sections or more, "code" by the source's suffix, else "blank"."""
    suffix = PurePath(source.partition(":")[0]).suffix.lower()
    if suffix in CODE:
        return "code"
    sections = BORDERS["latex"].finditer(text)
    return "latex" if next(sections, None) and next(sections, None) else "blank"


def chunks(text: str, limit: int, count: Count, kind: Kind = "auto", source: str = "") -> list[Span]:
    """The whole text as chunks of at most `limit` tokens each."""
    assert limit > 0
    if not text:
        return []
    levels = FINER[kind_of(text, source) if kind == "auto" else kind]
    parts = _pieces(text, Span(0, len(text), *count([text])), limit, levels, count)
    budget = limit
    while True:
        spans = _packed(parts, budget)
        exact = count([text[s.start : s.stop] for s in spans])
        excess = max(exact) - limit
        if excess <= 0 or budget <= 1:  # pieces apart may have fewer tokens than the text they make: pack less
            return [Span(s.start, s.stop, n) for s, n in zip(spans, exact)]
        budget = max(1, budget - max(1, excess // 2))


def _pieces(text: str, whole: Span, limit: int, levels: Sequence[str], count: Count) -> list[Span]:
    """`whole` cut at the coarsest level of borders it has, and what is still too long at the finer ones."""
    cuts: list[int] = []
    while levels and not cuts:
        border, levels = BORDERS[levels[0]], levels[1:]
        cuts = [m.end() for m in border.finditer(text, whole.start, whole.stop) if whole.start < m.end() < whole.stop]
    if not cuts:
        if whole.tokens <= limit or whole.stop - whole.start < 2:
            return [whole]
        cuts = [(whole.start + whole.stop) // 2]
    edges = [whole.start, *cuts, whole.stop]
    sizes = count([text[a:b] for a, b in itertools.pairwise(edges)])
    found: list[Span] = []
    for a, b, size in zip(edges, edges[1:], sizes):
        piece = Span(a, b, size)
        found += [piece] if size <= limit else _pieces(text, piece, limit, levels, count)
    return found


def _packed(parts: Sequence[Span], limit: int) -> list[Span]:
    """Neighbours put together, from the left, as long as their tokens add up to no more than `limit`."""
    found: list[Span] = []
    for part in parts:
        if found and found[-1].tokens + part.tokens <= limit:
            found[-1] = Span(found[-1].start, part.stop, found[-1].tokens + part.tokens)
        else:
            found.append(part)
    return found
