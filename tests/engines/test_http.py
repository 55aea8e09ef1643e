"""A server that fails: every row is done once or listed with its reason, within the budget, with the key kept to itself."""

import json
import random
import time

import pytest

from tests.engines.scripted_server import Scripted, chat, top
from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt, Response
from windvane.engines.http.budget import BudgetSpent
from windvane.engines.http.calls import Answer, Call, Calls, Failed
from windvane.engines.http.client import retry_after
from windvane.engines.http.endpoint import Endpoint, open_endpoint
from windvane.engines.http.generator import HttpGenerator, open_generator
from windvane.engines.http.response import refused_fields, request_body
from windvane.engines.http.server import Server, address, key_for
from windvane.engines.local import Sampling
from windvane.runs.local_runner import LocalRunner
from windvane.runs.store import RunFolder, read_records
from windvane.stages.generate import run_generate

QUICK = Server(concurrency=8, retries=6, read_seconds=5, backoff_seconds=0.001)


@pytest.fixture(autouse=True)
def no_keys(monkeypatch):
    for name in ("WINDVANE_API_KEY", "OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def prompts(count):
    return [Prompt.of((Message("user", f"Say {i}."),)) for i in range(count)]


def test_half_of_a_surrogate_pair_is_journaled_as_what_tokenizers_show(tmp_path):
    reply = chat("half \ud83d whole \U0001f600", logprobs={"content": top(**{"\ud83d": -0.5})["content"]})
    (answer,), _, _ = ask(lambda *_: (200, {}, reply), [call("a", labels=1)], path=tmp_path / "calls.jsonl")
    assert answer.text == "half \ufffd whole \U0001f600" and answer.top == {"\ufffd": -0.5}
    (written,) = tmp_path.glob("calls*")
    assert "\ufffd".encode() in written.read_bytes()


def call(row, **options):
    return Call(row, (Message("user", f"Say {row}."),), max_tokens=5, **options)


def ask(script, calls, server=QUICK, path=None):
    with Scripted(script) as scripted:
        endpoint = open_endpoint(scripted.spec, server, path)
        try:
            return endpoint.ask(calls), endpoint, scripted
        finally:
            endpoint.close()


FAULTS = [
    (429, {"Retry-After": "0"}, {"error": {"message": "slow down"}}),
    (429, {}, {"error": {"message": "slow down"}}),
    (500, {}, b"<html>oops</html>"),
    (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, {"detail": "busy"}),
    ("half", chat("half of it")),
    (200, {}, b'{"choices": [{"mess'),
    ("cut",),
]


def thirty_percent(body, attempt):
    """30% of attempts fail; rows 10, 30, 50 and 70 always do, every 61st hangs once."""
    number = int(body["messages"][-1]["content"][4:-1])
    if number in (10, 30, 50, 70):
        return {
            10: (400, {}, {"error": {"message": "too long"}}),
            30: FAULTS[2],
            50: FAULTS[5],
            70: (200, {}, chat("", finish="content_filter")),
        }[number]
    if number % 61 == 60 and attempt == 1:
        return ("hang", 3.0)
    draw = random.Random(f"{number} {attempt}")
    if draw.random() < 0.3:
        return draw.choice(FAULTS)
    return (200, {}, chat(f"said {number}"))


@pytest.mark.parametrize("size", [120, pytest.param(1000, marks=pytest.mark.slow)])
def test_calls_of_which_thirty_percent_fail(tmp_path, size):
    server = Server(concurrency=32, retries=8, read_seconds=1.5, backoff_seconds=0.002)
    asked = prompts(size)
    with Scripted(thirty_percent) as scripted, RunFolder(tmp_path / "run") as run:
        made = open_generator(scripted.spec, Sampling(k=1, max_new_tokens=5), server, run / "calls.jsonl")
        run_generate(LocalRunner(run, quiet=True), "responses", made, asked, [0], 7, batch_prompts=250)
        done = read_records(run / "responses.jsonl", Response)
        failed = made.endpoint.calls.failures()
        made.endpoint.close()
        bad = {f"{asked[n].id}-0": n for n in (10, 30, 50, 70)}
        assert {f.row for f in failed} == set(bad) == set(made.reasons)
        assert len({r.id for r in done}) == len(done) == size - 4 and not {r.id for r in done} & set(bad)
        by_id = {p.id: i for i, p in enumerate(asked)}
        assert all(r.text == f"said {by_id[r.prompt_id]}" for r in done)
        reasons = {bad[f.row]: (f.reason, f.attempts) for f in failed}
        assert reasons[10] == ("HTTP 400: too long", 1)
        assert reasons[30] == ("HTTP 500: <html>oops</html>", 9)
        assert reasons[50] == ("the reply is not valid JSON (19 bytes)", 9)
        assert reasons[70] == ("the answer ended with 'content_filter', neither stop nor length", 1)
        served = {k: n for k, n in scripted.served.items() if "Say 70." not in k}
        assert set(served.values()) == {1} and len(served) == size - 4, "a call that had succeeded was repeated"
        assert 1.3 * size < sum(scripted.seen.values()) < 1.7 * size, "about a third more attempts than calls"
        assert scripted.most <= 32
        counts = made.endpoint.account.counts
        assert (counts.answered, counts.failed, counts.attempts) == (size - 4, 4, sum(scripted.seen.values()))
        assert made.endpoint.account.spent.tokens == (size - 4) * 10


def test_what_was_answered_is_not_asked_again(tmp_path):
    """The journal of calls, without the stage's: a second process asks for the failed row alone."""
    path = tmp_path / "calls.jsonl"
    calls = [call(str(i)) for i in range(20)]
    poison = lambda body, attempt: (  # noqa: E731
        (422, {}, {"detail": "no"}) if body["messages"][0]["content"] == "Say 3." else (200, {}, chat("ok"))
    )
    told, _, scripted = ask(poison, calls, path=path)
    assert told[3] == Failed("3", "HTTP 422: no", 1) and sum(scripted.seen.values()) == 20
    port = scripted.http.server_address[1]
    endpoint = Endpoint(address(f"http://127.0.0.1:{port}/v1#tiny"), QUICK, path)
    assert endpoint.account.spent.tokens == 190 and endpoint.estimate(calls).calls == 1
    endpoint.close()
    with Scripted(lambda *_: (200, {}, chat("late"))) as again:
        moved = Endpoint(address(again.spec), QUICK, path)
        moved.place = endpoint.place  # the same address, answered by another process
        moved.client.place = address(again.spec)
        found = moved.ask(calls)
        assert [a.text for a in found] == ["ok"] * 3 + ["late"] + ["ok"] * 16
        assert sum(again.seen.values()) == 1 and moved.calls.failures() == [] and moved.account.counts.reused == 19
        moved.close()


def test_torn_journal_line_is_cut(tmp_path):
    path = tmp_path / "calls.jsonl"
    ask(
        lambda *_: (200, {}, chat("ok", token_ids=[5, 2]) | {"prompt_token_ids": [1]}),
        [call("a"), call("b")],
        path=path,
    )
    with path.with_suffix(".journal").open("ab") as file:
        file.write(b'00000000\t{"unit": "00')
    kept = Calls(path)
    assert len(kept.used) == 2
    kept.add("key", call("c"), Answer("new", "stop"), kept.used[0][0])
    assert kept.get("key").text == "new"
    kept.close()
    again = Calls(path)
    assert again.get("key").text == "new" and len(again.used) == 3
    again.close()


def test_retry_after_is_waited_for():
    start = time.monotonic()
    script = lambda body, attempt: (429, {"Retry-After": "0.4"}, {}) if attempt == 1 else (200, {}, chat("x"))  # noqa: E731
    told, _, _ = ask(script, [call("1")])
    assert told[0].text == "x" and 0.4 <= time.monotonic() - start < 3


def test_a_wait_too_long_fails_the_row():
    told, _, scripted = ask(lambda *_: (429, {"Retry-After": "86400"}, {}), [call("1")])
    assert told[0].reason.endswith("the server asks to wait 86400 s") and told[0].attempts == 1
    assert sum(scripted.seen.values()) == 1


def test_retry_after_forms():
    assert retry_after("12") == 12 and retry_after("0.5") == 0.5 and retry_after("-3") == 0
    assert retry_after("Thu, 01 Jan 1970 00:01:40 GMT", now=40.0) == 60
    assert retry_after("soon") is None and retry_after(None) is None and retry_after("nan") is None


@pytest.mark.parametrize(
    ("reply", "line"),
    [
        ((401, {}, {"error": {"message": "bad key"}}), "HTTP 401: bad key"),
        ((404, {}, {"error": {"message": "no model tiny"}}), "no model tiny"),
        ((307, {"Location": "http://elsewhere/v1"}, b""), "sent on to http://elsewhere/v1"),
        ((429, {}, {"error": {"message": "pay", "code": "insufficient_quota"}}), "HTTP 429: pay"),
    ],
)
def test_what_is_wrong_for_every_row_stops_at_once(reply, line):
    with Scripted(lambda *_: reply) as scripted:
        endpoint = open_endpoint(scripted.spec, QUICK)
        with pytest.raises(UserError, match=line):
            endpoint.ask([call(str(i)) for i in range(100)])
        assert sum(scripted.seen.values()) <= 8, "the calls under way, no more"
        endpoint.close()


def test_rows_that_all_fail_stop():
    """A request that no row survives (say, a temperature that this model refuses) is not tried 10,000 times."""
    with Scripted(lambda *_: (400, {}, {"error": "temperature 0 is not supported"})) as scripted:
        endpoint = open_endpoint(scripted.spec, QUICK)
        with pytest.raises(UserError, match=r"the first 2\d rows all failed, the last with: HTTP 400: temperature 0"):
            endpoint.ask([call(str(i)) for i in range(200)])
        assert sum(scripted.seen.values()) <= 20 + 8


def test_no_server():
    with Scripted(lambda *_: ("cut",)) as gone:
        spec = gone.spec
    with pytest.raises(UserError, match=r"no connection.*start the server"):
        open_endpoint(spec, Server(retries=1, backoff_seconds=0.001)).ask([call("1")])


def test_budget_is_hard_and_holds_over_a_resume(tmp_path):
    """Each call is 'Say i.': 6 bytes + 16 + 5 tokens = 27 at worst, 10 in truth. 100 tokens: 8 answers (80), then 107 > 100."""
    path, server = tmp_path / "calls.jsonl", Server(concurrency=4, token_budget=100)
    with Scripted(lambda *_: (200, {}, chat("ok"))) as scripted:
        endpoint = open_endpoint(scripted.spec, server, path)
        with pytest.raises(BudgetSpent, match=r"100 tokens .*spent 80 tokens.*could take 27"):
            endpoint.ask([call(str(i)) for i in range(9)] + [call("9")])
        assert endpoint.account.spent.tokens == 80 and sum(scripted.seen.values()) == 8
        endpoint.close()
        again = open_endpoint(scripted.spec, server, path)
        with pytest.raises(BudgetSpent):
            again.ask([call(str(i)) for i in range(10)])
        again.close()
        assert sum(scripted.seen.values()) == 8
        more = open_endpoint(scripted.spec, Server(concurrency=4, token_budget=107), path)
        with pytest.raises(BudgetSpent, match="spent 90 tokens"):
            more.ask([call(str(i)) for i in range(10)])
        assert sum(scripted.seen.values()) == 9
        more.close()


def test_money(tmp_path):
    """1,000 calls of 7 + 3 tokens at 2 and 10 a million: 7e-3 * 2 + 3e-3 * 10 = 0.044; 2 calls: 0.000088."""
    server = Server(price_in=2.0, price_out=10.0, budget=1.0)
    _, endpoint, _ = ask(lambda *_: (200, {}, chat("ok")), [call("1"), call("2")], server)
    assert endpoint.account.spent.cost == pytest.approx(0.000088)
    likely = endpoint.estimate([call("1")]).likely
    assert (likely.prompt_tokens, likely.completion_tokens) == (1 + 4, 5)
    assert likely.cost == pytest.approx((5 * 2 + 5 * 10) / 1e6)
    with pytest.raises(UserError, match="price_in and price_out"):
        Server(budget=1.0)


def test_lost_attempts_and_silent_usage_count_at_their_worst():
    script = lambda body, attempt: ("half", chat("x")) if attempt == 1 else (200, {}, chat("x", usage=False))  # noqa: E731
    _, endpoint, _ = ask(script, [call("1")])
    assert (endpoint.account.lost.tokens, endpoint.account.counts.lost) == (27, 1)
    assert (endpoint.account.spent.tokens, endpoint.account.counts.unreported) == (27, 1)


def test_key_is_sent_and_never_shown(tmp_path, monkeypatch):
    monkeypatch.setenv("WINDVANE_API_KEY", "sk-secret-123")

    def echo(body, attempt):
        if body["messages"][0]["content"] == "Say bad.":
            return (400, {}, {"error": {"message": "your key sk-secret-123 is bad"}})
        return (200, {}, chat("the key is sk-secret-123"))

    told, endpoint, scripted = ask(echo, [call("bad"), call("good")], path=tmp_path / "calls.jsonl")
    assert all(h["Authorization"] == "Bearer sk-secret-123" for h in scripted.headers)
    assert told[0].reason == "HTTP 400: your key [key] is bad" and told[1].text == "the key is [key]"
    assert "sk-secret-123" not in (tmp_path / "calls.journal").read_text()
    assert "sk-secret-123" not in repr(endpoint.client.__dict__)


def test_whose_key_goes_where():
    both = {"OPENAI_API_KEY": "theirs"}
    assert key_for(address("https://api.openai.com/v1#m"), both) == "theirs"
    assert key_for(address("http://10.0.0.1:8000/v1#m"), both) is None
    assert (
        key_for(address("http://10.0.0.1:8000/v1#m"), both | {"OPENAI_BASE_URL": "http://10.0.0.1:8000/v1"}) == "theirs"
    )
    assert key_for(address("http://10.0.0.1:8000/v1#m"), both | {"WINDVANE_API_KEY": "own"}) == "own"


@pytest.mark.parametrize(
    "spec",
    [
        "http://h/v1",
        "http://#m",
        "ftp://h/v1#m",
        "http://h:x/v1#m",
        "http://u:secret@h/v1#m",
        "http://h/v1?key=secret#m",
    ],
)
def test_bad_addresses(spec):
    with pytest.raises(UserError) as caught:
        address(spec)
    assert "secret" not in str(caught.value)


def test_addresses():
    found = address("http://localhost:8000/v1/#org/model")
    assert (found.url, found.model) == ("http://localhost:8000/v1/chat/completions", "org/model") and found.loopback


def test_ids_and_log_probabilities_where_offered():
    entry = [{"token": "a", "logprob": -0.5}, {"token": "</s>", "logprob": -0.25}]
    reply = chat("a", token_ids=[11, 2], logprobs={"content": entry}) | {"prompt_token_ids": [1, 4]}
    with Scripted(lambda *_: (200, {}, reply)) as scripted:
        plain, cold = Sampling(k=2, max_new_tokens=4), Sampling(k=1, temperature=0.7, max_new_tokens=4)
        prompt = Prompt("p", (Message("system", "Be brief."), Message("user", "Hi")), (1, 4))
        ((one, two),) = open_generator(scripted.spec, plain, QUICK).generate([prompt], [0, 3], seed=5)
        assert one == Response("p-0", "p", 0, "a", (11, 2), "stop", -0.75) and two.id == "p-3"
        assert scripted.bodies[0]["return_token_ids"] is True and scripted.bodies[0]["messages"][0]["role"] == "system"
        seeds = {b["seed"] for b in scripted.bodies}
        assert len(seeds) == 2 and all(0 <= s < 2**31 for s in seeds)
        ((other,),) = open_generator(scripted.spec, cold, QUICK).generate([prompt], [0], seed=5)
        assert other.logps is None and other.token_ids == (11, 2)
        strict = Server(token_ids="require")
        assert open_generator(scripted.spec, plain, strict).generate([prompt], [0], 5)[0][0].token_ids == (11, 2)
        with pytest.raises(UserError, match="renders prompt q to 2 tokens, here it has 3"):
            open_generator(scripted.spec, plain, strict).generate([Prompt("q", prompt.messages, (1, 4, 5))], [0], 5)


def test_text_without_ids_is_not_to_be_trained_on():
    with Scripted(lambda *_: (200, {}, chat("a"))) as scripted:
        made = open_generator(scripted.spec, Sampling(k=1, max_new_tokens=4), QUICK)
        assert made.generate(prompts(1), [0], 0)[0][0].token_ids == ()
        strict = HttpGenerator(open_endpoint(scripted.spec, Server(token_ids="require")), made.sampling)
        with pytest.raises(UserError, match="sends no token ids, so its answers cannot be trained on"):
            strict.generate(prompts(1), [0], 0)


def test_fields_that_a_server_refuses_are_left_out():
    def picky(body, attempt):
        for name in ("return_token_ids", "logprobs", "max_tokens"):
            if name in body:
                hint = "use max_completion_tokens" if name == "max_tokens" else ""
                return (422, {}, {"detail": f"Unexpected fields in the request: {{'{name}'}} {hint}"})
        return (200, {}, chat("fine"))

    told, endpoint, scripted = ask(picky, [call("1", ids=True)], Server(retries=0))
    assert told[0].text == "fine"
    assert endpoint.refused == {"return_token_ids", "logprobs", "top_logprobs", "max_tokens"}
    assert scripted.bodies[-1]["max_completion_tokens"] == 5


def test_a_begun_answer_is_continued():
    begun = Call("1", (Message("user", "Hi"), Message("assistant", "Well")), 5)
    body = request_body(begun, "m")
    assert body["continue_final_message"] is True and body["add_generation_prompt"] is False
    assert "continue_final_message" not in request_body(call("1"), "m")
    assert refused_fields(body, "logprobs and seed are wrong") == set(), "neither was sent"


def test_journal_holds_one_call_a_line(tmp_path):
    ask(lambda *_: (200, {}, chat("ok")), [call(str(i)) for i in range(5)], path=tmp_path / "calls.jsonl")
    lines = (tmp_path / "calls.journal").read_bytes().splitlines()
    rows = [json.loads(line.partition(b"\t")[2])["rows"] for line in lines]
    assert sorted(r[0]["row"] for r in rows) == ["0", "1", "2", "3", "4"] and all(len(r) == 1 for r in rows)
