"""What every request passes: host, origin, token, session, rate, size; and what every reply carries."""

import pytest

from tests.serve.conftest import SPOKEN, TOKENS, bearer, opened
from windvane.serve.app import _own
from windvane.serve.rate import Rate

PASTED = {"text": SPOKEN, "part": 1, "explain": False}


def test_another_hosts_name_is_refused(client):
    """DNS rebinding: a page of evil.example whose name points here would send its own name as host."""
    for host in ("evil.example", "127.0.0.1.evil.example", "evil.example:80", "", "[::1"):
        reply = client.get("/health", headers={"host": host})
        assert (reply.status_code, set(reply.json())) == (400, {"error"}), host
    for host in ("localhost:1234", "127.0.0.1", "[::1]:8765"):
        assert client.get("/health", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"origin": "http://evil.example"}, {"sec-fetch-site": "cross-site"}, {"origin": "null"}, {"origin": "http://[x"}],
)
def test_another_sites_page_cannot_post(client, headers):
    assert client.post("/api/v1/score", json=PASTED, headers=headers).status_code == 403
    own = {"origin": "http://localhost", "sec-fetch-site": "same-origin"}
    assert client.post("/api/v1/score", json=PASTED, headers=own).status_code == 200


def test_every_reply_forbids_foreign_scripts_and_frames(client):
    for path in ("/", "/speaking", "/static/serve.css", "/api/openapi.json", "/nowhere"):
        headers = client.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "frame-ancestors 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff" and headers["cache-control"] == "no-store"


def test_pages_load_nothing_from_elsewhere(client):
    for path in (
        "/",
        "/speaking",
        "/validation",
        "/composer",
        "/runs",
        "/api",
        "/static/serve.css",
        "/static/stream.js",
    ):
        text = client.get(path).text
        for mark in ('src="http', "src='http", 'href="http', "url(http", "@import", "//cdn", "<style", "onclick="):
            assert mark not in text, (path, mark)


def test_without_a_token_the_api_says_so_and_pages_ask_for_one(guarded):
    reply = guarded.post("/api/v1/score", json=PASTED)
    assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer") and "no token" in reply.json()[
        "error"
    ]
    reply = guarded.post("/api/v1/score", json=PASTED, headers={"authorization": "Bearer wrong-token-0123456789"})
    assert reply.status_code == 401 and "not known" in reply.json()["error"]
    assert "wrong-token" not in reply.text
    reply = guarded.get("/speaking", follow_redirects=False)
    assert (reply.status_code, reply.headers["location"]) == (303, "/sign-in?next=/speaking")
    assert guarded.post("/api/v1/score", json=PASTED, headers=bearer("asha")).status_code == 200


def test_signing_in_and_out(tmp_path):
    with opened(tmp_path, people=True) as client:
        wrong = client.post("/sign-in", data={"token": "nonsense", "next": "/speaking"})
        assert wrong.status_code == 401 and "not known" in wrong.text and "nonsense" not in wrong.text
        reply = client.post("/sign-in", data={"token": TOKENS["ben"], "next": "/speaking"}, follow_redirects=False)
        cookie = reply.headers["set-cookie"].lower()
        assert reply.status_code == 303 and reply.headers["location"] == "/speaking"
        assert "httponly" in cookie and "samesite=strict" in cookie and TOKENS["ben"] not in cookie
        page = client.get("/speaking")
        assert page.status_code == 200 and "ben" in page.text
        kept = dict(client.cookies)
        client.post("/sign-out")
        assert client.get("/speaking", follow_redirects=False, cookies=kept).status_code == 303


@pytest.mark.parametrize(
    "path", ["https://evil.example", "//evil.example", "/\\evil.example", "speaking", "/a\nb", "http:/x", "/[", ""]
)
def test_signing_in_leads_nowhere_else(path):
    assert _own(path) in ("/", "/[")


def test_sign_in_attempts_are_few(tmp_path):
    with opened(tmp_path, people=True) as client:
        replies = [client.post("/sign-in", data={"token": "x"}).status_code for _ in range(12)]
    assert replies.count(401) == 10 and replies[-1] == 429


def test_rate_by_person(tmp_path):
    with opened(tmp_path, people=True, rate=3) as client:
        asha = [client.get("/api/v1/scorer", headers=bearer("asha")) for _ in range(4)]
        assert [r.status_code for r in asha] == [200, 200, 200, 429]
        assert int(asha[-1].headers["retry-after"]) == 20 and "20 s" in asha[-1].json()["error"]
        assert client.get("/api/v1/scorer", headers=bearer("ben")).status_code == 200
        assert client.get("/static/serve.css").status_code == 200  # not counted


def test_a_bucket_fills_again():
    """60 a minute: one a second, 60 at once."""
    now = [0.0]
    rate = Rate(60, lambda: now[0])
    assert [rate.wait("a") for _ in range(60)] == [0.0] * 60
    assert rate.wait("a") == pytest.approx(1.0)
    now[0] = 0.5
    assert rate.wait("a") == pytest.approx(0.5) and rate.wait("b") == 0.0
    now[0] = 1.0
    assert rate.wait("a") == 0.0 and rate.wait("a") > 0


def test_too_large_bodies(client):
    big = b'{"text": "' + b"a" * 1_100_000 + b'"}'
    told = client.post("/api/v1/score", content=big, headers={"content-type": "application/json"})
    assert told.status_code == 413 and "1000000" in told.json()["error"]

    def parts():
        for _ in range(11):
            yield b"a" * 100_000

    grown = client.post("/api/v1/score", content=parts(), headers={"content-type": "application/json"})
    assert grown.status_code == 413
    assert client.get("/health", headers={"content-length": "-1"}).status_code == 413


def test_malformed_requests_are_told_in_one_line(client):
    for body in (b"", b"{", b'{"text": 5}', b'{"text": "x", "more": 1}', b'{"text": "\xff"}', b"[" * 100_000):
        reply = client.post("/api/v1/score", content=body, headers={"content-type": "application/json"})
        assert reply.status_code in (400, 422) and set(reply.json()) == {"error"}, (body[:20], reply.text)
    assert "\n" not in client.post("/api/v1/score", json={"text": 5}).json()["error"]
    missing = client.get("/nowhere", headers={"accept": "text/html"})
    assert missing.status_code == 404 and "<h1>Not here</h1>" in missing.text
    assert client.put("/api/v1/score").status_code == 405
