"""Chunks: contiguous, within their limit, cut where the text has a border."""

import os
from pathlib import Path

from windvane.longpo.chunking import Span, chunks, kind_of

PARAGRAPHS = "one two three\n\nfour five\n \nsix\n\n\nseven eight nine ten\n\neleven"
LATEX = "intro words here\n\\section{A} a a a\n\nb b\n\\subsection{B} c c\n\\section*{C} d"
CODE = "import os\n\n\ndef f(a):\n    x = 1\n\n    return x\n\n\n@wrap\ndef g(\n    b,\n\n):\n    pass\n"


def words(texts):
    return [len(t.split()) for t in texts]


def cut(text, limit, **options):
    found = chunks(text, limit, words, **options)
    assert [s.start for s in found[1:]] == [s.stop for s in found[:-1]], "contiguous and disjoint"
    assert (found[0].start, found[-1].stop) == (0, len(text)), "the whole text"
    assert all(s.tokens == words([text[s.start : s.stop]])[0] <= limit for s in found)
    return [text[s.start : s.stop] for s in found]


def test_blank_lines_packed_greedily():
    assert cut(PARAGRAPHS, 6, kind="blank") == [
        "one two three\n\nfour five\n \nsix\n\n\n",
        "seven eight nine ten\n\neleven",
    ]
    assert cut(PARAGRAPHS, 5, kind="blank")[0] == "one two three\n\nfour five\n \n", "a line of spaces is blank"
    assert cut(PARAGRAPHS, 100) == [PARAGRAPHS]


def test_latex_sections():
    assert kind_of(LATEX) == "latex" and kind_of("\\section{one alone}") == "blank"
    parts = ["intro words here\n", "\\section{A} a a a\n\nb b\n", "\\subsection{B} c c\n\\section*{C} d"]
    assert cut(LATEX, 8) == parts, "3, 6, 3 and 2 words"
    assert cut(LATEX, 9) == ["".join(parts[:2]), parts[2]]
    assert cut(LATEX, 5)[1:3] == ["\\section{A} a a a\n\n", "b b\n\\subsection{B} c c\n"], (
        "a long section at its blank line"
    )


def test_code_is_cut_between_top_level_blocks():
    assert kind_of(CODE, "a/b.py: row 3") == "code" and kind_of(CODE, "b.txt") == "blank"
    assert cut(CODE, 8, source="m.py") == [
        "import os\n\n\ndef f(a):\n    x = 1\n\n    return x\n\n\n"[: CODE.index("def f")],
        CODE[CODE.index("def f") : CODE.index("@wrap")],
        CODE[CODE.index("@wrap") :],
    ], "not at the blank lines inside f"
    assert cut("a b\n\nf(\n\n)\n\nc", 3, kind="code") == ["a b\n\n", "f(\n\n)\n\nc"], "nor before a closing bracket"


def test_what_is_too_long_is_cut_at_the_next_finer_border():
    text = "a b c. d e f. g h\n\ni"
    assert cut(text, 3, kind="blank") == ["a b c. ", "d e f. ", "g h\n\ni"]
    assert cut("x" * 10, 1, kind="blank") == ["x" * 10], "one word is one token here"
    found = chunks("x" * 10, 3, lambda texts: [len(t) for t in texts], kind="blank")
    assert [(s.start, s.stop) for s in found] == [(0, 2), (2, 5), (5, 7), (7, 10)], "at last anywhere"


def test_tokens_are_those_of_the_whole_chunk():
    """Pieces apart may have fewer tokens than together: the limit holds for what is read."""

    def count(texts):
        return [len(t.split()) + t.strip().count("\n\n") for t in texts]

    found = chunks("a\n\nb\n\nc\n\nd\n\ne", 3, count, kind="blank")
    assert [s.tokens for s in found] == [3, 3, 1]


def test_nothing_of_nothing():
    assert chunks("", 5, words) == []
    assert chunks("a", 5, words) == [Span(0, 1, 1)]


def test_a_real_module():
    text = (Path(os.__file__).parent / "typing.py").read_text()
    parts = cut(text, 3000, source="typing.py")
    assert len(parts) > 2
    assert not [p for p in parts[1:] if p[0] in " \t\n)"], "every chunk begins at the margin"
