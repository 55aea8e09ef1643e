"""The agreement of a validation queue's raters, from end to end."""

import pytest

from windvane.core.errors import UserError
from windvane.evalyaks.evaluation.rater_agreement import review_agreement
from windvane.evalyaks.transcripts.record import Transcript, Turn
from windvane.evalyaks.writing.review import (
    CONSENSUS,
    Review,
    check_review,
    latest,
    next_record,
    settle,
    settled_records,
)


def made(count=4):
    return [
        Transcript.of(1, [Turn("candidate", f"I like number {n} very much")], scores={"GV": 3.0, "DM": 2.0})
        for n in range(count)
    ]


def test_a_queue_from_end_to_end():
    records, reviews = made(), []
    one = next_record(records, [], "ann")
    reviews.append(Review(one.id, "ann"))
    assert next_record(records, reviews, "bob").id == one.id, "pairs are finished first"
    assert next_record(records, reviews, "ann").id != one.id, "nobody sees a record twice"
    reviews.append(Review(one.id, "bob"))
    others = [r for r in records if r.id != one.id]
    changed, edited, disputed = others
    for rater in ("ann", "bob"):
        reviews.append(Review(changed.id, rater, {"GV": 4.0}))
        reviews.append(Review(edited.id, rater, {}, (Turn("candidate", "I like it, which is rare."),)))
    reviews.append(Review(disputed.id, "ann", {"DM": 3.0}))
    reviews.append(Review(disputed.id, "bob"))
    assert next_record(records, reviews, "cy") is None, "two raters a record"
    found = {s.record.conversation: s for s in settle(records, reviews)}
    assert sorted(s.outcome for s in found.values()) == ["agreed", "changed", "disputed", "edited"]
    kept = settled_records(list(found.values()))
    assert len(kept) == 3 and {r.scores["GV"] for r in kept} == {3.0, 4.0}
    new = next(r for r in kept if "rare" in r.said())
    assert new.id != edited.id and new.split_group == edited.split_group, "an edited text stays in its cluster"
    stats = review_agreement(records, reviews)
    assert (stats["reviews"], stats["reviewed_twice"], stats["edits"]) == (8, 4, 2)
    assert stats["same_verdict"] == 3 / 4 and stats["agree"] == 3 / 8
    assert stats["criteria"]["GV"]["percent"] == 1 and stats["criteria"]["DM"]["percent"] == 3 / 4
    assert stats["criteria"]["GV"]["planned_band_right"] == 6 / 8
    reviews.append(Review(disputed.id, CONSENSUS, {"DM": 3.0}))
    last = {s.record.id: s for s in settle(records, reviews)}[disputed.id]
    assert last.outcome == "changed" and last.record.scores["DM"] == 3.0


def test_a_later_word_replaces():
    record = made(1)[0]
    said = [Review(record.id, "ann", {"GV": 5.0}), Review(record.id, "ann")]
    assert latest(said)[record.id]["ann"].agrees and not latest(said[:1])[record.id]["ann"].agrees


@pytest.mark.parametrize(
    ("review", "message"),
    [
        (Review("x", " "), "who says so"),
        (Review("x", "ann", {"IC": 3.0}), "IC is none of GV, DM"),
        (Review("x", "ann", {"GV": 2.5}), "band 2.5"),
        (Review("x", "ann", {"GV": 3.0}), "planned band"),
        (Review("x", "ann", {}, (Turn("examiner", "Hello"),)), "candidate says nothing"),
    ],
)
def test_a_review_that_says_nothing_is_refused(review, message):
    with pytest.raises(UserError, match=message):
        check_review(review, made(1)[0])
