"""RULER's variable tracking (tracing) and word counting (aggregation): vt, cwe, fwe.

In: a random generator and the target length. Out: a `Growing` question. Wording ("assgined" included), designs and the worked example
in front of vt and cwe as published. Departures: names and counts are drawn so that the answer is unambiguous; fwe leaves room for its
answer (the release fills the whole length with input).
"""

from __future__ import annotations

import itertools
import math
import random
import string

from windvane.evals.ruler.sample import Draft, Growing
from windvane.evals.ruler.words import NOISE, WordList

VT = (
    "Memorize and track the chain(s) of variable assignment hidden in the following text.\n\n{context}\nQuestion: Find all variables "
    "that are assigned the value {value} in the text above."
)
VT_PREFIX = (
    " Answer: According to the chain(s) of variable assignment in the text above, {n} variables are assgined the value {value}, "
    "they are: "
)
CWE = (
    "Below is a numbered list of words. In these words, some appear more often than others. Memorize the ones that appear most often.\n"
    "{context}\nQuestion: What are the 10 most common words in the above list?"
)
CWE_PREFIX = " Answer: The top 10 words that appear most often in the list are:"
FWE = (
    "Read the following coded text and track the frequency of each coded word. Find the three most frequently appeared coded words. "
    "{context}\nQuestion: Do not provide any explanation. Please ignore the dots '....'. What are the three most frequently appeared "
    "words in the above coded text?"
)
FWE_PREFIX = " Answer: According to the coded text above, the three most frequently appeared words are:"
ZETA2 = math.pi**2 / 6


def _names(rng: random.Random, n: int, letters: int, taken: set[str]) -> list[str]:
    found: list[str] = []
    while len(found) < n:
        name = "".join(rng.choices(string.ascii_uppercase, k=letters))
        if name not in taken:
            taken.add(name)
            found.append(name)
    return found


def _assigned(rng: random.Random, names: list[str], value: int, units: int) -> str:
    """`units` noise lines with the chain's assignments spread over them in order."""
    links = [f"VAR {names[0]} = {value}"] + [f"VAR {b} = VAR {a} " for a, b in itertools.pairwise(names)]
    places = sorted(int(rng.random() * units) for _ in links)
    lines = [NOISE + "\n"] * units
    for done, (place, link) in enumerate(zip(places, links)):
        lines.insert(place + done, link)
    return " ".join(lines).replace(". \n", ".\n")


def vt(rng: random.Random, hops: int = 4) -> Growing:
    """One chain of `hops` assignments from a 5-digit value; all hops + 1 names are asked for. Unit: a noise line."""
    taken: set[str] = set()
    names, other = _names(rng, hops + 1, 5, taken), _names(rng, hops + 1, 3, taken)
    value, shown = rng.sample(range(10_000, 99_999), 2)
    example = VT.format(context=_assigned(rng, other, shown, 5), value=shown)
    example += VT_PREFIX.format(n=hops + 1, value=shown) + " ".join(other) + "\n\n"
    seed = rng.getrandbits(64)

    def build(units: int) -> Draft:
        # The same fractions whatever the number of lines, so that one line more is only one line more.
        context = _assigned(random.Random(seed), names, value, units)
        text = example + VT.format(context=context, value=value)
        return Draft(text, VT_PREFIX.format(n=hops + 1, value=value), tuple(names), (None,) * len(names))

    return Growing(build)


def _numbered(words: list[str]) -> str:
    return " ".join(f"{i}. {word}" for i, word in enumerate(words, 1))


def cwe(rng: random.Random, small: bool, common: int = 10) -> Growing:
    """10 words stand 30 times each, the others 3 times; `small`, the published design below 4,096 tokens: 6 times and once.
    Unit: one more uncommon word."""
    often, rarely = (6, 1) if small else (30, 3)
    example_often, example_rarely, example_words = (3, 1, 20) if small else (10, 3, 40)
    words, seed = WordList(rng), rng.getrandbits(64)

    def listed(chosen: list[str], many: int, few: int) -> tuple[str, list[str]]:
        entries = chosen[:common] * many + chosen[common:] * few
        random.Random(seed).shuffle(entries)
        return _numbered(entries), chosen[:common]

    shown, top = listed(WordList(rng).first(example_words), example_often, example_rarely)
    example = CWE.format(context=shown) + CWE_PREFIX + " " + _numbered(top) + "\n"

    def build(units: int) -> Draft:
        context, answer = listed(words.first(common + units), often, rarely)
        return Draft(example + CWE.format(context=context), CWE_PREFIX, tuple(answer), (None,) * common)

    return Growing(build, source="6 and 1 repeats" if small else "")


def fwe(rng: random.Random, length: int) -> Growing:
    """Coded words of six letters, rank k standing int(n k^-2 / zeta(2)) times; rank 1 is dots, ranks 2-4 are asked for.

    Vocabulary length/50 as published. Unit: n + 1. n starts where rank 4 is more frequent than rank 5.
    """
    vocabulary = ["..."]
    known: set[str] = set()
    while len(vocabulary) < max(5, length // 50):
        word = "".join(rng.choices(string.ascii_lowercase, k=6))
        if word not in known:
            known.add(word)
            vocabulary.append(word)
    seed = rng.getrandbits(64)

    def counts(n: int) -> list[int]:
        return [int(n / k**2 / ZETA2) for k in range(1, len(vocabulary) + 1)]

    def build(units: int) -> Draft:
        words = [word for word, times in zip(vocabulary, counts(units)) for _ in range(times)]
        random.Random(seed).shuffle(words)
        return Draft(FWE.format(context=" ".join(words)), FWE_PREFIX, tuple(vocabulary[1:4]), (None,) * 3)

    least = next(n for n in range(1, 1000) if all(counts(m)[3] > counts(m)[4] for m in range(n, n + 200)))
    return Growing(build, least=least)
