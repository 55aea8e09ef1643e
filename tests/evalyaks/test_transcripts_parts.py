"""Parts 3 and 4 as the facts about their published files describe them: every kind of row is read, and to the same turns.

The files themselves are not here; the conversations are this project's programme's, damaged in each way that was described (and in pairs of
ways): a missing opening bracket, bare keys, `},,`, one object a turn or two, a label respelt, two metrics named where three are wanted, a
row without IC, the same conversation under several prompts and with another label.
"""

import json
import random

import pytest

from tests.evalyaks.conversations import FULL, table
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import by_conversation, details, summary
from windvane.evalyaks.writing.plan import plans
from windvane.evalyaks.writing.program import write

ASKS = (
    'Role:\n- You assess.\n\nSteps:\n- Read what the "Examiner" and "Candiate" say.\n- Give the two metrics GRAMMAR_AND_VOCABULARY, '
    "DISCOURSE_MANAGEMENT, INTERACTIVE_COMMUNICATION.\n",
    "Role: assess the 'Candidate', not the 'Partner'.\n\nDescriptors:\n5: wide. 3: some. 1: simple: few words.\n",
    "Rate this.\nExample of the output:\nOUTPUT: {'GRAMMAR_AND_VOCABULARY': '<score>', 'DISCOURSE_MANAGEMENT': '<score>', "
    "'INTERACTIVE_COMMUNICATION': '<score>'}\nOnly JSON: nothing else.\n",
)
DAMAGE = {
    "as it should be": lambda s: s,
    "no opening bracket": lambda s: s.removeprefix("["),
    "no closing bracket": lambda s: s.removesuffix("]"),
    "no brackets": lambda s: s[1:-1],
    "bare keys": lambda s: s.replace('{"Candidate":', 'Candidate":').replace('{"Partner":', 'Partner":'),
    "bare keys, no bracket": lambda s: s.removeprefix("[").replace('{"Candidate":', 'Candidate":'),
    "quoted keys, no braces": lambda s: s.replace('}, {"', ', "'),
    "one key without braces": lambda s: s.replace('}, {"', '}, "', 1),
    "comma twice": lambda s: s.replace("},", "},,"),
    "respelt": lambda s: s.replace('"Candidate"', '"Candiate"'),
    "small letters": lambda s: s.replace('"Candidate"', '"candidate"').replace('"Partner"', '"PARTNER"'),
    "no closing quote": lambda s: s.replace('"}, {', "}, {", 1),
    "raw line end": lambda s: s.replace(". ", ".\n", 1),
    "a Python literal": lambda s: repr(json.loads(s)) if s[:1] == "[" and s[-1:] == "]" and '"Cand' in s else s,
    "a comma at the end": lambda s: s.removesuffix("]") + ",]",
    "a semicolon between turns": lambda s: s.replace("}, {", "}; {"),
    "no colon": lambda s: s.replace('"Candidate": ', '"Candidate" ', 1),
    "a code fence": lambda s: f"```json\n{s}\n```",
}  # fmt: skip


def rows(part, count, ways):
    """(row, turns, scores) in the public form."""
    found = []
    for number, plan in enumerate(plans(count, (part,), seed=7)):
        record = write(plan)
        said = [(t.role, " ".join(t.text.split())) for t in record.turns]
        text = json.dumps([{role.title(): words} for role, words in said])
        for way in ways[number % len(ways)]:
            text = DAMAGE[way](text)
        scores = {c: int(b) for c, b in record.scores.items()}
        task = "Task:\nTalk about music, sport, art.\n\n" if part == 3 else ""
        answer = repr({FULL[c]: b for c, b in scores.items()})
        row = f"<s>[INST] {ASKS[number % 3]}\n____________\n\n{task}Conversation:\n\n{text} [/INST] {answer} </s>"
        found.append((row, said, scores))
    return found


@pytest.mark.parametrize(("part", "name"), [(3, "Part3_Discussion.csv"), (4, "Part4_ExtendedDiscussion.csv")])
def test_every_kind_of_row_is_read_to_the_same_turns(part, name, tmp_path):
    rng = random.Random(part)
    kinds = list(DAMAGE)
    pairs = [("no opening bracket", way) for way in kinds[4:]] + [tuple(rng.sample(kinds[4:9], 2)) for _ in range(4)]
    ways = [(k,) for k in kinds] + pairs
    made = rows(part, 5 * len(ways), ways)
    read = read_transcripts([table(tmp_path / name, [row for row, _, _ in made])])
    assert len(read.records) >= 0.995 * len(made), [q.reason for q in read.quarantined]
    same = 0
    for record, (_, said, scores) in zip(read.records, made, strict=True):
        assert record.part == part and {c: int(b) for c, b in record.scores.items()} == scores
        same += [(t.role, " ".join(t.text.split())) for t in record.turns] == said
    assert same >= 0.995 * len(made), "turns as they were said"


def test_one_conversation_under_several_prompts_and_labels(tmp_path):
    """Counted once, in one group; another label is a conflict and told; a row without IC is read and counted as missing."""
    (row, _, scores), (lacking, _, _) = rows(4, 2, [("as it should be",)])
    other = row.replace(repr(FULL["IC"]) + f": {scores['IC']}", repr(FULL["IC"]) + f": {scores['IC'] % 5 + 1}")
    again = row.replace(ASKS[0], ASKS[2])
    lacking = lacking[: lacking.rindex(", 'INTERACTIVE")] + "} </s>"
    read = read_transcripts([table(tmp_path / "Part4.csv", [row, again, other, row, lacking])])
    assert summary(read)["rows"] == summary(read)["read"] == 5 and summary(read)["conversations"] == 2
    assert len(by_conversation(read.records)) == len({r.split_group for r in read.records}) == 2
    assert details(read)["conflicts"] == 1 and details(read)["missing"] == {"IC": 1}
    assert sum(summary(read)["scores"]["IC"].values()) == 1 and sum(summary(read)["scores"]["GV"].values()) == 2
