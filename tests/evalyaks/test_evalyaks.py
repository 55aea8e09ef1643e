"""`windvane run evalyaks` end to end at a small size: what is held out, answer-only loss, resuming, six adapters over one base in PEFT."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

from tests import tiny
from windvane.cli.main import main as windvane
from windvane.core.errors import UserError
from windvane.core.schema import dumps, encode
from windvane.evalyaks import stages
from windvane.evalyaks.adapter_scorers import open_adapted
from windvane.evalyaks.instructions import part_instructions
from windvane.evalyaks.level_stages import level_items
from windvane.evalyaks.recipe import EvalYaks, run, toy_recipe
from windvane.evalyaks.recipe import main as recipe_main
from windvane.evalyaks.splits import HELD, TEST, TRAIN, split_transcripts
from windvane.evalyaks.stages import examples
from windvane.evalyaks.transcripts.record import Transcript
from windvane.losses.batch import load_objective
from windvane.models.load import load_model, load_tokenizer
from windvane.models.lora import merge
from windvane.models.trees.logprobs import Scorer
from windvane.runs.store import read_jsonl
from windvane.toy.grades import family as grades
from windvane.train.loop import Trainer
from windvane.train.policy import PolicyTask

PUBLIC = Path(__file__).parents[3] / "shared" / "data" / "evalyaks"
ADAPTERS = ["part1", "part2", "part3", "part4", "sentences", "vocabulary"]


def write(path, records):
    path.write_text("".join(dumps(encode(r)) + "\n" for r in records))
    return str(path)


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    words, sentences = folder / "words.csv", folder / "sentences.csv"
    listed = [(w, level) for level, own in grades.words("train").items() for w in own[:12]]
    words.write_text("Word,Level\n" + "".join(f"{w},{level}\n" for w, level in listed))
    sentences.write_text("sentence,level\n" + "".join(f"{t},{level.lower()}\n" for t, level in grades.sentences(0, 24)))
    world = toy_recipe("world:grades")
    return replace(
        world,
        data=(write(folder / "train.jsonl", grades.transcripts(41, 12)),),
        test=(write(folder / "test.jsonl", grades.transcripts(42, 4, "test")),),
        words=str(words),
        sentences=str(sentences),
        held_out=0.2,
        resamples=20,
        train=replace(world.train, epochs=1, batch=5, lora_dropout=0.1),
    )


@pytest.fixture(scope="module")
def done(settings, tmp_path_factory):
    out = tmp_path_factory.mktemp("evalyaks") / "run"
    run(settings, str(out), quiet=True)
    return out


@pytest.mark.slow
def test_one_adapter_a_part_one_for_words_one_for_sentences(done):
    assert sorted(p.name for p in (done / "adapters").iterdir()) == ADAPTERS
    for name in ADAPTERS:
        config = json.loads((done / "adapters" / name / "model" / "adapter_config.json").read_text())
        assert (config["r"], config["lora_alpha"], config["lora_dropout"]) == (16, 32, 0.1)
        assert not (done / "adapters" / name / "train" / "checkpoints").exists()
    summary = json.loads((done / "summary.json").read_text())
    assert summary["conversations"] == {"train": 40, "held-out": 8, "test": 16}
    assert [a["name"] for a in summary["adapters"]] == ADAPTERS
    systems = [row["system"] for row in summary["evaluations"]["cefr-test"]]
    assert systems[:4] == ["base", "trained", "weight-free", "constant 1"] and "length only" in systems
    levels = {(row["adapter"], row["by"]) for row in summary["levels"]}
    assert levels == {(a, b) for a in ("vocabulary", "sentences") for b in ("base", "trained")}
    assert "report.html" in json.loads((done / "manifest.json").read_text())
    card = (done / "adapters" / "part3" / "model" / "README.md").read_text()
    assert "gives bands for part 3" in card and "library_name: peft" in card and "high-risk use" in card
    assert f"| trained | {summary['evaluations']['cefr-test'][1]['acceptable_accuracy']:.3f} |" in card
    page = (done / "report.html").read_text()
    assert "is a toy" in page and str(done) not in page + card


@pytest.mark.slow
def test_what_is_held_out_is_never_trained_on(done, settings):
    records = {k: [] for k in (TRAIN, HELD, TEST)}
    for _, row in read_jsonl(done / "transcripts.jsonl"):
        records[row["split"]].append(row["record"])
    groups = {k: {r["split_group"] for r in own} for k, own in records.items()}
    assert not groups[TRAIN] & (groups[HELD] | groups[TEST])
    items = [{"split": row["split"], **row["instruction"]} for _, row in read_jsonl(done / "items.jsonl")]
    train = " ".join(i["messages"][0]["content"] + " " + i["answer"] for i in items if i["split"] == TRAIN)
    for record in records[HELD] + records[TEST]:
        said = next(t["text"] for t in record["turns"] if t["role"] == "candidate" and len(t["text"].split()) > 5)
        assert said not in train
    listed = {split: set() for split in (TRAIN, HELD)}
    for i in items:
        if i["adapter"] == "vocabulary" and i["task"] == "level of words":
            listed[i["split"]] |= set(i["messages"][0]["content"].rpartition(": ")[2].rstrip(".").split(", "))
    assert len(listed[HELD]) == 8 and len(listed[TRAIN]) == 40 and not listed[HELD] & listed[TRAIN]
    written = {w for i in items if i["task"] == "words of a level" for w in i["answer"].split(", ")}
    assert written == listed[TRAIN], "held-out words are in no answer"
    scored = {row["id"] for _, row in read_jsonl(done / "scores-trained.jsonl")}
    assert scored == {r["id"] for r in records[HELD] + records[TEST]}


def test_a_cluster_that_is_tested_is_left_out_of_training(tmp_path):
    train, test = grades.transcripts(43, 8, parts=(1,)), grades.transcripts(44, 4, "test", parts=(1,))
    turns = [replace(t, text=t.text + " and so on") if i == 1 else t for i, t in enumerate(test[0].turns)]
    copy = Transcript.of(1, turns, scores=test[0].scores)
    unmarked = Transcript.of(1, train[0].turns[:2])
    split = split_transcripts(
        (write(tmp_path / "a.jsonl", [*train, copy, unmarked, test[1]]),), (write(tmp_path / "b.jsonl", test),), 0.2, 0
    )
    assert split.left_out["near-duplicates of test conversations"] == 1
    assert split.left_out["conversations that are tested on"] == 1
    assert split.left_out["conversations without bands"] == 1
    assert [len(split.records[k]) for k in (TRAIN, HELD, TEST)] == [6, 2, 4]
    again = split_transcripts((str(tmp_path / "a.jsonl"),), (str(tmp_path / "b.jsonl"),), 0.2, 0)
    assert again == split


def test_the_loss_is_the_answer_s_cross_entropy_alone_by_a_plain_forward(tmp_path):
    """Two rows; the first step's loss is summed -log p of the answers' tokens, closing token included, over their number."""
    model, tokenizer = load_model("world:grades", device="cpu"), load_tokenizer("world:grades")
    items = [i for r in grades.transcripts(46, 1)[1:3] for i in part_instructions(r, ("compact",))]
    found = examples(tokenizer, items, 512)
    total, count = 0.0, 0
    for e, item in zip(found, items):
        row = e.tree.row(e.tree.leaves[0])
        assert row[-1] == tokenizer.eos_token_id and row.count(tokenizer.bos_token_id) == 1
        n = e.lengths[0]
        assert tokenizer.decode(row[-n:-1]).strip() == item.answer
        logps = model(torch.tensor([row])).logits[0].log_softmax(-1)
        total -= sum(logps[t - 1, row[t]].item() for t in range(len(row) - n, len(row)))
        count += n
    train = replace(toy_recipe("world:grades").train, epochs=1, batch=2, lora_rank=0, lora_alpha=1)
    metrics = Trainer(PolicyTask(Scorer(model), load_objective("sft", {}), train), tmp_path, 0).fit(found, [])
    assert metrics[0]["loss"] == pytest.approx(total / count, abs=1e-4)
    with pytest.raises(UserError, match=r"part2 .* exceed the model's window of 60"):
        examples(tokenizer, items, 60)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes(done, settings, tmp_path, monkeypatch):
    """Killed in the third adapter's training and again while scoring."""
    out, calls = tmp_path / "run", []
    train, assess = stages.run_train, stages.SpeechFlow._scorer

    def dies(*args, **kwargs):
        calls.append(args[1])
        if len(calls) == 3:
            raise KeyboardInterrupt
        return train(*args, **kwargs)

    def dies_too(self, which):
        scorer = assess(self, which)
        if which == "trained" and "scoring" not in calls:
            calls.append("scoring")
            inner = scorer.assess
            scorer.assess = lambda batch: (
                inner(batch) if batch[0].part == 1 else (_ for _ in ()).throw(KeyboardInterrupt)
            )
        return scorer

    monkeypatch.setattr(stages, "run_train", dies)
    monkeypatch.setattr(stages.SpeechFlow, "_scorer", dies_too)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            run(settings, str(out), quiet=True)
    run(settings, str(out), quiet=True)
    assert calls.count("adapters/part1") == 1, "a finished adapter is not trained again"
    assert json.loads((out / "manifest.json").read_text()) == json.loads((done / "manifest.json").read_text())
    with pytest.raises(UserError, match=r"other settings \(train\.lr"):
        run(replace(settings, train=replace(settings.train, lr=1e-5)), str(out), quiet=True)


