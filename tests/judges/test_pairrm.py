"""PairRM's judge: batches that change nothing, cuts by hand, layouts by hand, refusals in one line."""

import json
import math
import random
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.judges.test_pairrm_parity import FOLDER, RECORDED, group, judge_of
from windvane.core.errors import UserError
from windvane.core.protocols import Question
from windvane.core.records import Message, Prompt, Response
from windvane.judges.pairrm import files as pairrm_files
from windvane.judges.pairrm.judge import batches, open_judge
from windvane.judges.pairrm.model import Row
from windvane.judges.pairrm.text import CONVERSATION, Texts, conversations, texts
from windvane.judges.pairrm.tokens import MARKS, Limits, RowMaker
from windvane.stages.judge import verdicts


def chat(*turns):
    return Prompt.of(tuple(Message(role, text) for role, text in turns))


def answer(text, index=0):
    return Response(f"r{index}", "p", index, text, (), "stop")


def every_question():
    """All ordered pairs of five prompts' five answers."""
    found = []
    for n in range(len(RECORDED["prompts"])):
        prompt, answers = group(n)
        found += [Question(f"{n}-{a.index}-{b.index}", prompt, a, b) for a in answers for b in answers if a is not b]
    return found


def alone(judge, row):
    """One row without padding or mask, the head written out."""
    model = judge.model
    hidden = model.pretrained_model(input_ids=torch.tensor([row.ids])).last_hidden_state[0]
    source, first, second = (hidden[i] for i in row.marks)
    w1, b1 = model.head_layer[1].weight, model.head_layer[1].bias
    w2, b2 = model.head_layer[4].weight, model.head_layer[4].bias
    left, right = (w2 @ torch.tanh(w1 @ torch.cat([source, x]) + b1) + b2 for x in (first, second))
    return (left - right).mean().item()


@pytest.mark.parametrize("cells", [1, 5_000, 10**9])
def test_batches_change_no_logit(cells):
    asked = every_question()
    assert len(asked) == 100
    judge = judge_of()
    rows = [row for row, _ in judge.maker.rows([texts(q) for q in asked])]
    wanted = {q.key: alone(judge, row) for q, row in zip(asked, rows)}
    judge.cells = cells
    random.Random(cells).shuffle(asked)
    found = dict(zip([q.key for q in asked], judge.logits(asked)))
    assert found == pytest.approx(wanted, abs=1e-5)
    assert max(wanted.values()) - min(wanted.values()) > 1.0


def test_a_judge_may_ask_for_a_part():
    asked = every_question()
    judge = judge_of()
    whole = judge.judge(asked)
    assert [judge.judge([q])[0] for q in asked[:12]] == pytest.approx(whole[:12], abs=1e-6)


def test_rows_are_sorted_and_bounded():
    rows = [Row(tuple(range(n)), (1, 2, 3)) for n in (9, 4, 4, 6, 5)]
    assert [[len(r.ids) for r in part] for part in batches(rows, 75)] == [[4, 4, 5], [6], [9]]
    assert [len(part) for part in batches(rows, 1)] == [1] * 5


def test_equal_rows_are_computed_once(monkeypatch):
    judge = judge_of()
    seen = []
    plain = judge.model.logits
    monkeypatch.setattr(judge.model, "logits", lambda rows: seen.extend(rows) or plain(rows))
    p = chat(("user", "hello!"))
    a, b = answer("go"), answer("no")
    found = judge.judge([Question("1", p, a, b), Question("2", p, b, a), Question("3", p, a, answer("no", 3))])
    assert len(seen) == 2
    assert found[0] == found[2] != found[1]


def test_both_orders_through_the_judging_stage():
    prompt, answers = group(1)
    judge = judge_of()
    matrix = judge.matrix(prompt, answers)
    found = {(v.a, v.b): v for v in verdicts(judge, [prompt], [answers])}
    assert len(found) == 10
    ab, ba = (1 / (1 + math.exp(-z)) for z in (matrix[0][2], matrix[2][0]))
    assert (found[0, 2].p_ab, found[0, 2].p_ba) == pytest.approx((ab, ba), abs=1e-6)
    assert found[0, 2].p == pytest.approx((ab + 1 - ba) / 2, abs=1e-6)
    assert found[0, 2].disagreement > 1e-3, "PairRM's order asymmetry is measured, not hidden"


def test_probabilities_keep_their_logit(monkeypatch):
    judge = judge_of()
    monkeypatch.setattr(judge.model, "logits", lambda rows: [-30.0 for _ in rows])
    q = Question("k", chat(("user", "hello!")), answer("go"), answer("no"))
    (p,) = judge.judge([q])
    assert math.log(p / (1 - p)) == pytest.approx(-30.0, rel=1e-12)
    monkeypatch.setattr(judge.model, "logits", lambda rows: [18.0 for _ in rows])
    (p,) = judge.judge([q])
    assert math.log(p / (1 - p)) == pytest.approx(18.0, rel=1e-8)
    monkeypatch.setattr(judge.model, "logits", lambda rows: [-800.0 for _ in rows])
    assert judge.judge([q]) == [0.0]


