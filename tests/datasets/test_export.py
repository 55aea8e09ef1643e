"""Pairs for other trainers: what is written, and that TRL trains on the very token ids that were sampled."""

import copy
import json
from pathlib import Path

import pytest

from tests.datasets.run_folder import answer, question, write_iteration, write_recipe, write_summary
from windvane.core.errors import UserError
from windvane.datasets.export import export_trl, main
from windvane.datasets.rows import read_rows
from windvane.prompts.chat import prepare

WINS = {(0, 1): 0.9, (0, 2): 0.7, (1, 2): 0.4}  # loo: 0.8, 0.25, 0.45; incl: 2.1/3, 1/3, 1.4/3
TIES = {(0, 1): 0.5, (0, 2): 0.5, (1, 2): 0.5}
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'assistant' %}{{ m.content + eos_token }}"
    "{% else %}{{ '[' + m.role + ' ' + m.content + ']' }}{% endif %}{% endfor %}"
)


def refusal(*args):
    with pytest.raises(UserError) as error:
        export_trl(*args)
    assert "\n" not in str(error.value)
    return str(error.value)


def three(prompt, finish="stop"):
    texts = ("good", "bad", "so-so")
    return [answer(prompt, i, t, range(i + 3), finish if i == 1 else "stop") for i, t in enumerate(texts)]


def write_run(run):
    first, second, third = question("One?"), question("Two?", system="Be brief."), question("Three?")
    write_recipe(run)
    write_iteration(run, 1, [(first, three(first), WINS), (second, three(second, "length"), WINS)])
    write_iteration(run, 2, [(third, three(third), TIES), (first, three(first), WINS)])
    write_summary(run)
    (run / "iter-0").mkdir()
    return first, second


def test_rows_by_hand(tmp_path):
    first, second = write_run(tmp_path / "run")
    done = export_trl(tmp_path / "run", tmp_path / "out.jsonl")
    assert (done.pairs, done.left_out, done.cut, done.other_tokens) == (3, {"tie": 1}, 1, None)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert rows[0] == {
        "prompt": [{"role": "user", "content": "One?"}],
        "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}],
        "chosen_p_loo": pytest.approx(0.8),
        "chosen_p_incl": pytest.approx(0.7),
        "rejected_p_loo": pytest.approx(0.25),
        "rejected_p_incl": pytest.approx(1 / 3),
        "chosen_finish": "stop",
        "rejected_finish": "stop",
        "iteration": 1,
        "prompt_id": first.id,
    }
    assert rows[1]["prompt"] == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Two?"}]
    assert (rows[1]["rejected_finish"], rows[1]["prompt_id"]) == ("length", second.id)
    assert [r["iteration"] for r in rows] == [1, 1, 2]


def test_parquet_holds_the_same_rows_and_one_iteration_can_be_had(tmp_path):
    import pyarrow.parquet

    write_run(tmp_path / "run")
    export_trl(tmp_path / "run", tmp_path / "a.jsonl", 1)
    assert export_trl(tmp_path / "run", tmp_path / "a.parquet", 1).pairs == 2
    rows = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert pyarrow.parquet.read_table(tmp_path / "a.parquet").to_pylist() == rows
    assert not list(tmp_path.glob("*.tmp"))


def test_a_merged_system_message_is_exported_merged(tmp_path):
    write_run(tmp_path / "run")
    write_recipe(tmp_path / "run", system="merge")
    export_trl(tmp_path / "run", tmp_path / "a.jsonl", 1)
    row = json.loads((tmp_path / "a.jsonl").read_text().splitlines()[1])
    assert row["prompt"] == [{"role": "user", "content": "Be brief.\n\nTwo?"}]


