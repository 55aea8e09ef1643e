"""Wrong files, rows, columns, models and templates of the verbs on one's own data: exit 2, one line with its mend, nothing half."""

import json

import pytest

from tests.finetune.rows import pairs, write
from tests.tiny import TEMPLATE, byte_tokenizer, folder
from windvane.cli.main import main


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    """Files and models to go wrong with."""
    room = tmp_path_factory.mktemp("room")
    folder(room / "base", window=64)
    pairs(room / "good.jsonl")
    (room / "empty.jsonl").write_text("")
    (room / "latin.jsonl").write_bytes('{"prompt": "Köln", "chosen": "a", "rejected": "b"}\n'.encode("latin-1"))
    (room / "torn.jsonl").write_text('{"prompt": "x", "chosen": "a", "rejected": "b"}\n{"prompt": "x", "cho')
    (room / "bad.parquet").write_bytes(b"PAR1 no")
    (room / "bad.csv").write_text('prompt,chosen,rejected\n"x,a,b\n')
    (room / "wide.csv").write_text("prompt,chosen,rejected\nx,a,b,c\n")
    (room / "table.json").write_text('"text"')
    (room / "what.xyz").write_text("x")
    (room / "folder").mkdir()
    write(room / "odd.jsonl", [{"a": 1}])
    write(room / "two.jsonl", [{"prompt": "x", "responses": ["a", "b"], "scores": ["good", 1]}])
    write(room / "tool.jsonl", [{"messages": [{"role": "user", "content": "x"}, {"role": "tool", "content": "y"}]}])
    write(room / "turns.jsonl", [{"messages": [{"role": "user", "content": "x"}, {"role": "user", "content": "y"}]}])
    write(room / "surrogate.jsonl", [{"prompt": "\ud800", "chosen": "a", "rejected": "b"}])
    write(room / "prompts.jsonl", [{"prompt": "x" * 80}])
    for name, template in (("broken", "{% if %}"), ("none", None), ("twice", "{{ bos_token }}" + TEMPLATE)):
        (room / name).mkdir()
        for file in (room / "base").iterdir():
            if "token" not in file.name and "template" not in file.name:
                (room / name / file.name).write_bytes(file.read_bytes())
        tokenizer = byte_tokenizer()
        tokenizer.chat_template = template
        tokenizer.save_pretrained(room / name)
    (room / "weightless").mkdir()
    (room / "weightless/config.json").write_bytes((room / "base/config.json").read_bytes())
    (room / "file").write_text("x")
    (room / "adapter").mkdir()
    (room / "adapter/adapter_config.json").write_text(json.dumps({"peft_type": "LORA"}))
    (room / "full").mkdir()
    (room / "full/x").write_text("x")
    return room


