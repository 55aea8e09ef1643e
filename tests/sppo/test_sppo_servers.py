"""SPPO with a judge and a generator behind a server: estimates before the first call, one budget, nothing asked or paid twice."""

import dataclasses
import math
import threading

import pytest

from tests.engines.scripted_server import Scripted, chat, top
from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, Response, Verdict
from windvane.engines.http.budget import Usage
from windvane.engines.http.endpoint import open_endpoint
from windvane.engines.http.server import Server
from windvane.engines.local import Sampling, open_generator
from windvane.prompts.chat import render
from windvane.runs.store import read_records
from windvane.sppo.judges import canonical, one_budget, open_judges, outlook, outlook_line
from windvane.sppo.recipe import run
from windvane.toy.demo import recipe

QUICK = Server(concurrency=4, retries=1, backoff_seconds=0.001, price_in=2.0, price_out=10.0)
SAMPLING = Sampling(k=3, temperature=1.0, top_p=1.0, max_new_tokens=40)


def verdict(body, attempt):
    """Label m at a probability that is a function of the question."""
    p = 0.2 + 0.6 * (sum(body["messages"][0]["content"].encode()) % 101) / 100
    return (200, {}, chat("m", prompt_tokens=100, completion_tokens=1, logprobs=top(m=math.log(p), M=math.log(1 - p))))


def settings(judge, **changes):
    demo = recipe()
    train = dataclasses.replace(demo.train, batch=8, epochs=1)
    evaluate = dataclasses.replace(demo.evaluate, count=4, answers=1, proxy=None)
    base = {"judge": judge, "iterations": 1, "prompts_per_iteration": 12, "sampling": SAMPLING, "train": train}
    return dataclasses.replace(demo, **(base | {"evaluate": evaluate, "server": QUICK, "batch_prompts": 4} | changes))


@pytest.mark.slow
def test_a_judge_behind_a_server(tmp_path, capsys):
    """12 prompts x 3 pairs x 2 orders = 72 calls; the proxy is the same judge: 4 held-out prompts, compared with the start at iterations 0
    and 1, both orders, 16 more at most (equal answers are one question)."""
    with Scripted(verdict) as scripted:
        run(settings(scripted.spec), str(tmp_path / "run"), quiet=True)
        calls = len(scripted.bodies)
        assert calls == sum(scripted.served.values()) and set(scripted.served.values()) == {1}
        said = capsys.readouterr()
        lines = said.err.splitlines()
        assert lines[0].startswith("windvane: the whole run") and "train judge 72 calls" in lines[0]
        assert "proxy judge 16 calls" in lines[0] and "there is no budget" in lines[0]
        stages = [line.split(":")[1].strip() for line in lines[1:]]
        assert stages == ["iter-0/evaluation (proxy)", "iter-1/verdicts", "iter-1/evaluation (proxy)"]
        assert "72 calls" in lines[2] or scripted.seen.total() < 88
        assert f"{calls} answered calls" in said.out
        assert f"{calls * 101} tokens, {calls * (100 * 2 + 10) / 1e6:.4f} in money" in said.out
        before = (tmp_path / "run" / "manifest.json").read_bytes()
        assert not [name for name in before.decode().splitlines() if "calls" in name]
        (tmp_path / "run/iter-1/verdicts.jsonl").unlink()
        run(settings(scripted.spec), str(tmp_path / "run"), quiet=True)
        assert len(scripted.bodies) == calls, "every answer is in the journal"
        assert (tmp_path / "run" / "manifest.json").read_bytes() == before


