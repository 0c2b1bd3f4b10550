"""What a request is to be answered with: the words that steer the simulator, parsed into one `Script`.

Rule: an unknown word or a bad value is an error that names it, so a misspelt test cannot pass by accident.
The words are listed with their meaning in the package's docstring.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import unquote

KEY_PREFIX = "sk-sim-"


class ScriptError(ValueError):
    """A script that cannot be understood. The message names the word and how to repair it."""


@dataclass(frozen=True, slots=True)
class Script:
    """One behaviour. Durations are seconds, sizes bytes, `*_at` counts events already sent (0 = none)."""

    # the answer
    tool: str | None = None  # "" lets the simulator choose the tool
    parallel: int = 0
    calls: tuple[tuple[str, str], ...] = ()  # (tool, its whole input)
    think: bool = False
    text: str | None = None
    events: int | None = None
    size: int = 40
    endless: bool = False
    big_event: int = 0
    stop: str = ""
    echo_headers: bool = False
    cache: tuple[int, int, int] = (0, 0, 0)  # tokens read, written for 5 min, written for 1 h
    usage: str = ""
    # time
    ttfb: float = 0.0
    gap: float | None = None
    drip: tuple[int, float] | None = None
    # rate-limit headers
    rl: str = ""
    windows: tuple[tuple[str, float], ...] = ()
    used: float = 0.001
    limit: int = 1000
    reset: float | None = None
    reset7d: float | None = None
    claim: str = ""
    overage: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    clock: float = 0.0
    # errors
    status: int = 0
    retry_after: str = ""
    should_retry: str = ""
    error_type: str = ""
    error_code: str = ""
    message: str = ""
    error_at: int | None = None
    error200: bool = False
    echo_secret: str = ""
    html: int | None = None
    redirect: tuple[int, str] | None = None
    # tokens
    expires: float | None = None
    rotation: str = ""
    keep_old: bool = False
    reused: bool = False
    deny: bool = False
    # the connection and the head of the answer
    connection: str = ""
    rst_at: int | None = None
    header_huge: int = 0
    framing: str = ""
    close: bool = False
    gzip: str = ""
    gzip_bomb: int = 0
    empty: bool = False
    wrong_type: bool = False
    swap: str = ""
    # the body
    cut_at: int | None = None
    cut_bytes: int | None = None
    rst: bool = False
    stall_at: int | None = None
    no_terminal: bool = False
    no_done: bool = False
    done_then_hang: bool = False
    bad_json_at: int | None = None
    bad_utf8: bool = False
    newline: str = "lf"
    bom: bool = False
    multi_data: bool = False
    comments: bool = False
    no_space: bool = False


_ANSWER_FIELDS = (
    "tool",
    "parallel",
    "calls",
    "think",
    "text",
    "events",
    "size",
    "stop",
    "echo_headers",
    "cache",
    "usage",
)
_HEADER_FIELDS = (
    "rl",
    "windows",
    "used",
    "limit",
    "reset",
    "reset7d",
    "claim",
    "overage",
    "headers",
    "clock",
)
_TOKEN_FIELDS = ("expires", "rotation", "keep_old")
_SHAPES_ONLY = frozenset((*_ANSWER_FIELDS, *_HEADER_FIELDS, *_TOKEN_FIELDS, "ttfb", "gap"))
"""Fields that shape a good answer. The word `ok` keeps these and drops every fault of a weaker source."""

Change = Mapping[str, object]
_DURATION = re.compile(r"(-?\d+(?:\.\d+)?)(ms|s|m|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}
_SIZE = re.compile(r"(\d+)([km]?)")


def seconds(text: str) -> float:
    """`20ms`, `1.5s`, `2` (seconds), `5m`, `1h`, `7d`, also negative."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError("give a duration such as 20ms, 1.5s or 2")
    return float(match[1]) * _SECONDS[match[2]]


def size(text: str) -> int:
    """`4096`, `64k`, `8m` in bytes."""
    match = _SIZE.fullmatch(text.lower())
    if match is None:
        raise ValueError("give a size such as 4096, 64k or 8m")
    return int(match[1]) << {"": 0, "k": 10, "m": 20}[match[2]]


