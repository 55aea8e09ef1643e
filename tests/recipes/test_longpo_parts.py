"""LongPO's parts: each against another implementation, or by hand."""

import dataclasses
import math

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, MistralConfig, MistralForCausalLM

from tests.tiny import byte_tokenizer, folder, model
from windvane.backends.local import LocalGenerator, Sampling
from windvane.errors import UserError
from windvane.modeling.load import load_model, load_tokenizer
from windvane.modeling.logprobs import Scorer
from windvane.prompts.chat import answered, render
from windvane.recipes.long_arms import preference_weight
from windvane.recipes.long_cost import Rate, Shape, hours, measure_rate, shape_of
from windvane.recipes.long_decode import TrunkReader, common_prefix
from windvane.recipes.long_documents import Chunk, Cut, Held, choose_documents, gather_documents
from windvane.recipes.long_filters import drop_reason, repeats, repetition
from windvane.recipes.long_finish import kept_told
from windvane.recipes.long_flow import LongFlow
from windvane.recipes.long_kl import short_to_long
from windvane.recipes.long_questions import about, ask_about, chosen_question, grounding_of, led_in
from windvane.recipes.long_retention import ShortText, retention_figures
from windvane.recipes.long_settings import Answer, Ask, Chunks, Filters, LongPO
from windvane.recipes.long_theta import stretch
from windvane.recipes.long_turns import next_turn
from windvane.recipes.longpo import world_recipe
from windvane.records import Message, Prompt, Response, seed_of
from windvane.store import RunFolder, read_records
from windvane.train.loop import Train

LONG = {"model": "m", "documents": ("d",)}
SMALL = LongPO(**LONG, lengths="8k,16k", chunks=Chunks(tokens=2000, per_document=2))


def ids(count, seed):
    return tuple(torch.randint(4, 260, (count,), generator=torch.Generator().manual_seed(seed)).tolist())


# One document, several questions


@pytest.mark.parametrize("family", ["mistral", "qwen3"])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_questions_after_one_document_are_answered_as_each_alone(family, temperature):
    """The same ids as from the whole prompts, by the other generator; and the document went through the model once."""
    net, sampling = model(family), Sampling(1, temperature, 0.9 if temperature else 1.0, 12)
    document = ids(300, 1)
    asked = [Prompt(f"q{i}", (), document + ids(n, 2 + i)) for i, n in enumerate((9, 3, 17, 1))]
    asked.append(Prompt("q4", (), document))  # nothing after the document
    alone = LocalGenerator(net, byte_tokenizer(), sampling)
    expected = [r.token_ids for p in asked for (r,) in alone.generate([p], [1], 5)]
    read = []
    handle = net.model.embed_tokens.register_forward_hook(lambda module, args, out: read.append(args[0].numel()))
    reader = TrunkReader(net, alone.stops, sampling)
    reader.answer([asked[0].token_ids], [0])  # the decoder's own check comes first
    read.clear()
    found = reader.answer([p.token_ids for p in asked], [seed_of(5, p.id, 1) for p in asked])
    handle.remove()
    assert [s.token_ids for s in found] == expected
    assert read[0] == 300 and sum(read) <= 300 + 5 * (17 + 12), "one prefill of what is shared"
    for s, p in zip(found, asked):
        logps = net(torch.tensor([p.token_ids + s.token_ids])).logits[0].log_softmax(-1)
        at = range(len(p.token_ids) - 1, len(p.token_ids) + len(s.token_ids) - 1)
        assert s.logps == pytest.approx(sum(logps[i, t].item() for i, t in zip(at, s.token_ids)), abs=1e-3)


def test_common_prefix():
    assert common_prefix([(1, 2, 3), (1, 2, 4), (1, 2)]) == 2
    assert common_prefix([(1, 2)]) == common_prefix([(1, 2), (1, 2)]) == 2
    assert common_prefix([(1, 2), (3,)]) == 0


# Theta


@pytest.mark.parametrize("family", ["mistral", "qwen3"])
def test_a_raised_theta_is_that_of_a_model_configured_so(tmp_path, family):
    made = model(family, window=512)
    plain, row = model(family, window=512), torch.tensor([ids(700, 3)])
    stretch(made, 5e5, 2048)
    config = AutoConfig.for_model(**plain.config.to_dict())
    config.rope_parameters = {**config.rope_parameters, "rope_theta": 5e5}
    config.max_position_embeddings = 2048
    other = type(plain)(config)
    other.load_state_dict(plain.state_dict())
    with torch.no_grad():
        ours, theirs, before = (m.eval()(row).logits for m in (made, other, plain))
    assert torch.equal(ours, theirs) and (ours - before).abs().max() > 1e-2
    assert torch.equal(stretch(made, 5e5, 1024)(row).logits, ours), "twice changes nothing, and a window never shrinks"
    made.save_pretrained(tmp_path)
    assert torch.equal(AutoModelForCausalLM.from_pretrained(tmp_path)(row).logits, ours)
    assert load_model(str(tmp_path)).config.max_position_embeddings == 2048
    with pytest.raises(UserError, match=r"theta: 1000 is below the model's own 500000"):
        stretch(made, 1e3, 1024)
    assert torch.equal(stretch(plain, 0, 4096)(row).logits, before), "0 leaves the model's own"


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


