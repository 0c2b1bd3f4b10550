"""What the official SDKs make of a stream that was cut and ended by us: an error, wherever it was cut."""

from __future__ import annotations

from collections.abc import Iterator

import anthropic
import httpx2
import openai
import pytest

from backends.wire.kinds import Kind
from backends.wire.tap import stream_tap
from tests.backends.wire.streams import STREAMS

MESSAGE = "The upstream ended its answer early."


def cut_stream(kind: Kind, stream: bytes) -> bytes:
    """What a client receives of a stream that broke after these bytes."""
    tap = stream_tap(kind)
    tap.feed(stream)
    tap.close()
    return stream if tap.finished else stream + tap.cut(MESSAGE, "req_1")


class Sdks:
    """Both SDKs over one in-memory transport that answers with `stream`."""

    def __init__(self) -> None:
        self.stream = b""
        self.http = httpx2.Client(transport=httpx2.MockTransport(self._answer))
        self.claude = anthropic.Anthropic(api_key="k", http_client=self.http, max_retries=0)
        self.gpt = openai.OpenAI(api_key="k", http_client=self.http, max_retries=0)

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, content=self.stream)

    def read(self, kind: Kind, stream: bytes) -> int:
        """Read the stream to its end and count the events."""
        self.stream = stream
        if kind is Kind.MESSAGES:
            turns: list[anthropic.types.MessageParam] = [{"role": "user", "content": "x"}]
            return len(
                list(self.claude.messages.create(model="m", max_tokens=9, messages=turns, stream=True))
            )
        if kind is Kind.CHAT:
            return len(list(self.gpt.chat.completions.create(model="m", messages=[], stream=True)))
        if kind is Kind.COMPLETIONS:
            return len(list(self.gpt.completions.create(model="m", prompt="x", stream=True)))
        return len(list(self.gpt.responses.create(model="m", input="x", stream=True)))


@pytest.fixture(scope="module")
def sdks() -> Iterator[Sdks]:
    made = Sdks()
    yield made
    made.http.close()


@pytest.mark.parametrize("kind", STREAMS)
def test_a_whole_stream_is_read_without_error(kind: Kind, sdks: Sdks) -> None:
    assert sdks.read(kind, b"".join(STREAMS[kind])) > 1


@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_cut_between_events_raises_an_api_error(kind: Kind, sdks: Sdks) -> None:
    events = STREAMS[kind]
    for count in range(len(events)):
        whole = cut_stream(kind, b"".join(events[:count]))
        if whole == b"".join(events[:count]):
            continue
        with pytest.raises((anthropic.APIError, openai.APIError)) as caught:
            sdks.read(kind, whole)
        assert MESSAGE in str(caught.value)


@pytest.mark.parametrize("ends", [b"\n", b"\r\n"])
@pytest.mark.parametrize("kind", STREAMS)
def test_a_stream_cut_at_any_byte_never_ends_well(kind: Kind, ends: bytes, sdks: Sdks) -> None:
    stream = b"".join(STREAMS[kind]).replace(b"\n", ends)
    unclear = []
    # With CRLF, what differs lies around the line ends.
    everywhere = ends == b"\n"
    for cut in (at for at in range(len(stream)) if everywhere or at % 9 == 0 or stream[at - 1] == 13):
        whole = cut_stream(kind, stream[:cut])
        if whole == stream[:cut]:
            continue
        with pytest.raises((anthropic.APIError, openai.APIError, ValueError)) as caught:
            sdks.read(kind, whole)
        if not isinstance(caught.value, anthropic.APIError | openai.APIError):
            unclear.append(stream[max(0, cut - 20) : cut])
    # One fragment cannot be turned into an API error: a whole terminal event that lacks its blank line.
    assert all(fragment.rstrip().endswith(b"}") for fragment in unclear)
    assert len(unclear) <= 4
