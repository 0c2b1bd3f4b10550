"""PATCHBAY_CORS_ORIGIN: exactly the configured pages may use the API, and nothing else is loosened."""

from __future__ import annotations

import pytest

from router_site.gate_config import GateConfig
from tests.router_site.gate_client import ask

CORS = GateConfig.make(host="127.0.0.1", port=3456, cors_origins=["https://app.example"])
ALLOWED = "origin: https://app.example"
PREFLIGHT = ("access-control-request-method: POST", "access-control-request-headers: x-api-key,content-type")


async def test_without_the_setting_nobody_gets_cors_headers() -> None:
    seen = await ask("/v1/messages", ALLOWED, *PREFLIGHT, method="OPTIONS")
    assert seen.status == 403
    assert not [name for name in seen.headers if name.startswith("access-control")]


async def test_preflight_of_the_configured_origin() -> None:
    private = "access-control-request-private-network: true"
    seen = await ask("/v1/messages", ALLOWED, *PREFLIGHT, private, method="OPTIONS", config=CORS)
    assert not seen.passed
    assert seen.status == 204
    assert seen.headers == {
        "access-control-allow-origin": "https://app.example",
        "access-control-allow-methods": "GET, POST",
        "access-control-allow-headers": "x-api-key,content-type",
        "access-control-max-age": "600",
        "access-control-expose-headers": "",
        "vary": "Origin",
    }


async def test_request_of_the_configured_origin_passes_and_may_be_read() -> None:
    site, kind = "sec-fetch-site: cross-site", "content-type: application/json"
    seen = await ask("/v1/messages", ALLOWED, site, kind, method="POST", config=CORS)
    assert seen.passed
    assert seen.headers["access-control-allow-origin"] == "https://app.example"
    assert seen.headers["access-control-expose-headers"] == "x-patchbay-lane"
    assert "access-control-allow-credentials" not in seen.headers


async def test_its_refusals_may_be_read_too() -> None:
    seen = await ask("/v1/messages", ALLOWED, method="POST", config=CORS)
    assert seen.status == 415
    assert seen.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.parametrize(
    "origin", ["https://app.example.evil", "http://app.example", "https://app.example:8443", "null"]
)
async def test_other_origins_stay_foreign(origin: str) -> None:
    seen = await ask("/v1/messages", f"origin: {origin}", *PREFLIGHT, method="OPTIONS", config=CORS)
    assert seen.status == 403
    assert "access-control-allow-origin" not in seen.headers
    assert seen.headers["vary"] == "Origin"


async def test_configured_origin_has_no_business_in_the_admin() -> None:
    seen = await ask("/admin/", ALLOWED, config=CORS)
    assert seen.status == 403
    assert "access-control-allow-origin" not in seen.headers


async def test_header_list_that_is_not_one_is_not_echoed() -> None:
    asked = "access-control-request-headers: a\x80b"
    seen = await ask("/v1/messages", ALLOWED, PREFLIGHT[0], asked, method="OPTIONS", config=CORS)
    assert "access-control-allow-headers" not in seen.headers


async def test_without_origin_the_answer_still_depends_on_it() -> None:
    assert (await ask(config=CORS)).headers["vary"] == "Origin"
