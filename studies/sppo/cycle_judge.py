"""A judge whose preferences go round: it looks at a reply's first word and nothing else.

In: a prompt (not read) and two replies of the styles world. Out: P(a beats b) from `GAME`. The shipped model opens with one of four words,
each a token of its own, so that what self-play plays is the matrix game itself, in a language model.
"""

from __future__ import annotations

KINDS = ("Hello", "Yes", "Oh", "Welcome")  # and a fifth: anything else
# Hello beats Yes beats Oh beats Hello; Welcome loses to all three, anything else to all four. At the Nash policy, (.54, .23, .23, 0, 0),
# each of the three wins 1/2; the start, about (.24, .28, .27, .22, 0), has a duality gap of .22.
GAME = (
    (0.50, 0.65, 0.35, 0.75, 0.95),
    (0.35, 0.50, 0.85, 0.75, 0.95),
    (0.65, 0.15, 0.50, 0.75, 0.95),
    (0.25, 0.25, 0.25, 0.50, 0.95),
    (0.05, 0.05, 0.05, 0.05, 0.50),
)


def kind(reply: str) -> int:
    """The index into GAME of a reply, by its first word."""
    word = reply.strip().split(",")[0].split()[:1]
    return KINDS.index(word[0]) if word and word[0] in KINDS else len(KINDS)


def beats(prompt: str, a: str, b: str) -> float:
    """P(a beats b)."""
    return GAME[kind(a)][kind(b)]
