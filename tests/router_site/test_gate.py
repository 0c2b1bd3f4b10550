"""The gate's decisions: Host, Origin, cross-site fetches, content types, peers, and the hidden admin."""

from __future__ import annotations

from typing import Any

import pytest

from router_site.gate import JSON_PATHS, Gate
from router_site.gate_config import GateConfig
from tests.router_site.gate_client import CONFIG, OUR_HOST, ask

# --- Host -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1:3456", "localhost:3456", "[::1]:3456", "LocalHost:3456"])
async def test_our_own_names_pass(host: str) -> None:
    assert (await ask(host=host)).passed


@pytest.mark.parametrize(
    "host",
    [
        "evil.com",
        "evil.com:3456",
        "127.0.0.1",
        "localhost",
        "127.0.0.1:3457",
        "localhost.:3456",
        "127.0.0.1.evil.com:3456",
        "0.0.0.0:3456",
        "127.1:3456",
        "192.168.1.5:3456",
    ],
)
async def test_foreign_host_is_refused(host: str) -> None:
    for kind in ("http", "websocket"):
        seen = await ask(host=host, kind=kind)
        assert not seen.passed
        assert seen.status == 403


@pytest.mark.parametrize(
    "host",
    [None, "", "127.0.0.1:3456,evil.com", "127.0.0.1/x?", "localhost@evil", "127.0.0.1#", "a b", "[::1"],
)
async def test_missing_or_malformed_host_is_400(host: str | None) -> None:
    seen = await ask(host=host)
    assert not seen.passed
    assert seen.status == 400


@pytest.mark.parametrize(
    "name", ["host", "authorization", "x-api-key", "x-patchbay-key", "origin", "content-length"]
)
async def test_header_that_must_be_single_is_refused_when_repeated(name: str) -> None:
    seen = await ask("/v1/models", f"{name}: {OUR_HOST}", f"{name}: {OUR_HOST}")
    assert not seen.passed
    assert seen.status == 400


async def test_host_without_a_port_is_ours_on_port_80() -> None:
    config = GateConfig.make(host="127.0.0.1", port=80)
    assert (await ask(host="localhost", config=config)).passed
    assert (await ask("/", "origin: http://localhost", host="localhost", config=config)).passed


async def test_configured_hosts_pass_with_any_port_unless_one_is_configured() -> None:
    config = GateConfig.make(host="127.0.0.1", port=3456, allowed_hosts=["Box.lan", "exact.lan:8080"])
    for host in ("box.lan", "box.lan:443", "BOX.LAN:1", "exact.lan:8080"):
        assert (await ask(host=host, config=config)).passed
    for host in ("exact.lan", "exact.lan:8081", "sub.box.lan"):
        assert not (await ask(host=host, config=config)).passed


async def test_bound_to_everything_the_address_asked_is_ours_but_no_name() -> None:
    config = GateConfig.make(host="0.0.0.0", port=3456)
    address = ("192.168.1.5", 3456)
    assert (await ask(host="192.168.1.5:3456", server=address, config=config)).passed
    assert (await ask(host="192.168.1.5:3456", server=("::ffff:192.168.1.5", 3456), config=config)).passed
    assert (await ask(host="[fd00::5]:3456", server=("fd00::5", 3456), config=config)).passed
    for host in ("192.168.1.6:3456", "rebound.example:3456", "0.0.0.0:3456"):
        assert not (await ask(host=host, server=address, config=config)).passed


# --- Origin and cross-site fetches ------------------------------------------------------------------------


@pytest.mark.parametrize("origin", ["http://127.0.0.1:3456", "http://localhost:3456"])
async def test_our_own_pages_may_ask(origin: str) -> None:
    assert (await ask("/analytics", f"origin: {origin}", "sec-fetch-site: same-origin")).passed


@pytest.mark.parametrize(
    "origin",
    [
        "null",
        "file://",
        "https://evil.com",
        "http://localhost:3000",
        "http://127.0.0.1.evil.com",
        "http://127.0.0.1:3456.evil.com",
        "https://127.0.0.1:3456",
        "http://127.0.0.1",
        "http://127.0.0.1:3456/",
        "",
    ],
)
@pytest.mark.parametrize("kind", ["http", "websocket"])
async def test_foreign_origin_is_403(origin: str, kind: str) -> None:
    seen = await ask("/analytics", f"origin: {origin}", kind=kind)
    assert not seen.passed
    assert seen.status == 403


