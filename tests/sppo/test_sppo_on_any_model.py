"""`windvane run sppo` on models and prompts from elsewhere: tiny Mistral, Llama and Qwen3; real instructions where they are."""

import json
from pathlib import Path

import pytest

from tests import tiny
from windvane.cli.main import main

REAL = Path(__file__).parents[3] / "shared" / "data" / "alpaca_eval" / "baseline_model_outputs.json"
SMALL = [
    "--iterations", "1", "--sampling.k", "3", "--sampling.max-new-tokens", "12", "--evaluate.max-new-tokens", "12", "--train.lr", "1e-3",
    "--train.batch", "4", "--train.held-out", "0.2", "--threads", "1", "--device", "cpu", "--quiet",
]  # fmt: skip


def judge(prompt: str, a: str, b: str) -> float:
    """More vowels win: any plain function is a judge."""
    vowels = [sum(c in "aeiou" for c in text) for text in (a, b)]
    return 0.5 if sum(vowels) == 0 else (vowels[0] + 0.5) / (sum(vowels) + 1)


def write_prompts(path, count=30):
    path.write_text("".join(json.dumps({"prompt": f"What is {i} plus {i}?"}) + "\n" for i in range(count)))
    return path


def run(model, prompts, out, *more):
    given = ["--model", str(model), "--prompts", str(prompts), "--judge", f"py:{__name__}:judge", "--out", str(out)]
    return main(["run", "sppo", *given, *SMALL, *more])


@pytest.mark.slow
@pytest.mark.parametrize("family", sorted(tiny.FAMILIES))
def test_real_instructions_end_to_end(tmp_path, family):
    if not REAL.exists():
        pytest.skip(f"the published AlpacaEval instructions are not at {REAL}")
    rows = json.loads(REAL.read_text())[::8][:100]
    (tmp_path / "prompts.jsonl").write_text("".join(json.dumps({"instruction": r["instruction"]}) + "\n" for r in rows))
    model = tiny.folder(tmp_path / family, family, window=8192)
    assert run(model, tmp_path / "prompts.jsonl", tmp_path / "run", "--prompt-column", "instruction") == 0
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert [r["iteration"] for r in summary["iterations"]] == [0, 1]
    assert summary["iterations"][0]["prompts"] == 20 and summary["iterations"][1]["kl"] > 0
    assert summary["iterations"][1]["win_rate"] is None, "no held-out judge was given"
    assert 0 < summary["iterations"][1]["proxy_win_rate"] < 1
    groups = [json.loads(line) for line in (tmp_path / "run" / "iter-1" / "groups.jsonl").read_text().splitlines()]
    assert len(groups) == 80
    loads_with_plain_transformers(tmp_path / "run" / "model")


