"""A programme that writes practice conversations for a plan: sentences by grammar, errors and length by band, no model.

In: `Plan`s. Out: `Transcript`s with the planned bands. What a band changes (all with noise, so that no single feature gives it away):

- GV: how complex sentences are (four tiers of frames), how wide the words, how often a sentence has a learner's error;
- DM: how many sentences an answer has, how often they are linked and with what, hesitation, repetition, wandering off;
- IC: how often the candidate asks, takes up, agrees with reasons or objects; at band 1 short reactions.

A speaker's pace (a factor of 0.6 to 2.2 on the length of everything) differs from conversation to conversation, since people and
transcribers differ, so length tells less here than in the public data of EvalYaks (arXiv 2408.12226). Nothing was taken from those data. It
is practice material for the shipped weight-free scorer and for tests of the machinery: its English is narrower than any person's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from windvane.core.records import seed_of
from windvane.evalyaks.transcripts.record import Transcript, Turn
from windvane.evalyaks.writing.errors import with_error
from windvane.evalyaks.writing.plan import Plan
from windvane.evalyaks.writing.topics import FRAMES, SCENES, TOPICS, Topic

TOPIC_OF = {t.name: t for t in TOPICS}
SCENE_OF = {s.shows: s for s in SCENES}


def write(plan: Plan, seed: int = 0) -> Transcript:
    """The same plan and seed give the same conversation."""
    rng = random.Random(seed_of(seed, "programme", plan.id))
    level = {c: band + rng.gauss(0, 0.35) for c, band in plan.scores.items()}
    speaker = Speaker(level["GV"], level["DM"], level.get("IC", 3.0), rng.lognormvariate(0.1, 0.35), plan, rng)
    turns = {1: _interview, 2: _long_turn, 3: _together, 4: _interview}[plan.part](plan, speaker, rng)
    scores = {c: float(b) for c, b in plan.scores.items()}
    return Transcript.of(
        plan.part, turns, scores=scores, context=plan.context, setting=plan.setting, name=plan.id, source="programme"
    )


class Speaker:
    """Somebody of given levels (bands, not whole ones); `pace` lengthens or shortens everything."""

    def __init__(self, gv: float, dm: float, ic: float, pace: float, plan: Plan, rng: random.Random) -> None:
        self.gv, self.dm, self.ic, self.plan, self.rng = gv, dm, ic, plan, rng
        self.pace = min(2.2, max(0.6, pace))
        self.said: list[str] = []
        # habits differ between people of one level
        self.errors = max(0.0, (0.95 - 0.2 * gv)) * rng.uniform(0.6, 1.4) + rng.uniform(0, 0.06)
        self.links = min(0.9, max(0.05, 0.08 + 0.14 * dm)) * rng.uniform(0.7, 1.2)
        self.halts = max(0.0, 0.62 - 0.14 * dm) * rng.uniform(0.4, 1.4)

    def answer(self, topic: Topic, least: float = 0.6, rate: float = 0.45) -> str:
        """Several sentences on a topic: `least` and `rate` a band of DM."""
        count = max(1, round((least + rate * self.dm) * self.pace * self.rng.uniform(0.75, 1.25)))
        return self.joined([self.sentence(topic) for _ in range(count)])

    def tier(self) -> int:
        """0 (simple) to 3, around the level."""
        return min(3, max(0, round((self.gv - 1) * 0.62 + self.rng.gauss(0, 0.85))))

    def sentence(self, topic: Topic) -> str:
        if self.rng.random() < max(0.0, 0.16 - 0.04 * self.dm):
            topic = self.rng.choice(TOPICS)  # wanders off
        return self.filled(self.rng.choice(FRAMES["frames"][self.tier()]), topic)

    def filled(self, frame: str, topic: Topic, **more: str) -> str:
        rng, tier = self.rng, self.tier()
        (act, ing), (act2, ing2) = rng.sample(topic.acts, 2)
        values = {
            "act": act, "ing": ing, "act2": act2, "ing2": ing2, "thing": rng.choice(topic.things), "plain": rng.choice(topic.plain),
            "reason": rng.choice(topic.reasons), "thought": rng.choice(topic.thoughts), "but": rng.choice(topic.but),
            "adj": rng.choice(FRAMES["adjectives"][tier]), "adj2": rng.choice(FRAMES["adjectives"][max(0, tier - 1)]), **more,
        }  # fmt: skip
        text = frame.format(**values)
        text = text.format(**self.plan.own)
        return self.spoilt(text[:1].upper() + text[1:])

    def spoilt(self, text: str) -> str:
        chance = self.errors * (0.6 + len(text.split()) / 22)
        while self.rng.random() < min(0.9, chance):
            text = with_error(text, self.rng)
            chance -= 0.55
        return text

    def joined(self, sentences: Sequence[str]) -> str:
        """Linked, halted and repeated as the level has it."""
        rng, found = self.rng, []
        for number, text in enumerate(sentences):
            if number and rng.random() < self.links:
                choice = FRAMES["links"][min(2, max(0, round((self.dm - 1) / 2 + rng.gauss(0, 0.45))))]
                text = f"{rng.choice(choice)} {_low(text)}"
            elif not number and self.dm + rng.gauss(0, 0.8) > 3.6 and len(sentences) > 2:
                text = f"{rng.choice(FRAMES['signposts'])} {_low(text)}"
            if rng.random() < self.halts:
                text = self.halting(text)
            found.append(text)
            if rng.random() < max(0.0, 0.2 - 0.05 * self.dm):
                found.append(f"{' '.join(text.rstrip('.').split()[:4])}... yes.")
        if self.dm + rng.gauss(0, 0.7) > 4.2 and len(sentences) > 3:
            found.append(rng.choice(FRAMES["close"]))
        return " ".join(found)

    def halting(self, text: str) -> str:
        words = text.split()
        at = self.rng.randrange(len(words))
        filler = self.rng.choice(FRAMES["fill"])
        return " ".join([*words[:at], filler, *words[at:]]) if at else f"{filler.capitalize()} {_low(text)}"


def _low(text: str) -> str:
    first = text.split()[0] if text else ""
    return text if first in ("I", "I'm", "I'd") or first.startswith("I'") else text[:1].lower() + text[1:]


def _interview(plan: Plan, speaker: Speaker, rng: random.Random) -> list[Turn]:
    turns = []
    for question in plan.questions:
        topic = next((t for t in TOPICS if question in (*t.questions, *t.deeper)), TOPIC_OF.get(plan.topic, TOPICS[0]))
        turns.append(Turn("examiner", question))
        text = speaker.answer(topic, *((0.3, 0.38) if plan.part == 1 else (0.6, 0.45)))
        if plan.part == 4:
            text = _reacting(text, "", speaker, topic, rng)
            turns.append(Turn("candidate", text))
            if rng.random() < 0.4:
                partner = Speaker(rng.uniform(1.5, 4.5), rng.uniform(1.5, 4.5), 3, 1.0, plan, rng)
                turns.append(Turn("examiner", f"{plan.own['partner']}, do you agree?"))
                turns.append(Turn("partner", partner.answer(topic)))
        else:
            turns.append(Turn("candidate", text))
    return turns


def _long_turn(plan: Plan, speaker: Speaker, rng: random.Random) -> list[Turn]:
    turns = []
    for number, question in enumerate(plan.questions):
        turns.append(Turn("examiner", question))
        pair = plan.photos[:2] if number < 2 else plan.photos[2:]
        first_length, by_level = (1.2, 0.9) if number == 0 else (0.3, 0.35)
        count = max(1, round((first_length + by_level * speaker.dm) * speaker.pace * rng.uniform(0.8, 1.2)))
        said = [_of_photos(pair if i % 2 == 0 else pair[::-1], pair[0], speaker, rng) for i in range(count)]
        turns.append(Turn("candidate", speaker.joined(said)))
    return turns


def _of_photos(pair: Sequence[str], left: str, speaker: Speaker, rng: random.Random) -> str:
    first, second = (SCENE_OF[p] for p in pair)
    frame = rng.choice(FRAMES["photo_frames"][speaker.tier()])
    more = {
        "scene": first.shows, "scene2": second.shows, "noun": rng.choice(first.nouns), "noun2": rng.choice(second.nouns),
        "doing": rng.choice(first.doing), "doing2": rng.choice(second.doing), "which": "first" if first.shows == left else "second",
    }  # fmt: skip
    return speaker.filled(frame, rng.choice(TOPICS), **more)


def _together(plan: Plan, speaker: Speaker, rng: random.Random) -> list[Turn]:
    turns = [Turn("examiner", plan.questions[0])]
    partner = Speaker(rng.uniform(1.5, 4.5), rng.uniform(1.5, 4.5), rng.uniform(1.5, 4.5), 1.0, plan, rng)
    exchanges = max(2, round(rng.uniform(2.2, 4.2)))
    topic, before, starts = rng.choice(TOPICS), "", rng.random() < 0.5
    for number in range(exchanges):
        prompt, other = rng.sample(plan.prompts, 2)
        for role, who in (("candidate", speaker), ("partner", partner))[:: 1 if starts else -1]:
            count = max(1, round((0.1 + 0.36 * who.dm) * who.pace * rng.uniform(0.7, 1.3)))
            said = [
                who.filled(rng.choice(FRAMES["prompt_frames"][who.tier()]), topic, prompt=prompt, other=other)
                for _ in range(count)
            ]
            text = who.joined(said)
            text = _reacting(text, before, who, topic, rng, number == exchanges - 1 and role == "candidate")
            turns.append(Turn(role, text))
            before = prompt
    turns.append(Turn("examiner", plan.questions[1]))
    for role, who in (("candidate", speaker), ("partner", partner)):
        choice = who.filled(
            rng.choice(FRAMES["decide"][min(2, max(0, round((who.ic - 1) / 2)))]),
            topic,
            prompt=rng.choice(plan.prompts),
            other=rng.choice(plan.prompts),
        )
        turns.append(Turn(role, choice))
    return turns


def _reacting(text: str, before: str, who: Speaker, topic: Topic, rng: random.Random, last: bool = False) -> str:
    """What goes before and after one's own point, by the interactive level."""
    ic = who.ic + rng.gauss(0, 0.6)
    at = min(2, max(0, round((ic - 1) / 2)))
    front = back = ""
    if before and rng.random() < 0.25 + 0.13 * ic:
        kind = rng.choice(("agree", "take_up", "object") if ic > 2.3 else ("agree", "short"))
        front = who.spoilt(rng.choice(FRAMES[kind][at]).format(before=before))
    if not last and rng.random() < 0.17 * ic - 0.1:
        back = who.spoilt(rng.choice(FRAMES["ask"][at]))
    if ic < 1.7 and before and rng.random() < 0.35:
        text = rng.choice(FRAMES["short"][0])
    return " ".join(t for t in (front, text, back) if t)