async def test_configured_host_behind_tls_is_its_own_origin() -> None:
    config = GateConfig.make(host="127.0.0.1", port=3456, allowed_hosts=["box.lan"])
    assert (await ask("/admin/", "origin: https://box.lan", host="box.lan", config=config)).passed
    assert not (await ask("/admin/", "origin: https://other.lan", host="box.lan", config=config)).passed


@pytest.mark.parametrize("target", ["/analytics", "/accounts", "/v1/models", "/metrics"])
async def test_cross_site_fetch_is_403_also_for_get(target: str) -> None:
    for mode in ("cors", "no-cors", "navigate"):
        seen = await ask(target, "sec-fetch-site: cross-site", f"sec-fetch-mode: {mode}")
        assert seen.status == 403


@pytest.mark.parametrize("target", ["/", "/dashboard/", "/admin/", "/admin/backends/route/"])
async def test_link_from_another_site_may_open_a_page(target: str) -> None:
    site, mode, dest = "sec-fetch-site: cross-site", "sec-fetch-mode: navigate", "sec-fetch-dest: document"
    assert (await ask(target, site, mode, dest)).passed
    assert not (await ask(target, site, mode, "sec-fetch-dest: iframe")).passed
    assert not (await ask(target, site, mode, dest, "origin: https://evil.com")).passed
    assert not (await ask(target, site, mode, dest, method="POST")).passed
    assert not (await ask(target, site)).passed


async def test_other_port_of_this_host_may_read_nothing_and_send_nothing() -> None:
    """Ports share a site: the browser says same-site, and sends Origin with everything that could harm."""
    site, kind = "sec-fetch-site: same-site", "content-type: application/json"
    assert not (await ask("/v1/messages", site, kind, method="POST")).passed
    assert not (await ask("/v1/messages", site, kind, "origin: http://localhost:3000", method="POST")).passed


# --- content type -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "kind",
    [
        "application/json",
        "application/json; charset=utf-8",
        "Application/JSON;charset=UTF-8",
        'application/json; charset="utf-8"',
    ],
)
async def test_json_passes(kind: str) -> None:
    for target in JSON_PATHS:
        assert (await ask(target, f"content-type: {kind}", method="POST")).passed


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("content-type: ",),
        ("content-type: text/plain",),
        ("content-type: application/x-www-form-urlencoded",),
        ("content-type: multipart/form-data; boundary=" + "x" * 5000,),
        ("content-type: application/json; charset=utf-7",),
        ("content-type: application/jsonx",),
        ("content-type: application/json", "content-type: application/json"),
        ("content-type: application/json", "content-type: text/plain"),
    ],
)
async def test_anything_else_is_415_on_the_api(headers: tuple[str, ...]) -> None:
    seen = await ask("/v1/chat/completions", *headers, method="POST")
    assert not seen.passed
    assert seen.status == 415


async def test_admin_forms_are_not_json_and_pass() -> None:
    form = "content-type: application/x-www-form-urlencoded"
    assert (await ask("/admin/login/", form, f"origin: http://{OUR_HOST}", method="POST")).passed


# --- peers and the admin ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "peer"),
    [
        ("127.0.0.1", "loopback"),
        ("127.8.8.8", "loopback"),
        ("::1", "loopback"),
        ("::ffff:127.0.0.1", "loopback"),
        ("::ffff:10.0.0.1", "remote"),
        ("10.0.0.1", "remote"),
        ("fe80::1%eth0", "remote"),
        ("not an address", "remote"),
    ],
)
async def test_peer_is_the_address_of_the_socket(address: str, peer: str) -> None:
    seen = await ask(client=(address, 1))
    assert seen.scope is not None
    assert seen.scope["patchbay"]["peer"] == peer
    assert seen.scope["patchbay"]["received_at"] > 0


async def test_peer_without_an_address_is_remote() -> None:
    seen = await ask(client=None)
    assert seen.scope is not None
    assert seen.scope["patchbay"]["peer"] == "remote"


