"""PairRM's texts -> rows of token ids, each text cut to its own budget.

In: `Texts` and a tokenizer with the four marks. Out: `Row`s, and for each row how many tokens of the prompt, the first and the second
answer were left off. A row has room for S + 2C tokens (PairRM: 1224 + 2 x 412 = 2048), marks and separators counted. The prompt is cut to
its first S; what each answer may take is the `budget`:

- "blender": C + (S - prompt's length)//2, what LLM-Blender gives at a batch size of 1, where the longest prompt of the batch is the only
  one. It is also (S + 2C - length)//2, what the card of PairRM-hf computes row by row: the same number. At larger batch sizes Blender
  takes the longest prompt of the batch instead, so that a score depends on its neighbours; here it never does.
- "fixed": C, whatever the prompt's length.

As in the package "[SEP]" in a text becomes a space. A mark that a text spells out is left out; the package would read it as its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from tokenizers import Tokenizer

from windvane.judges.pairrm.model import Row
from windvane.judges.pairrm.text import Texts

SOURCE, FIRST, SECOND, CANDIDATE = MARKS = ("<|source|>", "<|candidate1|>", "<|candidate2|>", "<|candidate|>")
CLS, SEP = "[CLS]", "[SEP]"
Budget = Literal["blender", "fixed"]


@dataclass(frozen=True, slots=True)
class Limits:
    """Tokens of the prompt (S) and of an answer (C), each with [CLS], its mark and [SEP]. Defaults: PairRM's card."""

    source: int = 1224
    candidate: int = 412


class RowMaker:
    """`tokenizer` is used as its file has it: without padding or cutting of its own."""

    def __init__(self, tokenizer: Tokenizer, limits: Limits, budget: Budget = "blender") -> None:
        self.tokenizer, self.limits, self.budget = tokenizer, limits, budget
        tokenizer.no_padding()
        tokenizer.no_truncation()
        vocabulary = tokenizer.get_vocab(with_added_tokens=True)
        self.cls, self.sep = vocabulary[CLS], vocabulary[SEP]
        self.marks = {mark: vocabulary[mark] for mark in MARKS}

    def rows(self, compared: Sequence[Texts]) -> list[tuple[Row, tuple[int, int, int]]]:
        """Each row with the numbers of tokens left off. Every text is tokenised once a call, whatever the number of its rows."""
        sources = self._tokens(SOURCE, [t.source for t in compared])
        answers = self._tokens(CANDIDATE, [a for t in compared for a in (t.first, t.second)])
        return [self._row(sources[t.source], answers[t.first], answers[t.second]) for t in compared]

    def _tokens(self, mark: str, said: Sequence[str]) -> dict[str, list[int]]:
        """Text -> its ids, without mark and separators."""
        unique = list(dict.fromkeys(said))
        # The mark goes through the tokenizer with its text, since what a text begins with is normalised differently.
        encoded = self.tokenizer.encode_batch(
            [mark + text.replace(SEP, " ") for text in unique], add_special_tokens=False
        )
        marks = set(self.marks.values())
        return {text: [i for i in e.ids[1:] if i not in marks] for text, e in zip(unique, encoded)}

    def _row(self, source: list[int], first: list[int], second: list[int]) -> tuple[Row, tuple[int, int, int]]:
        x, left_x = self._segment(SOURCE, source, self.limits.source)
        room = self.limits.candidate
        if self.budget == "blender":
            room += (self.limits.source - len(x)) // 2
        a, left_a = self._segment(FIRST, first, room)
        b, left_b = self._segment(SECOND, second, room)
        # The mark follows [CLS] in each segment.
        return Row((*x, *a, *b), (1, len(x) + 1, len(x) + len(a) + 1)), (left_x, left_a, left_b)

    def _segment(self, mark: str, ids: list[int], room: int) -> tuple[list[int], int]:
        kept = ids[: room - 3]
        return [self.cls, self.marks[mark], *kept, self.sep], len(ids) - len(kept)