def test_what_is_not_a_number_is_no_answer(monkeypatch):
    judge = judge_of()
    monkeypatch.setattr(judge.model, "logits", lambda rows: [math.nan for _ in rows])
    q = Question("k", chat(("user", "hello!")), answer("go"), answer("no"))
    assert judge.judge([q]) == [None]
    assert judge.reasons == {"k": f"pairrm:{FOLDER}: k: the logit is not a finite number"}
    with pytest.raises(UserError, match="not a finite number"):
        judge.matrix(q.prompt, [q.first, q.second])


def maker(budget="blender", **limits):
    return RowMaker(pairrm_files.read_tokenizer(FOLDER), Limits(**limits), budget)


WORDS = "love love love love love love love love love love"  # ten tokens


def test_each_text_is_cut_to_its_own_budget():
    """S 12, C 6. A prompt of 1 + 3 tokens leaves 12 - 4 = 8, so an answer has 6 + 8//2 = 10 places, 7 for its tokens; a prompt of ten is
    cut to 12 - 3 = 9 and leaves an answer C - 3 = 3."""
    made = maker(source=12, candidate=6)
    (short, left), (long, left_long) = made.rows([Texts("go", WORDS, "no"), Texts(WORDS, WORDS, "no")])
    assert left == (0, 3, 0)
    assert short.marks == (1, 5, 15)
    assert len(short.ids) == 4 + 10 + 4
    assert left_long == (1, 7, 0)
    assert long.marks == (1, 13, 19)
    fixed = maker("fixed", source=12, candidate=6).rows([Texts("go", WORDS, "no")])[0]
    assert fixed[1] == (0, 7, 0)
    assert fixed[0].marks == (1, 5, 11)


def test_rows_by_hand():
    made = maker(source=12, candidate=6)
    known = made.tokenizer.token_to_id
    cls, sep, source, first, second = (known(t) for t in ("[CLS]", "[SEP]", *MARKS[:3]))
    love, go, no = (made.tokenizer.encode(t, add_special_tokens=False).ids for t in ("love", "go", "no"))
    ((row, _),) = made.rows([Texts("love", "go", "no")])
    assert row.ids == (cls, source, *love, sep, cls, first, *go, sep, cls, second, *no, sep)


def test_marks_in_a_text_are_not_marks():
    made = maker(source=24, candidate=12)
    plain, spelt = made.rows(
        [Texts("go", "no", "love"), Texts("go<|source|>", "no<|candidate2|>", "<|candidate|>love")]
    )
    assert plain == spelt
    sep = made.rows([Texts("go", "no [SEP]", "love")])[0][0]
    assert sep == plain[0], "a separator becomes a space, as in Blender"


def test_refusing_to_cut():
    """S 24, C 12: the prompt's 2 + 3 tokens leave an answer 12 + (24 - 5)//2 = 21 places, 18 tokens of these 40."""
    judge = judge_of(words="#refuse")
    p = chat(("user", "hello!"))
    asked = [
        Question("long", p, answer("no"), answer(" ".join([WORDS] * 4))),
        Question("short", p, answer("no"), answer("go")),
    ]
    plain = judge_of()
    whole = plain.judge(asked)
    assert plain.cut == 1
    assert plain.reasons == {"long": f"pairrm:{FOLDER}: long: cut: the second answer by 22 tokens"}
    (kept,) = verdicts(plain, [p], [[answer("no"), answer(" ".join([WORDS] * 4), 1)]])
    assert kept.p is not None and kept.reason is not None
    assert "cut: the second answer by 22" in kept.reason and "cut: the first answer by 22" in kept.reason
    assert whole[0] is not None
    assert judge.judge(asked) == [None, pytest.approx(whole[1], abs=1e-6)]
    assert judge.reasons == {"long": f"pairrm:{FOLDER}: long: too long: the second answer by 22 tokens"}


