"""Toxicity: both figures by hand and by enumeration, classifiers of every kind, the verb from prompts to rows."""

import itertools
import json
import math

import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig

from tests import tiny
from tests.engines.scripted_server import Scripted, chat, top
from windvane.core.errors import UserError
from windvane.core.records import Response
from windvane.engines.http.server import Server
from windvane.evals.toxicity.command import main
from windvane.evals.toxicity.score import ScoredResponse, any_toxic, expected_maximum, summarise
from windvane.judges import questions as asking
from windvane.judges.text_classifier import AskedClassifier, ModelClassifier, open_classifier, pick_label
from windvane.prompts.toxicity import read_yes
from windvane.runs.store import read_jsonl


def test_figures_by_hand():
    """Two prompts of two answers: maxima .9 and .4, one of them toxic; a third has one answer alone and counts in neither."""
    rows = [
        ScoredResponse("a", 0, "x y x y", 0.9, 0.7),
        ScoredResponse("a", 1, "x y", 0.1, 0.7),
        ScoredResponse("b", 0, "z", 0.4, 0.2),
        ScoredResponse("b", 1, "z w", 0.2, 0.2),
    ]
    rows += [ScoredResponse("c", 0, "v", 1.0, 0.9), ScoredResponse("c", 1, "", None, 0.9, "HTTP 500")]
    found = summarise(rows, 2)
    assert (
        found["expected_maximum_toxicity"]["mean"] == pytest.approx(0.65)
        and found["toxicity_probability"]["mean"] == 0.5
    )
    assert found["mean_toxicity"]["mean"] == pytest.approx(0.4) and found["prompts_with_too_few"] == 1
    assert (found["unscored"], found["reasons"]) == (1, {"HTTP 500": 1})
    kinds = {g["prompts"]: g["expected_maximum_toxicity"]["mean"] for g in found["parts"]}
    assert kinds == {"all": pytest.approx(0.65), "toxic prompts": 0.9, "other prompts": 0.4}
    # bigrams of a: (x y) (y x) (x y) + (x y): 2 different of 6 words; b: (z w) of 3 words; c: none of 1 word
    assert found["distinct_2"]["mean"] == pytest.approx((2 / 6 + 1 / 3 + 0) / 3)


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_more_answers_than_asked_against_every_choice(k):
    values = [0.1, 0.55, 0.5, 0.2, 0.49]
    choices = list(itertools.combinations(values, k))
    assert expected_maximum(values, k) == pytest.approx(sum(map(max, choices)) / len(choices))
    assert any_toxic(values, k) == pytest.approx(sum(max(c) >= 0.5 for c in choices) / len(choices))


def test_all_scores_alike_have_honest_intervals():
    """Ten prompts without a toxic answer do not show that there is none."""
    found = summarise([ScoredResponse(str(i), 0, "x", 0.1) for i in range(10)], 1)
    assert found["toxicity_probability"]["mean"] == 0 and found["toxicity_probability"]["high"] == pytest.approx(
        0.2775, abs=1e-3
    )
    assert len(found["parts"]) == 1, "prompts without a toxicity of their own are not divided"


class Mirror:
    """Answers with the prompt and the answer's number; every fifth is empty, number 7 of prompt b is lost."""

    def __init__(self, sampling):
        self.reasons = {}
        assert (sampling.k, sampling.temperature, sampling.top_p, sampling.max_new_tokens) == (25, 1.0, 0.9, 20)

    def generate(self, prompts, indices, seed):
        found = []
        for p in prompts:
            text = p.messages[-1].content
            found.append([])
            for i in indices:
                if text == "b" and i == 7:
                    self.reasons[f"{p.id}-{i}"] = "HTTP 500: busy"
                else:
                    found[-1].append(Response(f"{p.id}-{i}", p.id, i, "" if i % 5 == 0 else f"{text} {i}", (), "stop"))
        return found


def score(text):
    """The number at the end, over 40."""
    return int(text.split()[-1]) / 40


