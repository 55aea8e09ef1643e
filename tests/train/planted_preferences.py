"""Planted preferences between texts of three kinds, by the words they are made of: a cycle (A beats B beats C beats A) or an order (A
beats B beats C, A beats C). Texts are drawn; the held-out ones are none of the trained ones."""

import random

from windvane.core.records import Message, Prompt
from windvane.datasets.preference_pairs import PreferencePair

WORDS = {
    "A": ("red", "ruby", "rose", "rust"),
    "B": ("blue", "navy", "cyan", "sky"),
    "C": ("lime", "moss", "jade", "pea"),
}
BEATS = {"cycle": ("AB", "BC", "CA"), "order": ("AB", "BC", "AC")}


def planted(plant, count, seed, seen=frozenset()):
    """`count` pairs, the three kinds of pair in turn, whose texts are none of `seen`; each text is used once."""
    rng, used = random.Random(f"{plant}-{seed}"), set(seen)

    def text(kind):
        while (made := " ".join(rng.choice(WORDS[kind]) for _ in range(5))) in used:
            pass
        used.add(made)
        return made

    found = []
    for i in range(count):
        winner, loser = BEATS[plant][i % 3]
        prompt = Prompt.of((Message("user", f"colours {rng.randrange(10**6)}"),))
        found.append(PreferencePair(prompt, text(winner), text(loser), 1.0, 0.0, f"row {i + 1}"))
    return found


def texts(pairs):
    return frozenset(t for p in pairs for t in (p.chosen, p.rejected))
