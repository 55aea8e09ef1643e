"""Practice conversations: plans are exactly what was planned, replies are read strictly, every reject is kept, a kill costs nothing."""

import json
from collections import Counter

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Response
from windvane.evalyaks.levels import read_levels
from windvane.evalyaks.prompts.writing import meaning, read_conversation, writing_messages
from windvane.evalyaks.scoring.features import features
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.transcripts.record import PART_CRITERIA
from windvane.evalyaks.writing.command import main
from windvane.evalyaks.writing.errors import with_error
from windvane.evalyaks.writing.plan import exactly, plans
from windvane.evalyaks.writing.program import write


def test_plans_have_exactly_the_planned_counts():
    found = plans(20, (2, 3), {1: 0.5, 4: 0.25, 5: 0.25}, {"global": 0.3, "indian": 0.7}, spread=1, words=read_levels())
    for part in (2, 3):
        own = [p for p in found if p.part == part]
        assert Counter(p.scores["GV"] for p in own) == {1: 10, 4: 5, 5: 5}
        assert Counter(p.setting for p in own) == {"indian": 14, "global": 6}
        assert all(
            max(p.scores.values()) - min(p.scores.values()) <= 1 and set(p.scores) == set(PART_CRITERIA[part])
            for p in own
        )
    assert all(p.words.keys() == {"B2", "B1"} for p in found if p.scores["GV"] == 5)
    assert {len(p.photos) for p in found} == {0, 4} and len({p.id for p in found}) == 40
    assert found == plans(
        20, (2, 3), {1: 0.5, 4: 0.25, 5: 0.25}, {"global": 0.3, "indian": 0.7}, spread=1, words=read_levels()
    )


def test_largest_remainders_by_hand():
    """7 in shares 1/2, 1/3, 1/6: 3.5, 2.33, 1.17: 3, 2, 1 and the one left goes to the largest remainder."""
    import random

    assert Counter(exactly(7, {1: 3, 2: 2, 3: 1}, random.Random(0))) == {1: 4, 2: 2, 3: 1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bands": {7: 1.0}}, "bands 1 to 5"),
        ({"parts": (5,)}, "none of 1, 2, 3, 4"),
        ({"contexts": {"mars": 1.0}}, "'mars' is not known"),
    ],
)
def test_plans_that_mean_nothing_are_refused(change, message):
    with pytest.raises(UserError, match=message):
        plans(2, **change)


def test_the_programme_follows_the_plan():
    """Over many conversations what a band should change does change; the same plan gives the same words."""
    made = [write(p) for p in plans(60, seed=1)]
    assert made[0] == write(plans(60, seed=1)[0]) and made[0] != write(plans(60, seed=1)[0], 1)

    counted = [features(r) for r in made]

    def mean(feature, criterion, band):
        own = [f[feature] for f, r in zip(counted, made) if r.scores.get(criterion) == band]
        return sum(own) / len(own)

    for feature, criterion, up in (
        ("subordinators", "GV", 1),
        ("long_words", "GV", 1),
        ("form_errors", "GV", -1),
        ("words", "DM", 1),
        ("fillers", "DM", -1),
        ("moves", "IC", 1),
    ):
        low, high = mean(feature, criterion, 1), mean(feature, criterion, 5)
        assert (high - low) * up > 0, (feature, low, high)
    assert all(f["words"] < 1500 for f in counted)
    import random

    assert (
        with_error("He likes it.", random.Random(1)) != "He likes it." and with_error("Ho.", random.Random(1)) == "Ho."
    )


def test_the_prompt_holds_the_plan():
    plan = plans(1, (3,), {2: 1.0}, seed=3, words=read_levels())[0]
    text = writing_messages(plan, [({"GV": 2.0}, "Candidate: a sample")])[0].content
    assert (
        plan.topic in text and all(p in text for p in plan.prompts) and plan.own["place"] in text and "a sample" in text
    )
    assert (
        all(meaning(c, b) in text for c, b in plan.scores.items())
        and '"partner"' in text
        and "Words of level A2" in text
    )
    assert meaning("GV", 2).startswith("between 1 (")


TURN = '{"speaker": "candidate", "text": "I like it."}'


