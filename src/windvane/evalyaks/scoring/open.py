"""Scorers of transcripts by their names, and what stands behind a name.

scorer = open_scorer("default")  # or FILE.json, or a model's or backend's name
assessment = scorer.assess([record])[0]
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from windvane.core.records import content_id
from windvane.core.schema import encode
from windvane.evalyaks.scoring.score import FeatureScorer, TranscriptScorer
from windvane.evalyaks.scoring.weights import load, shipped
from windvane.runs.store import file_sha256

DEFAULT = "default"


def open_scorer(spec: str = DEFAULT, **options: Any) -> TranscriptScorer:
    """`default` (shipped, weight-free), FILE.json (a saved weight-free scorer), else a model's or backend's name (`options`:
    `open_model`'s: device, dtype, method, adapters, server, calls)."""
    if spec == DEFAULT:
        return FeatureScorer(spec, shipped())
    if spec.endswith(".json"):
        return FeatureScorer(spec, load(Path(spec)))
    from windvane.evalyaks.scoring.model import open_model  # loads torch, which the other scorers do without

    return open_model(spec, **options)


def made_of(spec: str) -> list[list[str]]:
    """What files stand behind a scorer's name, so that one that was made again under the name is seen to be another: a file's hash, a
    folder's files with their sizes and times (weights are too large to hash before each start). Empty where there is no such place: a
    server, a hub's model."""
    kind, sign, rest = spec.partition(":")
    place = Path(rest if sign and kind in ("local", "scripted") else spec)
    if spec == DEFAULT:
        return [[content_id(encode(shipped()))]]
    if place.is_file():
        return [[file_sha256(place)]]
    files = sorted(f for f in place.iterdir() if f.is_file()) if place.is_dir() else []
    return [[f.name, str(f.stat().st_size), str(f.stat().st_mtime_ns)] for f in files]
