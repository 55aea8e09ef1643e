"""Closed classes of English words and phrases, and patterns of a few learners' errors: what evalyaks/scoring/features.py counts.

Written for this project; no published list of words by level is in it. A pattern finds some errors and not others, and now and then what
is none: its counts are hints that a fit may weigh, no corrections to show anybody.
"""

from __future__ import annotations

import re


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


ARTICLES = _listed("a an the")
PREPOSITIONS = _listed(
    "about above across after against along among around at before behind below beside between by during for from "
    "in inside into near of off on onto out over past through to toward towards under until up upon with within "
    "without"
)
MODALS = _listed("would could should might may must shall ought")
AUXILIARIES = MODALS | _listed(
    "am is are was were be been being have has had do does did can will i'm it's he's she's that's there's we're "
    "they're you're i've we've they've i'd we'd don't doesn't didn't can't won't isn't aren't wasn't weren't i'll "
    "we'll they'll it'll wouldn't couldn't"
)
SUBORDINATORS = _listed(
    "because although though while whereas since unless if when whenever where wherever which who whom whose that "
    "whether until before after once as"
)
COORDINATORS = _listed("and but or so nor yet")
MARKERS = (
    "however", "moreover", "furthermore", "therefore", "thus", "nevertheless", "besides", "firstly", "secondly", "finally", "first of all",
    "in addition", "additionally", "for example", "for instance", "such as", "on the other hand", "on the one hand", "in contrast",
    "as a result", "in my opinion", "in my view", "i think", "i believe", "i would say", "as well as", "not only", "in fact", "actually",
    "especially", "particularly", "in general", "generally", "overall", "to sum up", "in conclusion", "that is why", "due to", "so that",
    "even though", "in order to", "apart from", "as far as", "compared to", "similarly", "meanwhile", "instead", "also", "then", "well",
)  # fmt: skip
FILLERS = _listed("um umm uh uhh er erm eh hmm hm mm mmm ah")
IRREGULAR = _listed(
    "was were had did went came saw made took got said thought knew gave found told felt left kept began brought "
    "bought taught built sent spent met ran sat stood won lost wrote spoke drove ate grew became"
)
COMMON_VERBS = _listed(
    "go goes come comes see sees make makes take takes get gets say says think thinks know knows give gives find "
    "finds tell tells feel feels like likes love loves want wants need needs help helps play plays work works "
    "live lives look looks use uses enjoy enjoys prefer prefers agree agrees believe believes show shows seem "
    "seems mean means learn learns study studies eat eats read reads watch watches try tries let lets become "
    "becomes keep keeps start starts happen happens talk talks speak speaks spend spends visit visits cook cooks"
)
FUNCTION = (
    ARTICLES | PREPOSITIONS | AUXILIARIES | SUBORDINATORS | COORDINATORS | FILLERS
    | _listed(
    "i you he she it we they me him her us them my your his its our their this these those there here what how "
    "why not no yes too very more most some any all many much one two photo photos picture pictures think people "
    "thing things also just"
)
)  # fmt: skip
MOVES = (
    "i agree", "agree with you", "you are right", "you're right", "good point", "good idea", "great idea", "exactly", "that's true",
    "that is true", "i disagree", "don't agree", "not sure about", "i see what you mean", "what do you think", "what about", "how about",
    "do you think", "do you agree", "don't you think", "shall we", "let's", "we could", "we should", "maybe we", "why don't we",
    "as you said", "like you said", "you mentioned", "in your opinion", "absolutely", "of course", "building on", "adding to",
)  # fmt: skip
AGREEMENT_ERRORS = re.compile(
    r"\b(?:(?:he|she|it) (?:go|like|have|do|want|play|make|look|need|help|give|take|work|live|show|seem|eat|get|say|don't|are|were|am)"
    r"|(?:i|you|we|they|people|children) (?:is|has|was|likes|goes|wants|does|makes|needs|plays|works|gives|takes|doesn't)"
    r"|(?:many|two|three|four|several|different) (?!(?:people|children|men|women)\b)[a-z]+[^s\W]\b(?= (?:and|in|on|at|is|are|to)\b)"
    r"|(?:this|that|a|an) (?:people|children|things|photos|pictures|friends)|these (?:is|thing|place|photo|picture)"
    r"|there is (?:many|two|three|some people|people)|there are (?:a|an|one)|(?:people|everyone is|children) is)\b"
)
FORM_ERRORS = re.compile(
    r"\b(?:more (?:better|easier|bigger|faster|happier|healthier|cheaper)|most (?:best|biggest|easiest)|peoples|childrens|informations"
    r"|advices|homeworks|furnitures|equipments|mans|womans|(?:i|we|they|you|he|she|it) (?:am|are|is|was) (?:agree|like|go|think|want|live)"
    r"|(?:can|will|should|must|could|would|might) (?:to|goes|went|going|is|are|has|makes|helps|gives)|didn't (?:went|saw|had|was|did|liked)"
    r"|(?:to|for) (?:went|goes|goed|makes|helps|has)|a (?:apple|old|important|interesting|easy|idea|hour|activity|animal|umbrella|english)"
    r"|an (?:good|big|nice|great|new|book|car|house|friend|beautiful)|goed|eated|runned|thinked|buyed|comed|maked"
    r"|because of (?:it|they|we|i|he|she) (?:is|are|was|have|can)|(?:very|so) (?:much|many) (?:good|nice|beautiful|important)"
    r"|(?:look|looks) like (?:happy|sad|good|nice|tired|fun|interesting)|(?:i|we|they) (?:going|doing|playing|making|studying|listening))\b"
)
