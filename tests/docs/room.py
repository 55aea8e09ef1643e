"""A folder with everything that the pages' commands name: tiny models, small files of each layout, judges in Python, and a server."""

import json
import random
from importlib.resources import files

import torch
from transformers import AutoModelForSequenceClassification, BertConfig

from tests import tiny
from tests.engines.scripted_server import chat
from tests.finetune.rows import WORDS, pairs, write
from windvane.core.schema import dumps, encode
from windvane.toy.grades import family as grades
from windvane.toy.values import family as values

JUDGES = """
def longer(prompt, a, b):
    return 0.5 if len(a) == len(b) else 0.9 if len(a) > len(b) else 0.1


def toxic(text):
    return min(len(text) / 100, 1.0)
"""
SPOKEN = "Examiner: Where do you live?\nCandidate: I live in a small town near the sea, and I like it because my friends live there too.\n"


def answer(body, attempt):
    """What the server says: to whoever asks for a label m, to Arena-Hard's question a tie, to everything else a grade."""
    text = body["messages"][-1]["content"]
    said = (
        "m"
        if "labelled m and M" in text
        else "[[A=B]]"
        if "A>>B" in text
        else f"Fair enough.\nScore: {1 + len(text) % 5}"
    )
    return 200, {}, chat(said)


def make(room):
    """Fill the folder; the commands run in it."""
    for seed, name in enumerate(("M", "A", "B")):
        tiny.folder(room / name, seed=seed)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=260,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=2,
        id2label={0: "fine", 1: "LABEL"},
        label2id={"fine": 0, "LABEL": 1},
    )
    AutoModelForSequenceClassification.from_config(config).save_pretrained(room / "BERT")
    tiny.byte_tokenizer().save_pretrained(room / "BERT")
    for module in ("shown_judges", "mine"):
        (room / f"{module}.py").write_text(JUDGES.replace("longer", "shorter") if module == "mine" else JUDGES)
    own(room)
    benchmarks(room)
    speech(room)
    pasted(room)


def own(room):
    pairs(room / "pairs.jsonl")
    asked = [f"tell me about {w}" for w in WORDS] + [f"what is {w}" for w in WORDS]
    (room / "prompts.csv").write_text("prompt\n" + "".join(f"{a}\n" for a in asked))
    write(room / "prompts.jsonl", [{"prompt": a} for a in asked])
    write(room / "card.jsonl", [{"prompt": a, "chosen": a + " is wet", "rejected": "no"} for a in asked[:4]])
    turns = [[{"role": "system", "content": f"You like {w}."}, {"role": "user", "content": "Hi"}] for w in WORDS]
    write(
        room / "system.jsonl",
        [{"messages": m} for m in [*turns, *([*m[:1], {**m[1], "content": "Why?"}] for m in turns)]],
    )
    rows = [{"prompt": f"name {w}", "responses": ["so", "no", "perhaps"], "scores": [9, 2, 5]} for w in WORDS]
    write(room / "scored.jsonl", rows)
    (room / "dpo.yaml").write_text("model_name_or_path: M\nstage: dpo\nfinetuning_type: full\nlearning_rate: 5.0e-6\n")
    write(
        room / "instructions.jsonl", [{"prompt": f"Tell me number {i} of the things that one asks."} for i in range(12)]
    )
    write(room / "world_instructions.jsonl", [{"prompt": t} for t in values.instructions(30, "train", 0)])
    (room / "essays").mkdir()
    for i in range(3):
        (room / "essays" / f"{i}.txt").write_text(f"The boat number {i} drifts by the quiet lake. " * 8)


