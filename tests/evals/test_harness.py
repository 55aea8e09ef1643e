"""The harness on a tiny random model and local task files: values worked out with our own log-probs, resumed, compared in pairs."""

import json

import pytest
import torch

from tests import tiny
from windvane.core.errors import UserError
from windvane.evals.harness import command as harness
from windvane.evals.harness.run import find_models
from windvane.evals.harness.suites import SUITES, parse_task

pytest.importorskip("lm_eval", reason="lm-evaluation-harness is not installed: pip install 'windvane[harness]'")

ITEMS = [
    {"question": f"The {a} is", "choices": [" red", " very green", " blue and grey"], "answer": i % 3}
    for i, a in enumerate(("sky", "sea", "grass", "stone", "rose", "coal", "sand", "snow"))
]


@pytest.fixture
def folder(tmp_path):
    """Two tiny models and one multiple-choice task with its data beside it."""
    for seed in (0, 1):
        model = tiny.model(seed=seed)
        model.save_pretrained(tmp_path / f"m{seed}")
        tiny.byte_tokenizer().save_pretrained(tmp_path / f"m{seed}")
    (tmp_path / "tasks").mkdir()
    data = tmp_path / "tasks" / "colours.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in ITEMS))
    (tmp_path / "tasks" / "colours.yaml").write_text(
        f"task: colours\ndataset_path: json\ndataset_kwargs:\n  data_files:\n    test: {data}\n    train: {data}\n"
        "output_type: multiple_choice\ntest_split: test\nfewshot_split: train\ndoc_to_text: '{{question}}'\n"
        "doc_to_choice: '{{choices}}'\ndoc_to_target: answer\ntarget_delimiter: ''\nmetric_list:\n"
        "  - metric: acc\n  - metric: acc_norm\n"
    )
    return tmp_path


def by_hand(folder, name):
    """(acc, acc_norm): the choice of the greatest summed log-prob, as it is and over its length in characters."""
    from transformers import AutoModelForCausalLM

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder / name), tiny.byte_tokenizer()
    right = [0, 0]
    for item in ITEMS:
        prefix, sums = tokenizer(item["question"])["input_ids"], []
        for choice in item["choices"]:
            ids = torch.tensor([prefix + tokenizer(choice, add_special_tokens=False)["input_ids"]])
            with torch.no_grad():
                logps = model(ids).logits[0, :-1].log_softmax(-1)
            sums.append(float(logps.gather(1, ids[0, 1:, None])[len(prefix) - 1 :].sum()))
        right[0] += sums.index(max(sums)) == item["answer"]
        even = [s / len(c) for s, c in zip(sums, item["choices"])]
        right[1] += even.index(max(even)) == item["answer"]
    return [r / len(ITEMS) for r in right]


@pytest.mark.slow
def test_a_local_task_equals_our_own_log_probs(folder, capsys, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    base = ["--include", str(folder / "tasks"), "--task", "colours:0:acc_norm", "--out", str(folder / "out"), "--json"]
    models = [f"--model={folder / name}" for name in ("m0", "m1")]
    assert harness.main([*models[:1], *base]) == 0
    capsys.readouterr()
    kept = next((folder / "out").glob("*/colours.json"))
    before = kept.stat().st_mtime_ns
    assert harness.main([*models, *base]) == 0  # a model more: the first is read, not asked again
    result = json.loads(capsys.readouterr().out)
    assert kept.stat().st_mtime_ns == before
    hand = [by_hand(folder, name) for name in ("m0", "m1")]
    values = [m["tasks"]["colours"]["value"] for m in result["models"].values()]
    assert values == [h[1] for h in hand]
    assert len({*hand[0], *hand[1]}) > 1, "a task on which all is equal shows nothing"
    gap = next(iter(result["minus_first"].values()))["colours"]
    assert gap["mean"] == pytest.approx(values[1] - values[0]) and gap["n"] == 8
    assert (folder / "out" / "plot.svg").read_text().startswith("<svg")
    with pytest.raises(UserError, match="started with other settings"):
        harness.main([*models, *base, "--limit", "4"])
    with pytest.raises(UserError, match="has no metric f1,none; there are: acc,none, acc_norm,none"):
        harness.main([models[0], *base[:2], "--task", "colours:0:f1", "--out", str(folder / "other")])
    with pytest.raises(UserError, match="has no such task; give --include"):
        harness.main([models[0], "--task", "colourless", "--out", str(folder / "third")])


def test_a_run_folder_stands_for_its_start_and_iterations(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "recipe.toml").write_text('model = "base"\n')
    with pytest.raises(UserError, match="without a finished iteration"):
        find_models([str(tmp_path / "run")])
    for t in (1, 2, 10):
        (tmp_path / "run" / f"iter-{t}" / "model").mkdir(parents=True)
    found = find_models([str(tmp_path / "run")])
    assert list(found) == ["start", "iter-1", "iter-2", "iter-10"] and found["start"] == "base"
    with pytest.raises(UserError, match="given twice"):
        find_models(["a/b", "a/b"])


def test_the_papers_shots_and_metrics():
    shots = {t.title: (t.shots, t.metric.split(",")[0]) for t in SUITES["open-llm-v1"]}
    assert shots == {
        "ARC-C": (25, "acc_norm"),
        "TruthfulQA": (0, "acc"),
        "Winogrande": (5, "acc"),
        "GSM8k": (5, "exact_match"),
        "HellaSwag": (10, "acc_norm"),
        "MMLU": (5, "acc"),
    }
    assert {t.title: t.shots for t in SUITES["longpo-short"]} == {
        "MMLU": 5,
        "ARC-C": 25,
        "HellaSwag": 10,
        "Winogrande": 5,
    }
    assert parse_task("x:3:f1") == parse_task("x:3:f1,none")


@pytest.mark.parametrize(
    "argv, line",
    [
        (["--suite", "open-llm-v1", "--task", "a"], "give either --suite or --task"),
        (["--task", "a:many"], "--task a:many: shots are a whole number"),
        (["--task", "a", "--task", "a:3"], "a task is named twice"),
        (["--task", "a", "--batch", "0"], "--batch: 0; must be at least 1"),
        (["--task", "a", "--include", "/nowhere"], "--include /nowhere: no such folder"),
    ],
)
def test_bad_arguments_are_one_line(argv, line, tmp_path):
    with pytest.raises(UserError, match=line):
        harness.main(["--model", "m", "--out", str(tmp_path / "out"), *argv])
