"""The model card: front matter the hub reads, the measured numbers, and nothing of where the run was made."""

import pytest
from huggingface_hub import ModelCard

from tests.datasets.run_folder import write_recipe, write_summary
from windvane.core.errors import UserError
from windvane.report.model_card import model_card


def card(run, recipe=None, **changes):
    write_recipe(run, **(recipe or {}))
    write_summary(run, **changes)
    return model_card(run)


def test_front_matter(tmp_path):
    data = ModelCard(card(tmp_path)).data.to_dict()
    (result,) = data["model-index"]
    assert data["base_model"] == "mistralai/Mistral-7B-Instruct-v0.2"
    assert (data["library_name"], data["base_model_relation"]) == ("transformers", "finetune")
    assert data["pipeline_tag"] == "text-generation"
    assert result["name"] == "Mistral-7B-Instruct-v0.2-sppo"
    (measured,) = result["results"]
    held_out, proxy = measured["metrics"]
    assert measured["dataset"] == {"type": "held-out-prompts", "name": "200 held-out prompts"}
    assert (held_out["type"], held_out["value"]) == ("win_rate", 0.6234)
    assert held_out["name"] == "held-out win rate against the starting model, judged by py:mine:held_out"
    assert (proxy["type"], proxy["value"]) == ("win_rate", 0.71)


def test_numbers_command_and_settings(tmp_path):
    text = card(tmp_path)
    assert "| 0 | 0.497 [0.450, 0.540] | not measured | 0.501 [0.460, 0.550] | 20.0 | 0.000 | 0.0000 |" in text
    assert "| 1 | 0.623 [0.581, 0.669] | 0.623 [0.581, 0.669] | 0.710 [0.460, 0.550] | 25.5 | 1.250 | 0.0500 |" in text
    assert (
        "windvane run sppo --model mistralai/Mistral-7B-Instruct-v0.2 --prompts prompts.jsonl --judge reward:…/judge "
        "--evaluate.judge py:mine:held_out --iterations 1 --seed 42 --out RUN\n"
    ) in text
    assert "| `train.objective_args.eta` | `1000.0` |" in text
    assert "| `train.lr` | `5e-07` |" in text
    assert "A note." in text
    assert "resampled over 200 held-out prompts" in text


def test_no_place_and_no_time(tmp_path):
    run = tmp_path / "first" / "run"
    text = card(
        run, {"model": "/home/me/models/mine"}, model="/home/me/models/mine", judge="http://127.0.0.1:8000/v1#m"
    )
    assert card(tmp_path / "second", {"model": "/home/me/models/mine"}, model="/home/me/models/mine",
                judge="http://127.0.0.1:8000/v1#m") == text  # fmt: skip
    assert str(tmp_path) not in text
    assert "/home" not in text
    assert "`…/mine`" in text
    assert "`http://127.0.0.1:8000/v1#m`" in text
    assert "base_model" not in ModelCard(text).data.to_dict()


def test_without_a_held_out_judge(tmp_path):
    iteration = {"iteration": 0, "win_rate": None, "proxy_win_rate": 0.5, "proxy_low": 0.4, "proxy_high": 0.6,
                 "mean_length": 20.0, "kl": 0.0, "kl_token": 0.0}  # fmt: skip
    text = card(tmp_path, iterations=[iteration, iteration], evaluation_judge=None)
    assert "| 0 | not measured | not measured | 0.500 [0.400, 0.600] | 20.0 |" in text
    assert "whether the model really got better is not known" in text
    (result,) = ModelCard(text).data.to_dict()["model-index"]
    assert [r["metrics"][0]["value"] for r in result["results"]] == [0.5]


def test_adapter(tmp_path):
    text = card(tmp_path, {"train": {"lora_rank": 8}})
    data = ModelCard(text).data.to_dict()
    assert (data["library_name"], data["base_model_relation"]) == ("peft", "adapter")
    assert "A LoRA adapter for `mistralai/Mistral-7B-Instruct-v0.2`" in text
    assert 'PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained("BASE"), "THIS")' in text


def test_an_unfinished_run(tmp_path):
    write_recipe(tmp_path)
    with pytest.raises(UserError, match="this run is not finished"):
        model_card(tmp_path)
