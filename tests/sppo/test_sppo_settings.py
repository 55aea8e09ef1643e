"""SPPO's named settings, by hand: presets, schedules, portions, targets, the eta of runs with and without the self term."""

import dataclasses
import re
import time

import pytest
from transformers import LlamaForSequenceClassification

from tests import tiny
from windvane.cli.main import main
from windvane.core.errors import UserError
from windvane.core.records import Verdict
from windvane.core.settings import from_toml, to_toml
from windvane.datasets import hub
from windvane.datasets.prompt_splits import ULTRAFEEDBACK, portions, read_pool
from windvane.losses.batch import load_objective
from windvane.models.trees.tree import Tree
from windvane.runs.launch import launch
from windvane.sppo.judges import open_judges, remarks
from windvane.sppo.loss_targets import at_equal_eta, retarget, slow_iteration
from windvane.sppo.presets import PRESETS
from windvane.sppo.settings import Sppo
from windvane.train.batches import Example
from windvane.train.settings import learning_rate


def resolved(*argv):
    """What a command line resolves to."""
    found = []
    launch(
        Sppo, lambda s, out, quiet: found.append(s), [*argv, "--out", "RUN"], "windvane run sppo", "", presets=PRESETS
    )
    return found[0]


OWN = ("--model", "M", "--prompts", "P", "--judge", "J", "--threads", "1")


def test_the_defaults_are_the_papers():
    s = resolved(*OWN)
    assert (s.sampling.k, s.sampling.temperature, s.sampling.top_p, s.iterations) == (5, 1.0, 1.0, 3)
    assert (s.train.optimizer, s.train.lr, s.train.batch, s.train.warmup) == ("rmsprop", 5e-7, 64, 0.1)
    assert (s.estimate, s.self_term, s.targets, s.answers) == ("paper", True, "policy", "best-worst")
    assert load_objective("sppo", s.train.objective_args).arguments["eta"] == 1e3
    assert resolved(*OWN, "--train.optimizer", "adamw").train.optimizer == "adamw"


@pytest.mark.parametrize(
    ("name", "expected"),
    [("sampling-paper", (1.0, 1.0)), ("sampling-released", (0.7, 0.9)), ("released", (0.7, 0.9))],
)
def test_sampling_by_name(name, expected):
    s = resolved("--preset", name, *OWN)
    assert (s.sampling.temperature, s.sampling.top_p, s.sampling.k) == (*expected, 5)
    assert s.estimate == ("released" if name == "released" else "paper")


@pytest.mark.parametrize(
    ("name", "rates"),
    [
        # 312 steps an epoch (20,000 prompts at 64); warm-up over a tenth of the schedule: 562, 188 and 32 steps
        ("schedule-18", {311: 5e-7 * 311 / 562}),  # the kept model is inside the warm-up: the rate reaches 2.8e-7
        ("schedule-6", {188: 5e-7, 311: 5e-7 * (1 - (311 - 188) / (1872 - 188))}),  # the warm-up ends at 0.6 epoch
        ("schedule-1", {32: 5e-7, 311: 5e-7 * (1 - 279 / 280)}),  # decays to nearly 0
    ],
)
def test_three_schedules(name, rates):
    train = resolved("--preset", name, *OWN).train
    total = 312 * (train.schedule_epochs or train.epochs)
    assert train.epochs == 1
    for step, rate in rates.items():
        assert learning_rate(step, total, train) == pytest.approx(rate)
    if name == "schedule-18":
        assert rates[311] == pytest.approx(2.8e-7, rel=0.02)


def test_presets_of_models():
    s = resolved("--preset", "llama-3-8b", "--threads", "1")
    assert s.model == "meta-llama/Meta-Llama-3-8B-Instruct" and s.prompts == ULTRAFEEDBACK and s.prompt_split == "train"
    assert s.train.schedule_epochs == 6 and s.train.precision == "bfloat16" and s.judge.startswith("pairrm:")
    s = resolved("--preset", "mistral-7b", "--preset=schedule-1", "--judge", "J", "--train.objective-args", "eta", "10")
    assert (s.train.schedule_epochs, s.judge, s.train.objective_args) == (None, "J", {"eta": 10.0}), (
        "flags go over presets"
    )
    assert all("OURS" in PRESETS[name].told for name in ("llama-3.1-8b", "qwen3-8b"))
    for name in ("mistral-7b", "llama-3-8b", "gemma-2-9b", "llama-3.1-8b", "qwen3-8b"):
        assert isinstance(resolved("--preset", name, "--threads", "1"), Sppo)


