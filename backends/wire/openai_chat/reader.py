"""A stream of Chat Completions chunks, from OpenAI or whoever imitates it, as events."""

from __future__ import annotations

from typing import Any

from backends.wire.conversation import Alive, Began, Ended, Event, Failed, Stop
from backends.wire.errors import ApiError, read_error
from backends.wire.kinds import Kind
from backends.wire.openai_chat.details import text_of
from backends.wire.openai_chat.errors import neutral
from backends.wire.openai_chat.lanes import LEGACY, Lanes, Nameless, TooMuch
from backends.wire.sse import SseReader, SseTooLong
from backends.wire.stream import CUT_CODE, load
from backends.wire.target import Names, short_hash
from backends.wire.usage import Usage, usage_from

Obj = dict[str, Any]

_STOPS = {
    "stop": Stop.END,
    "end_turn": Stop.END,
    "eos": Stop.END,
    "stop_sequence": Stop.SEQUENCE,
    "tool_calls": Stop.TOOLS,
    "tool_use": Stop.TOOLS,
    "function_call": Stop.TOOLS,
    "length": Stop.LENGTH,
    "max_tokens": Stop.LENGTH,
    "model_length": Stop.LENGTH,
    "content_filter": Stop.REFUSAL,
    "refusal": Stop.REFUSAL,
    "safety": Stop.REFUSAL,
}


class Answer:
    """One answer as it comes, whole or in deltas. The same code reads both, so both give the same blocks."""

    __slots__ = ("_begun", "_lanes", "_reason", "_sequence", "_usage", "is_over")

    def __init__(self, names: Names) -> None:
        self._lanes = Lanes(names)
        self._begun = False
        self._reason: str | None = None
        self._sequence: str | None = None
        self._usage: Usage | None = None
        self.is_over = False

    @property
    def begun(self) -> bool:
        """Whether the first event was handed out."""
        return self._begun

    @property
    def has_finish(self) -> bool:
        """Whether the upstream has said why it stopped."""
        return self._reason is not None

    def take(self, chunk: Obj, part: str = "delta") -> list[Event]:
        """One chunk; `part` is the name of what a choice holds: `delta`, or `message` in a whole answer."""
        if self.is_over:
            return []
        error = _error_in(chunk)
        if error is not None:
            return self.fail(error)
        events = self._begin(chunk)
        self._count(chunk)
        choice = _first_choice(chunk)
        try:
            if choice is not None:
                events += self._choose(choice, part)
        except TooMuch as exc:
            return events + self.fail(ApiError(502, str(exc), code="answer_too_large"))
        except Nameless as exc:
            return events + self.fail(ApiError(502, str(exc), code="bad_tool_call"))
        if choice is None and self._reason is not None and isinstance(chunk.get("usage"), dict):
            return events + self.end()  # the last chunk there is
        if not events and self._begun and not self.is_over:
            events.append(Alive())
        return events

    def _begin(self, chunk: Obj) -> list[Event]:
        """Azure's first chunk has no choices and an empty id: that is not the beginning yet."""
        if self._begun or not (chunk.get("id") or chunk.get("choices")):
            return []
        self._begun = True
        model, created = _text(chunk.get("model")), chunk.get("created")
        answer_id = _text(chunk.get("id")) or f"chatcmpl-{short_hash(f'{model}:{created}', 24)}"
        self._lanes.begin(answer_id)
        return [Began(answer_id, model, created=_seconds(created))]

    def _count(self, chunk: Obj) -> None:
        """The last report counts. Groq has it in a place of its own."""
        found = chunk.get("usage")
        if not found:
            groq = chunk.get("x_groq")
            found = groq.get("usage") if isinstance(groq, dict) else None
        if isinstance(found, dict):
            self._usage = usage_from(Kind.CHAT, found) or self._usage

    def _choose(self, choice: Obj, part: str) -> list[Event]:
        delta = choice.get(part)
        events = self._read(delta, is_whole=part == "message") if isinstance(delta, dict) else []
        reason = choice.get("finish_reason")
        if isinstance(choice.get("stop_reason"), str):
            self._sequence = choice["stop_reason"]
        if not isinstance(reason, str) or not reason:
            return events
        if reason.lower() not in _STOPS:
            message = f"The upstream ended its answer with the finish reason `{reason[:64]}`. Try again."
            error = _error_in(choice) or ApiError(502, message, code="upstream_error")
            return events + self.fail(error)
        self._reason = self._reason or reason.lower()
        return events

    def _read(self, delta: Obj, *, is_whole: bool) -> list[Event]:
        lanes = self._lanes
        events = self._think(delta)
        content = delta.get("content")
        if isinstance(content, str):
            events += lanes.say("text", content)
        elif isinstance(content, list):
            for item in content:
                events += self._part(item)
        if delta.get("refusal"):
            events += lanes.say("refusal", _text(delta["refusal"]))
        calls = delta.get("tool_calls")
        legacy = delta.get("function_call")
        if isinstance(calls, list) and calls:
            for position, call in enumerate(calls):
                if isinstance(call, dict):
                    events += lanes.call(call, position=position if is_whole else None)
        elif isinstance(legacy, dict) and not lanes.saw_calls:
            events += lanes.call({"function": legacy, "index": LEGACY})
        return events

    def _think(self, delta: Obj) -> list[Event]:
        details = delta.get("reasoning_details")
        words = _text(delta.get("reasoning_content")) or _text(delta.get("reasoning")) or text_of(details)
        events = self._lanes.say("thinking", words)
        if details:
            events += self._lanes.keep(details)
        return events

    def _part(self, item: object) -> list[Event]:
        """A part of a content list: text, or Mistral's thinking, which is a list again."""
        if isinstance(item, str):
            return self._lanes.say("text", item)
        if not isinstance(item, dict):
            return []
        if item.get("type") != "thinking":
            return self._lanes.say("text", _text(item.get("text")))
        inner = item.get("thinking")
        parts = inner if isinstance(inner, list) else [inner]
        words = "".join(_text(part.get("text")) if isinstance(part, dict) else _text(part) for part in parts)
        return self._lanes.say("thinking", words)

    def end(self) -> list[Event]:
        """The regular end: everything closes, and the stop is what the blocks say."""
        if self.is_over:
            return []
        try:
            events = self._lanes.close()
        except Nameless as exc:
            return self.fail(ApiError(502, str(exc), code="bad_tool_call"))
        self.is_over = True
        stop = self._stop()
        sequence = self._sequence if stop is Stop.SEQUENCE else None
        return [*events, Ended(stop, sequence, self._usage)]

    def _stop(self) -> Stop:
        said = _STOPS[self._reason or "stop"]
        if said in (Stop.LENGTH, Stop.REFUSAL):
            return said
        if self._lanes.has_tools:
            return Stop.TOOLS
        if self._lanes.has_refusal:
            return Stop.REFUSAL
        return Stop.SEQUENCE if self._sequence and said in (Stop.END, Stop.SEQUENCE) else Stop.END

    def fail(self, error: ApiError) -> list[Event]:
        """The end by an error."""
        if self.is_over:
            return []
        self.is_over = True
        return [Failed(error, self._usage if self._reason else None)]


