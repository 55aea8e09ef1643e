"""Self-instruct: a model reads a chunk and writes questions about it; the reply is read strictly.

In: a chunk. Out: what the model is asked, and from its reply the questions or the reason why there are none. The prompt is our own
wording of what LongPO (arXiv 2502.13922, figure 5) asks for: understanding rather than recall, sections connected, each question another,
numbered "1:" to "4:" and nothing else. It is a setting: "{chunk}" and "{count}" are put in. A random one of 20 lead-ins goes before a
question, as in the released code (the wording is ours).
"""

from __future__ import annotations

import re

PROMPT = """Context:
{chunk}

Write {count} questions in English about the context above. Someone who answers them should have to understand and analyse it:
- a question asks to connect, compare or weigh what stands in different places of the context, to sum up or to draw conclusions; it is not \
answered by copying one sentence;
- where the context allows it, a question asks to judge it critically or to carry it over to another case;
- the questions differ from each other and together cover the context widely;
- each is clear by itself, can be answered from the context alone and has one reading.
Write the questions only, each on a line of its own, numbered "1:" to "{count}:", with nothing before, between or after them."""

LEAD_INS = (
    "Going by the text above,",
    "From what is written above,",
    "With the passage above in mind,",
    "Drawing on the material above,",
    "Using only the text given above,",
    "In the light of the preceding text,",
    "Taking the whole of the text above into account,",
    "According to what you have just read,",
    "Relying on the content above,",
    "On the basis of the preceding material,",
    "Considering the document above,",
    "After reading the text above, answer this:",
    "Here is a question about the text above:",
    "Please answer with the help of the text above:",
    "Look at the preceding text and answer:",
    "Referring to the passage given before,",
    "Given the information above,",
    "As far as the text above tells,",
    "Keeping to what the text above says,",
    "Think about the text above and answer:",
)
NUMBERED = re.compile(r"(\d+)\s*[:.)]\s*(.*)")


def question_prompt(prompt: str, chunk: str, count: int) -> str:
    """The user's turn that asks for `count` questions about `chunk` (which may hold braces of its own)."""
    return prompt.replace("{count}", str(count)).replace("{chunk}", chunk)


def parse_questions(reply: str, count: int) -> tuple[list[str], str | None]:
    """(the `count` questions, None), or ([], why not). One question may stand bare on its one line; several must be numbered from 1 in
    order, one a line, with nothing else around them."""
    lines = [line.strip() for line in reply.splitlines() if line.strip()]
    if not lines:
        return [], "no reply"
    matches = [NUMBERED.fullmatch(line) for line in lines]
    if count == 1 and len(lines) == 1 and matches[0] is None:
        return [lines[0]], None
    found = []
    for number, match in enumerate(matches, 1):
        if match is None:
            return [], "not a numbered list"
        if int(match[1]) != number:
            return [], "numbers out of order"
        if not re.search(r"\w", match[2]):
            return [], "an empty question"
        found.append(match[2])
    return (found, None) if len(found) == count else ([], "not as many questions as asked")