def test_refusals(tmp_path):
    run, out = tmp_path / "run", tmp_path / "out.jsonl"
    assert "not a run folder (it has no recipe.toml)" in refusal(run, out)
    write_recipe(run)
    assert refusal(run, out) == f"{run}: this run is not finished; finish it with the command that started it"
    write_run(tmp_path / "other")
    (tmp_path / "other" / "summary.json").unlink()
    assert "this run is not finished" in refusal(tmp_path / "other", out)
    assert "--iteration 1 | 2" in refusal(tmp_path / "other", out)
    assert "iteration 3 has no finished pairs; iterations that have: 1, 2" in refusal(tmp_path / "other", out, 3)
    assert export_trl(tmp_path / "other", out, 2).pairs == 1
    write_run(tmp_path / "gone")
    (tmp_path / "gone" / "iter-2" / "groups.jsonl").unlink()
    assert refusal(tmp_path / "gone", out).endswith("or give one of its iterations: --iteration 1")
    assert "name it .jsonl or .parquet" in refusal(tmp_path / "other", tmp_path / "out.csv")
    assert "inside the run folder" in refusal(tmp_path / "other", tmp_path / "other" / "x" / "out.jsonl")
    tied = question("Tied?")
    write_iteration(run, 1, [(tied, three(tied), TIES)])
    write_summary(run)
    assert "not a single pair to export (1 tie)" in refusal(run, out)
    (run / "iter-1" / "groups.jsonl").unlink()
    assert "this run is not finished" in refusal(run, out)


def test_a_longpo_run_is_refused_in_one_line(tmp_path):
    """Its pairs have two prompts, TRL's format one."""
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text('documents = ["a.txt"]\nlengths = "128k"\ntheta = [1e7]\n')
    assert "a LongPO run; TRL's format has one prompt a pair" in refusal(tmp_path / "run", tmp_path / "out.jsonl")
    assert not (tmp_path / "out.jsonl").exists()


def test_a_response_that_is_gone(tmp_path):
    first, _ = write_run(tmp_path)
    path = tmp_path / "iter-2" / "responses.jsonl"
    path.write_text("".join(line + "\n" for line in path.read_text().splitlines() if '"good"' not in line))
    assert "groups.jsonl names" in refusal(tmp_path, tmp_path.parent / "o.jsonl", 2)
    assert first.id


def test_command_line(tmp_path, monkeypatch, capsys):
    write_run(tmp_path / "run")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--format", "trl"]) == 0
    assert len((tmp_path / "run-trl.jsonl").read_text().splitlines()) == 3
    told = capsys.readouterr().out
    assert "run-trl.jsonl: 3 pairs" in told
    assert "1 tie" in told
    assert "1 pairs hold an answer cut" in told