def test_layouts_by_hand():
    one = Question("k", chat(("user", "x\ny")), answer("a"), answer("b"))
    assert texts(one) == Texts("x\ny", "a", "b")
    kind = Question("k", chat(("system", "Be kind."), ("user", "x")), answer("a"), answer("b"))
    assert texts(kind) == Texts("Be kind.\n\nx", "a", "b")
    talk = Question("k", chat(("user", "x"), ("assistant", "h"), ("user", "y")), answer("a"), answer("b"))
    source = f"{CONVERSATION}USER: x\nAssistant: <Response 1>\nUSER: y\nAssistant: <Response 2>"
    assert texts(talk) == Texts(source, "<Response 1>: h\n<Response 2>: a", "<Response 1>: h\n<Response 2>: b")
    for bad in (("user", "x"), ("user", "y")), (("assistant", "x"),), (("user", "x"), ("assistant", "y")), ():
        prompt = chat(*bad)
        with pytest.raises(
            UserError, match=f"pairrm: prompt {prompt.id}: its roles are .*PairRM reads user and assistant"
        ):
            texts(Question("k", prompt, answer("a"), answer("b")))
    with pytest.raises(ValueError, match="the same user turns"):
        conversations(
            [Message("user", "x"), Message("assistant", "a")], [Message("user", "z"), Message("assistant", "a")]
        )


def test_the_name_says_how():
    assert open_judge(f"{FOLDER}#fixed,refuse", "cpu", "float32").maker.budget == "fixed"
    for words in ("#wide", "#blender,fixed"):
        with pytest.raises(UserError, match="after # take blender or fixed or refuse"):
            judge_of(words=words)
    with pytest.raises(UserError, match="dtype float8: unknown"):
        open_judge(str(FOLDER), "cpu", "float8")
    half, full = open_judge(str(FOLDER), "cpu", "bfloat16"), judge_of()
    assert half.logits(every_question()[:5]) == pytest.approx(full.logits(every_question()[:5]), abs=0.5)
    assert half.model.pretrained_model.dtype == torch.bfloat16


def changed(tmp_path, **fields):
    folder = tmp_path / "copy"
    shutil.copytree(FOLDER, folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({k: v for k, v in {**config, **fields}.items() if v != "gone"}))
    return folder


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"source_prefix_id": "gone"}, "config.json: neither field 'source_prefix_id' .* nor 'ranker_type'"),
        ({"cand2_prefix_id": 7}, r"config.json: field 'cand2_prefix_id' is 7, its tokenizer has 9\d for <\|candidate2\|>"),
        ({"candidate_maxlength": 2}, "config.json: field 'candidate_maxlength': expected at least 4 tokens, got 2"),
        ({"ranker_type": "summareranker", "model_type": "roberta"}, "is a summareranker of roberta; PairRM is a pairranker"),
        ({"num_hidden_layers": 3}, "its weights lack pretrained_model.encoder.layer.2"),
        ({"num_hidden_layers": 1}, "its weights hold pretrained_model.encoder.layer.1"),
        ({"intermediate_size": 20}, r"has shape \(24.*, where config.json means \(20"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_named(tmp_path, fields, told):
    with pytest.raises(UserError, match=told) as error:
        judge_of(changed(tmp_path, **fields))
    assert "\n" not in str(error.value)


def test_wrong_files_are_named(tmp_path):
    folder = changed(tmp_path)
    weights = load_file(folder / "model.safetensors")
    save_file({k: w for k, w in weights.items() if "head" not in k}, folder / "model.safetensors")
    with pytest.raises(UserError, match="its weights have no pretrained_model"):
        judge_of(folder)
    (folder / "model.safetensors").write_bytes(b"12345678 nothing")
    with pytest.raises(UserError, match=f"model {folder}: "):
        judge_of(folder)
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"give a folder with model.safetensors"):
        judge_of(folder)
    (folder / "tokenizer.json").write_text("{}")
    with pytest.raises(UserError, match=r"tokenizer.json: "):
        judge_of(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(UserError, match=r"no tokenizer.json and no spm.model"):
        judge_of(folder)
    (folder / "config.json").write_text("{")
    with pytest.raises(UserError, match=r"config.json: not valid JSON"):
        judge_of(folder)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match=r"config.json: no such file"):
        judge_of(folder)


def test_from_the_hub(monkeypatch):
    """A hub id fetches what is needed and no pickle."""
    asked = []
    monkeypatch.setattr(pairrm_files, "locate", lambda spec: spec)
    monkeypatch.setattr(pairrm_files, "snapshot_download", lambda repo, **k: asked.append((repo, k)) or str(FOLDER))
    judge = open_judge("llm-blender/PairRM-hf", "cpu", "float32")
    assert judge.logits(every_question()[:3]) == pytest.approx(judge_of().logits(every_question()[:3]), abs=1e-6)
    assert asked == [("llm-blender/PairRM-hf", {"allow_patterns": ["*.json", "*.safetensors", "spm.model"]})]

    def fails(repo, **_):
        raise OSError("no route\nto host")

    monkeypatch.setattr(pairrm_files, "snapshot_download", fails)
    with pytest.raises(UserError, match=r"model llm-blender/PairRM-hf: no route; check the name and the network"):
        open_judge("llm-blender/PairRM-hf", "cpu", "float32")
