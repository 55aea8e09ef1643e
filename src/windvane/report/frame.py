"""The frame of every page that stands alone: head, style, content security policy, the bar with its sections.

In: a template of this room and its values. Out: the page's text. Nothing is fetched: the style, and a script where the page has one, are
in the file, and the policy forbids the network and any script but that one. Everything is escaped by the template.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import jinja2
from markupsafe import Markup


@dataclass(frozen=True, slots=True)
class Script:
    text: Markup
    hash: Markup  # as a content security policy names it


def fill(template: str, sections: Sequence[tuple[str, str]], script: str | None = None, **values: Any) -> str:
    """`sections`: (anchor, name) in the bar. `script`: the name of a file of this room. `values`: what the template reads; a missing
    one is an error."""
    found = None
    if script is not None:
        text = _read(script)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        found = Script(Markup(text), Markup(f"sha256-{digest}"))
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read), autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )  # fmt: skip
    css = Markup(_read("page.css"))
    return environment.get_template(template).render(css=css, sections=sections, script=found, **values)


def _read(name: str) -> str:
    return (files("windvane") / "report" / name).read_text(encoding="utf-8")
