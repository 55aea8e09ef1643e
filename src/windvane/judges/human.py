"""A person at a terminal as a `PairJudge`: two answers, one after the other; 1, 2 or a tie.

In: pairwise questions. Out: 1, 0 or 1/2; None, with the reason, where the person skips. A pair asked in both orders is put once, in an
order drawn from the pair's own content, so neither the place nor anything else shown tells which answer is whose; the other order is its
complement (order disagreement is then 0 by construction, not by measurement). Text is shown without control characters, which could
move the cursor. `q`, end of input or Ctrl-C stop; what was answered before is kept by whoever keeps units of one pair.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from typing import TextIO

from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Response, seed_of

KEYS = "1: the first is better, 2: the second, t: a tie, s: skip, q: stop for now"
ANSWERS = {"1": 1.0, "2": 0.0, "t": 0.5}


class HumanJudge:
    """`asked` counts pairs put to the person; `reasons` says which were skipped."""

    def __init__(self, source: TextIO, screen: TextIO, width: int = 100) -> None:
        self.source, self.screen, self.width = source, screen, width
        self.reasons: dict[str, str] = {}
        self.asked = 0

    def judge(self, questions: Sequence[Question]) -> list[float | None]:
        """`UserError` where the person stops."""
        self.reasons = {}
        known: dict[tuple[str, str, str], float | None] = {}
        found: list[float | None] = []
        for q in questions:
            one, other = (q.prompt.id, q.first.id, q.second.id), (q.prompt.id, q.second.id, q.first.id)
            if one not in known:
                p = self._put(q)
                known[one], known[other] = p, None if p is None else 1.0 - p
            if known[one] is None:
                self.reasons[q.key] = "skipped by the person who judged"
            found.append(known[one])
        return found

    def _put(self, q: Question) -> float | None:
        ordered = sorted((q.first, q.second), key=lambda r: (r.text, r.id))
        turned = seed_of("human", q.prompt.id, ordered[0].text, ordered[1].text) % 2 == 1
        shown = ordered[::-1] if turned else ordered
        self.asked += 1
        self._show(q, shown)
        while True:
            self.screen.write(f"{KEYS}\n> ")
            self.screen.flush()
            line = self.source.readline()
            word = line.strip().lower()
            if not line or word == "q":
                raise UserError("stopped; the pairs judged so far are kept, the same command goes on with the next")
            if word == "s":
                return None
            if word in ANSWERS:
                p = ANSWERS[word]
                return p if shown[0] is q.first else 1.0 - p

    def _show(self, q: Question, shown: Sequence[Response]) -> None:
        rule = "=" * self.width
        parts = [rule, self._plain(q.prompt.text)]
        for number, answer in enumerate(shown, 1):
            parts += [f"--- answer {number} {'-' * (self.width - 13)}", self._plain(answer.text)]
        self.screen.write("\n".join([*parts, rule, ""]))

    def _plain(self, text: str) -> str:
        lines = []
        for line in text.expandtabs(4).splitlines():
            clean = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
            lines += textwrap.wrap(clean, self.width, replace_whitespace=False) or [""]
        return "\n".join(lines)


def open_judge(spec: str, device: str, dtype: str) -> HumanJudge:
    """`human`: standard input and output, which must be someone's terminal or a script's pipe."""
    if spec:
        raise UserError(f"judge human:{spec}: human takes nothing after it")
    return HumanJudge(sys.stdin, sys.stdout)
