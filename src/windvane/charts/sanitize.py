"""Somebody's SVG -> the same drawing with nothing in it that could act: what may stand inside the page.

In: the text of an SVG file. Out: markup made anew from a list of known elements and attributes; everything else is left out with what it
holds. No scripts, events, links, images, animations or embedded pages; references only within the drawing; style sheets only without
imports, addresses and escapes. `UserError` where it is no SVG, or one too large.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

from markupsafe import Markup, escape

from windvane.core.errors import UserError

LARGEST = 3_000_000  # characters
DEEPEST = 40
ELEMENTS = frozenset(
    """svg g defs title desc style path rect circle ellipse line polyline polygon text tspan use clipPath linearGradient radialGradient stop
    marker symbol pattern""".split()  # noqa: SIM905
)
ATTRIBUTES = frozenset(
    """id class style role aria-label aria-labelledby aria-describedby aria-hidden viewBox preserveAspectRatio width height x y x1 y1 x2 y2
    dx dy cx cy r rx ry d points transform fill fill-opacity fill-rule stroke stroke-width stroke-opacity stroke-dasharray
    stroke-dashoffset stroke-linecap stroke-linejoin stroke-miterlimit opacity font-size font-family font-weight font-style text-anchor
    dominant-baseline alignment-baseline letter-spacing textLength lengthAdjust rotate clip-path clip-rule clipPathUnits offset
    stop-color stop-opacity gradientUnits gradientTransform spreadMethod fx fy markerWidth markerHeight markerUnits refX refY orient
    marker-start marker-end marker-mid patternUnits patternContentUnits patternTransform paint-order vector-effect visibility display
    href""".split()  # noqa: SIM905
)
SPACE = "{http://www.w3.org/2000/svg}"
LINK = "{http://www.w3.org/1999/xlink}href"
INSIDE = re.compile(r"url\(\s*[\"']?#[\w.:-]+[\"']?\s*\)", re.IGNORECASE)
FORBIDDEN = re.compile(
    r"url\(|src\(|@import|@font-face|expression\(|image(-set)?\(|javascript:|:host|\\", re.IGNORECASE
)
DOCTYPE = re.compile(r"<!DOCTYPE[^\[>]*>", re.IGNORECASE)


def clean(text: str) -> Markup:
    """The drawing as HTML can hold it, one `<svg>` element."""
    if len(text) > LARGEST:
        raise UserError(f"a drawing of {len(text):,} characters; at most {LARGEST:,} are shown")
    text = DOCTYPE.sub("", text, count=1)
    if "<!DOCTYPE" in text.upper() or "<!ENTITY" in text.upper():
        raise UserError("declares entities; a drawing needs none")
    try:
        root = ElementTree.fromstring(text)
    except (ElementTree.ParseError, ValueError, RecursionError) as error:
        raise UserError(f"not an SVG ({error})") from None
    if root.tag not in (f"{SPACE}svg", "svg"):
        raise UserError("not an SVG: its root is another element")
    for name in ("x", "y"):
        root.attrib.pop(name, None)
    size = [root.get(name, "").removesuffix("px").removesuffix("pt") for name in ("width", "height")]
    if "viewBox" not in root.attrib and all(re.fullmatch(r"\d+(\.\d+)?", s) for s in size):
        root.set("viewBox", f"0 0 {size[0]} {size[1]}")
    box = re.fullmatch(r"\s*\S+[\s,]+\S+[\s,]+(\d+(?:\.\d+)?)[\s,]+\d+(?:\.\d+)?\s*", root.get("viewBox", ""))
    width = min(float(box.group(1)), 960.0) if box else 720.0
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    # As wide as drawn where there is room; on a narrow screen no narrower than can be read: its box scrolls.
    root.set("style", f"display:block;height:auto;width:clamp(min(28rem,{width:g}px),100%,{width:g}px)")
    return Markup(_element(root, 0))


def _element(node: ElementTree.Element, depth: int) -> str:
    if depth > DEEPEST:
        raise UserError(f"elements within elements more than {DEEPEST} deep")
    name = node.tag.removeprefix(SPACE) if isinstance(node.tag, str) else ""
    if name not in ELEMENTS:
        return ""
    if name == "style":
        css = "".join(node.itertext())
        return "" if "<" in css or _acts(css) else f"<style>{escape(css)}</style>"
    parts = [f"<{name}"]
    for key, value in node.attrib.items():
        plain = "href" if key == LINK else key
        if plain in ATTRIBUTES and not _acts(value) and (plain != "href" or value.startswith("#")):
            parts.append(f' {plain}="{escape(value)}"')
    parts.append(">")
    parts.append(str(escape(node.text or "")))
    if name not in ("title", "desc"):  # HTML begins again inside these: words alone
        for child in node:
            parts += [_element(child, depth + 1), str(escape(child.tail or ""))]
    return "".join([*parts, f"</{name}>"])


def _acts(value: str) -> bool:
    """Whether a style or an attribute reaches outside the drawing. A picture by its own parts, url(#part), does not."""
    return bool(FORBIDDEN.search(INSIDE.sub("", value)))