@pytest.mark.slow
def test_a_spent_budget_stops_the_run_and_a_larger_one_goes_on(tmp_path, capsys):
    with Scripted(verdict) as scripted:
        poor = settings(scripted.spec, server=dataclasses.replace(QUICK, token_budget=6000))
        with pytest.raises(
            UserError, match=r"the budget of 6000 tokens does not hold one more call .* raise the budget"
        ):
            run(poor, str(tmp_path / "run"), quiet=True)
        assert 0 < sum(scripted.served.values()) * 101 <= 6000
        with pytest.raises(UserError, match="the budget of 6000 tokens"):
            run(poor, str(tmp_path / "run"), quiet=True)
        assert sum(scripted.served.values()) * 101 <= 6000, "a resume does not start counting anew"
        run(settings(scripted.spec), str(tmp_path / "run"), quiet=True)
        assert set(scripted.served.values()) == {1}, "nothing was asked twice"
        assert "the budget is 6000 tokens" in capsys.readouterr().err
        with pytest.raises(UserError, match=r"started with other settings \(seed"):
            run(settings(scripted.spec, seed=1, server=poor.server), str(tmp_path / "run"), quiet=True)


@pytest.mark.slow
def test_calls_that_fail_are_counted_not_scored(tmp_path):
    def script(body, attempt):
        broken = sum(body["messages"][0]["content"].encode()) % 5 == 0
        return (500, {}, b"") if broken else verdict(body, attempt)

    with Scripted(script) as scripted:
        run(settings(scripted.spec), str(tmp_path / "run"), quiet=True)
    found = read_records(tmp_path / "run/iter-1/verdicts.jsonl", Verdict)
    failed = [v for v in found if v.p is None]
    assert len(found) == 36 and failed and all("HTTP 500" in v.reason for v in failed)


class Served:
    """The start's weights behind a server, as vLLM would answer: sampled ids, their log-probabilities, the prompt's ids."""

    def __init__(self, temperature=1.0):
        self.local = open_generator(
            "world:styles", dataclasses.replace(SAMPLING, temperature=temperature), "cpu", "float32"
        )
        self.lock = threading.Lock()
        self.models = set()

    def __call__(self, body, attempt):
        if body["model"] == "judge":
            return verdict(body, attempt)
        with self.lock:
            self.models.add(body["model"])
            messages = tuple(Message(m["role"], m["content"]) for m in body["messages"])
            ids = render(self.local.tokenizer, messages)
            asked = dataclasses.replace(Prompt.of(messages), token_ids=ids)
            (made,) = self.local.generate([asked], [0], body["seed"])[0]
        entries = [{"token": "x", "logprob": made.logps / len(made.token_ids)} for _ in made.token_ids]
        told = chat(made.text, len(ids), len(made.token_ids), finish=made.finish, token_ids=list(made.token_ids))
        told["choices"][0]["logprobs"] = {"content": entries}
        return (200, {}, told | {"prompt_token_ids": list(ids)})


@pytest.mark.slow
def test_a_generator_behind_a_server(tmp_path, capsys):
    script = Served()
    with Scripted(script) as scripted:
        base = scripted.spec.partition("#")[0]
        made = settings(f"{base}#judge", generator=f"{base}#styles-{{t}}")
        run(made, str(tmp_path / "run"), quiet=True)
        assert script.models == {"styles-0"} and set(scripted.served.values()) == {1}
        assert "iter-1/responses: 36 calls" in capsys.readouterr().err
    found = read_records(tmp_path / "run/iter-1/responses.jsonl", Response)
    assert len(found) == 36 and all(r.token_ids and r.logps < 0 for r in found)
    assert (tmp_path / "run/calls-generate.journal").exists() and (tmp_path / "run/calls-train.journal").exists()


@pytest.mark.slow
def test_a_server_of_other_weights_is_found_out(tmp_path):
    """Its log-probabilities are not those of the policy: the answers would be trained on as another model's."""
    script = Served()
    for parameter in script.local.model.parameters():
        parameter.data.mul_(1.2)
    with Scripted(script) as scripted:
        base = scripted.spec.partition("#")[0]
        with pytest.raises(UserError, match="its log-prob of answer"):
            run(settings(f"{base}#judge", generator=f"{base}#other"), str(tmp_path / "run"), quiet=True)


