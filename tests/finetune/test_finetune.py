"""`windvane train` on one's own data: each kind of row and objective, what is refused, killed and resumed, a user's own loss."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

from tests.finetune.rows import WORDS, chats, pairs, turn, write
from tests.tiny import TEMPLATE, byte_tokenizer, folder
from windvane.cli.main import main as cli
from windvane.core.errors import UserError
from windvane.finetune.recipe import main
from windvane.runs.store import read_jsonl


def loss(batch):
    """A user's own: the negative margin."""
    return -batch.margin(batch.logps)


class Own:
    BRANCHES, REFERENCE, REDUCTION, loss = "pair", False, "example", staticmethod(loss)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("models") / "base", seed=1)


def arguments(objective, base, data, out, *more):
    return [
        "--objective", objective, "--model", str(base), "--data", str(data), "--out", str(out), "--quiet", "--threads", "1",
        "--device", "cpu", "--train.batch", "4", "--train.lr", "1e-3", *more,
    ]  # fmt: skip


def rows(run, name):
    return [row for _, row in read_jsonl(run / "iter-1" / f"{name}.jsonl")]


def summary(run):
    return json.loads((run / "summary.json").read_text())


def refusal(argv):
    with pytest.raises(UserError) as error:
        main(argv)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_labelled_answers_by_kto(base, tmp_path):
    data = write(
        tmp_path / "k.jsonl", [{"prompt": w, "completion": f"{w}!", "label": i % 3 > 0} for i, w in enumerate(WORDS)]
    )
    assert main(arguments("kto", base, data, tmp_path / "run")) == 0
    assert summary(tmp_path / "run")["used"] == {"single": 12}
    train = [r for r in rows(tmp_path / "run", "train/metrics") if r["split"] == "train"]
    assert train[0]["loss"] == pytest.approx(0.5) and train[0]["kl_estimate"] == pytest.approx(0.0, abs=1e-4)
    assert len(rows(tmp_path / "run", "reference")) == 24, "each answer, and each after another prompt"


def test_scored_answers_by_sppo(base, tmp_path):
    data = write(
        tmp_path / "g.jsonl", [{"prompt": w, "responses": [w, "no", "so so"], "scores": [3, 1, 2]} for w in WORDS[:9]]
    )
    run = tmp_path / "run"
    assert main(arguments("sppo", base, data, run, "--answers", "all", "--train.objective-args", "eta", "2")) == 0
    train = [r for r in rows(run, "train/metrics") if r["split"] == "train"]
    # p = 1, 0, 1/2, so targets 1, -1, 0 at eta 2; the policy is the reference: (1 + 1 + 0)/3
    assert train[0]["loss"] == pytest.approx(2 / 3, rel=1e-3)
    assert summary(run)["held_out"] is None and "No row was held out" in summary(run)["notes"][0]


def test_chats_by_sft_learn_the_assistants_turns_alone(base, tmp_path):
    run = tmp_path / "run"
    assert main(arguments("sft", base, chats(tmp_path / "c.jsonl"), run)) == 0
    tokenizer = byte_tokenizer()
    spans = {r["id"]: r["spans"] for r in rows(run, "spans")}
    answers = rows(run, "responses")
    assert len(spans) == 12
    for row in answers:
        learnt = [tokenizer.decode(row["token_ids"][a:b]) for a, b in spans[row["id"]]]
        assert len(learnt) == 2 and learnt[0].startswith(" hello ") and learnt[1] == f" {learnt[0][7:]}"
        assert all(text.endswith("</s>") for text in learnt)
    held = summary(run)["held_out"]
    assert held["rows"] == 1 and held["end"]["loss"] < held["start"]["loss"]
    assert "accuracy_low" not in held, "one answer has nothing to be ahead of"
    last = tmp_path / "last"
    assert main(arguments("sft", base, tmp_path / "c.jsonl", last, "--learn", "last")) == 0
    assert rows(last, "spans") == [] and len(rows(last, "prompts")[0]["messages"]) == 3


