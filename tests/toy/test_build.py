"""A rebuild with the card's seed reaches the card's skill; a build that learnt nothing does not."""

import json

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from windvane.core.errors import UserError
from windvane.toy import build
from windvane.toy.styles import family as styles

CARD = json.loads((styles.model_folder() / "card.json").read_text())
# Four standard errors of a share of 480 replies are .09; two builds differ by about as much again.
TOLERANCE = {"words": 1.2, "quality": 0.3}


def differing(skill: dict[str, float]) -> list[str]:
    assert set(skill) == set(CARD["skill"])
    return [name for name, value in skill.items() if abs(value - CARD["skill"][name]) > TOLERANCE.get(name, 0.1)]


def test_the_shipped_model_has_the_skill_on_its_card():
    model = AutoModelForCausalLM.from_pretrained(styles.model_folder()).eval()
    tokenizer = AutoTokenizer.from_pretrained(styles.model_folder())
    assert differing(build.measure(styles, model, tokenizer)) == []
    assert CARD["skill"]["well_formed"] > 0.95 and CARD["skill"]["off_topic"] < 0.1


def test_a_folder_is_written_with_its_card(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(build, "STEPS", 2)
    monkeypatch.setattr(build, "SKILL_PROMPTS", 4)
    threads, state = torch.get_num_threads(), torch.random.get_rng_state()
    assert build.main(["--out", str(tmp_path / "a"), "--seed", "3"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert card == json.loads((tmp_path / "a/card.json").read_text()) and card["seed"] == 3
    again = build.build("styles", tmp_path / "b", 3)
    assert again["sha256"] == card["sha256"], "same machine, same bytes"
    assert (
        build.build("styles", tmp_path / "c", 4)["sha256"]["model.safetensors"] != card["sha256"]["model.safetensors"]
    )
    assert torch.get_num_threads() == threads and torch.equal(torch.random.get_rng_state(), state)
    assert differing(card["skill"]), "two steps teach nothing"
    assert (
        AutoTokenizer.from_pretrained(tmp_path / "a").chat_template
        == AutoTokenizer.from_pretrained(tmp_path / "b").chat_template
    )


def test_an_unknown_family_is_named(tmp_path):
    with pytest.raises(UserError, match="no family 'nowhere'; there are: styles, facts"):
        build.build("nowhere", tmp_path, 0)


@pytest.mark.slow
def test_a_rebuild_reaches_the_same_skill(tmp_path):
    card = build.build("styles", tmp_path, CARD["seed"])
    assert differing(card["skill"]) == []
    assert card["parameters"] == CARD["parameters"]