def test_a_preset_is_written_down_resolved(tmp_path):
    s = resolved("--preset", "gemma-2-9b", "--threads", "1")
    (tmp_path / "recipe.toml").write_text(to_toml(s))
    text = (tmp_path / "recipe.toml").read_text()
    assert "temperature = 0.7" in text and 'estimate = "released"' in text and "preset" not in text
    assert from_toml(Sppo, tmp_path / "recipe.toml") == s


def test_presets_are_listed_and_refused(capsys):
    assert main(["run", "sppo", "--help"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in PRESETS) and "OURS" in said
    assert main(["run", "sppo", "--preset", "nowhere"]) == 2
    assert "--preset nowhere: there are sampling-paper, " in capsys.readouterr().err
    assert main(["run", "sppo", "--preset", "schedule-1", "--out", "RUN"]) == 2
    assert "missing: --model, --prompts, --judge" in capsys.readouterr().err


def test_help_says_of_each_setting_what_it_is(monkeypatch, capsys):
    """A comment that stands where it cannot be read leaves a setting without help, or with its neighbour's."""
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["run", "sppo", "--help"]) == 0
    said = capsys.readouterr().out
    flat = re.sub(r"[│\s]+", " ", said).replace("STR|{[STR [STR ...]]}", "STR")
    blocks = {m[1]: m[2] for m in re.finditer(r"--([a-z-]+)(?:, --no-[a-z-]+| \S+)? (.*?)\((?:required|default)", flat)}
    own = {f.name.replace("_", "-") for f in dataclasses.fields(Sppo)} - {"sampling", "train", "evaluate", "server"}
    helps = {name: blocks[name].strip() for name in own}
    assert all(helps.values()), {name for name, text in helps.items() if not text}
    assert len(set(helps.values())) == len(helps)


def portion(folder, rows):
    """A data set folder as the hub lays it out: data/SPLIT-00000-of-00001.parquet, one column."""
    import pyarrow
    import pyarrow.parquet

    (folder / "data").mkdir(parents=True)
    for split, texts in (("train", rows), ("test", [f"{folder.name} test {i}" for i in range(2)])):
        pyarrow.parquet.write_table(
            pyarrow.table({"prompt": texts}), folder / "data" / f"{split}-00000-of-00001.parquet"
        )
    return str(folder)


def three(tmp_path):
    """Ten prompts each; the second portion repeats one of the first."""
    rows = [[f"portion {t}, prompt {i}" for i in range(10)] for t in (1, 2, 3)]
    rows[1][0] = rows[0][0]
    return [portion(tmp_path / f"sppo-iter{t}", part) for t, part in enumerate(rows, 1)]


def test_one_data_set_an_iteration(tmp_path):
    names = three(tmp_path)
    s = resolved(
        "--model", "M", "--judge", "J", "--prompts", *names, "--prompt-split", "train", "--evaluate.count", "4"
    )
    pool, told = read_pool(s), []
    held, parts = portions(s, pool, told.append)
    assert (pool.rows, pool.duplicates, len(held)) == (30, 1, 4) and "1 of 30 rows repeat a prompt" in told[0]
    assert "4 prompts are held out" in told[1] and "±0.49" in told[1], "1.96 * 0.5 / sqrt(4)"
    texts = [[p.text for p in part] for part in parts]
    for t, part in enumerate(texts, 1):
        assert part and all(text.startswith(f"portion {t},") for text in part), "each iteration has its own portion"
    assert sum(map(len, texts)) + len(held) == 29 and not any("test" in x for part in texts for x in part)
    fewer = resolved(
        "--model", "M", "--judge", "J", "--prompts", *names, "--prompt-split", "train", "--prompts-per-iteration", "3"
    )
    assert [len(p) for p in portions(fewer, pool, told.append)[1]] == [3, 3, 3]
    with pytest.raises(UserError, match="2 sources and 3 iterations"):
        read_pool(resolved("--model", "M", "--judge", "J", "--prompts", *names[:2]))
    with pytest.raises(UserError, match=r"sppo-iter1: .* are left for its iteration .* it needs 11"):
        portions(
            resolved("--model", "M", "--judge", "J", "--prompts", *names, "--prompts-per-iteration", "11"),
            pool,
            told.append,
        )


def test_the_public_portions_offline(monkeypatch):
    """One line within seconds: the libraries' own retries take half a minute."""
    monkeypatch.setattr(hub, "answers", lambda host, port: False)
    s = resolved("--model", "M", "--judge", "J", "--prompts", *ULTRAFEEDBACK)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"sppo-iter1: .* does not answer, .* connect, or give a file or a folder"):
        read_pool(s)
    assert time.monotonic() - start < 20, "a few seconds, most of them importing"


