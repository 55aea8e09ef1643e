"""What LongPO computes with models (decoding after one document, theta, KL): each against another implementation, or by hand."""

import dataclasses
import types

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from tests.tiny import byte_tokenizer, model
from windvane.core.errors import UserError
from windvane.core.records import Prompt, Response, seed_of
from windvane.engines.local import LocalGenerator, Sampling
from windvane.longpo.decode import TrunkReader, common_prefix
from windvane.longpo.documents import Cut
from windvane.longpo.finish import adapters_told, kept_told, table
from windvane.longpo.kl import short_to_long
from windvane.longpo.methods import preference_weight
from windvane.longpo.responses import long_answers
from windvane.longpo.retention import ShortText, retention_figures
from windvane.longpo.rope import stretch
from windvane.longpo.settings import Filters, LongPO
from windvane.longpo.turns import Drop, Turns, kept_turns
from windvane.models.load import load_model
from windvane.models.trees.logprobs import Scorer
from windvane.runs.store import RunFolder


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


def test_a_question_that_does_not_fit_with_its_document_is_dropped_and_stops_nothing():
    """24 tokens of the round: 20 and 4 new ones fit, 21 and 4 do not."""
    net, stops = model(), [2]
    asked = {id: Prompt(id, (), ids(n, 3)) for id, n in (("a", 20), ("b", 21))}
    reader = TrunkReader(net, stops, Sampling(1, 1.0, 1.0, 4))
    given = {r.prompt_id: r for r in long_answers(reader, byte_tokenizer(), asked, 1, 0, 24)}
    assert list(given) == ["a"] and long_answers(reader, byte_tokenizer(), {"b": asked["b"]}, 1, 0, 24) == []
    settings = LongPO(
        "m", ("x",), filters=Filters(min_words=0, repetition_chosen=1.0, repetition_rejected=1.0, whole_repeats=0)
    )
    chosen = {id: Response(f"{id}-0", id, 0, "yes it is", (5, 2), "stop") for id in asked}
    given["a"] = dataclasses.replace(given["a"], text="no it is not")
    prompts = types.SimpleNamespace(short=lambda cut: asked)
    kept = kept_turns(Cut("d", 30, (), ()), settings, prompts, chosen, given, 100)
    assert kept == Turns("d", ("a",), (Drop("b", "over-long row"),))


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


def test_the_terminal_tells_documents_left_out_and_rounds_that_are_adapters(tmp_path):
    told = table({"documents": {"kept": 3, "long": 1, "short": 2}, "rounds": []})
    assert told.splitlines()[-1] == "documents left out: 2 too short, 1 too long"
    assert "left out" not in table({"documents": {"kept": 3}, "rounds": []})
    (tmp_path / "iter-2/model").mkdir(parents=True)
    assert adapters_told(RunFolder(tmp_path), 3) is None
    (tmp_path / "iter-2/model/adapter_config.json").write_text("{}")
    assert "row: iter-2/model; model/ is" in adapters_told(RunFolder(tmp_path), 3)
