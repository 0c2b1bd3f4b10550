"""What a client may send through, and what an upstream may send back: headers, bodies, figures, pages."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.desk import Desk
from tests.hardening.doors import Door, chat, message
from tests.patchbay import Patchbay
from tests.router_site.server_process import Response
from tests.servers import SimulatorThread

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"


@dataclass
class Lab:
    """A Patchbay in front of one simulator, in both protocols."""

    door: Door
    upstream: SimulatorThread
    desk: Desk

    def sent_up(self, body: object, *headers: str, path: str = CHAT) -> dict[str, str]:
        """The headers with which a request reached the upstream; each came once."""
        self.upstream.reset()
        answer = self.door.post(path, body, *headers)
        assert answer.status == 200, answer.body
        [entry] = self.upstream.journal.entries
        names = [name.decode().lower() for name, _ in entry.headers]
        assert len(names) == len(set(names)), names
        return {name.decode().lower(): value.decode("latin-1") for name, value in entry.headers}


@pytest.fixture(scope="module")
def lab() -> Iterator[Lab]:
    settings = {"PATCHBAY_QUEUE_SECONDS": "0", "PATCHBAY_VERBOSE": "on", "PATCHBAY_MAX_BODY_MB": "16"}
    with SimulatorThread() as upstream, Patchbay(settings) as patchbay, Desk(patchbay) as desk:
        for name, base in (("openai", f"{upstream.url}/v1"), ("anthropic", upstream.url)):
            desk.do(
                {"do": "backend", "name": name, "base": base},
                {"do": "account", "alias": name, "backend": name, "credential": {"key": f"sk-real-{name}"}},
            )
        desk.settle()
        yield Lab(Door(patchbay), upstream, desk)
        assert "Traceback" not in patchbay.log


# --- headers ----------------------------------------------------------------------------------------------


CLIENTS_OWN = (
    "Connection: close, X-Secret, Anthropic-Secret",
    "X-Secret: mine",
    "Anthropic-Secret: mine",
    "Keep-Alive: timeout=5",
    "TE: trailers",
    "Trailer: X-T",
    "Proxy-Authorization: mine",
    "Proxy-Connection: mine",
    "Upgrade: h2c",
    "Authorization: Bearer mine",
    "x-api-key: mine",
    "Cookie: session=mine",
    "Referer: http://mine/",
    "Origin: http://HOST",
    "X-Request-Start: mine",
    "api-base: http://127.0.0.1:1",
    "x-portkey-custom-host: http://127.0.0.1:1",
    "x-target-url: http://127.0.0.1:1",
    "Accept-Encoding: br",
)


def test_only_listed_headers_go_up_each_once(lab: Lab) -> None:
    headers = [line.replace("HOST", lab.door.host) for line in CLIENTS_OWN]
    sent = lab.sent_up(chat("gpt-4o"), *headers, "User-Agent: tool/1")
    assert "mine" not in str(sent)
    assert not {"cookie", "referer", "origin", "te", "trailer", "upgrade", "x-target-url"} & set(sent)
    assert (sent["authorization"], sent["user-agent"]) == ("Bearer sk-real-openai", "tool/1")
    assert sent["host"] == lab.upstream.url.removeprefix("http://")
    assert "br" not in sent.get("accept-encoding", "")


def test_a_header_that_is_not_text_goes_up_in_one_line_or_not_at_all(lab: Lab) -> None:
    for value in ("\xe9\xff", "a\tb", "x" * 8000, "=?utf-8?b?eA==?=", "\u202e".encode().decode("latin-1")):
        sent = lab.sent_up(chat("gpt-4o"), f"User-Agent: {value}", f"Idempotency-Key: {value}")
        assert sent["user-agent"] == value
    for value in ("a\0b", "a\rX-B: c", "a\x0bb", "a\x85b"):
        assert lab.door.post(CHAT, chat("gpt-4o"), f"User-Agent: {value}").status == 400


UPSTREAMS_OWN = [
    "Set-Cookie:a=b",
    "Server:s",
    "Location:http%3A//evil",
    "Access-Control-Allow-Origin:*",
    "Strict-Transport-Security:max-age=9",
    "Content-Security-Policy:x",
    "Refresh:0",
    "Link:x",
    "X-Accel-Redirect:/secrets",
    "X-Patchbay-Account:forged",
    "openai-organization:org",
    "anthropic-organization-id:org",
]


@pytest.mark.parametrize("is_stream", [False, True])
def test_what_an_upstream_says_about_itself_stays_here(lab: Lab, is_stream: bool) -> None:
    script = ",".join(f"hdr={header}" for header in UPSTREAMS_OWN)
    lab.upstream.script([script])
    told = lab.door.post(CHAT, chat("gpt-4o", stream=is_stream)).headers
    names = {header.partition(":")[0].lower() for header in UPSTREAMS_OWN} - {"x-patchbay-account"}
    assert not names & set(told)
    assert told["x-patchbay-account"] == "openai"


# --- bodies -----------------------------------------------------------------------------------------------


GOOD = json.dumps(chat("gpt-4o")).encode()
BAD_BODIES = {
    "a byte order mark": b"\xef\xbb\xbf" + GOOD,
    "utf-16": GOOD.decode().encode("utf-16"),
    "utf-32": GOOD.decode().encode("utf-32-le"),
    "half a surrogate pair": GOOD.replace(b"ping", b"\\ud800"),
    "half a pair in the model": GOOD.replace(b"gpt-4o", b"\\ud800"),
    "an overlong form": GOOD.replace(b"ping", b"\xc0\xaf"),
    "a nul in the model": GOOD.replace(b"gpt-4o", b"gpt-4o\\u0000"),
    "a line end in the model": GOOD.replace(b"gpt-4o", b"a\\r\\nX: y"),
    "an escape in the model": GOOD.replace(b"gpt-4o", b"\\u001b[2J"),
    "a turn in the model": GOOD.replace(b"gpt-4o", b"\\u202egpt"),
    "a long model": GOOD.replace(b"gpt-4o", b"m" * 10_000),
    "infinity": GOOD[:-1] + b',"max_tokens":Infinity}',
    "beyond a float": GOOD[:-1] + b',"temperature":1e999}',
    "beyond an integer": GOOD[:-1] + b',"max_tokens":9223372036854775808}',
    "five thousand digits": GOOD[:-1] + b',"max_tokens":' + b"9" * 5000 + b"}",
    "truth for a number": GOOD[:-1] + b',"max_tokens":true}',
    "a number for truth": GOOD[:-1] + b',"stream":1}',
    "depth in an unknown field": GOOD[:-1] + b',"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "three million objects": GOOD[:-1] + b',"x":[' + b"{}," * 3_000_000 + b"{}]}",
    "a million messages": b'{"model":"gpt-4o","messages":[' + b'{"role":"u"},' * 1_000_000 + b"{}]}",
}


@pytest.mark.parametrize("name", BAD_BODIES)
def test_a_body_that_two_readers_might_read_differently_goes_nowhere(lab: Lab, name: str) -> None:
    lab.upstream.reset()
    for path in (CHAT, MESSAGES):
        answer = lab.door.post(path, BAD_BODIES[name])
        assert answer.status == 400, answer.body
        assert answer.json()["error"]["message"]
    assert lab.upstream.journal.entries == []


def test_text_with_a_nul_passes_as_it_is_and_is_recorded(lab: Lab) -> None:
    lab.upstream.reset()
    body = GOOD.replace(b"ping", b"\\u0000 \\u001b[2J")
    assert lab.door.post(CHAT, body).status == 200
    assert lab.upstream.journal.entries[0].body == body


@pytest.mark.parametrize(
    "model",
    ["openai:../../etc/passwd", "openai:a?b=c#d", "openai:<script>", "openai:\U0001f600", "openai:%2e%2e"],
)
def test_a_name_of_a_model_is_never_a_path(lab: Lab, model: str) -> None:
    lab.upstream.reset()
    lab.door.post(CHAT, chat(model))
    assert [entry.target for entry in lab.upstream.journal.entries] == [CHAT]


@pytest.mark.parametrize("where", ["body", "query"])
def test_nobody_names_where_a_request_goes(lab: Lab, where: str) -> None:
    lab.upstream.reset()
    elsewhere = {
        "api_base": "http://127.0.0.1:1",
        "base_url": "http://127.0.0.1:1",
        "custom_llm_provider": "x",
        "extra_headers": {"Authorization": "Bearer stolen"},
    }
    if where == "body":
        answer = lab.door.post(CHAT, chat("gpt-4o", **elsewhere))
    else:
        answer = lab.door.post(f"{CHAT}?api_base=http://127.0.0.1:1&base_url=//127.0.0.1:1", chat("gpt-4o"))
    assert answer.status == 200
    assert lab.upstream.journal.entries[0].key == "sk-real-openai"


# --- upstreams --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("usage", ["neg", "huge", "dup", "none"])
@pytest.mark.parametrize("is_stream", [False, True])
def test_figures_that_make_no_sense_spoil_nothing(lab: Lab, usage: str, is_stream: bool) -> None:
    answers = [
        lab.door.post(CHAT, chat(f"gpt-4o+usage={usage}", stream=is_stream)),
        lab.door.post(MESSAGES, message(f"claude-opus-4-8+usage={usage}", stream=is_stream)),
        lab.door.post(MESSAGES, message(f"gpt-4o+usage={usage}", stream=is_stream)),
    ]
    assert [answer.status for answer in answers] == [200, 200, 200]
    assert answers[0].body.rstrip().endswith(b"[DONE]" if is_stream else b"}")
    told = lab.door.get("/analytics").json()
    assert all(count >= 0 for name, count in told["allTime"].items() if name.endswith("Tokens"))


def test_a_page_of_an_upstream_is_no_page_of_ours(lab: Lab) -> None:
    answer = lab.door.post(CHAT, chat("gpt-4o+html502=1m"))
    assert answer.status == 502
    assert answer.headers["content-type"].startswith("text/plain")
    for path, model in ((MESSAGES, "gpt-4o+html502=1m"), (CHAT, "gpt-4o+wrong-type")):
        said: Response = lab.door.post(path, message(model))
        assert (said.status, said.headers["content-type"]) == (502, "application/json")
        assert len(said.body) < 8192


@pytest.mark.parametrize("script", ["gzip-bomb=64m", "header-huge=200k", "dup-cl", "cl+te", "bad-chunk"])
def test_an_upstream_that_speaks_in_riddles_is_a_502(lab: Lab, script: str) -> None:
    for is_stream in (False, True):
        answer = lab.door.post(CHAT, chat(f"gpt-4o+{script}", stream=is_stream))
        if answer.status == 200:  # bytes of a chunk had come before: then the stream says that it broke
            assert b'"error"' in answer.body
        else:
            assert answer.status == 502
        assert lab.door.get("/livez").status == 200


def test_an_account_that_is_removed_finishes_its_stream_and_does_not_come_back(lab: Lab) -> None:
    base, account = f"{lab.upstream.url}/v1", {"alias": "leaving", "backend": "leaving"}
    lab.desk.do({"do": "backend", "name": "leaving", "base": base})
    lab.desk.do({"do": "account", **account, "credential": {"key": "sk-real-leaving"}})
    lab.desk.settle()
    body = json.dumps(chat("leaving:gpt-4o+events=40,gap=25ms", stream=True)).encode()
    head = lab.door.head("POST", CHAT, f"Content-Length: {len(body)}", "Content-Type: application/json")
    with lab.door.connect() as client:
        client.send(head + body)
        client.read_until(b"data:")
        lab.desk.do({"do": "remove", "alias": "leaving"})
        lab.desk.settle()
        assert client.read_until(b"[DONE]")
    assert "leaving" not in [row["alias"] for row in lab.door.get("/accounts").json()["accounts"]]
    assert lab.door.post(CHAT, chat("leaving:gpt-4o")).status == 503
