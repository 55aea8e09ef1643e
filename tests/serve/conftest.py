"""The service in this process: as an ASGI app for most tests, behind a socket for browsers and loads."""

import contextlib
import threading
import time

import pytest

fastapi = pytest.importorskip("fastapi", reason="fastapi is not installed (pip install 'windvane[serve]')")

from fastapi.testclient import TestClient  # noqa: E402

from windvane.serve.accounts import digest  # noqa: E402
from windvane.serve.app import create_app  # noqa: E402
from windvane.serve.site import Site  # noqa: E402

TOKENS = {"asha": "asha-token-0123456789", "ben": "ben-token-01234567890", "cleo": "cleo-token-0123456789"}
SPOKEN = """Examiner: Where do you live?
Candidate: I live in a small town near the sea. I like it because my friends live there too.
Examiner: What do you do at weekends?
Candidate: I usually play football, although it often rains."""


@contextlib.contextmanager
def opened(folder, people=False, **settings):
    """A client of a fresh service; `people`: with the tokens above."""
    names = {digest(token): name for name, token in TOKENS.items()} if people else {}
    site = Site(data=folder, people=names, max_new_tokens=32, **{"rate": 0, **settings})
    with TestClient(create_app(site), base_url="http://localhost", raise_server_exceptions=False) as client:
        yield client


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    """Loopback, nobody signs in, no rate limit."""
    with opened(tmp_path_factory.mktemp("serve")) as found:
        yield found


@pytest.fixture(scope="session")
def guarded(tmp_path_factory):
    """Everybody has a token."""
    with opened(tmp_path_factory.mktemp("guarded"), people=True) as found:
        yield found


def bearer(name):
    return {"authorization": f"Bearer {TOKENS[name]}"}


@contextlib.contextmanager
def behind_socket(site):
    """The service on a free port of this machine; gives its address."""
    uvicorn = pytest.importorskip("uvicorn", reason="uvicorn is not installed (pip install 'windvane[serve]')")
    server = uvicorn.Server(
        uvicorn.Config(create_app(site), port=0, log_level="warning", access_log=False, log_config=None)
    )
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    until = time.monotonic() + 30
    while not server.started and time.monotonic() < until:
        time.sleep(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
