"""Two models side by side: blind, streamed, voted on; and what the votes become."""

import itertools
import json
from collections import Counter

import pytest

from tests.serve.conftest import opened
from windvane.datasets.preference_pairs import read_pairs
from windvane.janus.bench.votes import read_votes
from windvane.janus.taxonomy import read_taxonomy
from windvane.janus.value_prompts import Value
from windvane.serve.compose import Composer, pair_of, template_message, written
from windvane.toy.composer import world_message, world_taxonomy
from windvane.toy.values.messages import VALUES, asked

API = "/api/v1/composer"
SYSTEM = "You are a helper."
ASK = [{"role": "user", "content": "Tell me about the wolf."}]


def read_events(text):
    """The server-sent events of an answer, as a client reads them."""
    return [json.loads(line.removeprefix("data: ")) for line in text.splitlines() if line.startswith("data: ")]


@pytest.fixture
def scripted(tmp_path):
    """Two scripts as models, so that who said what is known; a script as writer."""
    for name in "AB":
        rows = [{"contains": "wolf", "answer": f"{name} says wolf"}, {"contains": "same", "answer": "the same"}]
        rows += [{"contains": "silence", "answer": None, "reason": "no voice"}, {"answer": f"{name} says more"}]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    message = "You are a calm guide to animals. " + "You keep every answer short and warm and plain to read. " * 6
    (tmp_path / "writer.jsonl").write_text(json.dumps({"answers": [message.strip()]}) + "\n")
    models = tuple(f"scripted:{tmp_path}/{n}.jsonl" for n in "AB")
    with opened(tmp_path / "data", models=models, writer=f"scripted:{tmp_path}/writer.jsonl") as client:
        client.folder = tmp_path / "data" / "composer"
        client.names = models
        yield client


def begin(client, messages=ASK, system=SYSTEM):
    return client.post(f"{API}/turns", json={"system": system, "messages": messages}).json()["turn"]


def answers(client, turn):
    found = {}
    for side in ("left", "right"):
        events = read_events(client.post(f"{API}/turns/{turn}/{side}/answer").text)
        assert events[-1]["done"]
        found[side] = "".join(e.get("text", "") for e in events)
    return found


def vote(client, turn, choice):
    return client.post(f"{API}/turns/{turn}/vote", json={"vote": choice})


def test_a_vote_from_question_to_training_row(scripted):
    turn = begin(scripted)
    said = answers(scripted, turn)
    assert sorted(said.values()) == ["A says wolf", "B says wolf"]
    told = vote(scripted, turn, "left").json()
    assert {told["models"][side]: said[side] for side in said} == dict(
        zip(scripted.names, ["A says wolf", "B says wolf"])
    )
    assert told["pair"] and told["goes_on"] == "left" and told["answer"] == said["left"]
    [pair] = read_pairs(scripted.folder / "pairs.jsonl")
    assert (pair.chosen, pair.rejected) == (said["left"], said["right"])
    assert [(m.role, m.content) for m in pair.prompt.messages] == [("system", SYSTEM), ("user", ASK[0]["content"])]
    wanted = "win" if said["left"].startswith("A") else "lose"
    assert read_votes(scripted.folder / "votes.jsonl") == [(pair.prompt.id, wanted)]


@pytest.mark.parametrize("choice", ["both good", "both bad"])
def test_no_preference_is_a_vote_and_no_pair(scripted, choice):
    turn = begin(scripted)
    answers(scripted, turn)
    assert not vote(scripted, turn, choice).json()["pair"]
    assert [v for _, v in read_votes(scripted.folder / "votes.jsonl")] == [choice]
    assert (scripted.folder / "pairs.jsonl").read_text() == ""


def test_equal_answers_are_no_pair(scripted):
    turn = begin(scripted, [{"role": "user", "content": "say the same"}])
    answers(scripted, turn)
    assert not vote(scripted, turn, "right").json()["pair"]


def test_sides_are_drawn_and_not_told_before_the_vote(scripted):
    """40 turns: A stands left about half of the time (2 to 38 of 40 but for 1 in 10^9), and nothing sent before tells."""
    left = Counter()
    for _ in range(40):
        reply = scripted.post(f"{API}/turns", json={"system": SYSTEM, "messages": ASK})
        assert set(reply.json()) == {"turn", "sides"}
        turn = reply.json()["turn"]
        said = answers(scripted, turn)
        assert all(name not in json.dumps(said) for name in scripted.names)
        left[said["left"][0]] += 1
    assert 2 <= left["A"] <= 38


def test_the_next_turn_has_one_history_for_both(scripted):
    """Each vote compares two answers to one chat, which a pair needs."""
    turn = begin(scripted)
    answers(scripted, turn)
    kept = vote(scripted, turn, "right").json()["answer"]
    longer = [*ASK, {"role": "assistant", "content": kept}, {"role": "user", "content": "And then?"}]
    turn = begin(scripted, longer)
    answers(scripted, turn)
    vote(scripted, turn, "left")
    pairs = read_pairs(scripted.folder / "pairs.jsonl")
    assert [m.content for m in pairs[1].prompt.messages] == [SYSTEM, ASK[0]["content"], kept, "And then?"]


