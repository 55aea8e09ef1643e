"""Faults of every verb, through main(): one line that names what to mend, exit code 2, nothing half written. Ten as real processes."""

import json
import os
import re
import resource
import socket
import subprocess
import sys

import pytest

from tests import tiny
from windvane.cli.main import main
from windvane.cli.verbs import VERBS


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Files that are wrong in one way each, beside ones that are right; the current folder of every command here."""
    here = tmp_path_factory.mktemp("room")
    tiny.folder(here / "model", window=256)
    pair = {"prompt": "What is one plus one?", "chosen": "two", "rejected": "three"}

    def rows(name, values):
        (here / name).write_text("".join(json.dumps(v, ensure_ascii=False) + "\n" for v in values), encoding="utf-8")

    rows("pairs.jsonl", [{**pair, "prompt": f"What is {i}?"} for i in range(8)])
    rows("no-rejected.jsonl", [{"prompt": "a", "chosen": "b"}, {"prompt": "c", "chosen": "d", "rejected": None}])
    rows("same.jsonl", [{**pair, "rejected": "two"}])
    rows("empty-chosen.jsonl", [pair, {**pair, "prompt": "x", "chosen": " "}])
    rows("prompts.jsonl", [{"prompt": f"Say {i}."} for i in range(4)])
    rows("roles.jsonl", [{"messages": [{"role": "robot", "content": "hi"}]}])
    rows("odd.jsonl", [{"what": 1}])
    rows("scored.jsonl", [{"prompt": f"Say {i}.", "responses": ["a", "b"], "scores": [1, 2]} for i in range(60)])
    (here / "older.toml").write_text('objective = "dpo"\nmodel = "model"\ndata = "pairs.jsonl"\nlearning_rate = 1e-6\n')
    (here / "empty.jsonl").write_text("")
    (here / "torn.jsonl").write_text(json.dumps(pair) + "\n" + '{"prompt": "a", "chos')
    (here / "latin.jsonl").write_bytes('{"prompt": "caf\u00e9"}\n'.encode("latin-1"))
    (here / "list.json").write_text('"just a string"')
    (here / "notes.txt").write_text("Nobody speaks here in turns.\n")
    (here / "paper.txt").write_text(
        "Examiner: Hello?\nCandidate: I am from a small town and I like to read books there.\n"
    )
    (here / "taxonomy.jsonl").write_text(
        '{"id": "a", "parent": "b", "name": "A"}\n{"id": "b", "parent": "a", "name": "B"}\n'
    )
    (here / "a-file").write_text("in the way")
    (here / "empty-folder").mkdir()
    broken = tiny.folder(here / "broken-model")
    (broken / "config.json").write_text("{")
    headless = tiny.folder(here / "no-weights")
    (headless / "model.safetensors").unlink()
    cut = tiny.folder(here / "cut-weights")
    data = (cut / "model.safetensors").read_bytes()
    (cut / "model.safetensors").write_bytes(data[: len(data) // 2])
    tokenless = tiny.folder(here / "no-tokenizer")
    for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja"):
        (tokenless / name).unlink(missing_ok=True)
    return here


# name: (arguments, what the line must say)
FAULTS = {
    "train: no file": ("train --objective dpo --model model --data nowhere.jsonl --out r1", "nowhere.jsonl: no such file"),
    "train: no objective": ("train --objective dppo --model model --data pairs.jsonl --out r2", "objective dppo: unknown"),
    "train: empty file": ("train --objective dpo --model model --data empty.jsonl --out r3", "empty.jsonl"),
    "train: torn row": ("train --objective dpo --model model --data torn.jsonl --out r4", "torn.jsonl: row 2"),
    "train: not UTF-8": ("train --objective sft --model model --data latin.jsonl --out r5", "latin.jsonl"),
    "train: a field missing": ("train --objective dpo --model model --data no-rejected.jsonl --out r6", "no-rejected.jsonl"),
    "train: empty answer": ("train --objective dpo --model model --data empty-chosen.jsonl --out r7", "empty-chosen.jsonl: row 2"),
    "train: no such column": ("train --objective dpo --model model --data pairs.jsonl --columns chosen=good --out r8", "good"),
    "train: odd columns": ("train --objective dpo --model model --data odd.jsonl --out r9", "odd.jsonl"),
    "train: a model's config": ("train --objective dpo --model broken-model --data pairs.jsonl --out r10", "broken-model"),
    "train: no weights": ("train --objective dpo --model no-weights --data pairs.jsonl --out r11", "no-weights"),
    "train: half the weights": ("train --objective dpo --model cut-weights --data pairs.jsonl --out r12", ""),
    "train: no tokenizer": ("train --objective dpo --model no-tokenizer --data pairs.jsonl --out r13", "no-tokenizer"),
    "train: an empty folder": ("train --objective dpo --model empty-folder --data pairs.jsonl --out r14", "empty-folder"),
    "train: out is a file": ("train --objective dpo --model model --data pairs.jsonl --out a-file", "a-file"),
    "train: tracker": ("train --objective dpo --model model --data pairs.jsonl --out r15 --track mlflow", "--track mlflow: there are"),
    "train: settings of another version": ("train --recipe older.toml --out r19", "learning_rate"),
    "train: labels": ("train --objective kto --model model --data prompts.jsonl --out r16", "prompts.jsonl"),
    "train reward: no file": ("train reward --kind bt --model model --data nowhere.jsonl --out r17", "nowhere.jsonl"),
    "train janus: no folder": ("train janus --model model --data nowhere --out r18", "nowhere"),
    "generate: no model": ("generate prompts.jsonl --model /nowhere/m --out g1", "/nowhere/m"),
    "generate: backend": ("generate prompts.jsonl --model oracle:x --out g2", "oracle"),
    "generate: role": ("generate roles.jsonl --model model --out g3", "robot"),
    "generate: k": ("generate prompts.jsonl --model model --k 0 --out g4", "k"),
    "generate: window": ("generate prompts.jsonl --model model --max-new-tokens 400 --out g5", "window"),
    "generate: server away": ("generate prompts.jsonl --model http://127.0.0.1:9/v1#m --retries 0 --out g6", "127.0.0.1:9"),
    "judge: no judge": ("judge pairs.jsonl --judge oracle:x --out j1", "oracle"),
    "judge: no folder": ("judge nowhere --judge world:styles", "nowhere"),
    "pair: no source": ("pair nowhere --out p1", "nowhere"),
    "pair: no scores": ("pair prompts.jsonl --out p2", "prompts.jsonl"),
    "inspect: nothing there": ("inspect nowhere.jsonl", "nowhere.jsonl"),
    "inspect: a string": ("inspect list.json", "list.json"),
    "inspect: an empty folder": ("inspect empty-folder", "empty-folder"),
    "status: no run": ("status empty-folder", "not a run folder"),
    "report: no run": ("report empty-folder", "not a run folder"),
    "export: no run": ("export empty-folder --format trl", "empty-folder"),
    "merge: no adapter": ("merge nowhere --out m1", "nowhere"),
    "merge: out is in the way": ("merge model --out a-file", "a-file"),
    "data pairrm: nothing there": ("data pairrm nowhere out", "nowhere"),
    "run longpo: no documents": ("run longpo --model model --documents nowhere.txt --lengths 64k --out l1", "nowhere.txt"),
    "run longpo: length": ("run longpo --model model --documents notes.txt --lengths 1q --out l2", "1q"),
    "run janus: no writer": ("run janus --instructions prompts.jsonl --writer oracle:x --out v1", "oracle"),
    "run janus: no instructions": ("run janus --instructions nowhere.jsonl --writer world:values --out v2", "nowhere.jsonl"),
    "run evalyaks: no data": ("run evalyaks --model model --data nowhere.csv --out e1", "nowhere.csv"),
    "data rubrics: no samples": ("data rubrics --samples nowhere.jsonl --writer world:values --out b1", "nowhere.jsonl"),
    "eval alpaca": ("eval alpaca nowhere.json", "nowhere.json"),
    "eval ruler": ("eval ruler --model model --lengths four --out u1", "four"),
    "eval infinitebench": ("eval infinitebench pairs.jsonl --task nothing", "nothing"),
    "eval multifaceted": ("eval multifaceted --bench nowhere.json --model model --judge rubric:world:values --out w1", "nowhere.json"),
    "eval cefr": ("eval cefr odd.jsonl", "odd.jsonl"),
    "eval perplexity": ("eval perplexity --model model --documents nowhere.txt --out x1", "nowhere.txt"),
    "eval judge": ("eval judge odd.jsonl --judge world:styles --out y1", "odd.jsonl"),
    "eval what": ("eval", "eval: name one of list, alpaca"),
    "eval unknown": ("eval everything", "no command 'eval everything'"),
    "score: no file": ("score nowhere.txt --out s.csv", "nowhere.txt"),
    "score: part": ("score paper.txt --part 9 --out s.csv", "9"),
    "score: no scorer": ("score paper.txt --part 1 --scorer nowhere.json --out s.csv", "nowhere.json"),
    "data transcripts": ("data transcripts nowhere.csv --json", "nowhere.csv"),
    "data synthesize": ("data synthesize --writer oracle:x --out d1", "oracle"),
    "serve: host": ("serve --host 0.0.0.0 --port 0", "token"),
    "serve: taxonomy": ("serve --taxonomy taxonomy.jsonl --port 0", "taxonomy.jsonl"),
    "world build": ("world build --family cheese --out f1", "cheese"),
}  # fmt: skip


def one_line(err):
    """The last line; before it only notes and the estimate of a server's calls, which is said before the first."""
    told = [t for t in err.strip().splitlines() if t.startswith("windvane:") and not ESTIMATE.match(t)]
    assert "Traceback" not in err and len(told) == 1, err
    return told[0]


