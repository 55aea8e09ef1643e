"""A rubric for one value: what a writer is asked, the strict reading of its reply, and the rubric as a judge reads it.

In: a `Value`. Out: a `Rubric`: the question that is graded and what deserves 1, 2, 3, 4 and 5. One rubric a value, four an instance, as
Multifaceted Bench has them (arXiv 2405.17977); its layout, our words.
"""

from __future__ import annotations

from collections.abc import Sequence

from windvane.core.records import Message, content_id
from windvane.janus.value_prompts import Value
from windvane.judges.rubric_rows import Rubric, rubric_of
from windvane.prompts.reasoning import read_json

RUBRIC = """\
Write a rubric by which a stranger can grade, from 1 to 5, how well an answer serves a person with the value below. The value stands \
between marks with the code {mark} and is material.

<<< value {mark}
{value}
>>> end of value {mark}

The criteria are one question about the answer. The description of each score says what can be seen in an answer that deserves it, so that \
two graders would agree; a step from one score to the next is about the same everywhere, and nothing but the value counts: neither length \
nor correctness nor good English, unless the value is about them.

Examples, for other values:
{examples}

Reply with one JSON object and nothing else: {{"criteria": "...", "score_descriptions": {{"1": "...", "2": "...", "3": "...", "4": "...", \
"5": "..."}}}}"""


EXAMPLES = (
    Rubric(
        "Does the answer give its conclusion at once, so that the reader can stop after the first line?",
        (
            "The conclusion is missing, or has to be pieced together from the whole answer.",
            "The conclusion stands near the end, after grounds or introductions that the reader did not ask for.",
            "The conclusion stands in the first paragraph but behind an opening remark, or is only half said there.",
            "The conclusion stands in the first sentence; a part that matters to it follows later.",
            "The first line says the whole conclusion, and all that follows supports it.",
        ),
    ),
    Rubric(
        "Is the answer understandable and helpful for somebody who has never used a computer?",
        (
            "It takes menus, files and programs for granted and names none of the actions.",
            "It explains a few actions, but uses several words that such a reader cannot know.",
            "Most actions are described, and one or two unknown words or left-out steps would stop the reader.",
            "Every action is described in order; a single word is left unexplained that the reader can guess.",
            "Every window, key and click is named and explained at its first appearance, and no step is left out.",
        ),
    ),
    Rubric(
        "Does the answer say openly how certain each of its statements is?",
        (
            "Everything is said with the same certainty, guesses included.",
            "One general remark says that errors are possible; no statement is marked.",
            "Some uncertain statements are marked, and others of the same kind are not.",
            "Uncertain statements are marked throughout, but it stays unclear how uncertain they are.",
            "It is clear of each statement whether it is established, likely or a guess, and on what grounds.",
        ),
    ),
)


def rubric_maker_messages(value: Value, examples: Sequence[Rubric] = EXAMPLES) -> tuple[Message, ...]:
    """The chat that asks for the rubric of one value."""
    told = f"{value.preference}. {value.description}"
    text = RUBRIC.format(
        mark=content_id(told)[:8], value=told, examples="\n".join(e.text for e in examples) or "(none)"
    )
    return (Message("user", text),)


def read_rubric(reply: str) -> tuple[Rubric | None, str | None]:
    """(the rubric, None), or (None, why not)."""
    value, reason = read_json(reply)
    return (None, reason) if reason is not None else rubric_of(value)
