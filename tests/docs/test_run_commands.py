"""The commands of the pages on one's own data, run as they are written there, in the pages' order, on small files and a tiny model.

Only names in capitals, and what a page calls an example, are replaced (`PUT`); flags that make a command small are put behind (`SMALL`).
A command of these pages that is not run says here what it needs (`NEEDS`), so a new one cannot be added without either.
"""

import json
import re
import shlex

import pytest

from tests import tiny
from tests.docs.test_commands import FENCE, INLINE, ROOT
from tests.recipes.own_data import WORDS, pairs, write
from windvane.cli import main

PAGES = ("templates", "data_formats", "models", "recipes")
RUNS = {"templates": "RUN", "data_formats": "RUN", "models": "LORA", "recipes": "RUN"}  # what RUN is on each page
PUT = {"reward:MODEL": "world:styles:length", "ADAPTER": "LORA/model"}
NEEDS = {
    "windvane judge RUN --judge human": "a person at a terminal",
    "python llama.cpp/convert_hf_to_gguf.py": "llama.cpp's sources and a tokenizer that its script knows",
}
SMALL = {
    "generate": ["--max-new-tokens", "6", "--quiet"],
    "judge": ["--quiet"],
    "train": ["--train.batch", "4", "--device", "cpu", "--threads", "1", "--quiet"],
}


def lines(page):
    """The commands of the blocks, then whole ones in the running text."""
    text = (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")
    for block in FENCE.findall(text):
        for line in block.replace("\\\n", " ").splitlines():
            alternative = re.search(r"# or .*?: (windvane .*)", line)  # `# or scores from elsewhere: windvane pair ...`
            if words := shlex.split(line, comments=True) or (alternative and shlex.split(alternative[1])):
                yield words
    for line in INLINE.findall(" ".join(FENCE.sub("", text).split("\n"))):
        if re.match(r"windvane (inspect|import-config|status) ", line):
            yield shlex.split(line)


@pytest.fixture(scope="module")
def room(tmp_path_factory):
    room = tmp_path_factory.mktemp("docs")
    tiny.folder(room / "M")
    pairs(room / "pairs.jsonl")
    (room / "prompts.csv").write_text("prompt\n" + "".join(f"tell me about {w}\n" for w in WORDS))
    rows = [{"prompt": f"name {w}", "responses": ["so", "no", "perhaps"], "scores": [9, 2, 5]} for w in WORDS]
    write(room / "scored.jsonl", rows)
    (room / "dpo.yaml").write_text("model_name_or_path: M\nstage: dpo\nfinetuning_type: full\nlearning_rate: 5.0e-6\n")
    return room


@pytest.mark.slow
def test_the_commands_of_the_pages_on_own_data(room, monkeypatch, capsys):
    monkeypatch.chdir(room)
    lora = ["--model", "M", "--data", "pairs.jsonl", "--out", "LORA", "--train.lora-rank", "2"]  # what models.md merges
    assert main(["train", "--objective", "dpo", *lora, *SMALL["train"]]) == 0
    ran, stay, outs = [], set(NEEDS), {}
    for page in PAGES:
        for words in lines(page):
            line = " ".join(words)
            if need := next((n for n in NEEDS if line.startswith(n)), None):
                stay.discard(need)
                continue
            assert words[0] == "windvane", f"{page}: {line}: run it here, or say in NEEDS what it takes"
            argv = [placed(w, page) for w in words[1:]]
            if "--out" in argv:  # a page may show two ways to one name
                where = argv.index("--out") + 1
                outs[argv[where]] = outs.get(argv[where], 0) + 1
                argv[where] += f"-{outs[argv[where]]}" if outs[argv[where]] > 1 else ""
            if "ID" in argv:
                first = (room / "RUN/iter-1/prompts.jsonl").read_text().splitlines()[0]
                argv[argv.index("ID")] = json.loads(first)["id"]
            assert main(argv + SMALL.get(argv[0], [])) == 0, (page, argv, capsys.readouterr().err)
            ran.append(line)
    assert not stay, f"no longer shown: {stay}"
    assert len(ran) >= 22
    made = (
        "RUN/model/model.safetensors",
        "RUN/report.html",
        "RUN-2/model",
        "PAIRS-2/iter-1/groups.jsonl",
        "recipe.toml",
    )
    assert all((room / name).exists() for name in (*made, "MERGED/config.json"))


def placed(word, page):
    return RUNS[page] if word == "RUN" else PUT.get(word, word)
