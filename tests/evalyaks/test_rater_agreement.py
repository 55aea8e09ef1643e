"""Raters' agreement: Krippendorff's published example, scikit-learn's kappa, a validation queue from end to end."""

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from windvane.core.errors import UserError
from windvane.evalyaks.evaluation.rater_agreement import agreement_of, alpha, kappa, review_agreement
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

# Krippendorff, Computing Krippendorff's Alpha-Reliability (2011), section C: four observers, twelve units, missing values.
EXAMPLE = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, None, None, None],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, None, 3],
    [None, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, None],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, None],
]


def test_alpha_of_the_published_example():
    marks = {str(u): {str(o): float(row[u]) for o, row in enumerate(EXAMPLE) if row[u] is not None} for u in range(12)}
    assert alpha(marks, "nominal") == pytest.approx(0.743, abs=5e-4)
    assert alpha(marks, "ordinal") == pytest.approx(0.815, abs=5e-4)
    assert alpha(marks, "interval") == pytest.approx(0.849, abs=5e-4)


def test_kappa_is_scikit_learns():
    rng = np.random.default_rng(0)
    first = rng.integers(1, 6, 80)
    second = np.clip(first + rng.integers(-1, 2, 80), 1, 5)
    assert kappa(first, second) == pytest.approx(cohen_kappa_score(first, second))
    assert kappa(first, second, 2) == pytest.approx(cohen_kappa_score(first, second, weights="quadratic"))
    assert kappa(np.ones(3), np.ones(3)) is None, "one band throughout: nothing to agree about"


def test_three_raters_by_hand():
    """Items 1, 2 by a and b, item 3 by a and c: pairs equal in 2 of 3."""
    found = agreement_of({"1": {"a": 3, "b": 3}, "2": {"a": 2, "b": 4}, "3": {"a": 5, "c": 5}, "4": {"a": 1}})
    assert (found["n"], found["percent"], found["adjacent"]) == (3, pytest.approx(2 / 3), pytest.approx(2 / 3))
    assert [(p["raters"], p["n"]) for p in found["pairs"]] == [(["a", "b"], 2), (["a", "c"], 1)]
    # a: 3, 2; b: 3, 4: observed 1/2 different; of the four cross pairs one (3, 3) is equal: expected 3/4
    assert found["pairs"][0]["kappa"] == pytest.approx(1 - 0.5 / 0.75) and found["pairs"][1]["kappa"] is None
    assert found["kappa"] == found["pairs"][0]["kappa"], "an undefined pair says nothing"


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
