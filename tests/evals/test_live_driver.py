"""The driver of live evaluations alone: generator and judge are handed in; turns, guesses, resuming, a template without a system role."""

import argparse
import json
import sys
from dataclasses import dataclass

import pytest

from tests import tiny
from windvane.core.errors import UserError
from windvane.core.records import Message, Response
from windvane.engines.open import Opened
from windvane.evals.live.driver import Evaluation, run_live
from windvane.evals.live.flags import add_live_flags
from windvane.evals.live.judge import PairVerdicts, pair_question
from windvane.evals.live.model import Candidate, Request


@dataclass(frozen=True)
class Settings:
    limit: int | None = None


class Numbered:
    """A source of generators, which is also the only generator: it answers with how many turns it saw and refuses prompt "b"."""

    spec, local, behind_server, server = "mine", None, False, None

    def __init__(self):
        self.reasons, self.asked, self.closed = {}, [], False

    def generator(self, sampling):
        self.sampling = sampling
        return self

    def generate(self, prompts, indices, seed):
        print("the model answers", file=sys.stderr)
        self.asked += [p.messages[0].content for p in prompts]
        self.reasons |= {f"{p.id}-0": "refused" for p in prompts if p.messages[0].content == "b"}
        return [
            []
            if f"{p.id}-0" in self.reasons
            else [Response(f"{p.id}-0", p.id, 0, f"saw {len(p.messages)}", (), "stop")]
            for p in prompts
        ]

    def close(self):
        self.closed = True


class First:
    """P(the first wins) = 0.75; gone after `left` questions."""

    def __init__(self, left=100):
        self.left, self.asked = left, []

    def judge(self, questions):
        if len(self.asked) >= self.left:
            raise UserError("the judge is gone")
        self.asked += [q.key for q in questions]
        return [0.75 for _ in questions]


def options_of(out, *more):
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, default=0)
    add_live_flags(parser, several=True, temperature=0.5, top_p=1.0, max_new_tokens=8)
    return parser.parse_args(["--out", str(out), "--quiet", *more])


def two_turns(settings=Settings()):
    """Prompts a, b, c; the second turn goes on from the first; the judge compares both turns of each conversation."""

    def requests(turns):
        if not turns:
            return [Request(t, (Message("user", t),)) for t in "abc"]
        texts = {id: row["text"] for id, row in turns[0].items() if row["text"] is not None}
        return [
            Request(id, (Message("user", id), Message("assistant", text), Message("user", "more")), 0.0)
            for id, text in texts.items()
        ]

    def questions(responses):
        return {
            f"games/{name}": [pair_question(id, id, first[id]["text"], row["text"]) for id, row in second.items()]
            for name, (first, second) in responses.items()
        }

    def figures(collected):
        verdicts = collected.verdicts["games/m"]
        reasons = [row["reason"] for row in collected.responses["m"][0].values() if row["text"] is None]
        return {"name": "two-turns", "p": [v["p"] for v in verdicts.values()], "reasons": reasons}, ""

    return Evaluation(
        "two-turns", settings, requests, questions, figures, str, stage="answers/{model}.turn-{turn}", turns=2
    )


def test_generator_and_judge_are_handed_in(tmp_path):
    source, judge = Numbered(), First()
    result, spent = run_live(
        two_turns(), options_of(tmp_path), PairVerdicts("mine", judge=judge), [Candidate("m", source)]
    )
    assert result == {"name": "two-turns", "p": [0.75, 0.75], "reasons": ["refused"]} and spent is None
    assert source.asked == ["a", "b", "c", "a", "c"] and judge.asked == ["a", "c"] and source.closed
    assert source.sampling.temperature == 0.0, "the second turn has a temperature of its own"
    rows = [json.loads(line) for line in (tmp_path / "answers/m.turn-2.jsonl").open()]
    assert [r["text"] for r in rows] == ["saw 3", "saw 3"]
    assert json.loads((tmp_path / "result.json").read_text()) == result and not (tmp_path / "plot.svg").exists()


def test_an_interrupted_run_asks_nothing_twice(tmp_path):
    options, source, judge = options_of(tmp_path / "parts", "--batch", "1"), Numbered(), First(left=1)
    with pytest.raises(UserError, match="the judge is gone"):
        run_live(two_turns(), options, PairVerdicts("mine", judge=judge), [Candidate("m", source)])
    again, rest = Numbered(), First()
    run_live(two_turns(), options, PairVerdicts("mine", judge=rest), [Candidate("m", again)])
    assert again.asked == [] and judge.asked == ["a"] and rest.asked == ["c"]
    whole = options_of(tmp_path / "whole", "--batch", "1")
    run_live(two_turns(), whole, PairVerdicts("mine", judge=First()), [Candidate("m", Numbered())])
    manifests = [(tmp_path / name / "manifest.json").read_text() for name in ("parts", "whole")]
    assert manifests[0] == manifests[1]
    with pytest.raises(UserError, match="other settings"):
        run_live(two_turns(Settings(3)), options, PairVerdicts("mine", judge=rest), [Candidate("m", again)])


def test_the_cost_is_announced_before_the_first_response(tmp_path, capsys):
    """A judge behind a server is going to be asked about three conversations, were every response eight tokens long."""
    judge = PairVerdicts("http://127.0.0.1:9/v1#j", judge=First())
    run_live(two_turns(), options_of(tmp_path), judge, [Candidate("m", Numbered())])
    first, *rest = capsys.readouterr().err.splitlines()
    assert first.startswith("windvane: the judge: 3 calls, about ") and "were every response 8 tokens long" in first
    assert "48 of answers" in first, "16 tokens for each verdict"
    assert rest[0] == "the model answers"


def test_a_template_without_a_system_role(tmp_path):
    """The system message is put at the head of the user's turn, with a note; a template that has the role is left alone."""
    asked = [Request("x", (Message("system", "S"), Message("user", "U"))), Request("y", (Message("user", "U"),))]
    plain = tiny.folder(tmp_path / "plain")
    source = Opened(str(plain), "cpu", "float32")
    assert Candidate("m", source).seat(asked) == (asked, None)
    (plain / "chat_template.jinja").write_text(
        "{% for m in messages if m.role != 'system' %}<{{ m.content }}>{% endfor %}"
    )
    seated, note = Candidate("m", source).seat(asked)
    assert [m.role for m in seated[0].messages] == ["user"] and seated[0].messages[0].content == "S\n\nU"
    assert seated[1] == asked[1] and "leaves the system message out" in note
