"""Streamed answers are the answers that generation gives; a server's stream is read as servers write it."""

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.tiny import folder
from windvane.core.errors import UserError
from windvane.core.records import Message, Prompt
from windvane.engines.http.server import Server
from windvane.engines.local import LocalGenerator, Sampling
from windvane.engines.streaming import LocalStreamer, open_streamer
from windvane.models.load import load_model, load_tokenizer
from windvane.prompts.chat import prepare

CHAT = (Message("system", "You are a helper."), Message("user", "Tell me about the wolf."))


def joined(pieces):
    text = ""
    for piece in pieces:
        text = piece.text if piece.whole else text + piece.text
    return text, pieces[-1].finish


def whole(spec, sampling, seed):
    model, tokenizer = load_model(spec), load_tokenizer(spec)
    [prompt] = prepare([Prompt.of(CHAT)], tokenizer, 4096, sampling.max_new_tokens)
    [[answer]] = LocalGenerator(model, tokenizer, sampling).generate([prompt], [0], seed)
    return answer.text, answer.finish


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_stream_is_the_generators_answer(seed):
    sampling = Sampling(k=1, max_new_tokens=40)
    pieces = list(LocalStreamer("world:styles", sampling).stream(CHAT, seed))
    assert len(pieces) > 5  # it does stream
    assert joined(pieces) == whole("world:styles", sampling, seed)


def test_bytes_that_make_one_letter_come_together(tmp_path, monkeypatch):
    """A byte-level model's random bytes: half letters are held back, and at the end all is as decoded whole."""
    spec = str(folder(tmp_path / "model"))
    monkeypatch.setattr("windvane.engines.streaming.EVERY", 20)  # beyond it only each 8th token is decoded
    sampling = Sampling(k=1, max_new_tokens=45)
    streamer = open_streamer(spec, sampling)
    for seed in range(2):
        pieces = list(streamer.stream(CHAT, seed))
        assert joined(pieces) == whole(spec, sampling, seed)


def test_closing_stops_the_model_and_frees_it():
    streamer = LocalStreamer("world:styles", Sampling(k=1, max_new_tokens=40))
    stream = streamer.stream(CHAT, 0)
    next(stream)
    assert streamer._lock.locked()
    stream.close()
    assert not streamer._lock.locked()
    assert joined(list(streamer.stream(CHAT, 0)))[0]


def test_a_chat_beyond_the_window_is_refused():
    streamer = LocalStreamer("world:styles", Sampling(k=1, max_new_tokens=40))
    with pytest.raises(UserError, match="window of 256"):
        list(streamer.stream([Message("user", "wolf " * 300)], 0))


@contextlib.contextmanager
def serving(lines, status=200):
    """A server that answers every chat with `lines`; gives its address and the bodies it saw."""
    bodies = []

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_):
            pass

        def do_POST(self):
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            told = lines(bodies[-1]) if callable(lines) else (status, lines)
            self.send_response(told[0])
            self.end_headers()
            self.wfile.write("".join(told[1]).encode())

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/v1#m", bodies
    finally:
        server.shutdown()
        server.server_close()


def chunk(text=None, finish=None, **more):
    delta = {} if text is None else {"content": text}
    return f"data: {json.dumps({'choices': [{'index': 0, 'delta': delta, 'finish_reason': finish}], **more})}\n\n"


def test_a_servers_stream():
    role = (
        f"data: {json.dumps({'choices': [{'delta': {'role': 'assistant', 'content': ''}, 'finish_reason': None}]})}\n\n"
    )
    usage = f"data: {json.dumps({'choices': [], 'usage': {'total_tokens': 3}})}\n\n"
    lines = [": ping\n\n", role, chunk("Grüß "), chunk("dich"), chunk(finish="length"), usage, "data: [DONE]\n\n"]
    with serving(lines) as (spec, bodies):
        streamer = open_streamer(spec, Sampling(k=1, temperature=0.5, max_new_tokens=7))
        assert joined(list(streamer.stream(CHAT, 2**40))) == ("Grüß dich", "length")
    sent = bodies[0]
    assert sent["stream"] is True and sent["max_tokens"] == 7 and sent["temperature"] == 0.5 and sent["seed"] == 2**8
    assert sent["messages"] == [{"role": m.role, "content": m.content} for m in CHAT]


def test_a_server_that_wants_the_newer_name():
    def reply(body):
        if "max_tokens" in body:
            return 400, [json.dumps({"error": {"message": "use max_completion_tokens instead of max_tokens"}})]
        return 200, [chunk("yes"), chunk(finish="stop")]

    with serving(reply) as (spec, bodies):
        assert joined(list(open_streamer(spec, Sampling(k=1)).stream(CHAT, 0))) == ("yes", "stop")
    assert "max_completion_tokens" in bodies[1] and "max_tokens" not in bodies[1]


@pytest.mark.parametrize(
    ("lines", "status", "told"),
    [
        ([json.dumps({"error": {"message": "no such model"}})], 404, "status 404: no such model"),
        ([chunk("half")], 200, "ended before the answer was whole"),
        (["data: nonsense\n\n"], 200, "no chunk of a chat completion"),
        (["data: []\n\n"], 200, "no chunk of a chat completion"),
        ([f"data: {json.dumps({'error': {'message': 'overloaded'}})}\n\n"], 200, "overloaded"),
        ([], 200, "ended before"),
    ],
)
def test_a_server_that_fails(lines, status, told):
    with serving(lines, status) as (spec, _), pytest.raises(UserError, match=told):
        list(open_streamer(spec, Sampling(k=1)).stream(CHAT, 0))


def test_no_server_and_a_key_that_is_echoed(monkeypatch):
    with pytest.raises(UserError, match="the connection failed"):
        list(open_streamer("http://127.0.0.1:9/v1#m", Sampling(k=1), server=Server(connect_seconds=1)).stream(CHAT, 0))
    monkeypatch.setenv("WINDVANE_API_KEY", "sk-very-secret-key")
    told = [json.dumps({"error": "bad key sk-very-secret-key"})]
    with serving(told, 401) as (spec, _), pytest.raises(UserError, match=r"bad key \[key\]"):
        list(open_streamer(spec, Sampling(k=1)).stream(CHAT, 0))
