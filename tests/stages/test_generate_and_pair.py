"""generate -> judge -> pair -> train on files from elsewhere, each verb on its own and in a chain; resumed; refused with one line."""

import json

import pytest

from tests.finetune.rows import turn, write
from tests.tiny import folder
from windvane.core.errors import UserError
from windvane.core.records import Group, Prompt, Response, Verdict
from windvane.finetune.recipe import main as train
from windvane.runs.store import read_records
from windvane.stages import generate_command, judge_command, pair_command


def longer(prompt: str, a: str, b: str) -> float:
    return 0.5 if len(a) == len(b) else float(len(a) > len(b))


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return folder(tmp_path_factory.mktemp("models") / "base", seed=1)


def tree(path):
    return {
        p.relative_to(path).as_posix(): p.read_bytes()
        for p in path.rglob("*")
        if p.is_file() and p.name not in ("run.lock", "status.json", "timings.jsonl", "log.jsonl")
    }


def test_a_chain_of_files(base, tmp_path, capsys):
    prompts = tmp_path / "p.csv"
    prompts.write_text("id,question\n1,why\n2,what is rain\n3,who\n")
    answers, judged, pairs, run = (tmp_path / n for n in ("answers", "judged", "pairs", "run"))
    argv = [
        str(prompts),
        "--model",
        str(base),
        "--out",
        str(answers),
        "--k",
        "3",
        "--max-new-tokens",
        "6",
        "--quiet",
        "--json",
    ]
    assert generate_command.main(argv) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["prompts"], told["answers"], told["missing"]) == (3, 9, 0)
    made = read_records(answers / "iter-1/responses.jsonl", Response)
    assert len({r.prompt_id for r in made}) == 3 and all(r.token_ids and r.logps < 0 for r in made)

    assert judge_command.main([str(answers), "--judge", f"py:{__name__}:longer", "--out", str(judged), "--quiet"]) == 0
    assert len(read_records(judged / "iter-1/verdicts.jsonl", Verdict)) == 9
    with pytest.raises(UserError, match="verdicts without the answers; name the run that they judge: --answers RUN"):
        pair_command.main([str(judged), "--out", str(pairs)])
    assert pair_command.main([str(judged), "--answers", str(answers), "--out", str(pairs)]) == 0
    groups = read_records(pairs / "iter-1/groups.jsonl", Group)
    usable = [g for g in groups if g.status == "pair"]
    assert len(groups) == 3 and usable

    argv = [
        "--objective",
        "dpo",
        "--model",
        str(base),
        "--data",
        str(pairs),
        "--out",
        str(run),
        "--quiet",
        "--device",
        "cpu",
        "--train.batch",
        "1",
        "--train.warmup",
        "0",
    ]
    assert train(argv) == 0
    kept = {r.id: r for r in read_records(run / "iter-1/responses.jsonl", Response)}
    assert all(kept[r.id].token_ids == r.token_ids for r in made), "what was sampled is trained on, by id"
    assert "0 refused" in capsys.readouterr().out


def test_generate_goes_on_and_refuses(base, tmp_path):
    prompts = write(tmp_path / "p.jsonl", [{"prompt": w} for w in ("why", "what", "x" * 60)])
    argv = [str(prompts), "--model", str(base), "--max-new-tokens", "5", "--quiet", "--batch-prompts", "1"]
    assert generate_command.main([*argv, "--out", str(tmp_path / "whole")]) == 0
    cut = tmp_path / "cut"
    assert generate_command.main([*argv, "--out", str(cut)]) == 0
    lines = (cut / "iter-1/responses.jsonl").read_text().splitlines()
    (cut / "iter-1/responses.jsonl").unlink()
    (cut / "manifest.json").unlink()
    assert generate_command.main([*argv, "--out", str(cut)]) == 0
    assert tree(cut) == tree(tmp_path / "whole") and len(lines) == 3
    with pytest.raises(UserError, match=r"started with other settings \(k: 1 -> 2"):
        generate_command.main([*argv, "--out", str(cut), "--k", "2"])
    narrow = folder(tmp_path / "narrow", window=32)
    argv[2] = str(narrow)
    with pytest.raises(UserError, match=r"p.jsonl: prompt \w+ \('x+…?'\): \d+ tokens.*\(1 of 3 prompts do not fit\)"):
        generate_command.main([*argv, "--out", str(tmp_path / "n")])
    assert generate_command.main([*argv, "--out", str(tmp_path / "n"), "--refused", "leave-out"]) == 0
    (line,) = (tmp_path / "n/iter-1/refused.jsonl").read_text().splitlines()
    assert "the window of 32" in json.loads(line)["reason"]


