"""The pages' frame: templates that escape everything, assets that the service itself gives, words that several pages use.

In: a template's name and its values. Out: an HTML response. No style or script stands in a page; nothing is loaded from elsewhere.
"""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse

from windvane.serve.site import Site

ROOM = Path(str(files("windvane") / "serve"))
PLACES = (
    ("/speaking", "Speaking"),
    ("/validation", "Validation"),
    ("/composer", "Composer"),
    ("/runs", "Runs"),
    ("/api", "API"),
)


class Pages:
    def __init__(self, site: Site) -> None:
        self.site = site
        self._environment = jinja2.Environment(
            loader=jinja2.FileSystemLoader(ROOM / "pages"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )

    def show(self, request: Request, name: str, status: int = 200, **values: Any) -> HTMLResponse:
        """The page `name`.html; `person` is who is signed in."""
        text = self._environment.get_template(f"{name}.html").render(
            places=PLACES,
            here=request.url.path,
            person=getattr(request.state, "person", None),
            signing=bool(self.site.people),
            **values,
        )
        return HTMLResponse(text, status)
