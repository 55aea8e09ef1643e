"""Normalised text: the form in which texts are compared."""

from __future__ import annotations

import re


def normalize(text: str) -> str:
    """The letters and digits of `text` in lower case, its words separated by single blanks and its punctuation removed."""
    return " ".join(re.findall(r"\w+", text.casefold()))