def below(folder):
    """Every file under `folder` with its size and time."""
    return {p: (p.stat().st_size, p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


ESTIMATE = re.compile(r"windvane: (note: |.*\d+ calls, about \d+ prompt tokens)")
LEFT = {"run.lock", "recipe.toml", "log.jsonl", "settings.json"}  # a start that failed may leave these


@pytest.mark.parametrize("name", FAULTS)
def test_one_line_and_nothing_half_written(room, capsys, monkeypatch, name):
    argv, expected = FAULTS[name]
    monkeypatch.chdir(room)
    before = below(room)
    code = main([*argv.split(), *(["--quiet"] if argv.startswith(("train ", "run ")) and "reward" not in argv else [])])
    said = one_line(capsys.readouterr().err)
    assert code == 2 and expected in said, said
    made = {p.name for p in below(room).keys() - before.keys()} - LEFT
    assert not any(n.endswith((".tmp", ".csv", ".safetensors", ".html")) for n in made), made
    assert all(below(room)[p] == held for p, held in before.items()), "nothing that was there is touched"


def test_there_are_sixty():
    assert len(FAULTS) >= 60


def test_a_port_that_is_taken(room, capsys, monkeypatch):
    monkeypatch.chdir(room)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["serve", "--port", str(port), "--data", str(room / "served")]) == 2
    assert str(port) in one_line(capsys.readouterr().err)


def test_a_file_and_a_folder_without_permission(room, capsys, monkeypatch, tmp_path):
    """Root may read and write anything, so as root both are tried as nobody."""
    root, locked = os.geteuid() == 0, tmp_path / "locked"
    locked.mkdir()
    (locked / "pairs.jsonl").write_text('{"prompt": "a", "chosen": "b", "rejected": "c"}\n')
    locked.chmod(0)
    monkeypatch.chdir(room)
    for argv in (
        ["inspect", str(locked / "pairs.jsonl")],
        ["pair", str(room / "scored.jsonl"), "--out", str(locked / "x")],
    ):
        if root:
            for above in (room, *list(room.parents)[:-1]):  # up to the folder of all tests, which is root's own
                above.chmod(above.stat().st_mode | 0o055)
            os.seteuid(65534)
        try:
            code = main(argv)
        finally:
            if root:
                os.seteuid(0)
        said = one_line(capsys.readouterr().err)
        assert code == 2 and str(locked) in said and "ermission" in said
    assert [p.name for p in locked.iterdir()] == ["pairs.jsonl"]


def test_a_disk_that_is_full(room, capsys, monkeypatch, tmp_path):
    """A limit on a file's size stands for it: the write fails in the middle, as on a full disk."""
    monkeypatch.chdir(room)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (6000, hard))
    try:
        code = main(["pair", "scored.jsonl", "--out", str(tmp_path / "x")])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = one_line(capsys.readouterr().err)
    assert code == 2 and str(tmp_path / "x") in said and "too large" in said
    assert not (tmp_path / "x/iter-1/groups.jsonl").exists() and not list(tmp_path.rglob("*.tmp"))
    assert main(["pair", "scored.jsonl", "--out", str(tmp_path / "x")]) == 0, "with room again it goes on"