def loads_with_plain_transformers(folder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template(
        [{"role": "user", "content": "hi"}], add_generation_prompt=True, return_tensors="pt"
    )
    AutoModelForCausalLM.from_pretrained(folder).generate(**ids, max_new_tokens=3)
    assert "windvane" in (folder / "README.md").read_text().lower()


@pytest.mark.slow
@pytest.mark.parametrize("objective", ["dpo", "ipo", "sft", "kto", "simpo", "orpo"])
def test_other_objectives(tmp_path, objective):
    model = tiny.folder(tmp_path / "model")
    more = ["--train.objective", objective]
    if objective == "ipo":
        more += ["--train.objective-args", "beta", "0.5"]
    assert run(model, write_prompts(tmp_path / "p.jsonl"), tmp_path / "run", *more) == 0


@pytest.mark.slow
def test_lora_over_two_iterations(tmp_path):
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = tiny.folder(tmp_path / "model")
    assert (
        run(model, write_prompts(tmp_path / "p.jsonl"), tmp_path / "run", "--train.lora-rank", "4", "--iterations", "2")
        == 0
    )
    config = json.loads((tmp_path / "run" / "model" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "../../model"
    assert (
        json.loads((tmp_path / "run/iter-1/model/adapter_config.json").read_text())["base_model_name_or_path"]
        == "../../../model"
    )
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), tmp_path / "run" / "model")
    moved = [p for n, p in adapted.named_parameters() if "lora_B" in n]
    assert moved and any(p.abs().max() > 0 for p in moved)
    summary = json.loads((tmp_path / "run" / "summary.json").read_text())
    assert len(summary["iterations"]) == 3 and summary["iterations"][2]["kl"] > 0
    assert not list((tmp_path / "run").rglob("model.safetensors")), "an adapter run saves no base weights"


@pytest.mark.slow
def test_a_finished_run_is_left_as_it_is(tmp_path, capsys):
    model, prompts = tiny.folder(tmp_path / "model"), write_prompts(tmp_path / "p.jsonl")
    assert run(model, prompts, tmp_path / "run") == 0
    before = (tmp_path / "run" / "manifest.json").read_bytes()
    stamps = {p: p.stat().st_mtime_ns for p in (tmp_path / "run").rglob("*.jsonl") if p.parent != tmp_path / "run"}
    assert run(model, prompts, tmp_path / "run") == 0
    assert (tmp_path / "run" / "manifest.json").read_bytes() == before
    assert {p: p.stat().st_mtime_ns for p in stamps} == stamps
    assert run(model, prompts, tmp_path / "run", "--train.lr", "2e-3") == 2
    assert "train.lr: 0.001 -> 0.002" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    "more", [(), ("--train.lora-rank", "4"), ("--train.gradient-checkpointing",)], ids=["full", "lora", "checkpointing"]
)
def test_bfloat16(tmp_path, more):
    """Autocast over float32 weights (or float32 adapters on a bfloat16 base); what is saved is bfloat16, adapters float32."""
    from safetensors.torch import load_file

    model = tiny.folder(tmp_path / "model", scale=1.0)
    assert (
        run(model, write_prompts(tmp_path / "p.jsonl"), tmp_path / "run", "--train.precision", "bfloat16", *more) == 0
    )
    (weights,) = (tmp_path / "run" / "model").glob("*.safetensors")
    expected = "torch.float32" if "--train.lora-rank" in more else "torch.bfloat16"
    assert {str(w.dtype) for w in load_file(weights).values()} == {expected}


@pytest.mark.slow
def test_a_reward_model_judges_and_another_evaluates(tmp_path):
    import torch
    from transformers import LlamaConfig, LlamaForSequenceClassification

    for seed in (1, 2):
        torch.manual_seed(seed)
        config = LlamaConfig(
            vocab_size=260, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, num_labels=1,
            max_position_embeddings=512, pad_token_id=0, bos_token_id=1, eos_token_id=2,
        )  # fmt: skip
        LlamaForSequenceClassification(config).save_pretrained(tmp_path / f"reward{seed}")
        tiny.byte_tokenizer().save_pretrained(tmp_path / f"reward{seed}")
    model, prompts = tiny.folder(tmp_path / "model"), write_prompts(tmp_path / "p.jsonl")
    judges = ["--judge", f"reward:{tmp_path / 'reward1'}", "--evaluate.judge", f"reward:{tmp_path / 'reward2'}"]
    assert run(model, prompts, tmp_path / "run", *judges) == 0
    rows = json.loads((tmp_path / "run" / "summary.json").read_text())["iterations"]
    assert rows[1]["win_rate"] is not None and rows[1]["disagreement"] == pytest.approx(0, abs=1e-6)
    assert rows[1]["cyclic_triples"] == 0, "a scalar reward knows no cycles"


@pytest.mark.slow
def test_held_out_prompts_are_never_trained_on(tmp_path, capfd):
    """The same prompts in both files: they are held out, said so, and kept out of training."""
    model, prompts = tiny.folder(tmp_path / "model"), write_prompts(tmp_path / "p.jsonl", 30)
    held = tmp_path / "held.jsonl"
    held.write_text("".join(prompts.read_text().splitlines(keepends=True)[:10]))
    assert run(model, prompts, tmp_path / "run", "--evaluate.prompts", str(held), "--no-quiet") == 0
    ids = [
        {json.loads(r)["id"] for r in (tmp_path / "run" / n).read_text().splitlines()}
        for n in ("heldout.jsonl", "iter-1/prompts.jsonl")
    ]
    assert len(ids[0]) == 10 and len(ids[1]) == 20 and not ids[0] & ids[1]
    assert "10 prompts are held out and were kept out of training" in capfd.readouterr().err