@pytest.mark.slow
def test_six_adapters_serve_over_one_base_and_each_answers_as_it_does_alone(done):
    folders = {name: str(done / "adapters" / name / "model") for name in ADAPTERS}
    askers = open_adapted("world:grades", folders, "cpu", "float32")
    base = load_model("world:grades", device="cpu")
    ids = torch.tensor([load_tokenizer("world:grades")(grades.grading_prompt(grades.transcripts(47, 1)[0])).input_ids])
    shared = {id(a.model) for a in askers.values()}
    assert len(shared) == 1, "one base in memory"
    with torch.no_grad():
        plain = base(ids).logits
        seen = []
        for name in [*ADAPTERS, ADAPTERS[0]]:  # and back again
            askers[name].activate()
            logits = askers[name].model(ids).logits
            alone = PeftModel.from_pretrained(
                AutoModelForCausalLM.from_pretrained(grades.model_folder()), folders[name]
            ).eval()
            assert torch.equal(logits, alone(ids).logits), name
            merged = merge(load_model(folders[name], device="cpu"))
            assert not isinstance(merged, PeftModel)
            assert torch.allclose(merged(ids).logits, logits, atol=1e-4)
            assert (logits - plain).abs().max() > 1e-3, "the adapter does something"
            seen.append(logits)
    assert torch.equal(seen[0], seen[-1]) and not torch.equal(seen[0], seen[1])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arm", "rank", "file"), [("merged", 16, "adapter_model.safetensors"), ("full", 0, "model.safetensors")]
)
def test_the_other_arms_train_one_model_on_all_and_score_with_it(settings, tmp_path, arm, rank, file):
    train = replace(settings.train, lora_rank=rank, lora_alpha=32, lora_dropout=0.0)
    run(replace(settings, arm=arm, train=train, words=None, sentences=None), str(tmp_path / "run"), quiet=True)
    assert [p.name for p in (tmp_path / "run" / "adapters").iterdir()] == [arm]
    assert (tmp_path / "run" / "adapters" / arm / "model" / file).exists()
    rows = {name: [r for _, r in read_jsonl(tmp_path / "run" / f"scores-{name}.jsonl")] for name in ("base", "trained")}
    assert all(r["status"] == "scored" for r in rows["trained"]) and rows["base"] != rows["trained"]


