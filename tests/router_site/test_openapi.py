"""`/openapi.json` is a valid document, names exactly the routes there are, and answers are as it says."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from django.urls import get_resolver
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.wire import shapes
from backends.wire.kinds import Kind
from proxyapp.openapi import KINDS, document
from router_site.handler import URLCONF
from tests.patchbay import Answer, Patchbay

openapi_spec_validator = pytest.importorskip("openapi_spec_validator")
from openapi_schema_validator import OAS31Validator  # noqa: E402  (comes with it)

DOCUMENT: dict[str, Any] = document("1.2.3")
SHAPES = {
    Kind.MESSAGES: shapes.Messages,
    Kind.COUNT_TOKENS: shapes.CountTokens,
    Kind.CHAT: shapes.Chat,
    Kind.RESPONSES: shapes.Responses,
    Kind.EMBEDDINGS: shapes.Embeddings,
    Kind.COMPLETIONS: shapes.Completions,
}
BODY = {"model": "demo", "max_tokens": 5, "messages": [{"role": "user", "content": "hi"}]}


@pytest.fixture(scope="module")
def patchbay() -> Iterator[Patchbay]:
    with Patchbay(flags=("--demo",)) as running:
        yield running


def test_the_document_is_valid_openapi() -> None:
    openapi_spec_validator.OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_it_names_exactly_the_routes_there_are() -> None:
    routes = {
        "/" + str(route.pattern).replace("<path:model_id>", "{model_id}")
        for route in get_resolver(URLCONF).url_patterns
    }
    assert routes == set(DOCUMENT["paths"])


@pytest.mark.parametrize("kind", list(Kind))
def test_it_names_exactly_the_fields_that_are_read(kind: Kind) -> None:
    schema = DOCUMENT["components"]["schemas"][KINDS[kind][0]]
    assert set(schema["properties"]) == set(SHAPES[kind].__struct_fields__)


def checked(answer: Answer, method: str, path: str) -> Answer:
    """The answer, if the document allows it."""
    responses = DOCUMENT["paths"][path][method.lower()]["responses"]
    told = responses.get(str(answer.status), responses.get("default"))
    assert told is not None, f"{method} {path} answered {answer.status}, which the document does not know"
    if method == "HEAD":
        assert answer.body == b""
        return answer
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in told["content"], f"{method} {path} answered {kind}"
    if kind == "application/json":
        schema = {**told["content"][kind]["schema"], "components": DOCUMENT["components"]}
        errors = list(OAS31Validator(schema).iter_errors(answer.json()))
        assert not errors, f"{method} {path}: {errors[0].json_path} {errors[0].message}"
    return answer


READ = (
    "/",
    "/health",
    "/livez",
    "/readyz",
    "/accounts",
    "/status",
    "/analytics",
    "/metrics",
    "/v1/models",
    "/models",
)


def test_what_is_looked_at_is_as_the_document_says(patchbay: Patchbay) -> None:
    assert patchbay.post("/v1/messages", BODY).status == 200
    for path in READ:
        assert checked(patchbay.get(path), "GET", path).status == 200
        assert checked(patchbay.request("HEAD", path), "HEAD", path).status == 200
    for name, status in (("demo", 200), ("nobody-knows-it", 404)):
        assert checked(patchbay.get(f"/v1/models/{name}"), "GET", "/v1/models/{model_id}").status == status


def test_it_is_served_to_anybody_whom_the_gate_lets_in(patchbay: Patchbay) -> None:
    answer = checked(
        patchbay.get("/openapi.json", {"x-forwarded-for": "203.0.113.9"}), "GET", "/openapi.json"
    )
    assert {**answer.json(), "info": 0} == {**json.loads(json.dumps(DOCUMENT)), "info": 0}
    assert answer.json()["info"]["version"] != DOCUMENT["info"]["version"]
    foreign = patchbay.get("/openapi.json", {"origin": "https://evil.example"})
    assert checked(foreign, "GET", "/openapi.json").status == 403


REFUSED: list[tuple[str, bytes, Mapping[str, str], int]] = [
    ("/v1/messages", b"{", {}, 400),
    ("/v1/chat/completions", b"{}", {}, 400),
    ("/v1/responses", b'{"model": "demo"}', {}, 400),
    ("/v1/messages", b"{}", {"content-type": "text/plain"}, 415),
    ("/v1/embeddings", b'{"model": "nobody-knows", "input": "x"}', {}, 404),
    ("/v1/messages", b"{}", {"x-forwarded-for": "203.0.113.9"}, 401),
    ("/v1/chat/completions", b"{}", {"x-forwarded-for": "203.0.113.9"}, 401),
    ("/dashboard/playground/run", b"{}", {}, 400),
]


@pytest.mark.parametrize(("path", "body", "headers", "status"), REFUSED)
def test_errors_are_in_the_shape_of_their_protocol(
    patchbay: Patchbay, path: str, body: bytes, headers: Mapping[str, str], status: int
) -> None:
    assert checked(patchbay.post(path, body, headers), "POST", path).status == status
    checked(patchbay.get("/v1/models", {"origin": "null"}), "GET", "/v1/models")


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=False)
    | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
PATHS = [f"{prefix}{kind.path}" for kind in Kind for prefix in ("/v1", "")]
FIELDS = sorted({name for shape in SHAPES.values() for name in shape.__struct_fields__})


@settings(max_examples=settings().max_examples)
@given(path=st.sampled_from(PATHS), extra=st.dictionaries(st.sampled_from(FIELDS), JSON, max_size=3))
def test_whatever_a_client_sends_the_answer_is_in_the_document(
    patchbay: Patchbay, path: str, extra: dict[str, object]
) -> None:
    body = {"model": "demo", "messages": [], "input": "hi", "prompt": "hi", **extra}
    assert checked(patchbay.post(path, body), "POST", path).status < 500


@settings(max_examples=20)
@given(minutes=st.text(alphabet="0123456789-. e", max_size=8) | st.integers(0, 600_000).map(str))
def test_whatever_span_is_asked_for_the_answer_is_in_the_document(patchbay: Patchbay, minutes: str) -> None:
    query = minutes.replace(" ", "%20")
    assert checked(patchbay.get(f"/analytics?minutes={query}"), "GET", "/analytics").status in (200, 400)
