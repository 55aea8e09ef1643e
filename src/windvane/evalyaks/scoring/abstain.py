"""When not to score: empty, wrong language, off-task or over-long input, and why.

In: a transcript. Out: None, or one line that says why no band should be given. The rules, in this order:

- empty: the candidate says fewer than 3 words;
- too long: more than 5,000 words by the candidate (the whole real test, four parts, lasts 14 minutes): one part at a time;
- not connected English: of 12 words or more, under 5% are function words (a list of words, code, random letters);
- wrong language: py3langid (naive Bayes over byte n-grams, its model in the package) takes the turns that together have more
  than half of the candidate's letters for other languages than English (looked at where a turn has 20 letters);
- nothing of their own: nothing is left when repetitions, others' words and asking for marks are set aside (evalyaks/scoring/clean.py);
- off-task, in part 2 alone, where the photos are described (25 different content words with the questions): a candidate of 8 content
  words or more who uses next to none of them (under 7%; by their first five letters).

An answer to "What do you do in your free time?" need not share a word with it, so in the other parts an off-task answer is not seen by
any count of words, and no rule here pretends to
(docs/papers/evalyaks.md has how often each rule fires). EvalYaks (arXiv 2408.12226) scores whatever it is given.
"""

from __future__ import annotations

from windvane.evalyaks.scoring.clean import Cleaned, cleaned, words
from windvane.evalyaks.scoring.language import ENGLISH, identifier
from windvane.evalyaks.scoring.words import FUNCTION
from windvane.evalyaks.transcripts.record import Transcript

LEAST_WORDS, MOST_WORDS = 3, 5000
LIST_WORDS, LIST_SHARE, ENGLISH_SHARE = 12, 0.05, 0.25
LETTERS = 20  # of a turn (bytes of UTF-8, as a Chinese letter says more), below which no language is told
TASK_WORDS, OWN_WORDS, SHARED = 25, 8, 0.07
SEEN = 20_000  # letters of a turn that its language is told by
STEM = 5  # letters by which "cooking" and "cooks" are one word


def abstains(record: Transcript, seen: Cleaned | None = None) -> str | None:
    """Why `record` should not be scored; None where nothing speaks against it. `seen`: its `cleaned` form, where it is there already."""
    clear = seen or cleaned(record)
    said = clear.plain.said()
    count = len(words(said))
    if count < LEAST_WORDS:
        return foreign(clear.plain) or f"empty: the candidate says {count} words"
    if count > MOST_WORDS:
        return f"too long: {count} words by the candidate, {MOST_WORDS} at most; give one part of the test at a time"
    # a quarter of function words is English whatever the letters' statistics say
    language = foreign(clear.plain) if not said.isascii() or _function_share(said) < ENGLISH_SHARE else None
    if language:
        return language
    if _function_share(said) < LIST_SHARE and count >= LIST_WORDS:
        return f"not connected English: under {LIST_SHARE:.0%} of {count} words are function words"
    own = words(clear.record.said())
    if len(own) < LEAST_WORDS:
        return "nothing of their own: only repetitions, the task's or others' words, or asking for marks"
    return off_task(clear.record)


def foreign(record: Transcript) -> str | None:
    """The language that most of what the candidate says is in, where it is not English."""
    letters = other = 0
    named: dict[str, int] = {}
    for turn in record.turns:
        size = sum(len(c.encode()) for c in turn.text[:SEEN] if c.isalpha())
        if turn.role != "candidate" or size < LETTERS:
            continue
        letters += size
        language, sure = identifier().classify(turn.text[:SEEN])
        if language not in ENGLISH:
            other += size
            named[language if sure > 0.9 else ""] = named.get(language if sure > 0.9 else "", 0) + size
    if 2 * other <= letters:
        return None
    most = max(named, key=lambda name: (named[name], name))
    told = f" (it looks like '{most}')" if most else ""
    return f"wrong language: {other / letters:.0%} of what the candidate says is not English{told}"


def off_task(record: Transcript) -> str | None:
    """`record`: cleaned. See the module's last rule."""
    if record.part != 2 or not record.context:
        return None
    others = [*record.context.values(), *(t.text for t in record.turns if t.role != "candidate")]
    task, own = stems("\n".join(others)), stems(record.said())
    if len(task) < TASK_WORDS or len(own) < OWN_WORDS:
        return None
    shared = len(own & task) / len(own)
    return (
        f"off-task: {len(own & task)} of the candidate's {len(own)} content words are the task's"
        if shared < SHARED
        else None
    )


def stems(text: str) -> set[str]:
    """Different content words by their first five letters."""
    return {w[:STEM] for w in words(text) if w not in FUNCTION and len(w) > 2}


def _function_share(text: str) -> float:
    said = words(text)
    return sum(w in FUNCTION for w in said) / max(1, len(said))