@pytest.mark.parametrize(
    "header",
    [
        "forwarded: for=127.0.0.1",
        "x-forwarded-for: 127.0.0.1",
        "x-forwarded-host: evil.com",
        "x-forwarded-proto: https",
        "x-real-ip: 127.0.0.1",
        "via: 1.1 proxy",
    ],
)
async def test_whatever_comes_through_a_proxy_is_remote(header: str) -> None:
    seen = await ask("/v1/models", header)
    assert seen.scope is not None
    assert seen.scope["patchbay"]["peer"] == "remote"
    assert (await ask("/admin/", header)).status == 404


ODD_ADMINS = [
    "//admin/",
    "/admin//",
    "/%61dmin/",
    "/v1/%2e%2e/admin/",
    "/v1/../admin/",
    "/v1/..;/admin/",
    "/./admin/",
    "/admin;x/",
    "/admin%2f",
    "/%2fadmin/",
    "/ADMIN/",
    "/admin/../admin/",
    "/\\admin/",
    "/%5cadmin/",
]


@pytest.mark.parametrize("target", ODD_ADMINS)
async def test_odd_spellings_never_lead_to_the_admin(target: str) -> None:
    for client in (("127.0.0.1", 1), ("10.0.0.1", 1)):
        seen = await ask(target, client=client)
        assert not seen.passed
        assert seen.status == 404


async def test_admin_is_for_this_machine_only() -> None:
    for target in ("/admin", "/admin/", "/admin/backends/route/1/change/"):
        assert (await ask(target)).passed
        assert (await ask(target, client=("10.0.0.1", 1))).status == 404


@pytest.mark.parametrize(
    "target",
    ["/v1/models/org%2Fadmin-7b", "/v1/models/admin", "/static/admin/css/base.css", "/administrators"],
)
async def test_the_word_alone_is_not_the_admin(target: str) -> None:
    assert (await ask(target, client=("10.0.0.1", 1))).passed


@pytest.mark.parametrize(
    "target", ["http://evil/v1/models", "http://127.0.0.1:3456/v1/models", "*", "evil:443"]
)
async def test_target_must_be_a_path(target: str) -> None:
    assert (await ask(target)).status == 400


# --- answers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "key"), [("/v1/messages", "request_id"), ("/v1/chat/completions", "error")]
)
async def test_refusal_is_answered_in_the_shape_of_the_path_and_reported(target: str, key: str) -> None:
    seen = await ask(target, method="POST")
    request_id = seen.headers["x-patchbay-request-id"]
    assert key in seen.json()
    assert seen.rejected == [("POST", target, 415, seen.json()["error"]["message"], request_id, "loopback")]


async def test_refusal_of_head_has_no_body() -> None:
    assert (await ask(method="HEAD", host="evil.com")).sent[1]["body"] == b""


async def test_websocket_upgrade_of_the_api_is_426() -> None:
    for target in ("/v1/responses", "/responses"):
        seen = await ask(target, "connection: Upgrade", "upgrade: WebSocket")
        assert (seen.status, seen.headers["upgrade"]) == (426, "HTTP/1.1")
        seen = await ask(target, kind="websocket", extensions={"websocket.http.response": {}})
        assert (seen.sent[0]["type"], seen.status) == ("websocket.http.response.start", 426)
        assert seen.json()["error"]["message"]
        seen = await ask(target, kind="websocket")
        assert seen.sent == [{"type": "websocket.close", "code": 1008}]


async def test_foreign_origin_wins_over_426() -> None:
    assert (await ask("/v1/responses", "upgrade: websocket", "origin: https://evil.com")).status == 403


async def test_other_protocols_pass_untouched() -> None:
    passed = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        passed.append(scope)

    async def never(*_: Any) -> Any:
        raise AssertionError

    await Gate(application, CONFIG)({"type": "lifespan"}, never, never)
    assert passed == [{"type": "lifespan"}]


def test_config_comes_from_the_settings(settings: Any) -> None:
    settings.PATCHBAY_HOST, settings.PATCHBAY_PORT = "::1", 4000
    settings.PATCHBAY_ALLOWED_HOSTS, settings.PATCHBAY_CORS_ORIGIN = ["box"], ["https://a.example/"]
    config = GateConfig.from_settings()
    assert config.hosts == {b"127.0.0.1:4000", b"localhost:4000", b"[::1]:4000"}
    assert config.extra_hosts == {b"box"}
    assert config.cors_origins == {b"https://a.example"}
