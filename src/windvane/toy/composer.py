"""The composer on the embedded world: its 16 values as a taxonomy, and the words of its system messages.

In: nothing, or chosen values. Out: a `Taxonomy` of the world's values; a system message in the wordings that its model was taught. The
world's model knows few words, so what is asked of it must be in them; one's own words are said as they are, and are mostly not
understood.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from windvane.core.records import seed_of
from windvane.janus.taxonomy import Dimension, Taxonomy
from windvane.janus.value_prompts import Value
from windvane.toy.values.messages import PERSONAS, VALUES, message

MODEL = "world:values"
ASK = "Tell me about the wolf."  # a topic and a template that training holds out


def world_taxonomy() -> Taxonomy:
    """Four dimensions of four values."""
    found: dict[str, list[Value]] = {}
    for v in VALUES.values():
        found.setdefault(v.told.dimension, []).append(v.told)
    return Taxonomy(tuple(Dimension(name, "", tuple(values)) for name, values in found.items()))


def world_message(values: Sequence[Value]) -> str:
    """The same for the same values."""
    key_of = {(v.told.dimension, v.told.preference): key for key, v in VALUES.items()}
    keys = [key_of[v.dimension, v.preference] for v in values if (v.dimension, v.preference) in key_of]
    own = [v.preference.rstrip(".") + "." for v in values if (v.dimension, v.preference) not in key_of]
    head = message(random.Random(seed_of("composer", *keys)), keys) if keys else PERSONAS[0]
    return " ".join([head, *own])
