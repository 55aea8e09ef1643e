"""`windvane train janus` on the embedded world: from instructions to models; killed and taken up again; what is shared; what is refused."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from windvane.core.errors import UserError
from windvane.core.records import Response
from windvane.janus.collection import recipe as janus
from windvane.janus.collection_rows import Preference, Sample
from windvane.janus.training import command as train_janus
from windvane.janus.training.best_of import counts, expected, pick
from windvane.janus.training.examples import Rows, Sharing, batch_of_trees, pair_examples, sft_examples
from windvane.janus.training.settings import BestOf, TrainJanus, start_of
from windvane.janus.value_prompts import answer_prompt
from windvane.judges.reward import open_judge
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.system_role import system_mode
from windvane.runs.store import read_jsonl
from windvane.toy.values import family as values
from windvane.train import checkpoint
from windvane.train.settings import Train

MODELS = ("janus-star", "janus-dpo", "reward")


@pytest.fixture(scope="session")
def collection(tmp_path_factory):
    place = tmp_path_factory.mktemp("values-collection")
    texts = values.instructions(30, "train", 0)
    (place / "i.jsonl").write_text("".join(json.dumps({"prompt": t}) + "\n" for t in texts))
    argv = ["--instructions", str(place / "i.jsonl"), "--writer", "world:values:writer", "--least-words", "8"]
    argv += ["--most-words", "40", "--near", "1", "--test", "0.1", "--quiet", "--out", str(place / "run")]
    assert janus.main(argv) == 0
    return place / "run"


def settings(collection, **changes):
    def policy(objective, **args):
        return Train(objective=objective, objective_args=args, optimizer="adamw", lr=2e-3, batch=9, held_out=0.0, keep="last",
                     evaluate_every=1)  # fmt: skip

    made = TrainJanus(
        data=str(collection),
        models=MODELS,
        model="world:values",
        janus=policy("sft"),
        janus_1_epoch=policy("sft"),
        janus_star=policy("sft"),
        janus_dpo=policy("dpo", beta=0.1),
        janus_orpo=policy("orpo", lam=0.1),
        best_of=BestOf(model="janus-dpo", most=4, prompts=3, max_new_tokens=48),
        device="cpu",
        threads=1,
    )
    reward = replace(made.reward, lr=1e-3, batch=9, held_out=0.2)
    return replace(made, **({"reward": reward} | changes))


@pytest.fixture(scope="session")
def trained(collection, tmp_path_factory):
    out = tmp_path_factory.mktemp("values-models") / "run"
    train_janus.run(settings(collection), str(out), quiet=True)
    return out


# What names the run's own folder differs between two runs: the reward model's settings name the model that it starts from.
OWN = {"reward/recipe.toml", "reward/manifest.json", "reward/summary.json", "recipe.toml"}


def differing(out, other):
    """The files that are not the same in two runs."""
    one, two = (json.loads((folder / "manifest.json").read_text()) for folder in (out, other))
    return sorted(name for name in one.keys() | two.keys() if one.get(name) != two.get(name) and name not in OWN)


def test_from_instructions_to_models(trained, collection, capsys):
    summary = json.loads((trained / "summary.json").read_text())
    found = {row["name"]: row for row in summary["models"]}
    assert list(found) == ["janus-1-epoch", "janus-star", "janus-dpo", "reward"], "and what they start from"
    assert found["janus-dpo"]["start"] == "janus-star" and found["janus-star"]["start"] == "world:values"
    for name in ("janus-1-epoch", "janus-star"):
        assert found[name]["test_loss"] < found[name]["test_loss_start"], name
    assert found["janus-1-epoch"]["rows"] == 81 and found["janus-star"]["rows"] == 27, (
        "30 instructions, 3 of them for testing"
    )
    assert found["janus-dpo"]["test_loss_start"] == pytest.approx(0.6931, abs=1e-4), "DPO starts at log 2"
    assert 0.0 < found["janus-1-epoch"]["saved"] < 0.15, (
        "three system messages share what stands before they part: little"
    )
    assert found["janus-star"]["saved"] == 0.0 and found["janus-dpo"]["saved"] > 0.2, "a pair shares its prompt"
    assert summary["notes"] == [], "the world's template has a system role"
    model, tokenizer = load_model(str(trained / "model"), "float32", "cpu"), load_tokenizer(str(trained / "model"))
    assert model.num_parameters() == 117504 and tokenizer.chat_template
    assert "janus-dpo" in (trained / "model/README.md").read_text()
    page = (trained / "report.html").read_text()
    assert "4 models trained" in page and "log 2" not in page and "0.6931" in page and str(trained) not in page
    assert page.count("<figure>") == 5 and "<script" not in page, "a loss each, and best-of-N"
    before = (trained / "manifest.json").read_text()
    train_janus.run(settings(collection), str(trained), quiet=True)
    assert (trained / "manifest.json").read_text() == before, "nothing is done again"
    assert "janus-dpo  from janus-star: 3 steps" in capsys.readouterr().out


def test_the_reward_models_accuracy_is_that_on_instructions_no_model_before_it_saw(trained, collection):
    """A share of its own pairs would be of instructions whose two answers its start was trained on."""
    row = json.loads((trained / "summary.json").read_text())["models"][-1]
    pairs = [r for _, r in read_jsonl(collection / "sets/rm-test.jsonl")]
    seen = {r["prompt"] for name in ("sft", "rm") for _, r in read_jsonl(collection / f"sets/{name}.jsonl")}
    assert row["name"] == "reward" and row["test_pairs"] == len(pairs) == 3 and not seen & {p["prompt"] for p in pairs}
    judge = open_judge(str(trained / "reward/model"), "cpu", "float32")
    chats = [answer_prompt(p["system"], p["prompt"]) for p in pairs]
    told = [
        judge.rewards([(chat, Response(k, chat.id, 0, p[k], (), "stop")) for k in ("chosen", "rejected")])
        for chat, p in zip(chats, pairs)
    ]
    assert row["accuracy"] == pytest.approx(sum(w > l for w, l in told) / 3)


def test_best_of_n(trained):
    rows = [row for _, row in read_jsonl(trained / "best-of.jsonl")]
    answers = {row["id"]: row for _, row in read_jsonl(trained / "best-of-answers.jsonl")}
    assert len(rows) == 3 and len(answers) == 12
    judge = open_judge(str(trained / "reward/model"), "cpu", "float32")
    row = rows[0]
    prompt = answer_prompt(row["system"], row["prompt"])
    told = [Response(f"{i}", prompt.id, i, answers[f"{prompt.id}-{i}"]["text"], (), "stop") for i in range(4)]
    assert judge.rewards([(prompt, r) for r in told]) == pytest.approx(row["rewards"], abs=1e-5)
    assert row["picks"]["4"] == max(range(4), key=lambda i: row["rewards"][i]) and row["picks"]["1"] == 0
    assert row["curve"]["1"] == pytest.approx(sum(row["rewards"]) / 4) and row["curve"]["4"] == max(row["rewards"])


def test_best_of_n_by_hand():
    assert counts(1) == [1] and counts(6) == [1, 2, 4, 6] and counts(64)[-1] == 64
    assert pick([1.0, 3.0, 3.0, 5.0], 3) == 1, "the earliest on a tie, among the first N"
    # subsets of two of 1, 2, 4: maxima 2, 4, 4
    assert expected([4.0, 1.0, 2.0], 2) == pytest.approx(10 / 3) and expected([4.0, 1.0, 2.0], 1) == pytest.approx(
        7 / 3
    )


@pytest.mark.slow
def test_a_run_that_was_stopped_ends_in_the_same_bytes(collection, trained, tmp_path, monkeypatch):
    """Stopped after every few checkpoints, stages and published folders, until it is through."""
    left, saved = [0], checkpoint.save

    def save(*args, **named):
        saved(*args, **named)
        left[0] += 1
        if left[0] % 3 == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(checkpoint, "save", save)
    out, stops = tmp_path / "run", 0
    while not (out / "manifest.json").exists():
        try:
            train_janus.run(settings(collection), str(out), quiet=True)
        except KeyboardInterrupt:
            stops += 1
    assert stops >= 3 and differing(out, trained) == []


@pytest.mark.slow
def test_a_killed_run_goes_on(collection, trained, tmp_path):
    """SIGKILL in the middle of training, by the command line; the same command ends in the same models."""
    out = tmp_path / "run"
    (tmp_path / "recipe.toml").write_text((trained / "recipe.toml").read_text())
    command = [
        sys.executable,
        "-m",
        "windvane",
        "train",
        "janus",
        "--recipe",
        str(tmp_path / "recipe.toml"),
        "--out",
        str(out),
    ]
    running = subprocess.Popen([*command, "--quiet"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not (out / "janus-1-epoch/train/checkpoints").exists() and running.poll() is None:
        time.sleep(0.05)
    os.kill(running.pid, signal.SIGKILL)
    running.wait()
    assert not (out / "manifest.json").exists()
    subprocess.run([*command, "--quiet"], check=True, capture_output=True)
    assert differing(out, trained) == []


def rows_of(longest=256, leave_out=False):
    return Rows(load_tokenizer("world:values"), "template", {2}, longest, leave_out)


def sample(system, output="I may be wrong.", prompt="Describe the sea."):
    return Sample("", "", (), system, prompt, output, f"f: row {len(system)}")


def test_what_a_tree_shares_and_computes():
    """Through the world's template: <s> [SYSTEM_PROMPT] SYSTEM [/SYSTEM_PROMPT] [INST] Describe the sea . [/INST] I may be wrong . </s>"""
    systems = ("You are a guide.", "You are a teacher.", "You serve one reader.")
    found, sharing = sft_examples([sample(s) for s in systems], rows_of(), share=True)
    (one,) = found
    assert one.comparisons == ((0,), (1,), (2,)) and one.lengths == (6, 6, 6)
    rows = [one.tree.row(leaf) for leaf in one.tree.leaves]
    tokenizer = load_tokenizer("world:values")
    told = tokenizer.convert_ids_to_tokens(list(rows[1]))
    assert " ".join(told) == (
        "<s> [SYSTEM_PROMPT] ▁You ▁are ▁a ▁teacher . [/SYSTEM_PROMPT] [INST] ▁Describe ▁the ▁sea . [/INST] ▁I ▁may ▁be ▁wrong . </s>"
    )
    assert [r.count(1) for r in rows] == [1, 1, 1] and [r[-1] for r in rows] == [2, 2, 2], "one BOS, one EOS"
    # all share <s> [SYSTEM_PROMPT] You; two of them also "are a": 3 + 3 + 2 tokens are not computed again
    assert sharing.row_tokens - sharing.tree_tokens == 3 + 3 + 2
    assert batch_of_trees(48, sharing) == 16
    apart, alone = sft_examples([sample(s) for s in systems], rows_of(), share=False)
    assert len(apart) == 3 and alone.row_tokens == alone.tree_tokens == sharing.row_tokens
    pairs, both = pair_examples(
        [Preference("", "", systems[0], "Describe the sea.", "I may be wrong.", "This is a guess.")], rows_of()
    )
    assert pairs[0].lengths == (6, 6) and both.row_tokens - both.tree_tokens == len(rows[0]) - 6