def byte_tokenizer():
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokens = ["<pad>", "<s>", "</s>", *sorted(pre_tokenizers.ByteLevel.alphabet()), "th"]
    core = Tokenizer(models.BPE({t: i for i, t in enumerate(tokens)}, [("t", "h")]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    made.chat_template = TEMPLATE
    return made


def test_text_that_comes_back_as_other_tokens_is_counted(tmp_path):
    tok = byte_tokenizer()
    t, h, th = tok.convert_tokens_to_ids(["t", "h", "th"])
    prompts = prepare([question("a"), question("b"), question("c")], tok, 100, 10)
    sampled = [(th, 2), (t, h, 2), (th,)]  # as the tokenizer would; never so; cut
    rows = []
    for prompt, ids in zip(prompts, sampled):
        finish = "stop" if ids[-1] == 2 else "length"
        rows.append((prompt, [answer(prompt, 0, "th", ids, finish), answer(prompt, 1, "h", (h, 2))], {(0, 1): 0.8}))
    write_recipe(tmp_path / "run")
    write_iteration(tmp_path / "run", 1, rows)
    done = export_trl(tmp_path / "run", tmp_path / "o.jsonl", 1, tok)
    assert (done.pairs, done.cut, done.other_tokens) == (3, 1, 2)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_trl_trains_on_the_sampled_token_ids(tmp_path, suffix):
    """One DPOTrainer step on a tiny Mistral; the ids TRL made of the text are those of the run."""
    pytest.importorskip("trl")
    import torch
    from datasets import Dataset, load_dataset
    from transformers import MistralConfig, MistralForCausalLM
    from trl import DPOConfig, DPOTrainer

    tok = byte_tokenizer()
    asked = [question("Say None."), question("Grüße?\n", system="Be brief."), question("the [user th] 🌬")]
    rows = []
    for prompt in prepare(asked, tok, 200, 50):
        texts = ("then this", " other ", "x")
        answers = [
            answer(prompt, i, t, [*tok(t, add_special_tokens=False)["input_ids"], 2]) for i, t in enumerate(texts)
        ]
        rows.append((prompt, answers, WINS))
    write_recipe(tmp_path / "run")
    write_iteration(tmp_path / "run", 1, rows)
    write_summary(tmp_path / "run")
    out = tmp_path / f"pairs.{suffix}"
    assert export_trl(tmp_path / "run", out, tokenizer=tok).other_tokens == 0

    kind = {"jsonl": "json"}.get(suffix, suffix)
    data = load_dataset(kind, data_files=str(out), split="train", cache_dir=str(tmp_path / "cache"))
    assert isinstance(data, Dataset)
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tok), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=1, max_position_embeddings=256, pad_token_id=0, bos_token_id=1, eos_token_id=2,
    )  # fmt: skip
    args = DPOConfig(
        output_dir=str(tmp_path / "trl"), per_device_train_batch_size=3, max_steps=1, max_length=None, use_cpu=True, bf16=False,
        report_to=[], save_strategy="no", logging_steps=1, learning_rate=1e-3, disable_tqdm=True, dataloader_pin_memory=False,
    )  # fmt: skip
    model = MistralForCausalLM(config)
    start = copy.deepcopy(model)
    before = model.lm_head.weight.detach().clone()
    trainer = DPOTrainer(model=model, ref_model=start, args=args, train_dataset=data, processing_class=tok)
    seen = [{k: tuple(row[k]) for k in ("prompt_ids", "chosen_ids", "rejected_ids")} for row in trainer.train_dataset]
    ours = {
        p.id: {"prompt_ids": p.token_ids, "chosen_ids": a[0].token_ids, "rejected_ids": a[1].token_ids}
        for p, a, _ in rows
    }
    assert seen == [ours[prompt_id] for prompt_id in data["prompt_id"]]
    trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    assert losses == [pytest.approx(0.693147, abs=1e-4)]  # log 2: policy equals reference at the first step
    assert not torch.equal(before, model.lm_head.weight)
    assert Path(out).exists()


def test_other_trainers_layouts(tmp_path, capsys):
    """The same pairs as axolotl and LLaMA-Factory read them; and read back here they are the same."""
    write_run(tmp_path / "run")
    for layout in ("axolotl", "llama-factory"):
        out = tmp_path / f"{layout}.jsonl"
        assert main([str(tmp_path / "run"), "--format", layout, "--out", str(out)]) == 0
        rows = [json.loads(line) for line in out.read_text().splitlines()]
        back = {(r.prompt.messages, r.responses, r.wins) for r in read_rows(out).rows}
        export_trl(tmp_path / "run", tmp_path / "trl.jsonl")
        assert back == {(r.prompt.messages, r.responses, r.wins) for r in read_rows(tmp_path / "trl.jsonl").rows}
        told = capsys.readouterr().out
        if layout == "axolotl":
            assert rows[0]["messages"] == [{"role": "user", "content": "One?"}]
            assert (rows[0]["chosen"], rows[0]["rejected"]["content"]) == (
                {"role": "assistant", "content": "good"},
                "bad",
            )
            assert "type: chat_template.default" in told and "path: axolotl.jsonl" in told
        else:
            second = next(r for r in rows if r["conversations"][0]["value"] == "Two?")
            assert second["system"] == "Be brief." and rows[0]["system"] == ""
            assert rows[0]["chosen"] == {"from": "gpt", "value": "good"}
            entry = json.loads(told.split(":\n", 1)[1].split("\n}\n")[0] + "\n}")["windvane_pairs"]
            assert entry["ranking"] and set(entry["columns"].values()) <= set(rows[0])
