"""Bodies over TCP: kept for the keys and backends that ask for it, byte for byte, and for nobody else."""

from __future__ import annotations

import http.client
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from accounts.redact import MASK
from tests.desk import Desk
from tests.patchbay import Answer, Patchbay
from tests.proxyapp.pools import eventually
from tests.servers import SimulatorThread

CHAT, MESSAGES = "/v1/chat/completions", "/v1/messages"
PROVIDER_KEY = "sk-real-key-of-a-provider"


def ask(model: str, text: str = "ping", **fields: Any) -> bytes:
    body = {"model": model, "max_tokens": 50, "messages": [{"role": "user", "content": text}], **fields}
    return json.dumps(body, indent=1).encode()  # spaced as nobody would space it again


@dataclass
class Story:
    """What was sent and what came back, by a name, and the archive of it all."""

    sent: dict[str, bytes]
    answers: dict[str, Answer]
    entries: dict[str, dict[str, Any]]

    def entry(self, name: str) -> dict[str, Any]:
        return self.entries[self.answers[name].headers["x-patchbay-request-id"]]

    def kept_request(self, name: str) -> str | None:
        posted = self.entry(name)["request"].get("postData")
        return posted["text"] if posted else None

    def kept_answer(self, name: str) -> str | None:
        return self.entry(name)["response"]["content"].get("text")


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    file = tmp_path_factory.mktemp("bodies") / "history.har"
    with SimulatorThread() as upstream, Patchbay({"PATCHBAY_QUEUE_SECONDS": "0"}) as patchbay:
        with Desk(patchbay) as desk:
            told = _tell(patchbay, upstream, desk)
        patchbay.stop()
        yield Story(*told, entries=_archive(patchbay, file))


def _tell(
    patchbay: Patchbay, upstream: SimulatorThread, desk: Desk
) -> tuple[dict[str, bytes], dict[str, Answer]]:
    for name in ("plain", "kept"):
        desk.do(
            {"do": "backend", "name": name, "base": f"{upstream.url}/v1", "keeps_bodies": name == "kept"},
            {
                "do": "account",
                "alias": name,
                "backend": name,
                "credential": {"key": f"{PROVIDER_KEY}-{name}"},
            },
        )
    keys = {name: desk.do({"do": "key", "name": name})[0] for name in ("keeper", "other")}
    _check_box(patchbay, desk, "keeper")
    desk.settle()
    sent = {
        "nobody asked": ask("plain:gpt-4o"),
        "key": ask("plain:gpt-4o", "h\u00e9llo \u20ac"),
        "key, stream": ask("plain:gpt-4o", stream=True),
        "key, translated": ask("plain:gpt-4o", stream=True),
        "key, cut": ask("plain:gpt-4o", stream=True),
        "key, refused": ask("no-such-backend-has:this"),
        "key, upstream fails": ask("plain:gpt-4o"),
        "key, our secret": ask("plain:gpt-4o", f"why is {PROVIDER_KEY}-kept refused?"),
        "backend": ask("kept:gpt-4o"),
        "backend, stream": ask("kept:gpt-4o", stream=True),
        "key, not JSON": b'{"model": ',
    }
    answers = {}
    for name, body in sent.items():
        if name == "key, cut":
            upstream.script(["cut@3"])
        if name == "key, upstream fails":
            upstream.script(["status=400"])
        path = MESSAGES if name == "key, translated" else CHAT
        headers = {"x-api-key": keys["keeper" if name.startswith("key") else "other"]}
        answers[name] = patchbay.post(path, body, headers)
    sent["key, client leaves"] = ask("plain:gpt-4o", stream=True)
    upstream.script(["events=100000,gap=20ms"])
    answers["key, client leaves"] = _leave(patchbay, sent["key, client leaves"], keys["keeper"])
    assert eventually(lambda: len(desk.do({"do": "rows"})[0]) >= len(sent))
    return sent, answers


def _leave(patchbay: Patchbay, body: bytes, key: str) -> Answer:
    """Read the beginning of a stream and close the connection."""
    connection = http.client.HTTPConnection("127.0.0.1", patchbay.port, timeout=20)
    connection.request("POST", CHAT, body, {"content-type": "application/json", "x-api-key": key})
    response = connection.getresponse()
    headers = {name.lower(): value for name, value in response.getheaders()}
    answer = Answer(response.status, headers, response.read1() + response.read1())
    response.close()
    connection.close()
    return answer


def _check_box(patchbay: Patchbay, desk: Desk, key: str) -> None:
    """As the admin does for a client key."""
    patchbay.sql("config", "UPDATE accounts_clientkey SET keeps_bodies = ? WHERE name = ?", True, key)
    patchbay.sql("config", "UPDATE backends_configversion SET number = number + 1")
    [(desk.version,)] = patchbay.sql("config", "SELECT number FROM backends_configversion")


def _archive(patchbay: Patchbay, file: Path) -> dict[str, dict[str, Any]]:
    patchbay.manage("history", "--export", "har", "--output", str(file))
    return {entry["_patchbay"]["id"]: entry for entry in json.loads(file.read_text())["log"]["entries"]}


@pytest.mark.parametrize(
    "name",
    [
        "key",
        "key, stream",
        "key, translated",
        "key, cut",
        "key, refused",
        "key, upstream fails",
        "backend",
        "backend, stream",
    ],
)
def test_bodies_are_kept_as_they_crossed_the_wire(story: Story, name: str) -> None:
    assert story.kept_request(name) == story.sent[name].decode()
    assert story.kept_answer(name) == story.answers[name].body.decode()
    assert story.entry(name)["response"]["content"]["mimeType"] == story.answers[name].headers["content-type"]


def test_the_scenes_are_what_they_are_meant_to_be(story: Story) -> None:
    assert story.answers["key, cut"].status in (200, 502)
    assert story.answers["key, translated"].headers["x-patchbay-lane"] == "translated"
    statuses = {name: story.answers[name].status for name in ("key", "backend", "nobody asked")}
    assert set(statuses.values()) == {200}
    assert story.answers["key, upstream fails"].status == 400
    assert story.answers["key, refused"].status == 404


def test_nothing_is_kept_that_nobody_asked_for(story: Story) -> None:
    assert (story.kept_request("nobody asked"), story.kept_answer("nobody asked")) == (None, None)


def test_what_was_never_a_request_is_not_kept(story: Story) -> None:
    assert story.kept_request("key, not JSON") is None


def test_our_own_keys_are_taken_out(story: Story) -> None:
    kept = story.kept_request("key, our secret")
    assert kept is not None
    assert MASK in kept
    assert PROVIDER_KEY not in json.dumps(story.entries)


def test_a_client_that_leaves_gets_what_it_got_kept(story: Story) -> None:
    seen = story.answers["key, client leaves"].body
    assert seen
    assert (story.kept_answer("key, client leaves") or "").encode().startswith(seen)
    assert story.entry("key, client leaves")["_patchbay"]["outcome"] == "cancelled"


def test_the_setting_keeps_everything() -> None:
    with Patchbay({"PATCHBAY_LOG_BODIES": "1"}) as patchbay:
        answer = patchbay.post(CHAT, ask("demo"))
        patchbay.stop()
    found = dict(patchbay.sql("history", "SELECT side, pieces FROM analytics_body"))
    pieces = dict(patchbay.sql("history", "SELECT digest, data FROM analytics_bodypiece"))
    contents = {
        side: b"".join(zlib.decompress(pieces[line]) for line in lines.split())
        for side, lines in found.items()
    }
    assert contents == {"request": ask("demo"), "response": answer.body}
