"""The LongPO loop on tiny random models: what each side reads, the arms on identical data, rounds, refusals, resuming."""

import dataclasses
import json
import shutil

import pytest
import torch

from tests.longpo.long_modules import LIBRARY
from tests.tiny import folder
from windvane.core.errors import UserError
from windvane.core.records import Message, Reference, Response
from windvane.evals.perplexity import text_ids
from windvane.longpo.documents import Held, Texts, read_cuts
from windvane.longpo.policies import Policies
from windvane.longpo.questions import Question
from windvane.longpo.recipe import main
from windvane.longpo.retention import ShortText
from windvane.longpo.rope import stretch
from windvane.longpo.settings import Chunks, LongPO, paper_train
from windvane.longpo.turns import Turns
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.chat import render
from windvane.runs.store import RunFolder, read_records

SETTINGS = [
    "--lengths", "1100,1600", "--theta", "3e4", "9e4", "--chunks.tokens", "200", "--chunks.min-chunk", "60", "--chunks.per-document", "2",
    "--ask.prompt", "{chunk}\n\nAsk.", "--ask.count", "1", "--ask.attempts", "6", "--ask.max-new-tokens", "16", "--ask.max-tokens", "64",
    "--ask.grounding", "off", "--answer.temperature", "1", "--answer.max-new-tokens", "16", "--filters.min-words", "0",
    "--batch-documents", "2", "--train.batch", "2", "--train.lr", "1e-3", "--train.micro-tokens", "4096", "--train.held-out", "0",
    "--train.warmup", "0", "--kl-documents", "1", "--threads", "1", "--device", "cpu", "--quiet",
]  # fmt: skip


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """(a model's folder, documents, a finished run of two rounds)."""
    root = tmp_path_factory.mktemp("longpo")
    model = folder(root / "model", "mistral", window=400, layers=1, scale=6.0)
    texts = root / "texts"
    texts.mkdir()
    for number, name in enumerate(("bisect", "colorsys", "sched", "stat", "heapq", "copy")):
        (texts / f"{name}.py").write_text((LIBRARY / f"{name}.py").read_text()[: 700 + 130 * number])
    (texts / "long.py").write_text("x = 1\n\n" * 400)
    run(model, texts, root / "run")
    return model, texts, root / "run"


def run(model, texts, out, *more):
    main(["--model", str(model), "--documents", str(texts), "--out", str(out), *SETTINGS, *more])
    return out


def summary(out):
    return json.loads((out / "summary.json").read_text())


def of(out, t, name, cls):
    return read_records(out / f"iter-{t}" / f"{name}.jsonl", cls)