def _flag(field: str, value: object = True) -> Callable[[str], Change]:
    return lambda _text: {field: value}


def _take(field: str, read: Callable[[str], object], default: object = None) -> Callable[[str], Change]:
    def parse(text: str) -> Change:
        if not text and default is None:
            raise ValueError("it needs a value")
        return {field: read(text) if text else default}

    return parse


def _one_of(field: str, *choices: str) -> Callable[[str], Change]:
    def parse(text: str) -> Change:
        if text and text not in choices:
            raise ValueError(f"choose one of {', '.join(choices)}")
        return {field: text or choices[0]}

    return parse


def _cut(text: str) -> Change:
    if text.startswith("b"):
        return {"cut_bytes": int(text[1:]), "cut_at": None}
    return {"cut_at": int(text or "1"), "cut_bytes": None}


def _expires(text: str) -> float:
    return math.inf if text == "none" else seconds(text)


def _drip(text: str) -> tuple[int, float]:
    count, _, pause = text.partition(":")
    return max(1, int(count)), seconds(pause or "0")


def _redirect(text: str) -> tuple[int, str]:
    code, _, target = text.partition(":")
    return int(code), target or "/elsewhere"


def _cache(text: str) -> tuple[int, int, int]:
    read, write, write_1h = (int(part or 0) for part in (text + "::").split(":")[:3])
    return read, write, write_1h


def _header(text: str) -> Change:
    name, _, value = unquote(text).partition(":")
    return {"headers": ((name.strip().lower(), value.strip()),)}


def _call(text: str) -> tuple[tuple[str, str], ...]:
    name, _, given = unquote(text).partition(":")
    if not name:
        raise ValueError("name a tool, as in call=get_time:%7B%7D")
    return ((name, given or "{}"),)


def _error_at(text: str) -> Change:
    after, _, kind = text.partition(":")
    return {"error_at": int(after), "error_type": kind}


_WORDS: dict[str, Callable[[str], Change]] = {
    "tool": _take("tool", str, ""),
    "parallel": _take("parallel", int, 2),
    "call": _take("calls", _call),
    "think": _flag("think"),
    "text": _take("text", unquote),
    "events": _take("events", int),
    "size": _take("size", size),
    "endless": _flag("endless"),
    "big-event": _take("big_event", size),
    "stop": _one_of("stop", "length", "refusal", "filter", "pause"),
    "echo-headers": _flag("echo_headers"),
    "cache": _take("cache", _cache),
    "usage": _one_of("usage", "none", "neg", "huge", "dup"),
    "ttfb": _take("ttfb", seconds),
    "gap": _take("gap", seconds),
    "drip": _take("drip", _drip),
    "rl": _one_of("rl", "api", "unified", "openai", "none"),
    "used": _take("used", float),
    "limit": _take("limit", int),
    "reset": _take("reset", seconds),
    "reset7d": _take("reset7d", seconds),
    "claim": _take("claim", str),
    "overage": _take("overage", str),
    "hdr": _header,
    "clock": _take("clock", seconds),
    "status": _take("status", int),
    "ra": _take("retry_after", str),
    "should-retry": _one_of("should_retry", "true", "false"),
    "type": _take("error_type", str),
    "code": _take("error_code", str),
    "msg": _take("message", unquote),
    "error-first": lambda text: {"error_at": 0, "error_type": text},
    "error": _error_at,
    "error200": _flag("error200"),
    "echo-secret": _one_of("echo_secret", "plain", "b64", "split"),
    "html502": _take("html", size, 512),
    "redirect": _take("redirect", _redirect),
    "expires": _take("expires", _expires),
    "rotate": _flag("rotation", "rotate"),
    "no-rotate": _flag("rotation", "no-rotate"),
    "keep-old": _flag("keep_old"),
    "reused": _flag("reused"),
    "deny": _flag("deny"),
    "commit-then-drop": _flag("connection", "commit-then-drop"),
    "commit-then-hang": _flag("connection", "commit-then-hang"),
    "refuse": _flag("connection", "refuse"),
    "accept-no-read": _flag("connection", "accept-no-read"),
    "eof-before": _flag("connection", "eof-before"),
    "eof-after-request": _flag("connection", "eof-after-request"),
    "1xx-forever": _flag("connection", "1xx-forever"),
    "header-drip": _flag("connection", "header-drip"),
    "hang": _flag("connection", "hang"),
    "early": _flag("connection", "early"),
    "rst": lambda text: {"rst": True, "rst_at": int(text) if text else None},
    "header-huge": _take("header_huge", size, 256 << 10),
    "dup-cl": _flag("framing", "dup-cl"),
    "cl-te": _flag("framing", "cl-te"),
    "bad-chunk": _flag("framing", "bad-chunk"),
    "close-delimited": _flag("framing", "close-delimited"),
    "close": _flag("close"),
    "gzip": _flag("gzip", "good"),
    "gzip-broken": _flag("gzip", "broken"),
    "gzip-bomb": _take("gzip_bomb", size, 64 << 20),
    "empty200": _flag("empty"),
    "wrong-type": _flag("wrong_type"),
    "json-for-sse": _flag("swap", "json-for-sse"),
    "sse-for-json": _flag("swap", "sse-for-json"),
    "cut": _cut,
    "stall": _take("stall_at", int, 0),
    "no-terminal": _flag("no_terminal"),
    "no-done": _flag("no_done"),
    "done-then-hang": _flag("done_then_hang"),
    "bad-json": _take("bad_json_at", int, 1),
    "bad-utf8": _flag("bad_utf8"),
    "crlf": _flag("newline", "crlf"),
    "cr": _flag("newline", "cr"),
    "bom": _flag("bom"),
    "multi-data": _flag("multi_data"),
    "comments": _flag("comments"),
    "no-space": _flag("no_space"),
}
_REPEATABLE = ("headers", "windows", "calls")
_WINDOW = re.compile(r"u(\d[\w-]*)")