@pytest.mark.slow
def test_kl_is_of_samples_at_temperature_1(tmp_path):
    """Evaluation decodes at 0.7; KL has samples of its own at 1, and is that of an outside computation over them."""
    import torch
    from transformers import AutoModelForCausalLM

    model, prompts = tiny.folder(tmp_path / "model", scale=2.0), write_prompts(tmp_path / "p.jsonl", 20)
    assert run(model, prompts, tmp_path / "run") == 0

    def rows(name):
        return [json.loads(r) for r in (tmp_path / "run" / name).read_text().splitlines()]

    nets = [AutoModelForCausalLM.from_pretrained(p) for p in (tmp_path / "run" / "model", model)]
    heads = {p["id"]: p["token_ids"] for p in rows("heldout.jsonl")}
    told = {r["id"]: r["kl"] for r in rows("iter-1/evaluation.jsonl")}
    samples = rows("iter-1/samples.jsonl")
    assert len(samples) == len(told) > 0
    for sample in samples:
        ids = torch.tensor([heads[sample["prompt_id"]] + sample["token_ids"]])
        with torch.no_grad():
            now, start = (
                torch.log_softmax(net(ids).logits[0, len(heads[sample["prompt_id"]]) - 1 : -1].double(), -1)
                for net in nets
            )
        assert told[sample["prompt_id"]] == pytest.approx((now.exp() * (now - start)).sum().item(), rel=1e-3, abs=1e-6)


@pytest.mark.slow
def test_weights_changed_under_the_run(tmp_path, capsys):
    model, prompts = tiny.folder(tmp_path / "model"), write_prompts(tmp_path / "p.jsonl", 20)
    out = tmp_path / "run"
    assert run(model, prompts, out) == 0
    for name in ("manifest.json", "iter-1/reference.jsonl"):
        (out / name).unlink()
    tiny.model(seed=9).save_pretrained(model)
    assert run(model, prompts, out) == 2
    assert "the weights were changed under the run" in capsys.readouterr().err


@pytest.mark.slow
def test_a_lost_file_is_made_again(tmp_path):
    model, prompts = tiny.folder(tmp_path / "model"), write_prompts(tmp_path / "p.jsonl", 20)
    out = tmp_path / "run"
    assert run(model, prompts, out) == 0
    before = (out / "manifest.json").read_bytes()
    for name in (
        "summary.json",
        "report.html",
        "model/model.safetensors",
        "iter-1/model/model.safetensors",
        "iter-1/groups.jsonl",
    ):
        (out / name).unlink()
        (out / "timings.jsonl").write_text('{"torn')
        assert run(model, prompts, out) == 0
        assert (out / "manifest.json").read_bytes() == before, name


@pytest.mark.slow
def test_an_adapter_of_another_rank(tmp_path, capsys):
    model, prompts = tiny.folder(tmp_path / "model"), write_prompts(tmp_path / "p.jsonl", 20)
    assert run(model, prompts, tmp_path / "run", "--train.lora-rank", "4") == 0
    adapter = tmp_path / "run" / "model"
    for rank in ("0", "8"):
        assert run(adapter, prompts, tmp_path / f"rank{rank}", "--train.lora-rank", rank) == 2
        assert "holds a LoRA adapter of rank 4; train it on with --train.lora-rank 4" in capsys.readouterr().err
    assert run(adapter, prompts, tmp_path / "on", "--train.lora-rank", "4") == 0


@pytest.mark.slow
def test_one_prompt_source_an_iteration(tmp_path):
    """Each iteration trains on its own file; recipe.toml reads back; the card's command names them all."""
    model = tiny.folder(tmp_path / "model")
    files = [write_prompts(tmp_path / f"{name}.jsonl", count) for name, count in (("one", 14), ("two", 22))]
    given = ["--model", str(model), "--judge", f"py:{__name__}:judge", "--out", str(tmp_path / "run"), *SMALL]
    given += ["--prompts", *map(str, files), "--iterations", "2"]
    assert main(["run", "sppo", *given]) == 0
    texts = [
        [
            json.loads(r)["messages"][0]["content"]
            for r in (tmp_path / f"run/iter-{t}/prompts.jsonl").read_text().splitlines()
        ]
        for t in (1, 2)
    ]
    numbers = [sorted(int(text.split()[2]) for text in part) for part in texts]
    assert max(numbers[0]) < 14 <= min(numbers[1]), "what both files have is the first one's"
    card = (tmp_path / "run/model/README.md").read_text()
    command = next(line for line in card.splitlines() if line.startswith("windvane run sppo"))
    assert "--prompts" in command and "one.jsonl" in command and "two.jsonl" in command
    again = ["run", "sppo", "--recipe", str(tmp_path / "run/recipe.toml"), "--out", str(tmp_path / "run"), "--quiet"]
    assert main(again) == 0