# KL


@pytest.mark.parametrize("scale", [3.0, 6.0])
def test_short_to_long_kl_by_the_plain_forward(scale):
    policy, short = model(scale=scale), model(seed=3, scale=scale)
    long_ids = {q: ids(60, 1) + ids(n, 5 + n) for q, n in (("a", 4), ("b", 7))}
    short_ids = {q: ids(20, 2 + n) for n, q in enumerate(long_ids)}
    answers = {q: Response(f"{q}-2", q, 2, "", ids(5 + n, 9 + n), "stop") for n, q in enumerate(long_ids)}
    answers["b"] = dataclasses.replace(answers["b"], token_ids=answers["a"].token_ids)
    expected = []
    for q, answer in answers.items():
        logits = []
        for net, before in ((policy, long_ids[q]), (short, short_ids[q])):
            with torch.no_grad():
                row = net(torch.tensor([before + answer.token_ids])).logits[0]
            logits.append(row[len(before) - 1 : -1].log_softmax(-1))
        p, q_ = logits
        expected.append(torch.nn.functional.kl_div(q_, p, reduction="sum", log_target=True).item())
    scorers = Scorer(policy), Scorer(short)
    found = short_to_long("doc", *scorers, long_ids, short_ids, answers)
    assert [r.kl for r in found] == pytest.approx(expected, rel=1e-4) and expected[0] > 0.1
    with pytest.warns(UserWarning, match="rows instead of trees"):
        for s in scorers:
            s._fall_back("a test")
    rows = short_to_long("doc", *scorers, long_ids, short_ids, answers)
    assert [r.kl for r in rows] == pytest.approx(expected, rel=1e-4)


def test_what_the_preference_weighs_beside_the_nll():
    """.01 * .1/2 * 131,072 = 65.5 as the notes on the paper have it; arms without one of the two terms have no such ratio."""
    s = LongPO("m", ("d",))
    assert preference_weight(s, 131_072) == pytest.approx(65.536)
    assert preference_weight(dataclasses.replace(s, arm="dpo-nll", lam=1.0), 1024) == pytest.approx(51.2)
    for arm in ("longpo-no-nll", "dpo", "sft", "sft-full", "solopo", "theta"):
        assert preference_weight(dataclasses.replace(s, arm=arm), 1024) is None


def test_retention_by_hand():
    """a: 4 and 6 more nats over 10 tokens each, b: none over 20: +10/40 a token; the documents' residuals are
    10 - 20/4 = 5 and -5 and the error sqrt(2 * 50)/40."""
    rows = [ShortText("1", "a", 10, 20.0, 24.0, True), ShortText("2", "a", 10, 20.0, 26.0, True)]
    found = retention_figures([*rows, ShortText("3", "b", 20, 40.0, 40.0, True)])
    assert (found["start"], found["after"], found["chunks"], found["aside"]) == (2.0, 2.25, 3, True)
    gap = found["difference"]
    assert gap["mean"] == 0.25 and gap["standard_error"] == pytest.approx(0.25) and gap["documents"] == 2
    assert (gap["low"], gap["high"]) == (0.0, 0.5)
    assert kept_told(found).startswith(
        "short texts (3 chunks of documents held aside): 2.0000 nats a token at the start, 2.2500 after"
    )
    one = retention_figures(rows)
    assert one["difference"]["mde"] is None and kept_told(one).endswith("2.5000 after (+0.5000)")
    assert retention_figures([]) == {"chunks": 0} and "none fits" in kept_told({"chunks": 0})


def test_a_policy_is_no_way_from_itself():
    net, answer = model(), Response("a-2", "a", 2, "", ids(5, 1), "stop")
    (found,) = short_to_long("doc", Scorer(net), Scorer(net), {"a": ids(9, 2)}, {"a": ids(9, 2)}, {"a": answer})
    assert found.kl == pytest.approx(0.0, abs=1e-6) and found.tokens == 5


# Cost


def test_cost_of_the_papers_set_at_7b():
    """45,000 documents of 131,072 tokens on a Mistral-7B at 4e14 operations a second: about 200 hours to read them once."""
    mistral = Shape(weights=7_110_660_096, layers=32, width=4096)
    assert mistral.forward(131_072) == pytest.approx(6.4e15, rel=0.02)
    s = LongPO(**LONG)
    cuts = [Cut("d", 131_072, (), tuple(Chunk(str(i), 0, 1, 30_000) for i in range(4)))] * 45_000
    found = hours(mistral, Rate(4e14, 0.0, 4096), cuts, s)
    assert found["rejected"] == pytest.approx(200, rel=0.01)
    assert found["training"] == pytest.approx(3 * found["rejected"])
    assert hours(mistral, Rate(4e14, 0.02, 4096), cuts, s)["rejected"] - found["rejected"] == pytest.approx(
        45_000 * 1024 * 0.02 / 3600
    )
    assert (
        hours(mistral, Rate(4e14, 0.0, 1), cuts, dataclasses.replace(s, arm="placebo", answer=Answer(temperature=1.0)))[
            "rejected"
        ]
        == 0
    )