def test_a_template_that_rewrites_earlier_turns_makes_each_answer_a_row(tmp_path):
    rewriting = TEMPLATE.replace(
        "' ' + m['content'] + eos_token", "(' ' if loop.last else ' [past] ') + m['content'] + eos_token"
    )
    base = folder(tmp_path / "base", seed=1)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = rewriting
    tokenizer.save_pretrained(base)
    run = tmp_path / "run"
    assert main(arguments("sft", base, chats(tmp_path / "c.jsonl", 3), run)) == 0
    texts = {tokenizer.decode(p["token_ids"]) for p in rows(run, "prompts")}
    assert (
        "<s>[INST] hi rain [/INST]" in texts
        and "<s>[INST] hi rain [/INST] [past] hello rain</s>[INST] and? [/INST]" in texts
    )
    assert len(texts) == 6 and rows(run, "spans") == []
    assert len({p["id"].partition(".")[0] for p in rows(run, "prompts")}) == 3, "a chat's turns are held out together"
    head = turn("user", "a")
    chosen = [head, turn("assistant", "b"), turn("user", "c"), turn("assistant", "d")]
    pair = {"chosen": chosen, "rejected": [head, turn("assistant", "e")]}
    data = write(tmp_path / "p.jsonl", [pair])
    assert "make each compared turn a row of its own" in refusal(arguments("dpo", base, data, tmp_path / "no"))


@pytest.mark.slow
def test_lora_and_a_loss_of_ones_own(base, tmp_path):
    run = tmp_path / "run"
    data = pairs(tmp_path / "p.jsonl")
    assert main(arguments(f"{__name__}:Own", base, data, run, "--train.lora-rank", "4")) == 0
    assert (run / "model/adapter_model.safetensors").exists() and (run / "model/adapter_config.json").exists()
    assert (
        "LoRA adapter" in (run / "model/README.md").read_text()
        and str(tmp_path) not in (run / "model/README.md").read_text()
    )
    held = summary(run)["held_out"]
    assert held["end"]["accuracy"] in (0.0, 1.0) and 0 <= held["accuracy_low"] < held["accuracy_high"] <= 1
    # and on from there: the adapter is trained on
    assert main(arguments("dpo", run / "model", data, tmp_path / "more", "--train.lora-rank", "4")) == 0
    page = (run / "report.html").read_text()
    assert "on 1 held-out rows the loss went from" in page.lower() and "tell me about rain" in page


def test_plain_text_through_no_template(base, tmp_path):
    data = write(tmp_path / "p.jsonl", [{"prompt": f"{w} is", "chosen": " wet", "rejected": " dry"} for w in WORDS])
    run = tmp_path / "run"
    assert main(arguments("orpo", base, data, run, "--text", "plain")) == 0
    tokenizer = byte_tokenizer()
    (row,) = [p for p in rows(run, "prompts") if tokenizer.decode(p["token_ids"]) == "rain is"]
    texts = [tokenizer.decode(r["token_ids"]) for r in rows(run, "responses") if r["prompt_id"] == row["id"]]
    assert texts == [" wet</s>", " dry</s>"]


def test_refused_rows(base, tmp_path):
    data = pairs(tmp_path / "p.jsonl")
    good = data.read_text()
    long = {"prompt": "x" * 50, "chosen": "y" * 30, "rejected": "z"}
    data.write_text(good + json.dumps(long) + "\n" + json.dumps({**long, "chosen": "z"}) + "\n")
    argv = arguments("dpo", base, data, tmp_path / "run", "--max-length", "80")
    assert f"{data}: row 14: field 'rejected': the same as chosen; remove the row" in refusal(argv)
    data.write_text(good + json.dumps(long) + "\n")
    line = refusal(argv)
    assert (
        line.startswith(f"{data}: row 13: ")
        and "tokens with its answer, and --max-length is 80; shorten or remove the row" in line
    )
    assert not (tmp_path / "run/iter-1/held_out.jsonl").exists()
    assert main([*argv, "--refused", "leave-out"]) == 0
    (refused,) = rows(tmp_path / "run", "refused")
    assert refused["place"] == f"{data}: row 13" and summary(tmp_path / "run")["refused"] == 1
    assert "1 rows of the data were left out" in (tmp_path / "run/report.html").read_text()


