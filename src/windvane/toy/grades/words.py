"""What speakers of the family "grades" can say: words with levels, slips, linkers, hesitations, moves; and what sets speakers apart.

Out: literal word classes and `SPEAKERS`, the generator families. Nothing is taken from a published list: the levels are this world's own
truth (a word is A1 because it stands in that row), the slips are forms that learners say. A generator family has its own clauses, its
own share of the words, its own law of turn length; "train" and "test" families share no clause and each has words the other never says.
"""

from __future__ import annotations

from dataclasses import dataclass

from windvane.evalyaks.transcripts.record import LEVELS as CEFR


def _listed(words: str) -> tuple[str, ...]:
    return tuple(words.split())


LEVELS = CEFR[:4]  # A1 to B2, as the exam's word lists go
NOUNS = {
    "A1": _listed("dog bread school house tree bus friend garden book water song beach"),
    "A2": _listed("market bridge kitchen holiday museum village ticket weather concert doctor island uniform"),
    "B1": _listed("neighbour festival journey custom factory habit suburb souvenir guide recipe charity traffic"),
    "B2": _listed(
        "heritage landscape ambition resource pollution tradition atmosphere innovation diversity venue wilderness commute"
    ),
}
VERBS = {
    "A1": _listed("like see want make eat read"),
    "A2": _listed("visit prefer collect borrow invite plan"),
    "B1": _listed("recommend explore avoid admire support organise"),
    "B2": _listed("appreciate preserve enhance encounter pursue overlook"),
}
ADJECTIVES = {
    "A1": _listed("big old good nice small happy"),
    "A2": _listed("quiet famous cheap modern crowded boring"),
    "B1": _listed("peaceful local traditional reliable useful awful"),
    "B2": _listed("remarkable vibrant sustainable overwhelming genuine tedious"),
}
LEVEL_OF = {w: level for table in (NOUNS, VERBS, ADJECTIVES) for level, words in table.items() for w in words}

SLIPS = _listed("goed maked thinked buyed comed peoples informations childrens advices gooder beautifuls musics")
LINKERS = _listed("because however although therefore whereas moreover finally instead")
FILLERS = _listed("um er uh hmm eh mm")
BUILDING = _listed("exactly agree indeed true")  # taking up what the partner said
ASKING = ("what do you think ?", "and you ?", "shall we ?", "is that right ?")  # each ends with a question mark
BUILT = ("I agree", "exactly", "that is true", "yes indeed")

PLACES = {"global": _listed("London Paris Rome Sydney"), "indian": _listed("Mumbai Jaipur Kochi Delhi")}
EVENTS = {"global": _listed("Christmas Carnival Easter Halloween"), "indian": _listed("Diwali Holi Pongal Onam")}


@dataclass(frozen=True, slots=True)
class Speakers:
    """A generator family. `clauses`: {v} {n} {a} are a verb, noun, adjective of some level; `slipped`: the same with a slip {s}.
    `thirds`: weights of the words of each class by their place modulo 3. `clauses_a_turn`: the law of turn length, weights of 1, 2, ...
    `tied`: how near to each other the planned bands of a candidate are (0: any two, within two bands; 1: nearly the same)."""

    clauses: tuple[str, ...]
    slipped: tuple[str, ...]
    questions: tuple[str, ...]
    thirds: tuple[float, float, float]
    clauses_a_turn: tuple[float, ...]
    tied: float


TRAIN = Speakers(
    clauses=("I {v} the {n}", "the {n} is {a}", "we {v} a {a} {n}", "people {v} the {n} in {place}"),
    slipped=("we {s} to the {a} {n}", "I {s} the {n}", "the {n} has {s}"),
    questions=("do you like the {n} ?", "tell me about a {n} .", "why do people {v} the {n} ?", "what is {a} here ?"),
    thirds=(4.0, 1.0, 0.0),
    clauses_a_turn=(2.0, 3.0, 1.0),
    tied=0.7,
)
TEST = Speakers(
    clauses=(
        "my family can {v} any {n}",
        "there is a {a} {n} near my home",
        "it was {a} to {v} the {n}",
        "during {event} they {v} every {n}",
    ),
    slipped=("my family {s} with a {n}", "there is {s} near the {n}", "it was {a} but {s}"),
    questions=("could you describe a {n} ?", "which {n} is {a} ?", "how often do you {v} a {n} ?"),
    thirds=(0.0, 2.0, 3.0),
    clauses_a_turn=(1.0, 2.0, 2.0, 1.0),
    tied=0.0,
)
GENERAL = Speakers(  # what the base has heard: everybody
    clauses=TRAIN.clauses + TEST.clauses + ("some {n} are {a}", "you should {v} this {n}"),
    slipped=TRAIN.slipped + TEST.slipped + ("some {s} are {a}",),
    questions=TRAIN.questions + TEST.questions + ("and what about {n} ?",),
    thirds=(1.0, 1.0, 1.0),
    clauses_a_turn=(3.0, 3.0, 2.0, 0.6, 0.3),
    tied=0.2,
)
SPEAKERS = {"general": GENERAL, "train": TRAIN, "test": TEST}