def test_whether_a_host_answers(monkeypatch):
    import socket

    for name in ("http_proxy", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert hub.answers("127.0.0.1", port)
    assert not hub.answers("127.0.0.1", port, seconds=0.5)


def pair(p_win):
    return Example("g", Tree.of((1,), ((2,), (3,))), ("g-4", "g-1"), p_win, (1, 1), 0, 1)


def test_targets():
    told = [Verdict("v", "g", 1, 4, 0.3, 0.9, 0.2, 0.2)]  # P(1 beats 4) = .2, so the chosen, 4, wins at .8
    indices = {"g-4": 4, "g-1": 1}
    assert retarget([pair((0.7, 0.4))], told, indices, "policy")[0].p_win == (0.7, 0.4)
    assert retarget([pair((0.7, 0.4))], told, indices, "pair")[0].p_win == pytest.approx((0.8, 0.2))
    assert retarget([pair((0.7, 0.4))], told, indices, "hard")[0].p_win == (1.0, 0.0)
    assert retarget([pair((0.7, 0.4))], [], indices, "pair") == [], (
        "a pair whose own verdict failed has no P(w beats l)"
    )


def test_what_is_said_of_verdicts():
    good, noted = Verdict("a", "g", 0, 1, 0.7, 0.3, 0.7, 0.0), Verdict("b", "g", 0, 2, 0.7, 0.3, 0.7, 0.0, "cut by 3")
    failed = Verdict("c", "g", 1, 2, None, 0.3, None, None, "prose")
    assert remarks("S", [good]) == [] and remarks("S", []) == []
    assert remarks("S", [good, noted, failed, failed]) == [
        "S: 2 of 4 pairs have no usable verdict, the first: prose",
        "S: 1 of 4 pairs were judged with a remark, the first: cut by 3",
    ]
    with pytest.raises(
        UserError, match="S: no pair of 2 has a usable verdict, the first because: prose; mend the judge"
    ):
        remarks("S", [failed, failed])


def test_equal_eta():
    """Without the self term and at eta (K-1)/K = 1000 * 4/5 the targets are those with it."""
    sppo = load_objective("sppo", {})
    assert at_equal_eta(sppo, resolved(*OWN, "--equal-eta")) is sppo
    assert at_equal_eta(sppo, resolved(*OWN, "--no-self-term")) is sppo
    assert at_equal_eta(sppo, resolved(*OWN, "--equal-eta", "--no-self-term")).arguments["eta"] == pytest.approx(800)
    with pytest.raises(UserError, match="objective ipo has no targets"):
        at_equal_eta(load_objective("ipo", {}), resolved(*OWN, "--equal-eta", "--no-self-term"))


def test_slow_iteration():
    assert [slow_iteration(t, None) for t in range(1, 6)] == [0, 0, 0, 0, 0]
    assert [slow_iteration(t, 2) for t in range(1, 6)] == [0, 0, 2, 2, 4]
    assert [slow_iteration(t, 1) for t in range(1, 6)] == [0, 1, 2, 3, 4], "every iteration: the reference itself"


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["--sampling.k", "1"], "sampling.k: 1; answers are compared with each other, so take at least 2"),
        (["--answers", "cross-fit", "--sampling.k", "2"], "cross-fit needs sampling.k of at least 3, not 2"),
        (["--answers", "all", "--targets", "hard"], "take answers best-worst"),
        (["--slow-every", "0"], "slow_every: 0; must be at least 1"),
        (["--estimate", "rank"], "--estimate"),
        (["--server.budget", "1"], "server.budget: in money, so give price_in and price_out"),
    ],
)
def test_what_does_not_go_together(argv, expected, capsys):
    assert main(["run", "sppo", *OWN, "--out", "RUN", *argv]) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert expected in said


def test_judges_weights_in_the_asked_precision(tmp_path):
    config = tiny.FAMILIES["llama"][0](
        vocab_size=260, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2, num_labels=1
    )
    LlamaForSequenceClassification(config).save_pretrained(tmp_path / "rm")
    tiny.byte_tokenizer().save_pretrained(tmp_path / "rm")
    for dtype in ("float32", "bfloat16"):
        s = resolved(*OWN[:4], "--judge", f"reward:{tmp_path / 'rm'}", "--threads", "1", "--judge-dtype", dtype)
        judge = open_judges(s, tmp_path)["train"]
        assert str(judge.model.dtype) == f"torch.{dtype}"