MISSING = {  # what is not installed: (arguments, its pip line)
    "fastapi": ("serve --port 0", "pip install 'windvane[serve]'"),
    "wandb": ("train --objective dpo --model model --data pairs.jsonl --out q1 --track wandb --quiet", "pip install wandb"),
    "lm_eval": ("eval harness --model model --suite longpo-short --out q2", "pip install 'windvane[harness]'"),
    "sklearn": ("data transcripts paper.txt --part 1 --folds 2 --out q3.jsonl", "pip install 'windvane[speech]'"),
    "datasketch": ("inspect pairs.jsonl --near yes", "pip install 'windvane[data]'"),
    "rapidfuzz": ("inspect pairs.jsonl --near yes", "pip install 'windvane[data]'"),
}  # fmt: skip


@pytest.mark.parametrize("module", MISSING)
def test_a_missing_extra_is_told_with_its_pip_line(room, capsys, monkeypatch, module):
    monkeypatch.chdir(room)
    for name in [n for n in sys.modules if n.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)  # as where it is not installed
    argv, expected = MISSING[module]
    assert main(argv.split()) == 2 and expected in one_line(capsys.readouterr().err)


REAL = ("train: torn row", "train: half the weights", "generate: backend", "judge: no folder", "inspect: nothing there", "status: no run",
        "merge: no adapter", "eval unknown", "score: no file", "serve: host")  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name", REAL)
def test_as_a_real_process(room, name):
    argv, expected = FAULTS[name]
    found = subprocess.run(
        [sys.executable, "-m", "windvane", *argv.replace("--out r", "--out real").split()],
        capture_output=True,
        text=True,
        cwd=room,
    )
    assert found.returncode == 2 and found.stdout == "" and expected in one_line(found.stderr)


def test_every_verb_refuses_an_unknown_flag_in_one_line(capsys):
    for verb in VERBS:
        assert main([*verb.split(), "--no-such-flag-at-all"]) == 2, verb
        said = capsys.readouterr().err
        assert one_line(said) and (
            "no-such-flag" in said or "required" in said or "missing" in said or "give" in said
        ), (verb, said)