@torch.no_grad()
def logps(net, prompt, answer):
    """log p of `answer` (ids) after `prompt` (ids), summed, by the plain forward."""
    rows = net(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    return rows.gather(1, torch.tensor(answer)[:, None]).sum().item()


@pytest.mark.slow
def test_what_each_side_reads(world):
    """Both rounds' answers have the log-probs of the right model on the right input; the reference read chunk and question for both."""
    model, _, out = world
    tokenizer, texts = load_tokenizer(str(model)), Texts(out / "documents")
    for t, start, theta, length in ((1, model, 3e4, 1100), (2, out / "iter-1" / "model", 9e4, 1600)):
        short, long = load_model(str(start)), stretch(load_model(str(start)), theta, length)
        questions = {q.id: q.text for q in of(out, t, "questions", Question) if q.text}
        chosen, rejected = ({r.prompt_id: r for r in of(out, t, n, Response)} for n in ("chosen", "rejected"))
        reference = {r.id: r.logps for r in of(out, t, "reference", Reference)}
        seen, apart = 0, 0.0
        for cut in read_cuts(out / f"iter-{t}" / "documents.jsonl"):
            text = texts.read(cut.id)
            for chunk in cut.chunks:
                if chunk.id not in questions:
                    continue
                y_s, y_l = chosen[chunk.id], rejected[chunk.id]
                x_s, x_l = (
                    render(tokenizer, [Message("user", f"{context}\n\n{questions[chunk.id]}")])
                    for context in (text[chunk.start : chunk.stop], text)
                )
                assert y_s.logps == pytest.approx(logps(short, x_s, y_s.token_ids), abs=1e-2)
                assert y_l.logps == pytest.approx(logps(long, x_l, y_l.token_ids), abs=1e-2)
                apart = max(apart, abs(logps(short, x_l, y_l.token_ids) - y_l.logps))
                if y_s.id in reference:
                    seen += 1
                    for y in (y_s, y_l):
                        assert reference[y.id] == pytest.approx(logps(short, x_s, y.token_ids), abs=1e-2)
        assert apart > 0.1, "control: without theta raised it is another model"
        assert seen == sum(len(row.turns) for row in of(out, t, "turns", Turns)) > 2
    last = load_model(str(out / "model"))
    assert last.config.rope_parameters["rope_theta"] == 9e4 and last.config.max_position_embeddings == 1600
    moved = (last.lm_head.weight - load_model(str(model)).lm_head.weight).abs().max()
    assert moved > 1e-3, "training changes the weights"


@pytest.mark.slow
def test_every_document_and_question_is_accounted_for(world):
    _, texts, out = world
    found = summary(out)
    held = read_records(out / "documents.jsonl", Held)
    assert found["documents"] == {"kept": 6, "long": 1} and len(held) == len(list(texts.iterdir()))
    for row in found["rounds"]:
        t = row["round"]
        asked, turns = of(out, t, "questions", Question), of(out, t, "turns", Turns)
        assert row["chunks"] == len(asked) and row["questions"] == sum(q.text is not None for q in asked)
        assert row["pairs"] + sum(row["dropped"].values()) == row["questions"]
        assert row["pairs"] == sum(len(r.turns) for r in turns)
        assert row["kl_before"]["questions"] == row["kl_after"]["questions"] >= 1
    assert all((out / "documents" / f"{h.id}.txt").exists() == (h.status == "kept") for h in held)


@pytest.mark.slow
@torch.no_grad()
def test_short_texts_are_measured_at_the_start_and_after(world):
    """Each line of retention.jsonl by the plain forwards of both models; the table says it."""
    model, _, out = world
    models = [load_model(str(path), "float32", "cpu") for path in (model, out / "iter-2" / "model")]
    tokenizer, texts = load_tokenizer(str(model)), Texts(out / "documents")
    found = of(out, 2, "retention", ShortText)
    places = {c.id: (cut.id, c) for cut in read_cuts(out / "iter-2" / "documents.jsonl") for c in cut.chunks}
    assert found and not any(row.aside for row in found), "nothing is held aside here"
    for row in found:
        document, chunk = places[row.id]
        ids = text_ids(tokenizer, texts.read(document)[chunk.start : chunk.stop])
        nats = [-logps(net, tuple(ids[:1]), tuple(ids[1:])) for net in models]
        assert (row.document, row.tokens) == (document, len(ids) - 1)
        assert [row.start, row.after] == pytest.approx(nats, rel=1e-4) and row.start != row.after
    told = summary(out)["rounds"][1]["retention"]
    tokens = sum(r.tokens for r in found)
    assert told["difference"]["mean"] == pytest.approx(sum(r.after - r.start for r in found) / tokens)
    assert (told["chunks"], told["tokens"], told["aside"]) == (len(found), tokens, False)
    assert "round 2, short texts" in (out / "model" / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["longpo-no-nll", "dpo", "dpo-nll", "sft", "sft-full", "solopo", "theta"])
def test_arms_on_identical_data(world, tmp_path, arm):
    """The other run's documents, questions and answers to the byte; another model comes of them."""
    model, texts, base = world
    out = run(model, texts, tmp_path / "run", "--arm", arm, "--data", str(base), "--kl-documents", "0")
    for name in (
        "documents",
        "iter-1/documents",
        "iter-1/questions",
        "iter-1/chosen",
        "iter-1/rejected",
        "iter-2/rejected",
    ):
        assert (out / f"{name}.jsonl").read_bytes() == (base / f"{name}.jsonl").read_bytes()
    start, ours, theirs = (
        load_model(str(p)).lm_head.weight for p in (model, out / "iter-1" / "model", base / "iter-1" / "model")
    )
    assert not torch.equal(ours, theirs) and torch.equal(ours, start) == (arm == "theta")
    assert summary(out)["rounds"][0]["pairs"] == summary(base)["rounds"][0]["pairs"]
    if arm == "theta":
        assert load_model(str(out / "model")).config.rope_parameters["rope_theta"] == 9e4
    if arm in ("dpo", "solopo"):
        metrics = [json.loads(line) for line in (out / "iter-1" / "train" / "metrics.jsonl").read_text().splitlines()]
        assert metrics[0]["loss"] == pytest.approx(0.6931, abs=1e-3), "at the start the policy is the reference"


@pytest.mark.slow
def test_a_placebos_answers_both_come_from_the_chunk(world, tmp_path):
    model, texts, base = world
    out = run(model, texts, tmp_path / "run", "--arm", "placebo", "--data", str(base), "--lengths", "1100,1600")
    chosen, rejected = ({r.prompt_id: r for r in of(out, 1, n, Response)} for n in ("chosen", "rejected"))
    reference = {r.id: r.logps for r in of(out, 1, "reference", Reference)}
    kept = [id for row in of(out, 1, "turns", Turns) for id in row.turns]
    assert (out / "iter-1/chosen.jsonl").read_bytes() == (base / "iter-1/chosen.jsonl").read_bytes()
    for id in kept:
        assert rejected[id].logps == pytest.approx(reference[rejected[id].id], abs=1e-2), (
            "the short model's own on the chunk"
        )
    assert any(chosen[id].token_ids != rejected[id].token_ids for id in kept)


@pytest.mark.slow
def test_both_later_rounds_from_the_first_or_each_from_the_one_before(world, tmp_path):
    model, texts, _ = world
    more = [
        "--lengths",
        "1100,1500,1700",
        "--theta",
        "3e4",
        "--answer.max-new-tokens",
        "8",
        "--chunks.per-document",
        "1",
    ]
    starts = {}
    for name in ("first", "chained"):
        out = run(model, texts, tmp_path / name, "--iterate", name, *more, "--kl-documents", "0")
        starts[name] = [r["start"] for r in summary(out)["rounds"]]
        source = load_model(str(out / f"iter-{starts[name][2]}" / "model"))
        tokenizer, texts_of = load_tokenizer(str(model)), Texts(out / "documents")
        questions = {q.id: q.text for q in of(out, 3, "questions", Question)}
        (cut, *_), answers = (
            [c for c in read_cuts(out / "iter-3" / "documents.jsonl") if questions[c.chunks[0].id]],
            {r.prompt_id: r for r in of(out, 3, "chosen", Response)},
        )
        chunk = cut.chunks[0]
        prompt = render(
            tokenizer, [Message("user", f"{texts_of.read(cut.id)[chunk.start : chunk.stop]}\n\n{questions[chunk.id]}")]
        )
        answer = answers[chunk.id]
        assert answer.logps == pytest.approx(logps(source, prompt, answer.token_ids), abs=1e-2)
    assert starts == {"first": [0, 1, 1], "chained": [0, 1, 2]}


def test_a_fresh_adapter_is_trained_with_theta_raised(tmp_path):
    model = folder(tmp_path / "model", "mistral", window=400, layers=1, scale=6.0)
    train = dataclasses.replace(paper_train(), lora_rank=2)
    settings = LongPO(
        str(model),
        ("x",),
        lengths="5k",
        theta=(3e4,),
        chunks=Chunks(tokens=200, per_document=2),
        train=train,
        device="cpu",
    )
    policy = Policies(settings, RunFolder(tmp_path / "run")).long(1)
    scorer = policy.scorer(training=True)
    assert policy.scorer(training=True).model is scorer.model  # and is not loaded again
    prompt, answer = tuple(range(4, 204)), tuple(range(30, 50))
    own, raised = (
        logps(net, prompt, answer) for net in (load_model(str(model)), stretch(load_model(str(model)), 3e4, 5120))
    )
    assert logps(scorer.model, prompt, answer) == pytest.approx(raised, abs=1e-3) and abs(raised - own) > 0.1


@pytest.mark.slow
def test_an_adapters_run_ends_in_a_whole_model(world, tmp_path):
    model, texts, _ = world
    out = run(
        model, texts, tmp_path / "run", "--train.lora-rank", "2", "--turns", "separate", "--chunks.long-text", "chunks"
    )
    assert (out / "iter-2/model/adapter_config.json").exists() and (out / "model/model.safetensors").exists()
    row = torch.arange(4, 260)[None]
    with torch.no_grad():
        whole = load_model(str(out / "model"))(row).logits
        adapted = stretch(load_model(str(out / "iter-2" / "model")), 9e4, 1600)(row).logits
        plain = load_model(str(out / "iter-2" / "model"))(row).logits
    assert torch.allclose(whole, adapted, atol=1e-4) and not torch.allclose(whole, plain, atol=1e-3)


@pytest.mark.slow
def test_a_finished_run_is_left_alone_and_what_was_lost_is_made_again(world, tmp_path):
    model, texts, base = world
    out = tmp_path / "run"
    shutil.copytree(base, out)
    before = (out / "manifest.json").read_text()
    run(model, texts, out)
    for lost in (
        next((out / "documents").glob("*.txt")),
        out / "iter-2" / "turns.jsonl",
        out / "model" / "config.json",
    ):
        lost.unlink()
        run(model, texts, out)
        assert lost.exists() and (out / "manifest.json").read_text() == before
    with pytest.raises(UserError, match=r"started with other settings \(beta: 0.1 -> 0.2\)"):
        run(model, texts, out, "--beta", "0.2")


@pytest.mark.slow
def test_what_cannot_be_done_is_said_in_one_line(world, tmp_path):
    model, texts, base = world
    for more, text in (
        (["--data", str(tmp_path)], "not a run folder"),
        (["--data", str(base), "--seed", "7"], r"was made by other settings \(seed: 42 -> 7\)"),
        (
            ["--chunks.min-tokens", "3000"],
            r"documents: none of 7 fits round 1 \(3000 to 940 tokens; the longest has 2800\)",
        ),
        (["--ask.count", "2"], r"round 1: none of \d+ chunks has a usable question \(not a numbered list"),
        (["--filters.unfinished", "drop", "--answer.max-new-tokens", "1"], "round 1: every question was dropped"),
        (["--theta", "10"], "theta: 10 is below the model's own 10000"),
    ):
        with pytest.raises(UserError, match=text):
            run(model, texts, tmp_path / "run", *more)
        shutil.rmtree(tmp_path / "run", ignore_errors=True)


@pytest.mark.slow
def test_a_start_that_failed_leaves_nothing_behind(world, tmp_path):
    """Documents that were read under other settings before the failure are looked at again."""
    model, texts, base = world
    some = tmp_path / "some"
    shutil.copytree(texts, some)
    (some / "z.bin").write_bytes(b"\xff")
    with pytest.raises(UserError, match=r"z.bin: byte 0: not UTF-8"):
        run(model, some, tmp_path / "run", "--chunks.min-tokens", "3000")
    assert (tmp_path / "run" / "documents.journal").exists()
    out = run(model, texts, tmp_path / "run", "--arm", "theta", "--data", str(base))
    assert not (out / "documents.journal").exists()
    with pytest.raises(UserError, match=r"started with other settings"):
        run(model, texts, out, "--arm", "dpo")


@pytest.mark.slow
def test_over_long_documents_are_split_in_documents_of_their_own(world, tmp_path, capfd):
    model, texts, _ = world
    more = ["--lengths", "1100", "--theta", "3e4", "--chunks.over-long", "split", "--kl-documents", "0", "--no-quiet"]
    out = run(model, texts, tmp_path / "run", *more)
    held = read_records(out / "documents.jsonl", Held)
    limit = 1100 - 2 * (64 + 16)
    assert sum(h.status == "split" for h in held) >= 1 and all(h.tokens <= limit for h in held if h.status == "kept")
    parts = [h for h in held if "part" in h.source and h.source.startswith("heapq")]
    whole = (texts / "heapq.py").read_text()
    texts_of = Texts(out / "documents")
    joined = "".join(texts_of.read(h.id) for h in sorted(parts, key=lambda h: h.source) if h.status == "kept")
    assert joined and joined in whole
    assert "operations a second of a 256-token probe here about: questions" in capfd.readouterr().err, (
        "the cost is said first"
    )


@pytest.mark.slow
def test_the_embedded_world_by_its_own_settings(tmp_path):
    """Its questions are about their chunks, its answers from chunks are right, and the programme that checks them says so."""
    from windvane.toy.facts import family as facts

    out = tmp_path / "run"
    argv = ["--model", "world:facts", "--documents", "world:facts", "--lengths", "256", "--out", str(out), "--quiet"]
    main([*argv, "--chunks.per-round", "16", "--kl-documents", "0"])
    texts, right = Texts(out / "documents"), []
    questions = {q.id: q.text for q in of(out, 1, "questions", Question) if q.text}
    chosen = {r.prompt_id: r.text for r in of(out, 1, "chosen", Response)}
    for cut in read_cuts(out / "iter-1" / "documents.jsonl"):
        for chunk in cut.chunks:
            if chunk.id in questions:
                text = texts.read(cut.id)[chunk.start : chunk.stop]
                assert facts.grounded(questions[chunk.id], text)
                right.append(facts.check(questions[chunk.id], chosen[chunk.id], text) == "right")
    assert len(right) >= 24 and sum(right) >= 0.9 * len(right)
    assert load_model(str(out / "model")).config.rope_parameters["rope_theta"] == 6250