def words() -> tuple[str, ...]:
    """Every word a script may hold, besides `ok` and `u<window>` (as in `u5h=0.4`)."""
    return tuple(_WORDS)


def _change(item: str) -> Change:
    name, _, value = re.sub("[@=]", "\0", item, count=1).partition("\0")
    window = _WINDOW.fullmatch(name)
    if window is None and name not in _WORDS:
        raise ScriptError(f"Unknown simulator word {name!r}. Use ok or one of: {', '.join(_WORDS)}.")
    try:
        return {"windows": ((window[1], float(value)),)} if window else _WORDS[name](value)
    except ValueError as exc:
        raise ScriptError(f"Simulator word {name!r} does not take {value!r}: {exc}.") from exc


def _apply(state: dict[str, object], text: str) -> None:
    """Add the words of `text` to `state`. Words that may repeat (headers, windows, calls) add up."""
    plain = text.partition("#")[0].strip().replace("cl+te", "cl-te")
    for item in re.split("[,+]", plain) if plain else ():
        if item == "ok":
            for name in set(state) - _SHAPES_ONLY:
                del state[name]
            continue
        for name, value in _change(item.strip()).items():
            earlier = state.get(name) if name in _REPEATABLE else None
            adds = isinstance(earlier, tuple) and isinstance(value, tuple)
            state[name] = (*earlier, *value) if adds else value  # type: ignore[misc]


@lru_cache(maxsize=4096)
def parse(*sources: str) -> Script:
    """One script out of several texts, weakest first. Raises ScriptError."""
    state: dict[str, object] = {}
    for text in sources:
        _apply(state, text)
    return Script(**state)  # type: ignore[arg-type]


def split_model(model: str) -> tuple[str, str]:
    """`gpt-4o+status=429` → (`gpt-4o`, `status=429`)."""
    base, _, script = model.partition("+")
    return base, script


def script_of_key(key: str | None) -> str:
    """`sk-sim-status=401#work` → `status=401#work`; any other key scripts nothing."""
    return key.removeprefix(KEY_PREFIX) if key and key.startswith(KEY_PREFIX) else ""


def describe(sources: Iterable[str]) -> str:
    """The sources as the journal shows them: joined, labels dropped."""
    return ",".join(part for text in sources if (part := text.partition("#")[0].strip()))
