"""Real tests over the network: one request for one token, built as any other. Only on request, since it is billed.

Rule: the database is read before the network calls, never during them.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import msgspec

from accounts.credentials import MissingCredential, credential_headers, with_oauth_beta
from accounts.probes import accounts_to_test, backend_models_now
from accounts.redact import redact
from accounts.snapshot import AccountConfig
from backends.config import BackendConfig
from backends.errors import UpstreamError
from backends.online import run_online
from backends.services import ServiceError
from backends.upstream import Deadlines, current_upstream
from backends.wire.conversation import Conversation, Lost, Text, Turn
from backends.wire.errors import read_error
from backends.wire.kinds import Kind, Protocol
from backends.wire.pairs import BUILDERS
from backends.wire.quirks import without
from backends.wire.tap import read_response
from backends.wire.target import Target
from backends.wire.usage import Usage

FIRST_BYTE_SECONDS = 60.0
MAX_BYTES = 2**20
_SMALL = re.compile(r"haiku|mini|nano|flash|lite|small|instant|\b[1-8]b\b", re.IGNORECASE)
_NO_TALK = re.compile(
    r"embed|rerank|whisper|tts|dall-e|image|audio|realtime|transcri|moderation|guard|davinci|babbage",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class RealResult:
    """What one account answered, and what that cost in tokens, as far as the backend says."""

    backend: str
    account: str
    model: str
    ok: bool
    status: int | None
    milliseconds: int
    input_tokens: int | None
    output_tokens: int | None
    message: str

    def line(self) -> str:
        """One line for a terminal or a message box."""
        state = "ok" if self.ok else "FAILED"
        where = f"{self.backend}/{self.account}, model {self.model}"
        return f"{where}: {state} in {self.milliseconds} ms. {self.message}"

    def as_dict(self) -> dict[str, object]:
        """For --json."""
        fields = asdict(self)
        fields["inputTokens"], fields["outputTokens"] = (
            fields.pop("input_tokens"),
            fields.pop("output_tokens"),
        )
        return fields


def real_test_now(name: str, model: str = "") -> list[RealResult]:
    """Ask every account of a backend for one token. Without a model: a small one that the backend lists.

    Raises ServiceError when there is nothing to test.
    """
    pairs = accounts_to_test(name)
    asked = model.strip() or small_model(pairs[0][0])
    return run_online(_test_all(pairs, asked))


def small_model(backend: BackendConfig) -> str:
    """A model that is likely to be cheap: small by its name, else the first that talks. Raises ServiceError."""
    names = [entry.model for entry in backend.offered()] or [
        entry.model for entry in backend_models_now(backend.name)
    ]
    talking = [name for name in sorted(names) if not _NO_TALK.search(name)]
    small = [name for name in talking if _SMALL.search(name)]
    if not talking:
        raise ServiceError(f"Backend {backend.name} lists no model that talks. Name one: --model NAME")
    return (small or talking)[0]


async def _test_all(pairs: Iterable[tuple[BackendConfig, AccountConfig]], model: str) -> list[RealResult]:
    return list(await asyncio.gather(*(_real_test(backend, account, model) for backend, account in pairs)))


async def _real_test(backend: BackendConfig, account: AccountConfig, model: str) -> RealResult:
    began = time.monotonic()
    status, usage = None, None
    try:
        status, body = await _ask(backend, account, model)
        usage, message = _read(backend, status, body)
    except (UpstreamError, MissingCredential) as exc:
        message = redact(str(exc))
    elapsed = round((time.monotonic() - began) * 1000)
    ok = status == 200 and not message
    return RealResult(
        backend=backend.name,
        account=account.alias,
        model=model,
        ok=ok,
        status=status,
        milliseconds=elapsed,
        input_tokens=usage.input_tokens if usage else None,
        output_tokens=usage.output if usage else None,
        message=_cost(usage) if ok else message,
    )


async def _ask(backend: BackendConfig, account: AccountConfig, model: str) -> tuple[int, bytes]:
    """One token, over the code that builds every request. Raises UpstreamError and MissingCredential."""
    kind = _kind(backend)
    ask = Conversation(model=model, turns=[Turn("user", [Text("ping")])], max_tokens=1)
    built = BUILDERS[kind].build_request(ask, Target(model, backend.preset), Lost())
    headers = [(b"content-type", b"application/json"), (b"user-agent", b"patchbay"), *built.headers]
    sent = without(backend.quirks_of(model), kind, built.body, headers)
    headers, _ = with_oauth_beta(account, backend.protocol, sent.headers)
    response = await current_upstream().send(
        method="POST",
        base=backend.base,
        path=backend.path(kind),
        query=b"",
        headers=[*headers, *credential_headers(account, backend.protocol)],
        body=sent.body,
        deadlines=Deadlines(backend.timeouts.connect, FIRST_BYTE_SECONDS, FIRST_BYTE_SECONDS),
    )
    try:
        return response.status, await response.read(MAX_BYTES)
    finally:
        response.close()


def _kind(backend: BackendConfig) -> Kind:
    return Kind.MESSAGES if backend.protocol is Protocol.ANTHROPIC else Kind.CHAT


def _read(backend: BackendConfig, status: int, body: bytes) -> tuple[Usage | None, str]:
    """What it cost, and what went wrong; "" for nothing."""
    if status != 200:
        return None, f"It answered HTTP {status}: {_said(body)}"
    facts = read_response(_kind(backend), body)
    if facts.error is not None:
        return facts.usage, f"It answered with an error: {redact(facts.error.message)}"
    return (
        facts.usage,
        "" if facts.valid else "It answered with something that is no JSON. Check the base URL.",
    )


def _said(body: bytes) -> str:
    """The error's message, without secrets and in one line."""
    try:
        message = read_error(msgspec.json.decode(body)).message
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = body[:300].decode("utf-8", "replace")
    return redact(" ".join(message.split()))[:300]


def _cost(usage: Usage | None) -> str:
    if usage is None:
        return "It did not say what that cost."
    return f"It cost {usage.input_tokens} input and {usage.output} output tokens."
