"""Does a text hold a benchmark's prompt? What a model is trained on must not.

In: the benchmark's prompts. Out: for any text the reason why it leaks, or None: it is one of them, it holds a short one whole (6 words or
more), or it shares 13 words in a row with a longer one (the length that GPT-3's authors checked by, arXiv 2005.14165, appendix C). Words
are compared in lower case without punctuation.
"""

from __future__ import annotations

from collections.abc import Sequence

from windvane.core.text import normalize

RUN, SHORTEST = 13, 6  # words


class Leakage:
    """`names`: what each prompt is called in reasons, such as 'bench.jsonl: row 3'."""

    def __init__(self, prompts: Sequence[str], names: Sequence[str]) -> None:
        assert len(prompts) == len(names)
        self._whole: dict[str, str] = {}
        self._runs: dict[tuple[str, ...], str] = {}
        self._sizes: set[int] = set()
        for prompt, name in zip(prompts, names):
            words = tuple(normalize(prompt).split())
            self._whole.setdefault(" ".join(words), name)
            size = min(RUN, len(words))
            if size >= SHORTEST:
                self._sizes.add(size)
                for i in range(len(words) - size + 1):
                    self._runs.setdefault(words[i : i + size], name)

    def reason(self, text: str) -> str | None:
        """Why `text` must not be trained on, or None."""
        whole = normalize(text)
        if whole and whole in self._whole:
            return f"is the benchmark's prompt {self._whole[whole]}"
        words = tuple(whole.split())
        for size in sorted(self._sizes):
            for i in range(len(words) - size + 1):
                name = self._runs.get(words[i : i + size])
                if name is not None:
                    return f"shares {size} words in a row with the benchmark's prompt {name}"
        return None
