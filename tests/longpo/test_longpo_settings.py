"""LongPO's settings, the documents that they choose, and what a run will cost, by hand."""

import dataclasses
import math

import pytest
import torch
from transformers import MistralConfig, MistralForCausalLM

from tests.tiny import folder, model
from windvane.core.errors import UserError
from windvane.longpo.cost import Rate, hours, measure_rate
from windvane.longpo.documents import Chunk, Cut, Held, choose_documents, gather_documents
from windvane.longpo.recipe import main, toy_recipe
from windvane.longpo.settings import Answer, Chunks, Filters, LongPO
from windvane.models.load import load_tokenizer
from windvane.plan.time import Shape, shape_of
from windvane.runs.store import RunFolder, read_records
from windvane.train.settings import Train

LONG = {"model": "m", "documents": ("d",)}
SMALL = LongPO(**LONG, lengths="8k,16k", chunks=Chunks(tokens=2000, per_document=2))


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
    """docs/toy.md: 6.25 times its own 1,000; a base that grew with the rounds would pass 1e4, where it only loses."""
    s = dataclasses.replace(toy_recipe("world:facts"), lengths="256,512,1024,2048")
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
    split = dataclasses.replace(SMALL, chunks=dataclasses.replace(SMALL.chunks, over_long="split"))
    with pytest.raises(
        UserError, match=r"none of 1 .* longest has 50\); .* shorter --lengths: parts are cut for the last"
    ):
        choose_documents(split, [Held("90", "s", 9000, "split"), held[5]], 1)
    assert math.isclose(SMALL.least_document, 4096)


@pytest.mark.parametrize("model", ["toy:facts", "world:facts"])
def test_both_spellings_of_the_toy_take_its_own_settings(model, monkeypatch):
    taken = []
    monkeypatch.setattr("windvane.longpo.recipe.launch", lambda *given, default: taken.append(default))
    main(["--model", model, "--out", "RUN"])
    main([f"--model={model}", "--out", "RUN"])
    main(["--model", "M", "--out", "RUN"])
    assert taken == [toy_recipe(model), toy_recipe(model), None]
    assert taken[0].documents == (model,) and taken[0].lengths == "512,1024"
