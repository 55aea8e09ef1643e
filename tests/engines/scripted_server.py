"""An OpenAI-compatible server on loopback that does what a script tells it: for each call and attempt an answer or a fault.

It counts what it served whole, so that a test can see whether a call that had succeeded was repeated.
"""

import contextlib
import json
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


def chat(text, prompt_tokens=7, completion_tokens=3, finish="stop", usage=True, **choice):
    """A chat completion as OpenAI writes it; `choice` adds fields to the choice."""
    found = {
        "id": "x",
        "object": "chat.completion",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": finish, **choice}],
    }
    if usage:
        found["usage"] = {"prompt_tokens": prompt_tokens, "completion_tokens": completion_tokens}
    return found


def top(**logps):
    """`logprobs` of one token with these alternatives, the first the one sampled."""
    entries = [{"token": t, "logprob": v, "bytes": None} for t, v in logps.items()]
    return {"content": [{**entries[0], "top_logprobs": entries}]}


class Scripted:
    """`script(body, attempt)` gives (status, headers, payload): a dict is sent as JSON, bytes as they are; ("hang", seconds),
    ("half", payload) and ("cut",) are faults. An attempt is counted by the body's messages and seed."""

    def __init__(self, script):
        self.script = script
        self.seen, self.served = Counter(), Counter()
        self.bodies, self.headers = [], []
        self.busy = self.most = 0
        lock = threading.Lock()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def log_message(self, *_):
                pass

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                key = json.dumps([body["messages"], body.get("seed")])
                with lock:
                    outer.seen[key] += 1
                    outer.busy += 1
                    outer.most = max(outer.most, outer.busy)
                    outer.bodies.append(body)
                    outer.headers.append(dict(self.headers))
                    attempt = outer.seen[key]
                try:
                    self.reply(outer.script(body, attempt), key)
                finally:
                    with lock:
                        outer.busy -= 1

            def reply(self, told, key):
                if told[0] == "hang":
                    time.sleep(told[1])
                    self.close_connection = True
                    return
                if told[0] == "cut":
                    self.close_connection = True
                    return
                half = told[0] == "half"
                status, headers, payload = (200, {}, told[1]) if half else told
                data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    for name, value in {"Content-Type": "application/json", **headers}.items():
                        self.send_header(name, str(value))
                    self.send_header("Content-Length", str(len(data)))
                    self.end_headers()
                    self.wfile.write(data[: len(data) // 2] if half else data)
                    self.wfile.flush()
                if half:
                    self.close_connection = True
                elif status == 200 and isinstance(payload, dict):
                    with lock:
                        outer.served[key] += 1

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 128

        self.http = Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def spec(self):
        return f"http://127.0.0.1:{self.http.server_address[1]}/v1#tiny"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()
