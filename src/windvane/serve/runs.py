"""Run folders and their reports, to look at: nothing is changed.

In: the folders named at the start. Out: a row a run (what it is, how far, its report). A report is a page of its own with its own
script, so it is sent into a sandbox of its own origin, where it can reach neither this service nor anybody's session.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import FileResponse, HTMLResponse, Response

from windvane.core.errors import UserError
from windvane.core.records import content_id
from windvane.report.status import clock, status
from windvane.serve.messages import Refusal, problems
from windvane.serve.pages import Pages

SANDBOX = (
    "sandbox allow-scripts; default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:; "
    "frame-ancestors 'none'"
)
MOST = 500  # runs in one list


def find(folders: Sequence[Path]) -> dict[str, Path]:
    """key -> run folder: each of `folders` that is one, and those one below, newest first."""
    found = []
    for folder in folders:
        below = sorted(p for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        found += [p for p in (folder, *below) if (p / "recipe.toml").exists() or (p / "run.lock").exists()]
    newest = sorted(found, key=lambda p: -p.stat().st_mtime)[:MOST]
    return {content_id(str(p.resolve())): p for p in newest}


def row(key: str, run: Path, now: float) -> dict[str, Any]:
    """What the list shows; a run whose files are broken says so in its place."""
    told: dict[str, Any] = {
        "key": key,
        "name": run.name,
        "recipe": "",
        "model": "",
        "state": "unknown",
        "at": "",
        "seconds": 0.0,
    }
    told["report"] = (run / "report.html").is_file()
    try:
        now_at = status(run, now)
        told["state"] = now_at["state"]
        told["seconds"] = sum(s["seconds"] for s in now_at["stages"])
        at = now_at["at"]
        if at:
            told["at"] = f"{at['stage']} {at['done']}/{at['total']}" if at["total"] else at["stage"]
        summary = run / "summary.json"
        if summary.exists():
            data = json.loads(summary.read_text(encoding="utf-8"))
            told |= {"recipe": str(data.get("recipe", "")), "model": Path(str(data.get("model", ""))).name}
    except (UserError, OSError, ValueError, AttributeError) as error:
        told["at"] = f"its files cannot be read: {' '.join(str(error).split())[:160]}"
    return told


def router(folders: Sequence[Path], pages: Pages) -> APIRouter:
    made = APIRouter(tags=["runs"])

    def listed() -> list[dict[str, Any]]:
        now = time.time()
        return [row(key, run, now) for key, run in find(folders).items()]

    @made.get("/runs", response_class=HTMLResponse, include_in_schema=False)
    def page(request: Request) -> HTMLResponse:
        rows = [{**r, "cost": clock(r["seconds"]) if r["seconds"] else ""} for r in listed()]
        return pages.show(request, "runs", rows=rows, named=bool(folders))

    @made.get("/api/v1/runs", responses=problems())
    def runs() -> dict[str, Any]:
        """The runs of the folders that the service was started with."""
        return {"runs": listed()}

    @made.get("/runs/{key}/report", include_in_schema=False)
    def report(key: str) -> Response:
        run = find(folders).get(key)
        if run is None or not (run / "report.html").is_file():
            raise Refusal(404, "no such report")
        return FileResponse(run / "report.html", media_type="text/html", headers={"content-security-policy": SANDBOX})

    return made