@pytest.mark.slow
def test_a_server_that_leaves_out_the_closing_token_is_refused(tmp_path):
    """Its ids say what was said, and not that it ended there."""
    served = Served()

    def script(body, attempt):
        status, headers, told = served(body, attempt)
        choice = told["choices"][0]
        if body["model"] != "judge" and choice["finish_reason"] == "stop":
            choice["token_ids"] = choice["token_ids"][:-1]
        return status, headers, told

    with Scripted(script) as scripted:
        base = scripted.spec.partition("#")[0]
        with pytest.raises(UserError, match="leaves the token that closed an answer out of its token ids"):
            run(settings(f"{base}#judge", generator=f"{base}#short"), str(tmp_path / "run"), quiet=True)


@pytest.mark.slow
def test_a_server_without_token_ids_cannot_be_trained_on(tmp_path):
    def script(body, attempt):
        return verdict(body, attempt) if body["model"] == "judge" else (200, {}, chat("Hello."))

    with Scripted(script) as scripted:
        base = scripted.spec.partition("#")[0]
        with pytest.raises(UserError, match="sends no token ids, so its answers cannot be trained on"):
            run(settings(f"{base}#judge", generator=f"{base}#bare"), str(tmp_path / "run"), quiet=True)


def test_one_budget_for_all_servers(tmp_path):
    """Two endpoints: what each had spent is added, and what one spends counts for the other."""

    class Backend:
        def __init__(self, model):
            self.endpoint = open_endpoint(f"http://127.0.0.1:9/v1#{model}", Server(token_budget=100))

    one, two = Backend("a"), Backend("b")
    one.endpoint.account.carry(Usage(10, 5, 0.0), False)
    two.endpoint.account.carry(Usage(20, 0, 0.0), False)
    two.endpoint.account.carry(Usage(7, 0, 0.0), True)
    account = one_budget([None, one, two, one])
    assert account is two.endpoint.account is one.endpoint.account
    assert (account.spent.tokens, account.lost.tokens) == (35, 7)
    assert one_budget([None, object()]) is None


def test_outlook_by_hand(tmp_path):
    """K = 5, 2 prompts: 10 pairs in both orders each, 40 calls. 3 iterations, 1 answer each, 3 held-out prompts: start against start, 3
    against the start, 2 against the one before, 6 x 3 x 2 = 36 calls. Each question carries two answers of at most 40 tokens."""
    made = dataclasses.replace(
        settings("http://127.0.0.1:9/v1#judge", iterations=3), sampling=dataclasses.replace(SAMPLING, k=5)
    )
    judges = open_judges(made, tmp_path)
    prompts = [Prompt.of((Message("user", f"Prompt {i}"),)) for i in range(3)]
    found = outlook(made, judges, prompts[:2], prompts)
    assert {role: e.calls for role, e in found.items()} == {"train": 40, "proxy": 36}
    bare = (found["train"].likely.prompt_tokens - 40 * 80) / 40
    assert 20 < bare < 400 and found["train"].likely.completion_tokens == 40 * 16
    line = outlook_line(found, dataclasses.replace(made.server, budget=3.0))
    assert "train judge 40 calls" in line and "the budget is 3 in money" in line


def test_one_judge_under_two_names():
    assert canonical("llm:http://h:1/v1#m") == canonical("http://h:1/v1#m")
    assert canonical("pairrm:llm-blender/PairRM-hf#refuse") == canonical("pairrm:llm-blender/PairRM-hf")
    assert canonical("pairrm:a") != canonical("reward:a") != canonical("reward:b") and canonical("human") == canonical(
        "human"
    )
    made = settings("http://h:1/v1#m")
    twice = dataclasses.replace(made, evaluate=dataclasses.replace(made.evaluate, judge="llm:http://h:1/v1#m"))
    with pytest.raises(UserError, match="trains already"):
        open_judges(twice, None)
