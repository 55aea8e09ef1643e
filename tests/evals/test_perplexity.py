"""Held-out perplexity against a plain forward, on trees and rows; intervals by hand; kept, resumed, refused."""

import json
import math

import pytest
import torch

from tests import tiny
from windvane.core.errors import UserError
from windvane.evals.perplexity import DocumentNats, compare, document_nats, main, summarise
from windvane.models.load import load_model, load_tokenizer
from windvane.models.trees.logprobs import Scorer
from windvane.toy.facts import family as facts
from windvane.toy.facts.skill import nats_per_token


def test_sums_are_the_plain_forwards():
    model, tokenizer = load_model("world:facts", "float32", "cpu"), load_tokenizer("world:facts")
    texts = list(facts.documents(3, (40, 90), 2, "held-out"))
    rows = [(t, [tokenizer.bos_token_id, *tokenizer(t, add_special_tokens=False).input_ids]) for t in texts]
    scorer = Scorer(model.train())
    found = document_nats(scorer, rows)
    assert scorer.mode == "trees" and model.training, "the mode is put back"
    model.eval()
    for (_, ids), got in zip(rows, found):
        logps = model(input_ids=torch.tensor([ids])).logits[0].log_softmax(-1)
        want = -sum(logps[i, token].item() for i, token in enumerate(ids[1:]))
        assert got.tokens == len(ids) - 1 and got.nats == pytest.approx(want, rel=1e-4)
    assert summarise(found)["nats_per_token"] == pytest.approx(nats_per_token(model, tokenizer, texts), rel=1e-5)
    scorer.reason = "asked for"
    assert [d.nats for d in document_nats(scorer, rows)] == pytest.approx([d.nats for d in found], rel=1e-4)


def test_summary_by_hand():
    """(2 + 10)/(4 + 4) = 1.5 nats; draws of two documents give .5, 1.5 or 2.5."""
    found = summarise([DocumentNats("a", 2.0, 4), DocumentNats("b", 10.0, 4)])
    assert found["nats_per_token"] == 1.5 and (found["low"], found["high"]) == (0.5, 2.5)
    assert found["perplexity"] == pytest.approx(math.e**1.5) and found["perplexity_high"] == pytest.approx(math.e**2.5)
    one = summarise([DocumentNats("a", 1.0, 4)])
    assert one["nats_per_token"] == 0.25 and one["low"] is None and one["perplexity_low"] is None
    # Four draws: a alone in .4%, a three times in 4.7%, so the 2.5% quantile is (9 + 0)/(1 + 27)
    uneven = summarise([DocumentNats("a", 0.0, 9), *(DocumentNats(i, 9.0, 1) for i in "bcd")])
    assert uneven["low"] == pytest.approx(9 / 28) and uneven["high"] == 9
    # Tokens weigh, not documents: (0 + 9)/(9 + 1), not the mean of 0 and 9
    assert summarise([DocumentNats("a", 0.0, 9), DocumentNats("b", 9.0, 1)])["nats_per_token"] == 0.9


def test_two_models_by_hand():
    """Differences 1 over 4 tokens, -3 over 2: (1 - 3)/6 nats a token; residuals 1 + 4/3 and -3 + 2/3, so the error is
    sqrt(2 * 2 * (7/3)^2)/6."""
    ours = [DocumentNats("a", 3.0, 4), DocumentNats("b", 1.0, 2), DocumentNats("c", 9.0, 3), DocumentNats("d", 9.0, 3)]
    theirs = [DocumentNats("b", 4.0, 2), DocumentNats("a", 2.0, 4), DocumentNats("c", 9.0, 5)]
    found = compare(ours, theirs, "other")
    assert found["mean"] == pytest.approx(-1 / 3) and found["standard_error"] == pytest.approx(7 / 9)
    assert (found["low"], found["high"]) == (-1.5, 0.25) and found["mde"] == pytest.approx(2.8016 * 7 / 9, rel=1e-4)
    assert (found["documents"], found["unpaired"]) == (2, 3), "c is other tokens"
    one = compare(ours[:1], theirs, "other")
    assert one["mean"] == 0.25 and one["mde"] is None and one["low"] is None
    with pytest.raises(UserError, match="no document in common"):
        compare(ours[3:], theirs, "other")


def test_the_verb(tmp_path, capsys):
    texts = list(facts.documents(3, (40, 90), 2, "held-out"))
    (tmp_path / "d.jsonl").write_text("".join(json.dumps({"text": t}) + "\n" for t in [*texts, texts[0]]))
    argv = ["--model", "world:facts", "--documents", str(tmp_path / "d.jsonl"), "--device", "cpu", "--json", "--quiet"]
    assert main([*argv, "--tokens", "60"]) == 0
    short = json.loads(capsys.readouterr().out)
    assert short["documents"] == 2 and short["left_out"]["too long"] == 2, "never cut"
    assert main([*argv, "--out", str(tmp_path / "o")]) == 0
    every = json.loads(capsys.readouterr().out)
    model, tokenizer = load_model("world:facts", "float32", "cpu"), load_tokenizer("world:facts")
    assert every["documents"] == 4 and every["nats_per_token"] == pytest.approx(
        nats_per_token(model, tokenizer, texts), rel=1e-5
    )
    rows = (tmp_path / "o" / "documents.jsonl").read_text()
    assert main([*argv, "--out", str(tmp_path / "o")]) == 0
    assert json.loads(capsys.readouterr().out) == every and (tmp_path / "o" / "documents.jsonl").read_text() == rows
    assert (tmp_path / "o" / "result.json").exists() and "nats" in (tmp_path / "o" / "plot.svg").read_text()
    assert main([*argv, "--against", str(tmp_path / "o")]) == 0
    gap = json.loads(capsys.readouterr().out)["comparison"]
    assert (gap["mean"], gap["documents"], gap["unpaired"]) == (0, 4, 0)
    with pytest.raises(UserError, match="not a finished --out of windvane eval perplexity"):
        main([*argv, "--against", str(tmp_path)])
    with pytest.raises(UserError, match="other settings"):
        main([*argv, "--out", str(tmp_path / "o"), "--limit", "1"])
    with pytest.raises(UserError, match="none of 4 can be scored"):
        main([*argv, "--tokens", "10"])
    with pytest.raises(UserError, match="--limit 0"):
        main([*argv, "--limit", "0"])
    assert (
        main(
            [
                "--model",
                "world:facts",
                "--documents",
                "world:facts:5",
                "--tokens",
                "50",
                "--limit",
                "3",
                "--device",
                "cpu",
            ]
        )
        == 0
    )
    assert "on 3 documents (1" in capsys.readouterr().out


def test_another_tokenizer_begins_with_bos(tmp_path, capsys):
    tiny.folder(tmp_path / "m")
    (tmp_path / "d.txt").write_text("abc")
    assert (
        main(["--model", str(tmp_path / "m"), "--documents", str(tmp_path / "d.txt"), "--device", "cpu", "--json"]) == 0
    )
    assert json.loads(capsys.readouterr().out)["tokens"] == 3