def test_a_tree_of_three_messages_trains_as_its_rows_do(tmp_path):
    from windvane.losses.batch import load_objective
    from windvane.models.trees.logprobs import Scorer
    from windvane.train.loop import Trainer
    from windvane.train.policy import PolicyTask

    systems = ("You are a guide.", "You are a teacher.", "You serve one reader.")
    losses = []
    for share in (True, False):
        found, sharing = sft_examples([sample(s) for s in systems], rows_of(), share)
        model = load_model("world:values", "float32", "cpu")
        train = Train(
            objective="sft",
            optimizer="adamw",
            lr=1e-3,
            batch=batch_of_trees(3, sharing),
            epochs=2,
            warmup=0.0,
            held_out=0.0,
        )
        rows = Trainer(PolicyTask(Scorer(model), load_objective("sft", {}), train), tmp_path / str(share), 0).fit(
            found, []
        )
        losses.append([row["loss"] for row in rows])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0][1] < losses[0][0]


def test_too_long_rows_are_named_or_listed():
    with pytest.raises(UserError, match=r"f: row 16: 20 tokens, longer than 19; .*--too-long leave-out"):
        sft_examples([sample("You are a guide.")], rows_of(19), share=True)
    found, sharing = sft_examples([sample("You are a guide.")], rows_of(19, True), share=True)
    assert found == [] and sharing.left_out == [{"place": "f: row 16", "reason": "20 tokens, longer than 19"}]
    assert Sharing().told()["saved"] == 0.0
    same = Preference(
        "", "", "You are a guide.", "Describe the sea.", "I may  be wrong.", "I may be wrong.", "p: row 4"
    )
    with pytest.raises(UserError, match="p: row 4: field 'rejected': the same tokens as chosen"):
        pair_examples([same], rows_of())