def benchmarks(room):
    asked = ["Name a fruit.", "Name a stone.", "Name a colour.", "Name a bird."]
    base = [{"instruction": t, "output": "pear", "generator": "base", "dataset": "d"} for t in asked]
    for name in ("alpaca_eval.json", "baseline_model_outputs.json"):
        (room / name).write_text(json.dumps(base))
    write(
        room / "mt_question.jsonl",
        [{"question_id": 81 + i, "category": "writing", "turns": [f"Q{i}?", "And?"]} for i in range(2)],
    )
    (room / "reference_answer").mkdir()
    write(room / "reference_answer/gpt-4.jsonl", [{"question_id": 81, "choices": [{"index": 0, "turns": ["a", "b"]}]}])
    write(
        room / "gpt-4_single.jsonl",
        [{"question_id": 81 + i, "model": "x", "score": 7 + i, "turn": 1} for i in range(2)],
    )
    write(
        room / "arena_question.jsonl", [{"question_id": f"q{i}", "turns": [{"content": f"Do {i}."}]} for i in range(2)]
    )
    for folder in ("model_judgment", "model_answer", "results/kimi"):
        (room / folder).mkdir(parents=True)
    said = [
        {"question_id": f"q{i}", "model_id": "gpt-4-0314", "choices": [{"turns": [{"content": "base"}]}]}
        for i in range(2)
    ]
    write(room / "model_answer/gpt-4-0314.jsonl", said)
    battles = [
        {"question_id": f"q{i}", "model_a": "gpt-4-0314", "model_b": "x", "winner": w}
        for i, w in enumerate(("model_a", "model_b"))
    ]
    write(room / "model_judgment/x.jsonl", battles)
    keys = [{"id": i, "prediction": f"the key is {i}", "ground_truth": str(i + i % 2)} for i in range(4)]
    for name in ("A.jsonl", "B.jsonl", "results/kimi/preds_passkey.jsonl"):
        write(room / name, keys)
    asks = [
        {"id": i, "context": "The boat drifts. " * 20, "input": "What drifts?", "answer": ["The boat"]}
        for i in range(2)
    ]
    write(room / "longbook_qa_eng.jsonl", asks)
    write(room / "PREDS.jsonl", [{"id": i, "prediction": "a boat", "ground_truth": ["The boat"]} for i in range(2)])
    levels = {str(i): f"level {i}" for i in range(1, 6)}
    rubrics = [{"criteria": f"Is it {w}?", "score_descriptions": levels} for w in ("dry", "warm")]
    bench = [
        {
            "id": i,
            "source": "koala",
            "system": f"You are {'warm' if i % 2 else 'dry'}.",
            "prompt": f"Tell me {i // 2}.",
            "reference_answer": "x",
            "rubrics": [rubrics[i % 2]],
        }
        for i in range(4)
    ]
    write(room / "BENCH", bench)
    (room / "BENCH").rename(room / "bench.jsonl")
    (room / "answers.json").write_text(json.dumps({str(i): {"response": "warm words"} for i in range(4)}))
    write(room / "outputs.jsonl", [{"prompt": f"p{i}", "outputs": ["ab", "cd"]} for i in range(2)])
    write(
        room / "long.jsonl",
        [
            {"id": i, "document": "The lake is blue.", "question": "Which colour?", "reference": "Blue."}
            for i in range(2)
        ],
    )
    write(room / "votes.jsonl", [{"instance": str(i), "vote": v} for i, v in enumerate(("win", "both good", "lose"))])


def speech(room):
    for name, seed in (("Part1_Introduction.jsonl", 1), ("Part2_LongTurn.jsonl", 2), ("transcripts.jsonl", 3)):
        part = {1: 1, 2: 2}.get(seed)
        found = [r for r in grades.transcripts(seed, 12) if part is None or r.part == part]
        (room / name).write_text("".join(dumps(encode(r)) + "\n" for r in found))
    dice = random.Random(0)
    heard = ["".join(dice.choices("aeioumnstrl", k=6)) for _ in range(200)]
    said = [
        f"Part 1\nMs Rao: And you?\nCandidate: I think that {' '.join(dice.choices(heard, k=30))}.\n" for _ in range(8)
    ]
    (room / "pasted.txt").write_text("\n".join(said))
    rows = [f"t{i},1,c{i},{1 + i % 5},{1 + i % 4},{1 + i % 5},{1 + i % 3},{20 + i}" for i in range(8)]
    (room / "scores.csv").write_text(
        "id,part,candidate,GV,DM,predicted_GV,predicted_DM,words\n" + "\n".join(rows) + "\n"
    )
    told = [json.loads(line) for line in (room / "transcripts.jsonl").read_text().splitlines()]
    write(
        room / "predicted.jsonl",
        [{"id": r["id"], "part": r["part"], **{f"predicted_{k}": 3 for k in r["scores"]}} for r in told],
    )
    listed = [(w, level) for level, found in grades.words("train").items() for w in found[:4]]
    text = "word,level\n" + "".join(f"{w},{level}\n" for w, level in listed)
    for name in ("words.csv", "held_out_words.csv", "levels.csv"):
        (room / name).write_text(text)
    (room / "words.tsv").write_text(text.replace(",", "\t"))
    text = "sentence,level\n" + "".join(f"{t},{level}\n" for t, level in grades.sentences(0, 24))
    for name in ("sentences.csv", "held_out_sentences.csv"):
        (room / name).write_text(text)
    for name in ("planned.jsonl", "answers.jsonl"):
        (room / name).write_text((room / "transcripts.jsonl").read_text())


def pasted(room):
    """What the service's commands name."""
    (room / "tokens.txt").write_text("asha asha-token-0123456789\n")
    for name in ("cert.pem", "key.pem"):
        (room / name).write_text("")
    (room / "transcripts.csv").write_text('id,part,transcript\n1,1,"' + SPOKEN + '"\n')
    (room / "scorer.json").write_text((files("windvane") / "evalyaks/scoring/scorers/default.json").read_text("utf-8"))