def test_judge_a_file_of_answers(tmp_path, capsys):
    rows = [
        {"prompt": "why", "responses": ["a", "bb", "ccc"]},
        {"prompt": "why", "responses": ["bb", "dddd"]},
        {"prompt": [turn("user", "who")], "responses": ["x", "yy"]},
    ]
    source, out = write(tmp_path / "a.jsonl", rows), tmp_path / "out"
    argv = [str(source), "--judge", f"py:{__name__}:longer", "--out", str(out), "--quiet", "--json"]
    assert judge_command.main(argv) == 0
    assert json.loads(capsys.readouterr().out)["iterations"][0]["with_the_run"] is None
    texts = {r.id: r.text for r in read_records(out / "iter-1/responses.jsonl", Response)}
    assert sorted(texts.values()) == ["a", "bb", "ccc", "dddd", "x", "yy"], "rows of one prompt are one prompt"
    assert len(read_records(out / "iter-1/verdicts.jsonl", Verdict)) == 6 + 1
    assert pair_command.main([str(out), "--out", str(tmp_path / "pairs")]) == 0
    best = {g.id: texts[f"{g.id}-{g.chosen}"] for g in read_records(tmp_path / "pairs/iter-1/groups.jsonl", Group)}
    assert sorted(best.values()) == ["dddd", "yy"]
    source.write_text(source.read_text().replace("dddd", "ddddd"))
    with pytest.raises(UserError, match=r"data.toml: this run was started with other settings \(files.a.jsonl"):
        judge_command.main(argv)
    write(source, [{"prompt": "why", "responses": ["a"]}])
    with pytest.raises(UserError, match="no prompt has two answers to compare"):
        judge_command.main([str(source), "--judge", f"py:{__name__}:longer", "--out", str(tmp_path / "other")])


def test_pair_scores_from_elsewhere(tmp_path):
    rows = [
        {"prompt": "why", "responses": ["a", "b", "c"], "scores": [2, 5, 5]},
        {"prompt": "who", "responses": ["a", "b"], "scores": [3, 3]},
    ]
    source = write(tmp_path / "s.jsonl", rows)
    assert pair_command.main([str(source), "--out", str(tmp_path / "p")]) == 0
    found = {g.status: g for g in read_records(tmp_path / "p/iter-1/groups.jsonl", Group)}
    # by order: b beats a and ties c, so (1 + 1/2)/2; a loses twice; with itself at 1/2: (2 * 3/4 + 1/2)/3
    assert [m.p_loo for m in found["pair"].members] == [0.0, 0.75, 0.75]
    assert found["pair"].members[1].p_incl == pytest.approx(2 / 3)
    assert (found["pair"].chosen, found["pair"].rejected, found["tie"].chosen) == (1, 0, None)
    assert pair_command.main([str(source), "--out", str(tmp_path / "q"), "--score-scale", "3"]) == 0
    soft = {g.status: g for g in read_records(tmp_path / "q/iter-1/groups.jsonl", Group)}["pair"]
    assert soft.members[0].p_loo == pytest.approx(0.268941, abs=1e-6), "sigmoid(-1)"
    with pytest.raises(UserError, match="neither a folder with verdicts nor answers with scores"):
        pair_command.main(
            [str(write(tmp_path / "n.jsonl", [{"prompt": "x", "responses": ["a"]}])), "--out", str(tmp_path / "r")]
        )
    assert len(read_records(tmp_path / "p/iter-1/prompts.jsonl", Prompt)) == 2