class StreamReader:
    """Reads one stream. `names`: the tool names of the request it answers."""

    __slots__ = ("_answer", "_reader")

    def __init__(self, names: Names) -> None:
        self._reader = SseReader()
        self._answer = Answer(names)

    def feed(self, chunk: bytes) -> list[Event]:
        """The events that these bytes complete. Chunks may be cut anywhere."""
        if self._answer.is_over:
            return []
        try:
            received = self._reader.feed(chunk)
        except SseTooLong as exc:
            return self._answer.fail(ApiError(502, str(exc), code="event_too_large"))
        events: list[Event] = []
        for event in received:
            events += self._see(event.name, event.data)
        return events

    def _see(self, name: bytes, data: bytes) -> list[Event]:
        if data.startswith(b"[DONE]"):
            return self._done()
        value = load(data)
        if name == b"error":
            return self._answer.fail(neutral(read_error(value), None))
        return self._answer.take(value) if isinstance(value, dict) else []

    def _done(self) -> list[Event]:
        """`[DONE]` without any answer before it is no answer."""
        return self._answer.end() if self._answer.begun else self._cut()

    def close(self) -> list[Event]:
        """The upstream's end of stream: regular if it has said why it stopped, for some send no `[DONE]`."""
        answer = self._answer
        if answer.is_over:
            return []
        pending = self._reader.pending.strip()
        if pending in (b"data: [DONE]", b"data:[DONE]"):
            return self._done()
        if pending.startswith(b"{") and not answer.begun:
            return self._whole(pending)
        return answer.end() if answer.has_finish else self._cut()

    def _whole(self, body: bytes) -> list[Event]:
        """A server that does not stream answers in one piece, which is as good."""
        value = load(body)
        events = self._answer.take(value, "message") if isinstance(value, dict) else []
        if self._answer.is_over:
            return events
        return events + (self._answer.end() if self._answer.has_finish else self._cut())

    def _cut(self) -> list[Event]:
        message = "The upstream closed the stream before its answer was complete. Try again."
        return self._answer.fail(ApiError(502, message, code=CUT_CODE))


def _error_in(obj: Obj) -> ApiError | None:
    """An error where an answer should be: `error`, or vLLM's flat form."""
    if obj.get("error") or obj.get("object") == "error":
        return neutral(read_error(obj), None)
    return None


def _first_choice(chunk: Obj) -> Obj | None:
    """The choice of index 0; the others of an `n` above 1 have no place in one answer."""
    choices = chunk.get("choices")
    for choice in choices if isinstance(choices, list) else ():
        if isinstance(choice, dict) and choice.get("index", 0) in (0, None):
            return choice
    return None


def _seconds(value: object) -> int | None:
    is_time = type(value) in (int, float) and 0 <= value < 2**53  # type: ignore[operator]
    return int(value) if is_time else None  # type: ignore[call-overload]


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
