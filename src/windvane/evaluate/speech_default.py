"""The shipped scorer, made again: `python -m windvane.evaluate.speech_default FILE.json`.

In: nothing but this package. Out: a proportional-odds model (speech_fit.py) a part and criterion, trained on 400 conversations a part that
the programme of data/speech_programme.py writes for an even distribution of bands. Of the two kinds the ordinal one was taken because it
gives probabilities of its own. Inner folds keep a
conversation whole; near-duplicate clusters are not used here, since the sentences of one programme chain nearly all conversations of a
part into one cluster.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from windvane.data.speech_plan import plans
from windvane.data.speech_programme import write
from windvane.evaluate.speech_fit import fit
from windvane.evaluate.speech_scorer import Scorer, save

ABOUT = (
    "a proportional-odds model of 34 countable features, trained on {count} conversations that a programme of this project wrote for planned "
    "bands; no person wrote or marked any of them"
)


def train(count: int = 400, parts: Sequence[int] = (1, 2, 3, 4), seed: int = 0) -> Scorer:
    """`count` conversations a part."""
    records = [write(plan, seed) for plan in plans(count, parts, seed=seed)]
    return fit(records, "ordinal", ABOUT.format(count=f"{len(records):,}"))


def main(argv: Sequence[str]) -> int:
    """Write the scorer to the file named."""
    save(train(), Path(argv[0]) if argv else Path(__file__).with_name("scorers") / "default.json")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
