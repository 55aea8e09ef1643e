"""LongPO's questions, filters and turns by hand."""

import pytest

from tests.tiny import byte_tokenizer
from windvane.core.errors import UserError
from windvane.core.records import Message, Response
from windvane.longpo.documents import Chunk
from windvane.longpo.filters import drop_reason, repeats, repetition
from windvane.longpo.questions import about, ask_about, chosen_question, grounding_of, led_in
from windvane.longpo.settings import Ask, Filters, LongPO
from windvane.longpo.stages import LongFlow
from windvane.longpo.turns import next_turn
from windvane.prompts.chat import answered, render

# Questions

CHUNK = "The treaty of Utrecht was signed in 1713. Its negotiators, Harley and St John, weighed trade against territory in Brazil."


@pytest.mark.parametrize(
    ("question", "right"),
    [
        ("How did Harley weigh trade against territory?", True),
        ("What was signed in 1713?", True),
        ("Which territories and trades did the negotiators weigh?", True),  # other endings
        ("What was signed in 1714?", False),
        ("How did Walpole weigh trade against territory?", False),  # a name that is not there
        ("What are the main ingredients of a good soup?", False),
        ("Why?", False),
    ],
)
def test_grounding(question, right):
    assert about(question, CHUNK) is right


def test_a_grounding_that_is_none_is_told_before_documents_are_read(tmp_path):
    s = LongPO("nowhere", ("nothing",), ask=Ask(grounding="wrods"))
    with pytest.raises(UserError, match=r"ask.grounding: wrods; take words, off"):
        LongFlow(s, str(tmp_path / "run"))
    assert not (tmp_path / "run").exists()


def test_which_question_is_kept():
    ask = Ask(count=2)
    reply = "1: What are soups?\n2: What did the negotiators weigh?"
    assert {chosen_question(reply, CHUNK, ask, None, seed)[0] for seed in range(20)} == {
        "What are soups?",
        "What did the negotiators weigh?",
    }
    assert {chosen_question(reply, CHUNK, ask, about, seed)[0] for seed in range(9)} == {
        "What did the negotiators weigh?"
    }
    assert chosen_question("1: What are soups?\n2: And stews?", CHUNK, ask, about, 0) == (None, "not about the chunk")
    assert chosen_question("What?", CHUNK, ask, about, 0) == (None, "not a numbered list")
    assert grounding_of("off") is None and grounding_of("words") is about
    assert grounding_of("world:facts")("What does Anna do?", "Anna sings.") is True
    assert grounding_of("py:operator:contains")("abc", "b") is True
    for wrong in ("word", "py:operator", "py:operator:nothing", "world:nothing"):
        with pytest.raises(UserError, match=r"ask.grounding"):
            grounding_of(wrong)
    leads = {led_in("Why?", ("A,", "B:"), seed) for seed in range(20)}
    assert leads == {"A, Why?", "B: Why?"} and led_in("Why?", (), 1) == "Why?"


class Scripted:
    """A generator that says what is written for (chunk, attempt)."""

    tokenizer = byte_tokenizer()

    def __init__(self, replies):
        self.replies, self.asked = replies, []

    def generate(self, prompts, indices, seed):
        self.asked += [(p.id, indices[0]) for p in prompts]
        return [
            [Response(f"{p.id}-{i}", p.id, i, self.replies[p.id, i], (5,), "stop") for i in indices] for p in prompts
        ]


def test_a_chunk_is_asked_again_only_where_its_reply_cannot_be_used():
    replies = {
        ("a", 0): "What was signed?",
        ("b", 0): "",
        ("b", 1): "What are soups?",
        ("b", 2): "What was signed?",
        ("c", 0): "one\ntwo",
        ("c", 1): "What was signed, " + "and what was signed, " * 9,
        ("c", 2): "What are soups?",
    }
    scripted = Scripted(replies)
    places = [("doc", Chunk(id, 0, 1, 1), CHUNK) for id in "abc"] + [("doc", Chunk("d", 0, 1, 1), CHUNK * 40)]
    ask = Ask(count=1, attempts=3, lead_ins=("Say:",), max_tokens=60, max_new_tokens=10, prompt="{chunk}\nAsk.")
    found = {q.id: q for q in ask_about(scripted, ask, places, about, 1, 1000)}
    assert scripted.asked == [("a", 0), ("b", 0), ("c", 0), ("b", 1), ("c", 1), ("b", 2), ("c", 2)]
    assert found["a"].text == found["b"].text == "Say: What was signed?" and found["a"].reason is None
    assert [r.reason for r in found["b"].replies] == ["no reply", "not about the chunk", None]
    assert [r.reason for r in found["c"].replies] == [
        "not a numbered list",
        "too long a question",
        "not about the chunk",
    ]
    assert (found["c"].text, found["c"].reason) == (None, "not about the chunk")
    assert (found["d"].text, found["d"].reason) == (None, "the chunk is longer than the window")


# Filters


def says(text, finish="stop"):
    return Response("r", "p", 0, text, (5, 6), finish)


FINE = "Three separate reasons explain the long decline."
LOOP = "again and again and again and again"


@pytest.mark.parametrize(
    ("chosen", "rejected", "changes", "reason"),
    [
        (FINE, FINE, {}, None),
        (" ", FINE, {}, "chosen empty"),
        (FINE, "", {}, "rejected empty"),
        (FINE, "I’m sorry, but I cannot.", {}, "rejected refused"),
        ("As an AI model, one two", FINE, {}, "chosen refused"),
        (FINE, "No. It is.", {}, "rejected of too few words"),
        (FINE, "No. It is.", {"min_words": 0}, None),
        (LOOP, FINE, {}, "chosen repetitive"),
        (FINE, "one two one two one two", {"repetition_rejected": 1.0}, None),
        (FINE, "one two one two one two ", {"repetition_rejected": 1.0, "whole_repeats": 0}, None),
        (FINE, "onetwo-onetwo-onetwo-", {"repetition_rejected": 1.0}, "rejected repetitive"),
    ],
)
def test_filters(chosen, rejected, changes, reason):
    assert drop_reason(says(chosen), says(rejected), 10, 100, Filters(**changes)) == reason


def test_filters_by_length():
    assert drop_reason(says(FINE), says(FINE), 101, 100, Filters()) == "over-long short row"
    assert drop_reason(says(FINE), says(FINE), 101, 100, Filters(short_tokens=200)) is None
    cut = says(FINE, "length")
    assert drop_reason(says(FINE), cut, 1, 100, Filters()) is None
    assert drop_reason(says(FINE), cut, 1, 100, Filters(unfinished="drop")) == "rejected unfinished"
    # 8 words, of which "a" 3 times and "b" twice
    assert repetition(["a", "b", "c", "a", "b", "d", "a", "e"]) == pytest.approx(5 / 8)
    assert repeats("ababab") == 3 and repeats("abcab") == 1


# Turns


def test_the_next_turn_is_the_templates():
    """Prompt, answer, closing tokens and next turn are the ids of the whole chat through the template."""
    tokenizer = byte_tokenizer()
    chat = [Message("user", "Document.\n\nWhy?"), Message("assistant", "Because."), Message("user", "And then?")]
    closing, following = next_turn(tokenizer, "And then?", {2})
    assert closing == (2,)
    start = answered(tokenizer, chat[:1], "Because.")
    assert start[-1] == 2 and start + following == render(tokenizer, chat)
    assert next_turn(tokenizer, "And then?", {99}) == ((), closing + following), (
        "a stop token that the template does not write"
    )