def test_refusals(base, tmp_path):
    data = write(tmp_path / "s.jsonl", [{"prompt": "a", "response": "b"}])
    line = refusal(arguments("dpo", base, data, tmp_path / "run"))
    assert (
        "objective dpo reads pairs of a chosen and a rejected answer; this file's rows are a prompt or chat with the answer"
        in line
    )
    assert "judge them first (windvane judge)" in refusal(
        arguments(
            "dpo", base, write(tmp_path / "a.jsonl", [{"prompt": "x", "responses": ["a", "b"]}]), tmp_path / "run"
        )
    )
    assert "write ROLE=COLUMN, as in prompt=question" in refusal(
        arguments("dpo", base, data, tmp_path / "run", "--columns", "prompt")
    )
    assert "no such role; roles are prompt" in refusal(
        arguments("dpo", base, data, tmp_path / "run", "--columns", "x=prompt")
    )
    assert "objective nought: unknown" in refusal(arguments("nought", base, data, tmp_path / "run"))
    assert "it reads a slow reference's log-probs" in refusal(arguments("inpo", base, data, tmp_path / "run"))
    assert "no such file" in refusal(arguments("dpo", base, tmp_path / "none.jsonl", tmp_path / "run"))
    few = pairs(tmp_path / "few.jsonl", 3)
    line = refusal(arguments("dpo", base, few, tmp_path / "run"))
    assert (
        "3 rows are 1 step of 4 an epoch, and all of 1 epoch is warm-up from a rate of 0; lower --train.batch" in line
    )
    endless = folder(tmp_path / "endless", seed=1)
    tokenizer = byte_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace(" + eos_token", "")
    tokenizer.save_pretrained(endless)
    assert "would never learn to stop; give --append-eos" in refusal(arguments("sft", endless, data, tmp_path / "run"))
    assert main(arguments("sft", endless, data, tmp_path / "run", "--append-eos", "--train.warmup", "0")) == 0
    (answer,) = rows(tmp_path / "run", "responses")
    assert answer["token_ids"][-1] == tokenizer.eos_token_id


def test_the_command_line_says_it_in_one_line(tmp_path, capsys):
    argv = [
        "train",
        "--objective",
        "dpo",
        "--model",
        "world:styles",
        "--data",
        str(tmp_path / "x.jsonl"),
        "--out",
        str(tmp_path / "run"),
    ]
    assert cli(argv) == 2
    assert (
        capsys.readouterr().err.strip().splitlines()[-1].startswith(f"windvane: {tmp_path / 'x.jsonl'}: no such file")
    )
    assert cli(["train"]) == 2
    assert "missing: --out" in capsys.readouterr().err


@pytest.mark.slow
def test_killed_and_resumed_it_ends_in_the_same_bytes(base, tmp_path):
    data = pairs(tmp_path / "p.jsonl")
    more = ("--train.epochs", "6", "--train.evaluate-every", "2")
    assert main(arguments("dpo", base, data, tmp_path / "whole", *more)) == 0
    argv = [sys.executable, "-m", "windvane", "train", *arguments("dpo", base, data, tmp_path / "cut", *more)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(argv, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    marks = tmp_path / "cut/iter-1/train/checkpoints"
    limit = time.time() + 120
    while time.time() < limit and not (marks.exists() and any(marks.iterdir())) and process.poll() is None:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "cut/manifest.json").exists(), "killed before its end"
    assert main(arguments("dpo", base, data, tmp_path / "cut", *more)) == 0
    assert (tmp_path / "cut/manifest.json").read_text() == (tmp_path / "whole/manifest.json").read_text()
    data.write_text(data.read_text().replace("wet", "dry"))
    assert "data.toml: this run was started with other settings" in refusal(
        arguments("dpo", base, data, tmp_path / "cut", *more)
    )


def test_the_model_is_plain_hugging_face(base, tmp_path):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    run = tmp_path / "run"
    assert main(arguments("simpo", base, pairs(tmp_path / "p.jsonl"), run)) == 0
    made, start = (AutoModelForCausalLM.from_pretrained(p) for p in (run / "model", base))
    moved = [n for (n, a), b in zip(made.named_parameters(), start.parameters()) if not torch.equal(a, b)]
    assert moved and AutoTokenizer.from_pretrained(run / "model").chat_template == TEMPLATE
    manifest = json.loads((run / "manifest.json").read_text())
    assert {"model/model.safetensors", "report.html", "iter-1/groups.jsonl", "data.toml"} <= manifest.keys()