@pytest.mark.slow
def test_the_paper_s_settings_on_another_model_with_the_full_prompts(tmp_path):
    """Rank 256, bfloat16, three prompts a conversation, JSON answers; a random byte-level Llama that has no world."""
    base = tiny.folder(tmp_path / "base", "llama", window=8192)
    data = write(tmp_path / "part1.jsonl", grades.transcripts(51, 5, parts=(1,)))
    made = EvalYaks(model=str(base), data=(data,), held_out=0.2, resamples=10, device="cpu", threads=1)
    run(replace(made, train=replace(made.train, batch=3)), str(tmp_path / "run"), quiet=True)
    rows = [row for _, row in read_jsonl(tmp_path / "run" / "adapters" / "part1" / "train" / "metrics.jsonl")]
    trained = [row["loss"] for row in rows if row["split"] == "train"]
    assert len(trained) == 4 * 5 and trained[-1] < trained[0], "4 conversations, 3 prompts each, 3 a step, 5 epochs"
    items = [row for _, row in read_jsonl(tmp_path / "run" / "items.jsonl")]
    kinds = [row["instruction"]["task"] for row in items if row["split"] == TRAIN]
    assert sorted(kinds) == sorted(["steps", "descriptors", "example"] * 4)
    config = json.loads((tmp_path / "run" / "adapters" / "part1" / "model" / "adapter_config.json").read_text())
    assert (config["r"], config["base_model_name_or_path"]) == (256, "../../../../base")
    scored = [row for _, row in read_jsonl(tmp_path / "run" / "scores-trained.jsonl")]
    assert [row["status"] for row in scored] == ["scored"]
    assert sum(scored[0]["bands"][0]["probabilities"].values()) == pytest.approx(1)


