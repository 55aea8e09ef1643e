"""`windvane judge`: another judge beside a finished run, taken up where it was left, the run itself untouched."""

import io
import json

import pytest

from tests.engines.scripted_server import Scripted, chat, top
from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, Response, Verdict
from windvane.core.schema import dumps
from windvane.runs.store import RunFolder, read_records
from windvane.stages.judge import verdicts
from windvane.stages.judge_command import agreement, main


def longer(prompt: str, a: str, b: str) -> float:
    return 0.5 if len(a) == len(b) else float(len(a) > len(b))


def shorter(prompt: str, a: str, b: str) -> float:
    return 1.0 - longer(prompt, a, b)


class Longer:
    def judge(self, questions):
        return [longer("", q.first.text, q.second.text) for q in questions]


@pytest.fixture
def run(tmp_path):
    """Two prompts with three answers of 1, 2 and 3 letters, judged by length."""
    with RunFolder(tmp_path / "run") as folder:
        prompts = [Prompt.of((Message("user", f"Say {word}."),)) for word in ("one", "two")]
        answers = [
            [Response(f"{p.id}-{i}", p.id, i, "x" * (i + 1), (1,) * (i + 1), "stop") for i in range(3)] for p in prompts
        ]
        files = {
            "prompts": prompts,
            "responses": [r for group in answers for r in group],
            "verdicts": verdicts(Longer(), prompts, answers),
        }
        (folder / "iter-1").mkdir()
        for name, rows in files.items():
            (folder / f"iter-1/{name}.jsonl").write_text("".join(dumps(r) + "\n" for r in rows))
        (folder / "recipe.toml").write_text("seed = 0\n")
        folder.write_manifest()
    return tmp_path / "run"


def snapshot(folder):
    return {p.name: p.read_bytes() for p in folder.rglob("*") if p.is_file() and p.name != "run.lock"}


def test_another_judge_beside_the_run(run, capsys):
    before = snapshot(run)
    assert main([str(run), "--judge", f"py:{__name__}:shorter", "--json", "--quiet"]) == 0
    told = json.loads(capsys.readouterr().out)
    out = run.with_name(f"run.judged-py-{__name__.replace('_', '-')}-shorter")
    assert told["out"] == str(out) and told["spent"] is None
    (row,) = told["iterations"]
    assert (row["pairs"], row["failed"], row["ties"], row["triples"], row["cyclic_triples"]) == (6, 0, 0, 2, 0)
    assert row["with_the_run"] == {"pairs": 6, "decided_by_both": 6, "same_side": 0.0, "mean_gap": 1.0}
    found = read_records(out / "iter-1" / "verdicts.jsonl", Verdict)
    assert [v.p for v in found] == [1.0] * 6
    assert set(json.loads((out / "manifest.json").read_text())) == {
        "judge.toml",
        "iter-1/verdicts.jsonl",
        "summary.json",
    }
    assert snapshot(run) == before


def test_agreement_by_hand():
    def verdict(id, p):
        return Verdict(id, "p", 0, 1, p, None, p, 0.0 if p is not None else None)

    ours = [verdict("a", 0.9), verdict("b", 0.2), verdict("c", 0.5), verdict("d", None), verdict("e", 1.0)]
    theirs = [verdict("a", 0.6), verdict("b", 0.8), verdict("c", 0.1), verdict("d", 1.0), verdict("e", None)]
    found = agreement(ours, theirs)
    assert (found["pairs"], found["decided_by_both"], found["same_side"]) == (3, 2, 0.5)
    assert found["mean_gap"] == pytest.approx((0.3 + 0.6 + 0.4) / 3)
    assert agreement([], theirs)["same_side"] is None


def test_a_person_stops_and_goes_on(run, monkeypatch, capsys):
    """Two pairs, then q; the same command asks for the four others alone."""
    command = [str(run), "--judge", "human", "--out", str(run.with_name("mine"))]
    monkeypatch.setattr("sys.stdin", io.StringIO("1\nt\nq\n"))
    with pytest.raises(UserError, match="are kept"):
        main(command)
    assert capsys.readouterr().out.count("answer 2 ---") == 3
    monkeypatch.setattr("sys.stdin", io.StringIO("s\n1\n1\n2\n"))
    assert main(command) == 0
    assert capsys.readouterr().out.count("answer 2 ---") == 4
    found = read_records(run.with_name("mine") / "iter-1" / "verdicts.jsonl", Verdict)
    assert len(found) == 6 and sum(v.p is None for v in found) == 1 and sum(v.p == 0.5 for v in found) == 1
    assert main([*command, "--json"]) == 0, "finished: nothing is asked"
    assert json.loads(capsys.readouterr().out)["iterations"][0]["failed"] == 1


def test_a_server_is_asked_once_a_question(run, capsys):
    out = run.with_name("served")
    with Scripted(lambda body, attempt: (200, {}, chat("m", logprobs=top(m=-0.1, M=-2.4)))) as scripted:
        command = [
            str(run),
            "--judge",
            scripted.spec,
            "--out",
            str(out),
            "--price-in",
            "1",
            "--price-out",
            "1",
            "--quiet",
        ]
        with pytest.raises(UserError, match="does not hold one more call"):
            main([*command, "--token-budget", "1000"])
        first = sum(scripted.seen.values())
        assert 0 < first < 12
        told = capsys.readouterr().err
        assert "12 calls, about" in told and "in money" in told
        assert main([*command, "--json"]) == 0
        assert sum(scripted.seen.values()) == 12 == len(scripted.served), "what was kept is not asked again"
    streams = capsys.readouterr()
    spent = json.loads(streams.out)["spent"]
    assert f"{12 - first} calls, about" in streams.err
    assert (spent["calls"], spent["prompt_tokens"], spent["cost"]) == (12, 84, pytest.approx(120e-6))
    row = json.loads((out / "summary.json").read_text())["iterations"][0]
    assert row["ties"] == 6 and row["order_disagreement"] == pytest.approx(2 / (1 + 2.718281828**-2.3) - 1)


def test_a_part_of_the_pairs(run, capsys):
    assert (
        main(
            [
                str(run),
                "--judge",
                f"py:{__name__}:longer",
                "--pairs",
                "2",
                "--quiet",
                "--out",
                str(run.with_name("two")),
            ]
        )
        == 0
    )
    assert len(read_records(run.with_name("two") / "iter-1" / "verdicts.jsonl", Verdict)) == 2
    with pytest.raises(UserError, match="started with other settings"):
        main([str(run), "--judge", f"py:{__name__}:longer", "--pairs", "3", "--out", str(run.with_name("two"))])


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["--judge", "human", "--out", "{run}"], "is a run, or inside one"),
        (["--judge", "human", "--out", "{run}/iter-1"], "is a run, or inside one"),
        (["--judge", "human", "--iteration", "7"], "no answers of iteration 7; there are: 1"),
        (["--judge", "nobody"], "judge nobody: not known"),
        (["--judge", "human", "--pairs", "0"], "must be at least 1"),
        ([], "--judge"),
    ],
)
def test_what_cannot_be(run, arguments, line):
    with pytest.raises(UserError, match=line):
        main([str(run), *(a.format(run=run) for a in arguments)])


def test_no_run(tmp_path):
    with pytest.raises(UserError, match="name a run folder"):
        main([str(tmp_path), "--judge", "human"])