def test_what_is_not_in_order_is_refused(scripted):
    turn = begin(scripted)
    assert vote(scripted, turn, "left").status_code == 409  # nothing is answered yet
    answers(scripted, turn)
    assert scripted.post(f"{API}/turns/{turn}/left/answer").status_code == 409
    assert vote(scripted, turn, "left").status_code == 200
    assert vote(scripted, turn, "left").status_code == 409
    assert vote(scripted, "nonsense", "left").status_code == 404
    assert vote(scripted, turn, "middle").status_code == 422
    wrong = [{"role": "assistant", "content": "x"}]
    assert scripted.post(f"{API}/turns", json={"messages": wrong}).status_code == 422
    assert len(read_votes(scripted.folder / "votes.jsonl")) == 1


def test_a_model_that_fails_says_so_in_its_stream_and_may_be_asked_again(scripted):
    turn = begin(scripted, [{"role": "user", "content": "silence"}])
    for _ in range(2):
        [event] = read_events(scripted.post(f"{API}/turns/{turn}/left/answer").text)
        assert "no voice" in event["error"]


def test_many_answers_at_once_are_refused_and_counted_down(scripted, monkeypatch):
    monkeypatch.setattr("windvane.serve.composer_routes.MOST_STREAMS", 0)
    turn = begin(scripted)
    assert scripted.post(f"{API}/turns/{turn}/left/answer").status_code == 503
    monkeypatch.setattr("windvane.serve.composer_routes.MOST_STREAMS", 1)  # one after the other is let through
    answers(scripted, turn)
    assert vote(scripted, turn, "left").status_code == 200


def test_a_full_disk_keeps_nothing_and_says_so(scripted, monkeypatch):
    import errno
    import os

    turn = begin(scripted)
    answers(scripted, turn)

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    reply = vote(scripted, turn, "left")
    assert reply.status_code == 507 and "disk is full" in reply.json()["error"]
    monkeypatch.undo()
    assert vote(scripted, turn, "left").status_code == 200
    assert len(read_votes(scripted.folder / "votes.jsonl")) == 1


def test_a_kill_between_the_two_files_is_mended(scripted, tmp_path):
    turn = begin(scripted)
    answers(scripted, turn)
    vote(scripted, turn, "left")
    folder = tmp_path / "again"
    folder.mkdir()
    (folder / "votes.jsonl").write_bytes((scripted.folder / "votes.jsonl").read_bytes())
    for _ in range(2):
        Composer(folder, [("A", None), ("B", None)]).close()
        assert (folder / "pairs.jsonl").read_bytes() == (scripted.folder / "pairs.jsonl").read_bytes()


def test_downloads_are_the_files(scripted):
    turn = begin(scripted)
    answers(scripted, turn)
    vote(scripted, turn, "left")
    for name in ("votes", "pairs"):
        assert scripted.get(f"{API}/{name}.jsonl").content == (scripted.folder / f"{name}.jsonl").read_bytes()
    assert scripted.get(f"{API}/other.jsonl").status_code == 422
    assert sum(scripted.get(f"{API}/votes").json()["votes"].values()) == 1


def test_the_template_says_every_value():
    taxonomy = read_taxonomy()
    for n in range(20):
        [values] = taxonomy.draw(1, n)
        text = template_message(values)
        assert text.startswith("You are ") and "\n" not in text
        for value in values:
            assert value.preference in text and value.description in text


def test_the_worlds_messages_mean_the_chosen_values():
    """Read back by the world's own reader, for every combination of one value a dimension, and of two dimensions."""
    columns = [d.values for d in world_taxonomy().dimensions]
    assert [len(c) for c in columns] == [4, 4, 4, 4]
    for values in [*itertools.product(*columns), *itertools.product(columns[0], columns[2])]:
        text = world_message(values)
        assert {(VALUES[k].told.dimension, VALUES[k].told.preference) for k in asked(text)} == {
            (v.dimension, v.preference) for v in values
        }
    own = Value("style", "own", "like a pirate", "")
    assert world_message([own]).endswith("like a pirate.") and world_message([columns[0][0], own]).endswith(
        "like a pirate."
    )


def test_own_words_stand_as_they_are():
    [*_, last] = written([Value("style", "own", "like a pirate.", "")], "", None)
    assert last == {
        "done": True,
        "message": template_message([Value("style", "own", "like a pirate.", "")]),
        "remark": None,
    }
    assert last["message"].endswith("Style: like a pirate.")


def test_a_writer_model_is_checked_as_the_collection_is(scripted):
    value = {"dimension": "style", "preference": "brevity", "description": "Few words."}
    *_, last = read_events(scripted.post(f"{API}/system", json={"values": [value], "topic": "animals"}).text)
    assert last["done"] and last["message"].startswith("You are a calm guide") and last["remark"] is None
    quoted = "You are a calm guide to animals. You keep every answer short"
    *_, last = read_events(scripted.post(f"{API}/system", json={"values": [value], "topic": quoted}).text)
    assert last["remark"] == "quotes the instruction" and last["message"]
    assert scripted.post(f"{API}/system", json={"values": []}).status_code == 422


def test_pair_of_by_hand():
    row = {"vote": "lose", "answer": "a", "opponent_answer": "b", "prompt": [], "id": "x"}
    turn = [{"role": "assistant", "content": "b"}], [{"role": "assistant", "content": "a"}]
    assert (pair_of(row)["chosen"], pair_of(row)["rejected"]) == turn
    assert pair_of({**row, "vote": "both good"}) is None
    assert pair_of({**row, "opponent_answer": " "}) is None
