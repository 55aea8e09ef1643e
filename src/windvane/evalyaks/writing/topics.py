"""What practice conversations are about, and the words of the programme that writes them: tables from data/speech/*.json.

In: `speech/topics.json`, `frames.json`, `contexts.json` of this package, written for this project. Out: `TOPICS` (parts 1 and 4), `SCENES`
and `PHOTO_QUESTIONS` (part 2), `TASKS` (part 3), `FRAMES` (sentence frames in four tiers, links, reactions), `LISTS` (names, places,
festivals, dishes, jobs, pastimes of the global and the Indian context, apart). "{name}", "{place}" and the like are filled in from a
context's lists; a writer that is a language model gets the topic's name and questions alone. EvalYaks (arXiv 2408.12226, section 4.1) mixes
contexts by such lists and publishes none.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from windvane.core.schema import decode

FOLDER = Path(__file__).with_name("tables")
CONTEXTS = ("global", "indian")


@dataclass(frozen=True, slots=True)
class Topic:
    """`acts`: (base form, -ing form) of what one does; `things`: nouns; `plain`: short facts; `reasons`: clauses after "because";
    `thoughts`: clauses after "I would say that"; `but`: clauses after "although"; `deeper`: part 4's questions."""

    name: str
    questions: tuple[str, ...]
    deeper: tuple[str, ...]
    acts: tuple[tuple[str, str], ...]
    things: tuple[str, ...]
    plain: tuple[str, ...]
    reasons: tuple[str, ...]
    thoughts: tuple[str, ...]
    but: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """A photograph: what it shows, nouns in it, what is being done (-ing forms)."""

    shows: str
    nouns: tuple[str, ...]
    doing: tuple[str, ...]


def _table(name: str) -> Any:
    return json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))


_topics = _table("topics")
TOPICS = tuple(decode(Topic, t, "topics.json") for t in _topics["topics"])
SCENES = tuple(Scene(shows, tuple(nouns), tuple(doing)) for shows, nouns, doing in _topics["scenes"])
PHOTO_QUESTIONS: tuple[str, ...] = tuple(_topics["photo_questions"])
TASKS: tuple[tuple[str, tuple[str, ...]], ...] = tuple((name, tuple(prompts)) for name, prompts in _topics["tasks"])
FRAMES: dict[str, Any] = _table("frames")
LISTS: dict[str, dict[str, list[str]]] = _table("contexts")