@pytest.mark.parametrize(
    ("reply", "part", "reason"),
    [
        ("Here you are", 1, "not JSON"),
        ("{}", 1, "not a JSON list"),
        (f"[{TURN}, 3]", 1, "item 2: not an object"),
        ('[{"speaker": "judge", "text": "x"}]', 1, 'speaker "judge" is none of examiner, candidate'),
        ('[{"speaker": "candidate", "text": " - "}]', 1, "item 1: nothing is said"),
        (f"[{TURN}]", 1, "the candidate has 1 turns, not 3 or more"),
        (f"[{TURN}, {TURN}]", 3, "no partner talks"),
        ('[{"speaker": "candidate", "text": "That was band 3 English."}]', 2, "talks about the marking (band 3)"),
        ('[{"speaker": "candidate", "text": "%s"}]' % ("word " * 1600), 2, "1600 words, more than 1500"),
    ],
)
def test_a_reply_is_read_strictly(reply, part, reason):
    turns, why = read_conversation(reply, part)
    assert turns is None and reason in why


class Author:
    """Of each plan the first reply is prose; the second a conversation; plans of part 2 never succeed; every fifth is a repeat."""

    asked = 0
    dies_at = None

    def __init__(self, sampling):
        self.sampling = sampling

    def generate(self, prompts, indices, seed):
        found = []
        for p in prompts:
            Author.asked += 1
            if Author.dies_at == Author.asked:
                raise KeyboardInterrupt
            found.append([Response(f"{p.id}-{i}", p.id, i, self.reply(p.text, p.id, i), (), "stop") for i in indices])
        return found

    def reply(self, text, id, index):
        if index == 0 or "part 2" in text:
            return "Certainly! Here is the transcript."
        turns = [{"speaker": "examiner", "text": "Hello?"}] + [
            {"speaker": "candidate", "text": f"Answer {n} about {id} is here."} for n in range(3)
        ]
        return json.dumps(
            [*turns, {"speaker": "partner", "text": "Yes."}] if "part 3" in text or "part 4" in text else turns
        )


def test_a_writer_is_asked_again_and_nothing_is_lost(tmp_path, monkeypatch, capsys):
    (tmp_path / "author_of_talk.py").write_text("from tests.evalyaks.test_synthesize import Author\n")
    monkeypatch.chdir(tmp_path)
    call = [
        "--writer",
        "py:author_of_talk:Author",
        "--count",
        "3",
        "--attempts",
        "2",
        "--batch",
        "3",
        "--quiet",
        "--json",
    ]
    Author.asked, Author.dies_at = 0, None
    assert main([*call, "--out", "a"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["planned"], told["written"], told["missing"]) == (12, 9, {"not JSON": 3})
    assert told["rejected_replies"] == {"not JSON": 9 + 6} and Author.asked == 24
    records = read_transcripts(["a/transcripts.jsonl"]).records
    assert len(records) == 9 and all(r.scores and r.setting and r.source for r in records)
    of = {p["id"]: p for p in map(json.loads, (tmp_path / "a" / "plans.jsonl").open())}
    assert all(r.scores == of[r.name]["scores"] for r in records), "the planned bands are the labels"
    # killed in the third batch: the finished ones are not asked for again, and the result is the same
    Author.asked, Author.dies_at = 0, 14
    with pytest.raises(KeyboardInterrupt):
        main([*call, "--out", "b"])
    Author.dies_at = None
    assert main([*call, "--out", "b"]) == 0 and Author.asked < 14 + 24 - 11
    names = ("plans.jsonl", "written.jsonl", "transcripts.jsonl", "summary.json", "manifest.json")
    for name in names:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes(), name
    with pytest.raises(UserError, match="was begun with --seed 0"):
        main([*call, "--out", "a", "--seed", "1"])


def test_the_cost_is_told_first_and_can_be_all(tmp_path, capsys):
    call = [
        "--writer",
        "http://127.0.0.1:9/v1#m",
        "--out",
        str(tmp_path / "x"),
        "--count",
        "2",
        "--estimate",
        "--price-in",
        "10",
        "--price-out",
        "30",
    ]
    assert main(call) == 0
    said = capsys.readouterr().err
    assert "8 calls, about" in said and "in money" in said and "3 times that" in said and not (tmp_path / "x").exists()


def test_the_programme_as_a_writer(tmp_path, capsys):
    assert (
        main(
            [
                "--writer",
                "programme",
                "--count",
                "4",
                "--part",
                "1",
                "4",
                "--bands",
                "2=1,3=1",
                "--out",
                str(tmp_path / "p"),
                "--quiet",
            ]
        )
        == 0
    )
    assert "8 of 8 conversations" in capsys.readouterr().out
    read = read_transcripts([tmp_path / "p" / "transcripts.jsonl"])
    assert Counter((r.part, r.scores["GV"]) for r in read.records) == {
        (1, 2.0): 2,
        (1, 3.0): 2,
        (4, 2.0): 2,
        (4, 3.0): 2,
    }
    with pytest.raises(UserError, match="give NAME=SHARE"):
        main(["--writer", "programme", "--bands", "3", "--out", str(tmp_path / "q")])