TRAIN = "train --objective dpo --model base --out OUT --device cpu --quiet --data "
FAULTS = {  # a command (its words that name something in the room are made paths): what its line says
    TRAIN + "empty.jsonl": "empty",
    TRAIN + "latin.jsonl": "row 1: not UTF-8 (byte 0xf6",
    TRAIN + "torn.jsonl": "row 2: not valid JSON",
    TRAIN + "bad.parquet": "not a readable Parquet file",
    TRAIN + "bad.csv": "not valid CSV",
    TRAIN + "wide.csv": "4 fields where the header has 3",
    TRAIN + "table.json": "a JSON file must hold a list of rows|expected a list of rows",
    TRAIN + "what.xyz": "unknown kind of file",
    TRAIN + "odd.jsonl": "no column for prompt",
    TRAIN + "two.jsonl": "field 'scores[0]': expected a number, got 'good'",
    TRAIN + "tool.jsonl": "expected system, user or assistant, got str 'tool'",
    TRAIN + "turns.jsonl": "they must alternate",
    TRAIN + "surrogate.jsonl": "half of a surrogate pair",
    TRAIN + "nowhere.jsonl": "no such file",
    TRAIN + "good.jsonl --split train": "a file has no splits",
    TRAIN
    + "good.jsonl --columns prompt=nought": "no column 'nought', which is to be the prompt; there are: prompt, chosen, rejected",
    TRAIN + "good.jsonl --layout groups": "no column for answers",
    TRAIN + "good.jsonl --layout labelled": "no column for label",
    TRAIN + "good.jsonl --score-scale 0": "score_scale: 0.0; must be above 0",
    TRAIN + "good.jsonl --max-length 0": "max_length: 0; must be at least 1",
    TRAIN + "good.jsonl --max-length 5": "and --max-length is 5; shorten or remove the row",
    TRAIN + "good.jsonl --thinking off": "no switch enable_thinking; leave --thinking out",
    TRAIN + "good.jsonl --answers all": "answers: all K go with an objective that reads groups",
    TRAIN + "good.jsonl --stack": "stack: what is stacked is a fresh adapter",
    TRAIN + "good.jsonl --train.quantize nf4": "4-bit weights cannot be trained",
    TRAIN + "good.jsonl --train.quantize nf4 --train.lora-rank 2": "needs CUDA, and this runs on cpu",
    TRAIN + "good.jsonl --train.objective-args gamma 1": "no setting 'gamma'; it has beta",
    TRAIN + "good.jsonl --train.objective kto": "name the objective by --objective alone",
    TRAIN + "good.jsonl --push nobody": "write OWNER/NAME",
    TRAIN + "good.jsonl --refused never": "--refused",
    TRAIN.replace("base", "broken") + "good.jsonl": "mend the chat or the template",
    TRAIN.replace("base", "none") + "good.jsonl": "no chat template; take the instruct model",
    TRAIN.replace("base", "twice") + "good.jsonl": "opens with <s> twice; take one out of the template",
    TRAIN.replace("base", "weightless") + "good.jsonl": "no weights: it needs safetensors|no tokenizer there",
    TRAIN.replace("base", "adapter") + "good.jsonl": "field 'base_model_name_or_path': missing",
    TRAIN.replace("OUT", "file") + "good.jsonl": "cannot write there",
    "generate prompts.jsonl --model base --out OUT --max-new-tokens 5": "1 of 1 prompts do not fit",
    "generate prompts.jsonl --model base --out OUT --max-new-tokens 64": "lower --max-new-tokens",
    "generate prompts.jsonl --model base --out OUT --k 0": "both must be at least 1",
    "generate prompts.jsonl --model base --out OUT --temperature -1": "take 0 (greedy) or 0.001 to 1000",
    "generate prompts.jsonl --model scripted:nowhere --out OUT": "nowhere",
    "generate odd.jsonl --model base --out OUT": "no column for prompt",
    "generate prompts.jsonl --model base": "--out",
    "judge odd.jsonl --judge human --out OUT": "no column for prompt",
    "judge good.jsonl --judge nobody --out OUT": "judge nobody: not known",
    "pair good.jsonl --out folder --score-scale -1": "--score-scale -1.0: must be above 0",
    "pair prompts.jsonl --out OUT": "judge it first: windvane judge",
    "pair folder --out OUT": "cannot be read as a data set",
    "inspect nowhere.jsonl": "no such file",
    "inspect good.jsonl --model none --row 99": "row 99|no chat template",
    "inspect good.jsonl --columns x": "write ROLE=COLUMN",
    "merge nowhere --out OUT": "model",
    "merge base --out full": "is there already; name a new folder",
    "export folder --format axolotl": "not a run folder",
}


@pytest.mark.parametrize("command", FAULTS)
def test_one_line_and_exit_2(command, room, tmp_path, capsys):
    words = [str(tmp_path / "out") if w == "OUT" else w for w in command.split()]
    words = [str(room / w) if (room / w).exists() or w.startswith("nowhere") else w for w in words]
    if words[:2] == ["inspect", str(room / "good.jsonl")] and "--row" in words:
        assert main(words) in (0, 2)  # the template's refusal is what inspect is there to show
        assert "no chat template" in "".join(capsys.readouterr())
        return
    assert main(words) == 2, command
    error = capsys.readouterr().err
    line = error.strip().splitlines()[-1]
    assert line.startswith("windvane: ") and any(part in line for part in FAULTS[command].split("|")), line
    assert "Traceback" not in error
    assert not (tmp_path / "out/model").exists() and not (tmp_path / "out/manifest.json").exists()
