"""What a stranger does on the first day: files with the wrong name, damaged model folders, a run's folder given for something else, rows
that are no rows. One line that names the file, row or field and its mend, exit code 2, nothing that stood there touched."""

import gzip
import json
import resource
import shutil

import pyarrow
import pyarrow.parquet
import pytest
import torch
from safetensors.torch import load_file, save_file

from tests import tiny
from tests.faults.test_every_verb import below, one_line
from tests.finetune.rows import pairs, write
from windvane.cli.main import main

TRAIN = "train --objective dpo --model model --device cpu --threads 1 --quiet --train.batch 2 --out NEW --data "
GENERATE = "generate prompts.jsonl --max-new-tokens 4 --device cpu --quiet --out NEW --model "


def _broken_models(here):
    def copy(name):
        return shutil.copytree(here / "model", here / name)

    def config(folder, **changes):
        held = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(held | changes))

    weights = "model.safetensors"
    whole = (here / "model" / weights).read_bytes()
    for name, data in {"cut": whole[: len(whole) // 2], "zero": b"", "noise": b"\xff" * 999,
                       "pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 1\n"}.items():  # fmt: skip
        (copy(name) / weights).write_bytes(data)
    held = load_file(here / "model" / weights)
    broken = {k: torch.full_like(v, torch.nan) if "q_proj" in k else v for k, v in held.items()}
    save_file(broken, copy("nan") / weights, {"format": "pt"})
    config(copy("shape"), hidden_size=64)
    config(copy("arch"), model_type="quux")
    config(copy("remote"), model_type="quux", auto_map={"AutoConfig": "x.C", "AutoModelForCausalLM": "x.M"})
    tiny.folder(here / "small", vocab=100)
    sharded = copy("shards")
    (sharded / weights).rename(sharded / "model-00001-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(held, "model-00002-of-00002.safetensors")}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index))
    pickled = copy("pickled")
    (pickled / weights).rename(pickled / "pytorch_model.bin")
    (copy("words") / "tokenizer.json").write_text("{")
    (copy("template") / "chat_template.jinja").write_text("{{ messages[0].no.such }}")
    (here / "gguf").mkdir()
    (here / "gguf/model.gguf").write_bytes(b"GGUF")


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    here = tmp_path_factory.mktemp("room")
    tiny.folder(here / "model", window=256)
    _broken_models(here)
    pairs(here / "pairs.jsonl")
    good = (here / "pairs.jsonl").read_text()
    write(here / "prompts.jsonl", [{"prompt": f"Say {i}."} for i in range(4)])
    write(here / "answers.jsonl", [{"prompt": f"Say {i}.", "responses": ["a", "two"]} for i in range(4)])
    rows = [json.loads(line) for line in good.splitlines()]
    (here / "list.jsonl").write_text(json.dumps(rows))
    (here / "pretty.jsonl").write_text(json.dumps(rows, indent=1))
    (here / "utf16.csv").write_bytes("prompt,chosen,rejected\na,b,c\n".encode("utf-16"))
    (here / "semicolon.csv").write_text("prompt;chosen;rejected\na;b;c\n")
    (here / "twice.csv").write_text("prompt,prompt,chosen,rejected\na,b,c,d\n")
    (here / "gz.jsonl").write_bytes(gzip.compress(good.encode()))
    (here / "pairs.jsonl.gz").write_bytes(gzip.compress(good.encode()))
    (here / "zeros.jsonl").write_bytes(b"\0" * 99)
    for name, number in {"nan": "NaN", "inf": "-Infinity", "big": "1e400", "digits": "9" * 5000}.items():
        (here / f"{name}.jsonl").write_text(f'{{"prompt": "a", "responses": ["x", "y"], "scores": [{number}, 1]}}\n')
    (here / "deep.jsonl").write_text("[" * 100_000 + "\n")
    for name, row in {"number": 5, "null": None, "list": ["a"], "no-prompt": {"prompt": None, "chosen": "a", "rejected": "b"},
                      "int": {"prompt": 5, "chosen": "a", "rejected": "b"}, "blank": {"prompt": ""}, "no-turns": {"messages": []},
                      "three": {"prompt": "a", "responses": ["b", "c"], "scores": [1, 2, 3]},
                      "one": {"prompt": "a", "responses": ["b"]}, "text": {"prompt": "a", "responses": "b"}}.items():  # fmt: skip
        write(here / f"row-{name}.jsonl", [row])
    (here / "dir.jsonl").mkdir()
    pyarrow.parquet.write_table(pyarrow.table({"foo": [1, 2]}), here / "foo.parquet")
    pyarrow.parquet.write_table(pyarrow.table({"prompt": pyarrow.array([], pyarrow.string())}), here / "none.parquet")
    (here / "page.txt").write_text("hello\n")
    (here / "key.toml").write_text('learning_rate = 1\nmodel = "model"\n')
    (here / "type.toml").write_text('objective = "dpo"\nmodel = "model"\ndata = "pairs.jsonl"\nseed = "many"\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(here)
        assert main([*TRAIN.replace("NEW", "trained").split(), "pairs.jsonl"]) == 0
        assert main([*GENERATE.replace("NEW", "made").split(), "model", "--k", "2"]) == 0
    answers = here / "made/iter-1/responses.jsonl"
    for name, text in {"torn": answers.read_text()[:-30], "doubled": answers.read_text() * 2}.items():
        shutil.copytree(here / "made", here / name)
        (here / name / "iter-1/responses.jsonl").write_text(text)
    return here


FAULTS = {  # a command; what its line says
    TRAIN + "list.jsonl": "got list; name a file that is one list of rows .json",
    TRAIN + "pretty.jsonl": "row 1: not valid JSON (Expecting value at column 2); mend or remove the line; a file that is one list of",
    TRAIN + "utf16.csv": "not UTF-8 (byte 0xff at offset 0); save the file as UTF-8",
    TRAIN + "semicolon.csv": "no column for prompt",
    TRAIN + "twice.csv": "header: a column name appears twice",
    TRAIN + "gz.jsonl": "gz.jsonl: row 1: not UTF-8",
    TRAIN + "pairs.jsonl.gz": "unknown kind of file; known: .jsonl",
    TRAIN + "zeros.jsonl": "zeros.jsonl: row 1: not valid JSON",
    TRAIN + "nan.jsonl": "row 1: field 'scores[0]': expected a number, got 'nan'",
    TRAIN + "inf.jsonl": "row 1: field 'scores[0]': expected a number, got '-inf'",
    TRAIN + "big.jsonl": "row 1: field 'scores[0]': expected a number, got 'inf'",
    TRAIN + "digits.jsonl": "digits.jsonl: row 1: not valid JSON (Exceeds the limit",
    TRAIN + "deep.jsonl": "deep.jsonl: row 1: not valid JSON",
    TRAIN + "row-number.jsonl": "row 1: expected a table with named fields, got int",
    TRAIN + "row-null.jsonl": "row 1: expected a table with named fields",
    TRAIN + "row-list.jsonl": "row 1: expected a table with named fields, got list",
    TRAIN + "row-no-prompt.jsonl": "row 1: field 'prompt': missing; the row has chosen, rejected; add it",
    TRAIN + "row-int.jsonl": "row 1: field 'prompt': expected text or a list of turns, got int",
    TRAIN + "row-three.jsonl": "field 'scores': expected one number for each of 2 answers, got 3",
    TRAIN + "dir.jsonl": "dir.jsonl: cannot be read as a data set",
    TRAIN + "foo.parquet": "foo.parquet: no column for prompt",
    TRAIN + "pairs.jsonl --train.lr nan": "windvane: train.lr: nan; must be a finite number",
    TRAIN.replace("NEW", "made") + "pairs.jsonl": "made: holds what another verb made (recipe.toml, with 'batch_prompts')",
    "run sppo --model model --prompts prompts.jsonl --judge world:styles --out made": "made: holds what another verb made",
    "run sppo --model model --prompts prompts.jsonl --judge world:styles --out trained": "trained: holds what another verb made",
    "train --recipe key.toml --out NEW": "key.toml: field 'learning_rate': unknown; known here:",
    "train --recipe type.toml --out NEW": "type.toml: field 'seed': expected int, got str 'many'",
    "train --recipe dir.jsonl --out NEW": "dir.jsonl: Is a directory",
    GENERATE + "page.txt": "model page.txt: is a file; give the folder",
    GENERATE + "trained": "model trained: is a run's folder; name its model: trained/model",
    GENERATE + "cut": "model cut: model.safetensors: cut, or no safetensors file",
    GENERATE + "zero": "model zero: model.safetensors: cut, or no safetensors file",
    GENERATE + "noise": "model noise: model.safetensors: cut, or no safetensors file",
    GENERATE + "pointer": "model pointer: model.safetensors is a Git LFS pointer (git lfs pull",
    GENERATE + "nan": "its logits are not finite: its weights hold NaN or infinity",
    GENERATE + "shape": "model shape: its weights have other shapes than its config.json says",
    GENERATE + "arch": "model arch: ",
    GENERATE + "remote": "needs code of its own, which windvane never runs",
    GENERATE + "small": "and the vocabulary ends at 99: they do not belong together",
    GENERATE + "shards": "shards/model-00002-of-00002.safetensors",
    GENERATE + "pickled": "only pytorch_model.bin, which could run code",
    GENERATE + "words": "tokenizer words: ",
    GENERATE + "template": "the chat template refuses this chat",
    GENERATE + "gguf": "model gguf: no config.json in this folder",
    GENERATE + "gguf/model.gguf": "is a file; give the folder",
    GENERATE + "model --k 99999": "4096 answers a prompt at most",
    GENERATE.replace("prompts", "row-blank") + "model": "row-blank.jsonl: row 1: field 'prompt': empty",
    GENERATE.replace("prompts", "row-no-turns") + "model": "row-no-turns.jsonl: row 1: field 'messages': the chat has no turns",
    GENERATE.replace("prompts.jsonl", "none.parquet") + "model": "none.parquet: no rows",
    GENERATE.replace("NEW", "/dev/null") + "model": "/dev/null: cannot write there",
    GENERATE.replace("NEW", "trained") + "model": "trained/recipe.toml: this run was started with other settings",
    "judge row-one.jsonl --judge world:styles --out NEW": "row-one.jsonl: no prompt has two answers to compare",
    "judge row-text.jsonl --judge world:styles --out NEW": "row 1: field 'responses': expected a list of answers, got str",
    "judge torn --judge world:styles --out NEW": "torn/iter-1/responses.jsonl: row 8: not valid JSON",
    "judge doubled --judge world:styles --out NEW": "doubled/iter-1/responses.jsonl: answer ",
    "pair made --out NEW": "made: answers without verdicts; judge them first: windvane judge made --judge JUDGE",
    "inspect gz.jsonl": "gz.jsonl: row 1: not UTF-8 (byte 0x8b at offset 1)",
    "inspect trained --id nothing": "no row has the id nothing",
    "status page.txt": "page.txt: no such folder",
    "eval perplexity --model model --documents gz.jsonl --out NEW": "gz.jsonl: row 1: not UTF-8",
    "eval ruler --model trained --lengths 128 --out NEW": "model trained: is a run's folder; name its model: trained/model",
    "score gz.jsonl --out NEW.csv": "gz.jsonl: no text file",
    "score dir.jsonl --out NEW.csv": "dir.jsonl: cannot be read (Is a directory)",
}  # fmt: skip


@pytest.mark.parametrize("command", FAULTS)
def test_one_line_and_nothing_touched(room, tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(room)
    before = below(room)
    assert main([w.replace("NEW", str(tmp_path / "new")) for w in command.split()]) == 2
    said = one_line(capsys.readouterr().err)
    assert FAULTS[command] in said, said
    spared = ("run.lock", "log.jsonl")
    assert all(below(room)[p] == held for p, held in before.items() if p.name not in spared), (
        "what stood there is touched"
    )
    made = [p.name for p in (tmp_path / "new").rglob("*")] if (tmp_path / "new").exists() else []
    assert not any(n.endswith((".tmp", ".safetensors", ".csv")) or n == "manifest.json" for n in made), made


@pytest.mark.parametrize("name", ["bom.csv", "crlf.csv", "bom.jsonl", "crlf.jsonl"])
def test_what_windows_writes_is_read(room, tmp_path, name):
    kind = name.partition(".")[2]
    text = "prompt,chosen,rejected\n" + "".join(f"What is {i}?,two,three\n" for i in range(12))
    if kind == "jsonl":
        text = (room / "pairs.jsonl").read_text()
    data = text.replace("\n", "\r\n").encode() if "crlf" in name else b"\xef\xbb\xbf" + text.encode()
    (tmp_path / name).write_bytes(data)
    assert main(["inspect", str(tmp_path / name), "--json"]) == 0
    argv = TRAIN.replace("model --device", f"{room / 'model'} --device").replace("NEW", str(tmp_path / "run")).split()
    assert main([*argv, str(tmp_path / name)]) == 0
    first = json.loads((tmp_path / "run/iter-1/responses.jsonl").read_text().splitlines()[0])
    assert "\r" not in first["text"] and "\ufeff" not in first["text"]


def test_a_disk_that_is_full_of_weights(room, tmp_path, capsys, monkeypatch):
    """A limit on a file's size stands for it; with room again the same command ends as if nothing had been."""
    monkeypatch.chdir(room)
    argv = [*TRAIN.replace("NEW", str(tmp_path / "run")).split(), "pairs.jsonl"]
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        code = main(argv)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    said = one_line(capsys.readouterr().err)
    assert code == 2 and f"{tmp_path}/run/iter-1/train/checkpoints: weights cannot be written there" in said, said
    assert main(argv) == 0
    ours, theirs = ((p / "model/model.safetensors").read_bytes() for p in (tmp_path / "run", room / "trained"))
    assert ours == theirs