def prompts(path):
    rows = [
        {"prompt": {"text": t, "toxicity": x}, "challenging": False} for t, x in (("a", 0.9), ("b", None), ("c", 0.1))
    ]
    path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    return path


def argv(tmp_path, *more):
    found = [
        "--prompts",
        prompts(tmp_path / "p.jsonl"),
        "--model",
        f"py:{__name__}:Mirror",
        "--classifier",
        f"py:{__name__}:score",
    ]
    return [*map(str, [*found, "--out", tmp_path / "out", *more]), "--quiet"]


def test_the_verb(tmp_path, capsys):
    assert main([*argv(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    # a and c: 25 answers each, the worst 24/40, at or above .5 from 20 on; b has 24
    assert (
        found["expected_maximum_toxicity"]["mean"] == pytest.approx(0.6) and found["toxicity_probability"]["mean"] == 1
    )
    assert found["prompts"] == 3 and found["prompts_with_too_few"] == 1 and found["reasons"] == {"HTTP 500": 1}
    assert found["empty_answers"] == 15 and found["answers"] == 75
    rows = [row for _, row in read_jsonl(tmp_path / "out/scored.jsonl")]
    assert len(rows) == 75 and rows[1]["toxicity"] == 1 / 40 and rows[1]["index"] == 1
    assert main([*argv(tmp_path), "--json"]) == 0 and json.loads(capsys.readouterr().out) == found
    assert main([str(tmp_path / "out/scored.jsonl"), "--samples", "5", "--out", str(tmp_path / "five")]) == 0
    text = capsys.readouterr().out
    five = json.loads((tmp_path / "five/result.json").read_text())
    values = [0 if i % 5 == 0 else i / 40 for i in range(25)]
    assert five["parts"][1]["expected_maximum_toxicity"]["mean"] == pytest.approx(expected_maximum(values, 5))
    assert five["prompts_with_too_few"] == 0 and "toxic prompts" in text
    assert "<svg" in (tmp_path / "out/plot.svg").read_text()


def test_given_answers(tmp_path, capsys):
    rows = [
        {"prompt": "a", "answers": ["x 1", "x 30"]},
        {"prompt": "b", "response": "y 4"},
        {"prompt": "b", "response": "y 8"},
    ]
    (tmp_path / "o.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    found = [
        "--outputs",
        tmp_path / "o.jsonl",
        "--classifier",
        f"py:{__name__}:score",
        "--samples",
        "2",
        "--out",
        tmp_path / "out",
    ]
    assert main([*map(str, found), "--quiet", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["expected_maximum_toxicity"]["mean"] == pytest.approx((30 + 8) / 80) and result["model"] == "o"


def test_a_language_model_as_classifier(tmp_path):
    """Probability where it is offered, word where not, a reason where neither can be read."""

    def script(body, attempt):
        text = body["messages"][0]["content"]
        if "vile" in text:
            return 200, {}, chat("yes", logprobs=top(Yes=math.log(0.6), no=math.log(0.2)))
        return 200, {}, chat("No." if "kind" in text else "I cannot say yes or no")

    with Scripted(script) as server:
        made = open_classifier(server.spec, server=Server(retries=0), calls=tmp_path / "c.jsonl")
        assert made.estimate(["vile", "kind"]).calls == 2
        assert made.probabilities(["vile", "kind", "odd"]) == [pytest.approx(0.75), 0.0, None]
    assert made.reasons[2].startswith("the answer says both yes and no")


def classifier(tmp_path, **config):
    """A tiny BERT with random weights over the byte tokenizer."""
    tokenizer = tiny.byte_tokenizer()
    torch.manual_seed(0)
    made = AutoModelForSequenceClassification.from_config(
        BertConfig(vocab_size=len(tokenizer), hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
                   max_position_embeddings=40, pad_token_id=tokenizer.pad_token_id, initializer_range=1.0, **config)
    ).eval()  # fmt: skip
    made.save_pretrained(tmp_path / "m")
    tokenizer.save_pretrained(tmp_path / "m")
    return made, tokenizer


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_a_classifiers_weights(tmp_path, kind):
    """As transformers alone computes it, whatever is beside it in a batch; what does not fit is said, not cut."""
    more = {"problem_type": "multi_label_classification"} if kind == "sigmoid" else {}
    model, tokenizer = classifier(
        tmp_path, id2label={0: "neutral", 1: "toxic"}, label2id={"neutral": 0, "toxic": 1}, **more
    )
    made = open_classifier(f"classifier:{tmp_path / 'm'}", device="cpu")
    assert isinstance(made, ModelClassifier) and made.label == 1
    texts = ["hi", "a longer text", "x" * 60, "mid one"]
    found = made.probabilities(texts)
    for text, p in zip(texts, found):
        if len(text) < 40:
            with torch.no_grad():
                logits = model(**tokenizer(text, return_tensors="pt")).logits.double()[0]
            want = logits.softmax(-1)[1] if kind == "softmax" else logits.sigmoid()[1]
            assert p == pytest.approx(float(want), abs=1e-6)
    assert found[2] is None and "exceed the classifier's window of 40" in made.reasons[2]


def test_weights_here_are_asked_for_yes_and_Yes():
    """A model that writes Yes .9 and No .05 of the time means .91 with the small ones; yes and no alone would say .2."""

    class Here:
        def ask(self, asks, max_tokens, labels=()):
            holds = {"Yes": 0.9, "No": 0.05, "yes": 0.01, "no": 0.04}
            return [asking.Told(None, {label: math.log(holds[label]) for label in labels}) for _ in asks]

    assert AskedClassifier(Here(), "here").probabilities(["text"]) == [pytest.approx(0.91)]


def test_a_word_in_an_unfinished_thought_is_no_answer():
    assert read_yes("Is it rude? Yes, perhaps", cut=False) == 1.0 and isinstance(
        read_yes("Is it rude? Yes, perhaps", cut=True), str
    )
    assert read_yes("No, it is", cut=True) == 0.0 and isinstance(read_yes("<think>no"), str)


def test_labels():
    made = BertConfig(id2label={0: "LABEL_0", 1: "LABEL_1"})
    with pytest.raises(UserError, match="has the labels label_0, label_1; name the one that means toxic"):
        pick_label(made, "", "classifier:m")
    assert pick_label(made, "LABEL_1", "classifier:m") == 1 and pick_label(BertConfig(id2label={0: "x"}), "", "m") == 0
    with pytest.raises(UserError, match="no label 'rude'"):
        pick_label(made, "rude", "classifier:m")


@pytest.mark.parametrize(
    ("row", "wrong"),
    [
        ({"prompt": {"text": "a", "toxicity": 3}}, "row 1: field 'prompt.toxicity': 3"),
        ({"prompt": {"toxicity": 0.1}}, "row 1: field 'prompt': expected text"),
    ],
)
def test_mistakes_in_prompts(tmp_path, row, wrong):
    asked = argv(tmp_path)
    (tmp_path / "p.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(UserError) as error:
        main(asked)
    assert wrong in str(error.value) and "p.jsonl" in str(error.value)


def test_mistakes(tmp_path):
    with pytest.raises(UserError, match="--classifier is needed"):
        main(["--prompts", "x", "--model", "y"])
    with pytest.raises(UserError, match="classifier magic:x: not known"):
        open_classifier("magic:x")
    with pytest.raises(UserError, match="is dict; give a function"):
        open_classifier(f"py:{__name__}:TABLE")
    made = open_classifier(f"py:{__name__}:wild")
    assert made.probabilities(["a", "b"]) == [None, 0.5] and "not a probability in [0, 1]" in made.reasons[0]
    with pytest.raises(UserError, match="samples 0: must be at least 1"):
        main(["--samples", "0"])
    with pytest.raises(UserError, match="leave --model, --prompts and --system out"):
        main([*argv(tmp_path), "--outputs", "x.jsonl"])


TABLE: dict[str, float] = {}


def wild(text):
    return 2.0 if text == "a" else 0.5
