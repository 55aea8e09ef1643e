"""`windvane train reward`: from a file of pairs to a judge; killed and taken up again; mixtures; what is wrong in one line."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import tiny
from tests.train.planted_preferences import planted
from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Message, Prompt, Response
from windvane.judges.gpm import open_judge as open_gpm_judge
from windvane.judges.reward import open_judge as open_reward_judge
from windvane.stages.train_reward import main

QUICK = [
    "--train.lr",
    "1e-3",
    "--train.batch",
    "8",
    "--train.held-out",
    "0.2",
    "--threads",
    "1",
    "--quiet",
    "--device",
    "cpu",
]


def written(path, pairs):
    rows = [{"prompt": p.prompt.text, "chosen": p.chosen, "rejected": p.rejected} for p in pairs]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return str(path)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    path = tmp_path_factory.mktemp("reward")
    tiny.folder(path / "base", scale=2.0)
    written(path / "order.jsonl", planted("order", 60, 0))
    return path


def command(place, out, kind="bt", data="order.jsonl", *more):
    return [
        "--kind",
        kind,
        "--model",
        str(place / "base"),
        "--data",
        str(place / data),
        "--out",
        str(out),
        *QUICK,
        *more,
    ]


@pytest.mark.parametrize("kind", ["bt", "gpm"])
def test_pairs_to_judge(place, tmp_path, capsys, kind):
    out = tmp_path / "run"
    assert main(command(place, out, kind, "order.jsonl", "--train.lora-rank", "2")) == 0
    name = {"bt": "reward", "gpm": "gpm"}[kind]
    told = capsys.readouterr().out
    assert f"on 12 pairs of prompts never trained on\nmodel: {out}/model   (as a judge: {name}:{out}/model)" in told
    summary = json.loads((out / "summary.json").read_text())
    assert summary["drawn"] == 48 and summary["held_out"]["pairs"] == 12 and summary["computed_as"] == "trees"
    assert summary["tokens"]["trees"] < 0.8 * summary["tokens"]["rows"], "the prompt is computed once for both answers"
    metrics = [json.loads(line) for line in (out / "train/metrics.jsonl").read_text().splitlines()]
    assert (
        metrics[-1]["accuracy"] == summary["held_out"]["accuracy"] or metrics[-1]["loss"] > summary["held_out"]["loss"]
    )
    assert not (out / "train/checkpoints").exists()
    judge = {"bt": open_reward_judge, "gpm": open_gpm_judge}[kind](str(out / "model"), "cpu", "float32")
    pair = planted("order", 1, 5)[0]
    first, second = (Response(t, pair.prompt.id, i, t, (), "stop") for i, t in enumerate((pair.chosen, pair.rejected)))
    ab, ba = judge.judge([Question("ab", pair.prompt, first, second), Question("ba", pair.prompt, second, first)])
    assert ab + ba == pytest.approx(1.0, abs=1e-9) and ab != 0.5
    before = (out / "manifest.json").read_text()
    assert main(command(place, out, kind, "order.jsonl", "--train.lora-rank", "2")) == 0
    assert (out / "manifest.json").read_text() == before, "nothing is done again"


@pytest.mark.slow
def test_killed_and_taken_up_again(place, tmp_path):
    """SIGKILL after a checkpoint; the run that ends has the files of one that was never disturbed."""
    more = ["--train.epochs", "4", "--train.evaluate-every", "3"]
    code = "import sys; from windvane.stages.train_reward import main; main(sys.argv[1:])"
    whole = [sys.executable, "-c", code, *command(place, tmp_path / "a", "gpm", "order.jsonl", *more)]
    again = [sys.executable, "-c", code, *command(place, tmp_path / "b", "gpm", "order.jsonl", *more)]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    subprocess.run(whole, check=True, env=env, capture_output=True)
    process = subprocess.Popen(again, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    waited = time.monotonic() + 120
    while not (tmp_path / "b/train/checkpoints/step-000006").exists():
        assert process.poll() is None and time.monotonic() < waited
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "b/model").exists(), "it was killed while it trained"
    subprocess.run(again, check=True, env=env, capture_output=True)
    one, two = (json.loads((tmp_path / n / "manifest.json").read_text()) for n in "ab")
    assert one == two and "model/model.safetensors" in one


def test_mixture(place, tmp_path):
    a, b = (
        written(tmp_path / "a.jsonl", planted("order", 30, 1)),
        written(tmp_path / "b.jsonl", planted("order", 12, 2)),
    )
    given = command(place, tmp_path / "run")
    at = given.index("--data")
    given[at : at + 2] = ["--mixture", f"{a}=0.75", f"{b}=0.25"]
    main([*given, "--samples", "24"])
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["pairs"] == {a: 30, b: 12} and summary["drawn"] == 24


def test_what_is_wrong_is_one_line(place, tmp_path):
    out = tmp_path / "run"
    cases = {
        r"--data PAIRS or --mixture FILE=WEIGHT ...: give one of them": ["--mixture", "x=1"],
        r"head.dim: 7; a general preference model needs an even number": ["--kind", "gpm", "--dim", "7"],
        r"temperature: 0.5; a reward model's P": ["--temperature", "0.5"],
        r"head.temperature: 0.0; must be a finite number above 0": ["--kind", "gpm", "--temperature", "0"],
        r"train.batch: 0; must be at least 1": ["--train.batch", "0"],
        r"samples: 0; must be at least 1": ["--samples", "0"],
    }
    for message, more in cases.items():
        with pytest.raises(UserError, match=message) as caught:
            main([*command(place, out), *more])
        assert "\n" not in str(caught.value) and not out.exists()
    given = command(place, out)
    at = given.index("--data")
    for item in ("file.jsonl", "file.jsonl=much", "=1"):
        with pytest.raises(UserError, match=rf"--mixture {item}: write FILE=WEIGHT"):
            main([*given[:at], "--mixture", item, *given[at + 2 :]])
    (place / "bad.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "b"}\n')
    with pytest.raises(UserError, match=r"bad.jsonl: row 1: field 'rejected': the same as chosen; remove the row"):
        main(command(place, tmp_path / "bad", "bt", "bad.jsonl"))
    rows = (place / "order.jsonl").read_text().splitlines(keepends=True)
    (place / "both.jsonl").write_text('{"prompt": "new", "chosen": "b", "rejected": "c"}\n' + rows[3])
    with pytest.raises(UserError, match=r"test .*both.jsonl: row 2: its prompt is trained on, too \(1 such rows\)"):
        main([*command(place, tmp_path / "both"), "--test", str(place / "both.jsonl")])


def test_a_failed_start_binds_nobody(place, tmp_path):
    (tmp_path / "bad.jsonl").write_text('{"prompt": "a", "chosen": "b"}\n')
    out = tmp_path / "run"
    with pytest.raises(UserError, match="no column for rejected"):
        main(command(place, out, "bt", tmp_path / "bad.jsonl"))
    data = written(tmp_path / "bad.jsonl", planted("order", 12, 3))  # the same name, mended
    assert main(command(place, out, "gpm", data)) == 0 and (out / "manifest.json").exists()


def test_other_settings_or_other_data_are_refused(place, tmp_path):
    data = written(tmp_path / "p.jsonl", planted("order", 12, 3))
    out = tmp_path / "run"
    main(command(place, out, "bt", data))
    with pytest.raises(UserError, match=r"recipe.toml: this run was started with other settings \(kind: 'bt' -> 'gpm'"):
        main(command(place, out, "gpm", data))
    written(Path(data), planted("order", 12, 4))
    with pytest.raises(UserError, match=r"data.toml: this run was started with other settings \(files"):
        main(command(place, out, "bt", data))


def test_a_template_without_a_system_role_gets_the_message_in_the_user_s_turn(place, tmp_path, capsys):
    tokenizer = tiny.byte_tokenizer()
    tokenizer.chat_template = tokenizer.chat_template.replace("'[SYS] ' + m['content'] + ' [/SYS] '", "''")
    base = tiny.folder(tmp_path / "base")
    tokenizer.save_pretrained(base)
    rows = [{"system": "Be kind.", "prompt": f"a{i}", "chosen": "b", "rejected": "c"} for i in range(8)]
    (tmp_path / "p.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main([*command(tmp_path, tmp_path / "run", "bt", "p.jsonl"), "--train.held-out", "0"]) == 0
    assert "leaves the system message out: the system message is put at the head" in capsys.readouterr().err
    assert "leaves the system message out" in json.loads((tmp_path / "run/summary.json").read_text())["notes"][0]
    judge = open_reward_judge(str(tmp_path / "run/model"), "cpu", "float32")
    answer, user = Response("r", "p", 0, "b", (), "stop"), Message("user", "a0")
    apart, joined, without = (
        judge.rewards([(Prompt.of(chat), answer)])[0]
        for chat in ((Message("system", "Be kind."), user), (Message("user", "Be kind.\n\na0"),), (user,))
    )
    assert apart == joined != without
