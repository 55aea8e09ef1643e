"""The B2 speaking test in our own words: what each part asks for, what each criterion and band means.

In: a part (1 to 4), a criterion (GV, DM, IC). Out: text for prompts and pages. Written for this project from what is public about the
exam; the exam board's own descriptors are not in it. Only what a transcript can show is named: no pronunciation, no voice. Bands 2 and 4
share features of their neighbours, as in EvalYaks (arXiv 2408.12226, section 3).
"""

from __future__ import annotations

CRITERIA = {"GV": "GRAMMAR_AND_VOCABULARY", "DM": "DISCOURSE_MANAGEMENT", "IC": "INTERACTIVE_COMMUNICATION"}
PART_CRITERIA = {1: ("GV", "DM"), 2: ("GV", "DM"), 3: ("GV", "DM", "IC"), 4: ("GV", "DM", "IC")}  # paper, section 3
BANDS = (1, 2, 3, 4, 5)
PART_NAMES = {1: "Interview", 2: "Long turn", 3: "Collaborative task", 4: "Discussion"}

PARTS = {
    1: "The examiner asks the candidate about everyday things: home, family, free time, work or study, plans. Answers are short talk about "
    "oneself, with a reason or an example.",
    2: "The candidate compares two photographs on their own for about a minute, answers the question printed with them, and may then "
    "answer a short question about two other photographs.",
    3: "The candidate and a partner talk together about a question with several prompts, weigh them against each other and "
    "then come to a decision.",
    4: "The examiner asks wider questions on the topic of part 3. The candidate gives opinions with reasons and may take up what a "
    "partner says.",
}

MEANING = {
    "GV": {
        1: "simple sentences are mostly right; words suffice for everyday matters and no further",
        3: "simple sentences are right and complex ones are tried, with mistakes; words suffice to exchange views on familiar subjects",
        5: "simple and some complex sentences are right nearly throughout; a wide choice of words for views on many familiar subjects",
    },
    "DM": {
        1: "answers are longer than a few words but halting and partly repeated; mostly on the subject; the plainest linking words",
        3: "stretches of connected talk with some hesitation; on the subject with hardly any repetition; several kinds of linking words",
        5: "long stretches with hardly any hesitation; on the subject and clearly ordered; varied linking words and signposts",
    },
    "IC": {
        1: "begins and answers fittingly; keeps the talk going with very little prompting",
        3: "begins and answers fittingly; carries the talk on and develops it towards an outcome with very little support",
        5: "ties what is said to what the others said; widens the talk and negotiates towards an outcome",
    },
}


def scale(criterion: str) -> str:
    """The five bands of a criterion, a line each."""
    told = MEANING[criterion]
    lines = [
        f"5: {told[5]}.",
        "4: between 5 and 3.",
        f"3: {told[3]}.",
        "2: between 3 and 1.",
        f"1: {told[1]}.",
    ]
    return "\n".join([CRITERIA[criterion], *lines])


def scales(part: int) -> str:
    """Every criterion that the part is marked on."""
    return "\n\n".join(scale(c) for c in PART_CRITERIA[part])
