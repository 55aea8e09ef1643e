"""Two raters a record: who sees what, what stands, what is on disk, and the numbers, which are worked out by hand."""

import json

import pytest

from tests.serve.conftest import TOKENS, bearer, opened
from windvane.core.schema import decode
from windvane.evalyaks.transcripts.read import read_transcripts
from windvane.evalyaks.writing.review import Review
from windvane.runs.store import read_jsonl

API = "/api/v1/validation"
ROWS = [
    {"id": f"r{n}", "part": 1, "conversation": f"Examiner: Where do you live?\nCandidate: I live in town number {n}.", "GV": gv, "DM": 3}
    for n, gv in enumerate([2, 3, 4, 3])
]  # fmt: skip


def read_reviews(path):
    return [decode(Review, row, f"{path}: row {number}") for number, row in read_jsonl(path)]


@pytest.fixture
def queue(tmp_path):
    path = tmp_path / "queue.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


@pytest.fixture
def site(tmp_path, queue):
    with opened(tmp_path / "data", people=True, queue=(queue,)) as client:
        client.reviews = tmp_path / "data" / "validation" / "reviews.jsonl"
        yield client


def following(client, who, **more):
    return client.get(f"{API}/next", headers=bearer(who), params=more).json()


def review(client, who, record, **word):
    return client.post(f"{API}/reviews", json={"record": record, **word}, headers=bearer(who))


def ids(queue):
    return {r.name: r.id for r in read_transcripts([queue]).records}


def test_two_raters_a_record_and_no_third(site, queue):
    for who in ("asha", "ben"):
        for n in range(4):
            told = following(site, who)
            assert (told["reviewed"], told["left"], told["records"]) == (n, 4 - n, 4)
            assert review(site, who, told["record"]["id"]).status_code == 201
        assert following(site, who)["record"] is None
    assert following(site, "cleo") == {"record": None, "reviewed": 0, "left": 0, "records": 4}
    late = review(site, "cleo", ids(queue)["r0"])
    assert late.status_code == 409 and "two others" in late.json()["error"]
    assert len(read_reviews(site.reviews)) == 8


def test_nobody_sees_anothers_review_before_both_are_there(site, queue):
    key = ids(queue)
    review(site, "asha", key["r0"], off={"GV": 5}, comment="a word of Asha's")
    for path in ("next", "reviews", "agreement", "disputes", "settled.jsonl"):
        told = site.get(f"{API}/{path}", headers=bearer("ben")).text
        assert "a word of Asha" not in told and "asha" not in told, path
    assert site.get(f"{API}/next", headers=bearer("ben"), params={"record": key["r0"]}).json()["record"] is None
    review(site, "ben", key["r0"])
    # both are there; disputes wait until Ben has nothing left that they could colour
    waiting = site.get(f"{API}/disputes", headers=bearer("ben"))
    assert waiting.status_code == 409 and "3 records" in waiting.json()["error"]
    for name in ("r1", "r2", "r3"):
        review(site, "ben", key[name])
    [dispute] = site.get(f"{API}/disputes", headers=bearer("ben")).json()["disputes"]
    assert {r["rater"]: r["off"] for r in dispute["reviews"]} == {"asha": {"GV": 5.0}, "ben": {}}


def test_a_review_may_be_mended_until_the_second_is_there(site, queue):
    key = ids(queue)["r0"]
    review(site, "asha", key, off={"GV": 5})
    assert review(site, "asha", key, off={"GV": 4}).status_code == 201
    [own] = site.get(f"{API}/reviews", headers=bearer("asha")).json()["reviews"]
    assert own["off"] == {"GV": 4.0} and own["final"] is False
    assert following(site, "asha", record=key)["record"]["id"] == key
    review(site, "ben", key)
    refused = review(site, "asha", key)
    assert refused.status_code == 409 and "yours stands" in refused.json()["error"]
    assert site.get(f"{API}/reviews", headers=bearer("asha")).json()["reviews"][0]["final"] is True


def test_agreement_by_hand(site, queue):
    """GV: planned 2 3 4 3; Asha 2 3 4 4, Ben 2 4 4 4. Same band in 3 of 4; of 8 marks 5 are the planned ones.
    Quadratic kappa: observed mean of (0, 1, 0, 0) = 1/4; expected over all 16 pairs: Asha's 2, 3, 4, 4 against Ben's 2, 4, 4, 4:
    (0 + 3 * 4) + (1 + 3 * 1) + 2 * (4 + 0) = 24 of 16 = 3/2; 1 - (1/4)/(3/2) = 5/6."""
    key = ids(queue)
    words = {"r0": ({}, {}), "r1": ({}, {"GV": 4}), "r2": ({}, {}), "r3": ({"GV": 4}, {"GV": 4})}
    for name, (asha, ben) in words.items():
        review(site, "asha", key[name], off=asha)
        review(site, "ben", key[name], off=ben)
    told = site.get(f"{API}/agreement", headers=bearer("cleo")).json()
    gv = told["criteria"]["GV"]
    assert (gv["n"], gv["percent"], gv["adjacent"], gv["planned_band_right"]) == (4, 0.75, 1.0, 5 / 8)
    assert gv["weighted_kappa"] == pytest.approx(5 / 6)
    assert told["criteria"]["DM"]["percent"] == 1.0 and told["criteria"]["DM"]["weighted_kappa"] is None
    assert told["outcomes"] == {"agreed": 2, "disputed": 1, "changed": 1} and told["raters"] == 2
    assert "asha" not in json.dumps(told)