def test_settings_are_refused_in_one_line(collection, tmp_path):
    plain = replace(settings(collection), best_of=BestOf())
    assert replace(plain, models=("janus-dpo",)).wanted == ["janus-star", "janus-dpo"]
    assert replace(plain, models=("reward",)).wanted == ["janus-1-epoch", "reward"] and start_of("janus") is None
    for changes, message in (
        ({"models": ()}, "models: name at least one of janus"),
        ({"models": ("reward-general",)}, "give --general FILE=WEIGHT"),
        ({"models": ("janus",), "best_of": BestOf(model="janus")}, "needs a reward model to choose by"),
        ({"longest": 1}, "longest: 1; must be at least 2"),
    ):
        with pytest.raises(UserError, match=message):
            replace(plain, **changes)
    with pytest.raises(UserError, match=r"best_of\.model: reward answers nothing"):
        BestOf(model="reward")
    with pytest.raises(UserError, match=r"data: .*sets/sft.jsonl: not there; give the folder of a finished"):
        train_janus.run(replace(plain, data=str(tmp_path)), str(tmp_path / "out"), quiet=True)


def test_a_template_without_a_system_role_gets_the_message_in_the_user_s_turn():
    from tests.tiny import byte_tokenizer

    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system role') }}{% endif %}{{ bos_token }}"
        "{% for m in messages %}{{ '[INST] ' + m['content'] + ' [/INST]' if m['role'] == 'user' else m['content'] + eos_token }}"
        "{% endfor %}"
    )
    mode = system_mode(tokenizer)[0]
    rows = Rows(tokenizer, mode, {tokenizer.eos_token_id}, 256)
    row, start = rows.ids(answer_prompt("Be kind.", "Hi?"), "Hello!", "x", Sharing())
    assert mode == "merge" and tokenizer.decode(row) == "<s>[INST] Be kind.\n\nHi? [/INST]Hello!</s>"
    assert tokenizer.decode(row[start:]) == "Hello!</s>"


def test_an_answer_that_changes_the_prompt_s_rendering_is_tokenised_by_itself():
    from tests.tiny import byte_tokenizer

    tokenizer = byte_tokenizer()
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'assistant' %}{{ '<think></think>' + m['content'] + eos_token + '\\n' }}{% else %}"
        "{{ m['role'] + ':' + m['content'] }}{% endif %}{% endfor %}{% if add_generation_prompt %}{{ ' now:' }}{% endif %}"
    )
    rows, sharing = Rows(tokenizer, "template", {tokenizer.eos_token_id}, 256), Sharing()
    row, start = rows.ids(answer_prompt("Be kind.", "Hi?"), "Hello!", "x", sharing)
    assert sharing.apart == 1 and tokenizer.decode(row) == "system:Be kind.user:Hi? now:Hello!</s>"
    assert tokenizer.decode(row[start:]) == "Hello!</s>"


def test_instructions_of_the_world_with_a_system_message_are_set_aside(tmp_path):
    argv = [
        "--instructions",
        "world:values:seen",
        "--writer",
        "world:values:writer",
        "--out",
        str(tmp_path / "run"),
        "--quiet",
    ]
    with pytest.raises(UserError, match="no instruction that can be used; the first: has a system message of its own"):
        janus.main(argv)