def test_shape_and_rate_of_a_model():
    with torch.device("meta"):
        whole = MistralForCausalLM(MistralConfig())
    assert shape_of(whole) == Shape(7_241_732_096 - 32_000 * 4096, 32, 4096)
    rate = measure_rate(model(), 100)
    assert rate.tokens == 100 and rate.operations > 0 and rate.step > 0


# Settings


def test_lengths_and_rounds():
    s = LongPO(**LONG)
    assert s.targets == (131_072, 262_144, 524_288) and s.least_document == 65_536 and s.least_chunk == 15_000
    assert s.limit(131_072) == 131_072 - 4 * (1024 + 256)
    assert [s.start_of(t) for t in (1, 2, 3)] == [0, 1, 1], "256K and 512K both from the 128K model, as published"
    assert [dataclasses.replace(s, iterate="chained").start_of(t) for t in (1, 2, 3)] == [0, 1, 2]
    assert [dataclasses.replace(s, theta=(1.0, 2.0, 3.0)).theta_of(t) for t in (1, 2, 3)] == [1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"lengths": "4k,2k"}, "must grow"),
        ({"lengths": "4x"}, "'4x' is no length"),
        ({"lengths": "64k,128k", "theta": (1.0, 2.0, 3.0)}, "3 values for 2 rounds"),
        ({"lengths": "16k"}, "chunks.tokens: 30000 is no shorter than the first length, 16384"),
        ({"lengths": "4k", "chunks": Chunks(tokens=1000)}, "leaves no room for a document"),
        ({"beta": 0.0}, "beta: 0.0; must be above 0"),
        ({"beta": float("nan")}, "beta: nan; must be above 0"),
        ({"lam": -0.01}, "lam: -0.01; must be 0 or more"),
        ({"theta": (float("nan"),)}, "theta: must be positive"),
        ({"arm": "placebo"}, "greedy gives the same answer twice"),
        ({"arm": "dpo", "train": Train(objective="simpo")}, "arm dpo has its own loss"),
    ],
)
def test_what_does_not_go_together_is_refused(changes, text):
    with pytest.raises(UserError, match=text):
        LongPO(**{**LONG, **changes})


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"whole_repeats": 1}, "whole_repeats: 1; must be 0"),  # every answer is one unit once
        ({"repetition_chosen": 90.0}, "repetition_chosen: 90.0; must be a share"),
        ({"short_tokens": 0}, "short_tokens: 0; must be at least 1"),
        ({"min_turns": 0}, "min_turns: 0; must be at least 1"),
    ],
)
def test_filters_that_mean_nothing_are_refused(changes, text):
    with pytest.raises(UserError, match=text):
        Filters(**changes)


def test_the_worlds_own_base_is_the_best_factor_whatever_the_lengths():
    """docs/world.md: 6.25 times its own 1,000; a base that grew with the rounds would pass 1e4, where it only loses."""
    s = dataclasses.replace(world_recipe(), lengths="256,512,1024,2048")
    assert [s.theta_of(t) for t in (1, 2, 3, 4)] == [6250.0] * 4 and s.ask.temperature == 0.7


def test_a_document_that_stands_twice_is_used_once_and_told(tmp_path):
    for name, text in (("a", "one two"), ("b", "three four"), ("c", "one two"), ("d", "one two")):
        (tmp_path / f"{name}.txt").write_text(text)
    tokenizer = load_tokenizer(str(folder(tmp_path / "model", "mistral")))
    files = tuple(str(tmp_path / f"{name}.txt") for name in "abcd")
    with RunFolder(tmp_path / "run") as run:
        small = dataclasses.replace(SMALL, documents=files)
        assert gather_documents(run, small, tokenizer, quiet=True) == 2
        held = read_records(run / "documents.jsonl", Held)
    assert sorted(h.source for h in held) == ["a.txt", "b.txt"]


def test_documents_of_a_round():
    limits = [SMALL.limit(t) for t in SMALL.targets]
    held = [Held(f"{i:02}", "s", n, "kept") for i, n in enumerate((5000, limits[0], limits[0] + 1, limits[1]))]
    held += [Held("90", "s", 9000, "long"), Held("91", "s", 50, "short")]

    def names(t, **changes):
        return [
            h.id
            for h in choose_documents(
                dataclasses.replace(SMALL, chunks=dataclasses.replace(SMALL.chunks, **changes)), held, t
            )
        ]

    assert names(1) == ["00", "01"] and names(2) == ["00", "01", "02", "03"]
    assert names(2, lengths="band") == ["02", "03"]
    assert len(names(2, per_round=3)) == 3 and names(2, per_round=3) == sorted(names(2, per_round=3))
    with pytest.raises(UserError, match=r"none of 2 fits round 1 .* the longest has 9000"):
        choose_documents(SMALL, held[4:], 1)
    assert math.isclose(SMALL.least_document, 4096)
