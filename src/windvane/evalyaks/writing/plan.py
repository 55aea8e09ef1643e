"""What conversations are to be written: a plan each, for a planned distribution of bands, part by part and context by context.

In: how many, the parts, the shares of the bands, the share of each context, word lists. Out: `Plan`s, whose counts are exactly the planned
ones (largest remainders), not draws. Criteria of one plan differ by at most `spread` (2 in EvalYaks, arXiv 2408.12226, section 4.1,
where the combination is dictated too). The same settings and seed give the same plans; a plan's id comes from its content.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from windvane.core.errors import UserError
from windvane.core.records import content_id, seed_of
from windvane.evalyaks.levels import Listed, by_level
from windvane.evalyaks.transcripts.record import PART_CRITERIA
from windvane.evalyaks.writing.topics import CONTEXTS, LISTS, PHOTO_QUESTIONS, SCENES, TASKS, TOPICS

EVEN = {1: 0.2, 2: 0.2, 3: 0.2, 4: 0.2, 5: 0.2}
OWN = {
    "name": "names",
    "place": "places",
    "festival": "festivals",
    "dish": "dishes",
    "job": "jobs",
    "pastime": "pastimes",
}
WORD_LEVELS = {
    1: ("A1", "A2"),
    2: ("A2", "B1"),
    3: ("B1", "A2"),
    4: ("B1", "B2"),
    5: ("B2", "B1"),
}  # of words suggested, by GV


@dataclass(frozen=True, slots=True)
class Plan:
    """One conversation to write. `scores`: band by criterion; `topic`: of parts 1, 3 and 4; `photos`: of part 2; `prompts`: of part 3;
    `questions`: the examiner's; `own`: names, places and the like of its context; `words`: level -> words that may be used."""

    id: str
    part: int
    scores: Mapping[str, int]
    setting: str
    topic: str
    questions: tuple[str, ...]
    photos: tuple[str, ...]
    prompts: tuple[str, ...]
    own: Mapping[str, str]
    words: Mapping[str, tuple[str, ...]]
    number: int

    @property
    def context(self) -> dict[str, str]:
        """The task as a transcript's context holds it."""
        names = ("ONE", "TWO", "THREE", "FOUR")
        found = {f"PHOTO_{n}": t for n, t in zip(names, self.photos)}
        if self.part == 3:
            found["task"] = f"Talk together about {self.topic}: {', '.join(self.prompts)}."
        return found


def plans(
    count: int,
    parts: Sequence[int] = (1, 2, 3, 4),
    bands: Mapping[int, float] = EVEN,
    contexts: Mapping[str, float] | None = None,
    spread: int = 2,
    words: Sequence[Listed] = (),
    seed: int = 0,
) -> list[Plan]:
    """`count` plans a part. `bands`: share of each band of the first criterion; `contexts`: share of each context (even)."""
    shares = {b: s for b, s in bands.items() if s > 0}
    homes = dict(contexts or dict.fromkeys(CONTEXTS, 1.0))
    if count < 1 or not shares or any(b not in EVEN for b in shares) or not 0 <= spread <= 4:
        raise UserError(
            f"plans: {count} a part, bands {dict(bands)}, spread {spread}: take at least 1, bands 1 to 5 and 0 to 4"
        )
    unknown = [h for h in homes if h not in CONTEXTS]
    if unknown or not sum(homes.values()) > 0:
        raise UserError(
            f"plans: context {unknown[0] if unknown else homes!r} is not known; there are: {', '.join(CONTEXTS)}"
        )
    listed = by_level(list(words))
    found = []
    for part in parts:
        if part not in PART_CRITERIA:
            raise UserError(f"plans: part {part} is none of 1, 2, 3, 4")
        rng = random.Random(seed_of(seed, "plans", part))
        first = exactly(count, shares, rng)
        home = exactly(count, homes, rng)
        for number, (band, setting) in enumerate(zip(first, home)):
            scores = _scores(part, int(band), spread, rng)
            found.append(_plan(part, number, scores, str(setting), listed, rng))
    return found


def exactly(count: int, shares: Mapping[int, float] | Mapping[str, float], rng: random.Random) -> list[int | str]:
    """`count` keys in these shares as nearly as whole numbers allow (largest remainders), shuffled."""
    total = sum(shares.values())
    exact = {k: count * s / total for k, s in shares.items()}
    counts = {k: int(v) for k, v in exact.items()}
    # among equal remainders the order is drawn by the count, not by the key, or small numbers would all be low bands
    order = {k: (round(counts[k] - v, 9), seed_of("remainder", count, k)) for k, v in exact.items()}
    for k in sorted(exact, key=order.__getitem__)[: count - sum(counts.values())]:
        counts[k] += 1
    keys: list[int | str] = [k for k, n in counts.items() for _ in range(n)]
    rng.shuffle(keys)
    return keys


def _scores(part: int, first: int, spread: int, rng: random.Random) -> dict[str, int]:
    """The other criteria near the first one, every two within `spread`."""
    names = PART_CRITERIA[part]
    while True:
        found = {names[0]: first}
        for c in names[1:]:
            found[c] = min(
                5,
                max(
                    1,
                    first
                    + rng.choices(
                        range(-spread, spread + 1), [1 / (1 + abs(d)) ** 2 for d in range(-spread, spread + 1)]
                    )[0],
                ),
            )
        if max(found.values()) - min(found.values()) <= spread:
            return found


def _plan(
    part: int,
    number: int,
    scores: dict[str, int],
    setting: str,
    listed: Mapping[str, Sequence[Listed]],
    rng: random.Random,
) -> Plan:
    own = {kind: rng.choice(LISTS[setting][several]) for kind, several in OWN.items()}
    own["partner"] = rng.choice([n for n in LISTS[setting]["names"] if n != own["name"]])
    topic = rng.choice(TOPICS)
    questions: tuple[str, ...] = ()
    photos: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ()
    name = topic.name
    if part == 1:
        more = rng.choice([t for t in TOPICS if t is not topic])
        questions = (*rng.sample(topic.questions, 2), *rng.sample(more.questions, 2))
    elif part == 2:
        photos = tuple(s.shows for s in rng.sample(SCENES, 4))
        asked = rng.choice(PHOTO_QUESTIONS)
        questions = (
            f"Here are your photographs. I'd like you to compare the first two, and say {asked}.",
            "Which of these two situations would you prefer to be in?",
            "Now look at the other two photographs. Which one do you like better?",
        )
        name = asked
    elif part == 3:
        task = rng.choice(TASKS)
        name, prompts = task
        questions = (f"Now talk to each other about {name}.", "Now decide together which of them would be best.")
    else:
        questions = (*topic.deeper, *rng.sample([q for t in TOPICS if t is not topic for q in t.deeper], 2))
    words: dict[str, tuple[str, ...]] = {}
    for level in WORD_LEVELS[scores["GV"]]:
        some = [w.text for w in listed.get(level, ()) if w.context in (None, setting)]
        if some:
            words[level] = tuple(rng.sample(some, min(8, len(some))))
    body = [part, scores, setting, name, questions, photos, prompts, own, words, number]
    return Plan(content_id(body), part, scores, setting, name, questions, photos, prompts, own, words, number)