def test_a_dispute_is_settled_by_one_of_the_two(site, queue):
    key = ids(queue)
    for name in key:
        review(site, "asha", key[name], off={"GV": 5} if name == "r0" else {})
        review(site, "ben", key[name])
    word = {"record": key["r0"], "off": {"GV": 4}}
    assert site.post(f"{API}/consensus", json=word, headers=bearer("cleo")).status_code == 409
    assert site.post(f"{API}/consensus", json={**word, "record": key["r1"]}, headers=bearer("ben")).status_code == 409
    assert site.post(f"{API}/consensus", json=word, headers=bearer("ben")).status_code == 201
    assert site.get(f"{API}/disputes", headers=bearer("asha")).json()["disputes"] == []
    rows = [json.loads(line) for line in site.get(f"{API}/settled.jsonl", headers=bearer("asha")).text.splitlines()]
    assert {r["name"]: r["scores"]["GV"] for r in rows} == {"r0": 4.0, "r1": 3.0, "r2": 4.0, "r3": 3.0}


def test_edits_that_agree_make_the_record(site, queue):
    key = ids(queue)["r0"]
    turns = [{"role": "examiner", "text": "Where do you live?"}, {"role": "candidate", "text": "In a <b>town</b>."}]
    for who in ("asha", "ben"):
        assert review(site, who, key, turns=turns).status_code == 201
    [row] = [json.loads(line) for line in site.get(f"{API}/settled.jsonl", headers=bearer("asha")).text.splitlines()]
    assert [t["text"] for t in row["turns"]] == [t["text"] for t in turns] and row["scores"] == {"GV": 2.0, "DM": 3.0}


@pytest.mark.parametrize(
    ("word", "told"),
    [
        ({"off": {"GV": 2}}, "planned band"),
        ({"off": {"IC": 3}}, "none of GV, DM"),
        ({"off": {"GV": 6}}, "off"),
        ({"off": {"XX": 3}}, "off"),
        ({"turns": []}, "says nothing"),
        ({"turns": [{"role": "singer", "text": "x"}]}, "role"),
        ({"record": "nonsense"}, "not in the queue"),
        ({"rater": "ben"}, "asha's"),
    ],
)
def test_a_word_that_cannot_be_used(site, queue, word, told):
    reply = site.post(f"{API}/reviews", json={"record": ids(queue)["r0"], **word}, headers=bearer("asha"))
    assert reply.status_code in (403, 422) and told in reply.json()["error"]
    assert read_reviews(site.reviews) == []


def test_reviews_outlive_the_service(tmp_path, queue):
    key = ids(queue)
    with opened(tmp_path / "data", queue=(queue,)) as client:
        client.post(f"{API}/reviews", json={"record": key["r0"], "rater": "Asha Rao", "off": {"GV": 5}})
        assert client.post(f"{API}/reviews", json={"record": key["r0"], "rater": "consensus"}).status_code == 422
        assert client.post(f"{API}/reviews", json={"record": key["r0"]}).status_code == 422
    path = tmp_path / "data" / "validation" / "reviews.jsonl"
    path.write_bytes(path.read_bytes() + b'{"record": "torn')
    with opened(tmp_path / "data", queue=(queue,)) as client:
        told = client.get(f"{API}/next", params={"rater": "Asha Rao"}).json()
        assert (told["reviewed"], told["left"]) == (1, 3)
    assert [r.rater for r in read_reviews(path)] == ["Asha Rao"]


def test_records_in_hand_are_not_given_to_a_third(site):
    """Four records, three raters who have looked and not yet answered: no record is in more than two hands."""
    seen = [following(site, who)["record"]["id"] for who in ("asha", "ben", "cleo")]
    assert max(map(seen.count, seen)) <= 2
    assert following(site, "asha")["record"]["id"] == seen[0]  # a reload shows the same


def test_a_practice_queue_where_none_is_named(client):
    told = client.get(f"{API}/next", params={"rater": "someone"}).json()
    assert told["records"] == 8 and told["record"]["scores"] and "practice queue" in client.get("/validation").text


def test_a_queue_without_bands_is_refused(tmp_path):
    from windvane.core.errors import UserError

    (tmp_path / "q.txt").write_text("Examiner: Hello?\nCandidate: I live in a town.")
    with (
        pytest.raises(UserError, match="no transcript has bands"),
        opened(tmp_path / "data", queue=(tmp_path / "q.txt",)),
    ):
        pass
    assert TOKENS
