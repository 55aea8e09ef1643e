"""Who speaks: a label as people write it -> examiner, candidate or partner.

In: "Examiner", "INTERLOCUTOR", "Candidate B", "Candiate" (respelt), a user's own names ("Maria" = candidate). Out: the role, or None
where nobody can tell. Of numbered candidates the first is the candidate and the others are partners.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Mapping

NAMES = {
    "examiner": "examiner", "interlocutor": "examiner", "interviewer": "examiner", "assessor": "examiner",
    "teacher": "examiner", "moderator": "examiner",
    "candidate": "candidate", "student": "candidate", "examinee": "candidate", "learner": "candidate",
    "test taker": "candidate", "testtaker": "candidate", "interviewee": "candidate", "test candidate": "candidate",
    "partner": "partner", "other candidate": "partner", "second candidate": "partner", "candidate partner": "partner",
    "the partner": "partner", "classmate": "partner",
}  # fmt: skip
SHORT = {"e": "examiner", "ex": "examiner", "int": "examiner", "c": "candidate", "cand": "candidate", "p": "partner"}
SAYING = re.compile(r"(.+?)(?:['’]s)? (?:response|answer|reply|question|prompt|says|said|turn|speaks)s?")
NUMBERED = re.compile(r"(.*?)[ _#-]*\b([abc123])")
CLOSE = 0.85  # difflib's ratio of "candiate" to "candidate" is 0.94, of "partner" to "party" 0.67


def role_of(label: str, speakers: Mapping[str, str] | None = None, short: bool = False) -> str | None:
    """The role behind `label`. `speakers`: the user's own names (casefolded) first; `short`: whether "E" and "C" count."""
    name = " ".join(re.sub(r"[_*#]+", " ", label).casefold().split()).strip(" .'\"")
    if speakers and name in speakers:
        return speakers[name]
    if short and name in SHORT:
        return SHORT[name]
    if name in NAMES:
        return NAMES[name]
    saying = SAYING.fullmatch(name)
    if saying:
        return role_of(saying[1], speakers, short)
    numbered = NUMBERED.fullmatch(name)
    if numbered and numbered[1]:
        role = role_of(numbered[1])
        second = role == "candidate" and numbered[2] not in "a1"
        return "partner" if second else role
    return _respelt(name)


@functools.lru_cache(maxsize=4096)  # a file asks for the same few labels
def _respelt(name: str) -> str | None:
    close = (
        difflib.get_close_matches(name, NAMES, 1, CLOSE) if len(name) >= 6 and name.replace(" ", "").isalpha() else []
    )
    return NAMES[close[0]] if close else None
