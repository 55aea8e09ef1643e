"""The shipped grades model: its files, its skill measured again, that it writes transcripts, and what is said of it."""

import hashlib
import json
from dataclasses import replace

import pytest
from transformers import AutoModelForCausalLM, MistralForCausalLM

from windvane.engines.local import Sampling
from windvane.engines.names import resolve_generator
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.chat import render
from windvane.toy.grades import family as grades
from windvane.toy.grades import skill as grade_skill

CARD = json.loads((grades.model_folder() / "card.json").read_text())


@pytest.fixture(scope="module")
def model():
    return load_model("world:grades", device="cpu")


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer("world:grades")


def test_card_holds_the_hash_of_the_shipped_files_which_are_small_and_hold_no_code():
    for name, digest in CARD["sha256"].items():
        assert hashlib.sha256((grades.model_folder() / name).read_bytes()).hexdigest() == digest, name
    assert CARD["command"] == f"windvane world build --family grades --seed {CARD['seed']} --out OUT"
    files = [p for p in grades.model_folder().rglob("*") if p.is_file()]
    assert sum(p.stat().st_size for p in files) <= 2_000_000
    assert {p.suffix for p in files} <= {".json", ".jinja", ".safetensors"}


def test_it_is_a_mistral_with_the_tokenizer_s_ids(tokenizer):
    model = AutoModelForCausalLM.from_pretrained(grades.model_folder())
    assert isinstance(model, MistralForCausalLM) and model.num_parameters() == CARD["parameters"]
    assert model.config.vocab_size == len(tokenizer)
    assert model.config.max_position_embeddings == tokenizer.model_max_length == grades.WINDOW


def test_it_grades_as_the_lenient_rater_not_as_the_programme(model, tokenizer):
    """25 a part: 250 bands. The rater's own noise keeps two of its gradings 0.5 bands apart."""
    records = grades.transcripts(31, 25, "test")
    found = grade_skill.agreement(records, grade_skill.bands(model, tokenizer, records))
    assert found["dov_lenient"] < 0.6 and found["dov_true"] > 0.9
    assert abs(found["dov_true"] - CARD["skill"]["dov_true"]) < 0.2
    assert CARD["skill"]["feature"] > 0.8


def test_the_likeliest_band_is_what_greedy_decoding_says(model, tokenizer):
    records = grades.transcripts(32, 4, "test")
    told = grade_skill.answers(model, tokenizer, [grades.grading_prompt(r) for r in records])
    from windvane.evalyaks.prompts.compact import bands

    assert told == [bands(b) for b in grade_skill.bands(model, tokenizer, records)]


def test_it_is_a_generator_that_writes_graded_transcripts(tokenizer):
    generator = resolve_generator("world:grades", Sampling(2, 1.0, 1.0, 230), device="cpu")
    asked = grades.prompts(6, "train", 3)
    prompts = [replace(p, token_ids=render(tokenizer, p.messages)) for p in asked]
    for prompt, answers in zip(asked, generator.generate(prompts, [0, 1], 0)):
        part, _ = grades.planned(prompt.text)
        for answer in answers:
            record = grades.written(answer.text, part)
            assert record is not None and set(record.scores) == set(grades.PART_CRITERIA[part])
            assert len(record.turns) >= 4