def test_lists_of_levels_are_split_by_text_and_refused_where_they_contradict_themselves(tmp_path):
    path = tmp_path / "words.csv"
    path.write_text("word,level\ndog,A1\ndog,B1\n")
    with pytest.raises(UserError, match="'dog' has two levels, A1 and B1"):
        level_items(str(path), None, "full", 0.1, 0)
    with pytest.raises(UserError, match="no toy family 'styles' that offers words"):
        level_items("world:styles", None, "full", 0.1, 0)
    both = level_items("world:grades", "world:grades", "compact", 0.1, 0)
    counts = {
        (a, k): sum(i.split == k and i.instruction.adapter == a for i in both)
        for a in ("vocabulary", "sentences")
        for k in (TRAIN, HELD)
    }
    assert counts["sentences", TRAIN] == 800 and counts["sentences", HELD] == 160
    assert 60 < counts["vocabulary", TRAIN] <= 96 and 20 < counts["vocabulary", HELD] <= 24
    path.write_text("sentence,level\n" + "".join(f"This is sentence {i}.,C1\n" for i in range(10)))
    items = level_items(None, str(path), "full", 0.3, 0)
    held = [i.instruction for i in items if i.split == HELD]
    assert len(held) == 3 and {i.task for i in held} == {"level of a sentence"} and len(items) == 3 + 2 * 7
    assert {i.instruction.adapter for i in items} == {"sentences"} and {i.answer for i in held} == {"C1"}


def test_settings_that_mean_nothing_are_refused():
    for change, said in (
        ({"forms": ("long",)}, "long is not known"),
        ({"held_out": 0.0}, "held_out"),
        ({"arm": "full"}, "full trains all weights"),
        ({"data": ()}, "name at least one"),
    ):
        with pytest.raises(UserError, match=said):
            replace(toy_recipe("world:grades"), **change)
    paper = EvalYaks(model="m", data=("d",)).train
    assert (paper.lora_rank, paper.lora_alpha, paper.lora_dropout, paper.epochs) == (256, 128, 0.1, 5)
    assert (paper.lr, paper.schedule, paper.weight_decay, paper.precision) == (2e-4, "cosine", 0.001, "bfloat16")


def test_the_verb_says_what_is_wrong_in_one_line(tmp_path, capsys):
    code = windvane(
        ["run", "evalyaks", "--model", "world:grades", "--data", str(tmp_path / "no.csv"), "--out", str(tmp_path / "r")]
    )
    told = capsys.readouterr().err
    assert code == 2 and told.count("\n") == 1 and "no.csv" in told


@pytest.mark.skipif(not PUBLIC.is_dir(), reason="the published EvalYaks rows are not here (../shared/data/evalyaks)")
def test_the_public_conversations_split_without_a_leak():
    files = [str(PUBLIC / name) for name in ("Part1_Introduction.csv", "Part2_LongTurn.csv")]
    split = split_transcripts(files, (), 0.1, 42)
    train, held = split.records[TRAIN], split.records[HELD]
    assert not {r.split_group for r in train} & {r.split_group for r in held}
    assert len(held) >= 40 and {r.part for r in held} == {1, 2}
    assert sum(len(r) for r in split.records.values()) + sum(split.left_out.values()) >= 257 + 264


@pytest.mark.parametrize("model", ["toy:grades", "world:grades"])
def test_both_spellings_of_the_toy_take_its_own_settings(model, monkeypatch):
    taken = []
    monkeypatch.setattr("windvane.evalyaks.recipe.launch", lambda *given, default: taken.append(default))
    recipe_main(["--model", model, "--out", "RUN"])
    recipe_main(["--model", "M", "--out", "RUN"])
    assert taken == [toy_recipe(model), None] and taken[0].data == (f"{model}:train:0",)
