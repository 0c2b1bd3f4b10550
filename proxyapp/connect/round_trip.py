"""A free test through the running server, with what the tool was told: the model list, then what costs nothing.

Rule: nothing here can cost money. A message is sent only to the built-in simulated model; of any other model the
tokens are counted, which no provider charges for.
"""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field
from typing import Any

from backends.addresses import BadBaseUrl, check_base_url
from backends.errors import ConnectFailed, UpstreamError
from backends.upstream import Deadlines, current_upstream
from proxyapp.asking import AskError, Question, ask
from proxyapp.connect.parts import Tool, Wish

MAX_ANSWER = 16 * 2**20
NEW_KEY_SECONDS = 3.0  # within one a running server knows a key that was just made
DEMO = "demo"
_DEADLINES = Deadlines(connect=3, first_byte=30, idle=30)


@dataclass(slots=True)
class Tested:
    """What was tested, what was wrong, and why nothing was tested, if nothing was."""

    lines: list[str] = field(default_factory=list)
    problem: str = ""
    skipped: str = ""


async def round_trip(tool: Tool, wish: Wish, *, is_new_key: bool = False) -> Tested:
    """Ask the running server what the tool will ask it first."""
    tested = Tested()
    try:
        names = await _list(wish, tested, patience=NEW_KEY_SECONDS if is_new_key else 0.0)
        if not tested.problem:
            await _count_or_ask(tool, wish, names, tested)
    except ConnectFailed:
        tested.skipped = f"nothing listens at {wish.url}; start it: python manage.py runproxy"
    except BadBaseUrl as exc:
        tested.skipped = str(exc).rstrip(".")
    except (UpstreamError, AskError) as exc:
        tested.problem = str(exc)
    return tested


async def _list(wish: Wish, tested: Tested, patience: float) -> list[str]:
    until = time.monotonic() + patience
    status, answer = await _call("GET", "/v1/models", wish)
    while status == 401 and time.monotonic() < until:
        await asyncio.sleep(0.1)
        status, answer = await _call("GET", "/v1/models", wish)
    if status != 200:
        tested.problem = f"GET /v1/models answered {status}: {_message(answer)}"
        return []
    names = [str(one.get("id")) for one in answer.get("data", []) if isinstance(one, dict)]
    tested.lines.append(f"GET /v1/models: {len(names)} model{'s' * (len(names) != 1)}")
    return names


async def _count_or_ask(tool: Tool, wish: Wish, names: list[str], tested: Tested) -> None:
    """A message where the model is simulated; else a count in the one protocol that has one."""
    used = wish.model or tool.own_model
    simulated = used if used.startswith(DEMO) else DEMO
    if simulated in names:
        question = Question("Say hello.", simulated, tool.dialect, wish.url, stream=True, key=wish.key)
        reply = await ask(question, lambda _: None)
        tested.lines.append(
            f"a streamed {tool.dialect} message to the simulated model {simulated}: {reply.line()}"
        )
    if tool.dialect == "anthropic" and not used.startswith(DEMO):
        body = {"model": used, "messages": [{"role": "user", "content": "Say hello."}]}
        status, answer = await _call("POST", "/v1/messages/count_tokens", wish, body)
        if status == 200:
            tested.lines.append(f"count_tokens for {used}: {answer.get('input_tokens')} tokens")
        else:
            tested.problem = f"count_tokens for {used} answered {status}: {_message(answer)}"


async def _call(method: str, path: str, wish: Wish, body: object = None) -> tuple[int, dict[str, Any]]:
    headers = [
        (b"content-type", b"application/json"),
        (b"user-agent", b"patchbay-connect"),
        (b"anthropic-version", b"2023-06-01"),
        (b"authorization", b"Bearer " + wish.token.encode()),
    ]
    response = await current_upstream().send(
        method=method,
        base=check_base_url(wish.url),
        path=path,
        query=b"",
        headers=headers,
        body=b"" if body is None else json.dumps(body).encode(),
        deadlines=_DEADLINES,
    )
    try:
        answer = json.loads(await response.read(MAX_ANSWER) or b"{}")
    except ValueError:
        answer = {}
    finally:
        response.close()
    return response.status, answer if isinstance(answer, dict) else {}


def _message(answer: dict[str, Any]) -> str:
    error = answer.get("error")
    if isinstance(error, dict):
        return str(error.get("message") or error)
    return "no answer of Patchbay's. Does another program use its port?"
