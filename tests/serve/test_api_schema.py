"""Schemathesis asks for everything in the OpenAPI schema, rightly and wrongly: the service never fails, and answers as documented."""

import pytest

from tests.serve.conftest import SPOKEN, TestClient
from windvane.serve.app import create_app
from windvane.serve.site import Site

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is not installed (pip install schemathesis)")
from hypothesis import HealthCheck, given, settings  # noqa: E402

# Not asked for: that whatever fits the schema is accepted. That turns alternate, that a rater has a name where nobody signs in and that a
# record is in the queue are refused with 422 and their line, and no schema can say them.
from schemathesis.specs.openapi.checks import positive_data_acceptance  # noqa: E402

BOUNDED = settings(
    max_examples=3, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.fixture(scope="module")
def api(tmp_path_factory):
    app = create_app(Site(data=tmp_path_factory.mktemp("schema"), rate=0, max_new_tokens=16))
    with TestClient(app, base_url="http://localhost"):

        async def named(scope, receive, send):
            """Schemathesis calls every host "testserver", which the guard rightly refuses."""
            if scope["type"] == "http":
                rest = [(k, v) for k, v in scope["headers"] if k != b"host"]
                scope = {**scope, "headers": [*rest, (b"host", b"localhost")]}
            await app(scope, receive, send)

        yield schemathesis.openapi.from_asgi("/api/openapi.json", named)


@pytest.mark.slow
def test_every_operation(api):
    """Its pytest plugin does not know pytest 9 yet, so its operations are gone through here."""
    seen = []
    for found in api.get_all_operations():
        operation = found.ok()

        @BOUNDED
        @given(case=operation.as_strategy())
        def asked(case):
            case.call_and_validate(excluded_checks=[positive_data_acceptance])

        asked()
        seen.append(operation.label)
    assert len(seen) >= 20


def test_every_operation_says_how_it_refuses(client):
    """Each documents the guard's refusals, with the one-line problem as their form."""
    told = client.get("/api/openapi.json").json()
    operations = [op for path in told["paths"].values() for op in path.values()]
    assert len(operations) >= 20
    for operation in operations:
        for status in ("400", "401", "403", "413", "422", "429"):
            form = operation["responses"][status]["content"]["application/json"]["schema"]
            assert form == {"$ref": "#/components/schemas/Problem"}, operation["operationId"]
        assert operation.get("description"), operation["operationId"]


def test_a_good_request_is_a_good_answer(client):
    """What the checks above cannot see: the schema's own example of a transcript is scored."""
    reply = client.post("/api/v1/score", json={"text": SPOKEN, "part": 1})
    assert reply.json()["sheets"][0]["status"] == "scored"
