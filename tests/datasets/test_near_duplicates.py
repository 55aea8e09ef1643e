"""Near-duplicates: what is found is what a comparison of all pairs finds; ROUGE-L is the published package's."""

import random

import pytest
from rouge_score.rouge_scorer import RougeScorer

from windvane.datasets.near_duplicates import near_duplicates, rouge_l

WORDS = [f"{a}{b}{c}" for a in "bdfgklmnprst" for b in "aeiou" for c in "nrslt"]


def paragraph(rng, length=150):
    return [rng.choice(WORDS) for _ in range(length)]


def edited(words, share, rng):
    places = set(rng.sample(range(len(words)), round(share * len(words))))
    return [rng.choice(WORDS) if i in places else w for i, w in enumerate(words)]


def test_rouge_l_is_that_of_the_package():
    rng = random.Random(0)
    scorer = RougeScorer(["rougeL"], use_stemmer=False)
    for _ in range(30):
        a, b = " ".join(paragraph(rng, 20)), " ".join(paragraph(rng, 30))
        assert rouge_l(a, b) == pytest.approx(scorer.score(a, b)["rougeL"].fmeasure)
    assert rouge_l("a b c d", "a x c y z") == pytest.approx(2 * 2 / 9)  # "a c" of 4 and 5 words
    assert rouge_l("", "a") == 0 and rouge_l("Ärger über Öl", "ärger, über öl!") == 1


@pytest.mark.parametrize(("share", "least"), [(0.05, 1.0), (0.15, 0.98), (0.20, 0.96), (0.25, 0.9)])
def test_planted_copies_are_found(share, least):
    """A share of the words is replaced here and there; chance and recall are in the module's docstring."""
    rng = random.Random(1)
    originals = [paragraph(rng) for _ in range(200)]
    texts = [" ".join(w) for w in [*originals, *(edited(w, share, rng) for w in originals)]]
    found = near_duplicates(texts)
    hits = sum(found.of.get(200 + i, (None,))[0] == i for i in range(200))
    assert hits >= least * 200
    assert all(i >= 200 for i in found.of), "originals do not resemble each other"
    assert found.unchecked == 0


def test_all_that_is_told_is_true_and_the_threshold_holds():
    rng = random.Random(2)
    texts = [" ".join(edited(paragraph(random.Random(i % 20)), rng.choice([0.1, 0.4, 0.5]), rng)) for i in range(100)]
    found = near_duplicates(texts)
    assert found.of
    for i, (j, similarity) in found.of.items():
        assert (
            j < i
            and j not in found.of
            and similarity == pytest.approx(rouge_l(texts[i], texts[j]))
            and similarity >= 0.7
        )
    kept = [i for i in range(100) if i not in found.of]
    close = [(i, j) for i in kept for j in kept if j < i and rouge_l(texts[i], texts[j]) >= 0.8]
    assert not close


def test_the_first_of_a_kind_stays():
    texts = [
        "You are a baker who loves rye bread.",
        "",
        "you are a baker who loves rye bread",
        "word",
        "Word!",
        "",
        "x",
    ]
    found = near_duplicates(texts)
    assert {i: j for i, (j, _) in found.of.items()} == {2: 0, 4: 3} and found.unchecked == 0


def test_a_crowded_bucket_is_said(monkeypatch):
    """Every text opens alike but no two are near: with room for few in a bucket some pairs are not compared, and that is counted."""
    monkeypatch.setattr("windvane.datasets.near_duplicates.CROWD", 5)
    rng = random.Random(3)
    opening = " ".join(paragraph(rng, 30))
    texts = [f"{opening} {' '.join(paragraph(rng, 30))}" for _ in range(100)]
    found = near_duplicates(texts)
    assert not found.of and 50 < found.unchecked <= 95
