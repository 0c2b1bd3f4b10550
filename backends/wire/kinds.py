"""The words of the wire: protocols and the kinds of request that each of them knows."""

from __future__ import annotations

from enum import StrEnum


class Protocol(StrEnum):
    """A family of wire formats, as a client or a backend speaks it."""

    ANTHROPIC = "anthropic"
    OPENAI = "openai"


class Kind(StrEnum):
    """One operation. The value is the word used in the history (`history --json`, field `kind`)."""

    MESSAGES = "messages"
    COUNT_TOKENS = "count_tokens"
    CHAT = "chat"
    RESPONSES = "responses"
    EMBEDDINGS = "embeddings"
    COMPLETIONS = "completions"

    @property
    def protocol(self) -> Protocol:
        """The protocol this operation belongs to."""
        return Protocol.ANTHROPIC if self in _ANTHROPIC_PATHS else Protocol.OPENAI

    @property
    def path(self) -> str:
        """Path below the version, e.g. `/chat/completions`. The version (`/v1`) is the base URL's matter."""
        return _ANTHROPIC_PATHS.get(self) or _OPENAI_PATHS[self]


_ANTHROPIC_PATHS = {Kind.MESSAGES: "/messages", Kind.COUNT_TOKENS: "/messages/count_tokens"}
_OPENAI_PATHS = {
    Kind.CHAT: "/chat/completions",
    Kind.RESPONSES: "/responses",
    Kind.EMBEDDINGS: "/embeddings",
    Kind.COMPLETIONS: "/completions",
}


def protocol_of_path(path: str) -> Protocol:
    """The protocol whose error shape belongs to a URL path: `/v1/messages…` is Anthropic's, all else OpenAI's."""
    first = path.removeprefix("/v1").removeprefix("/").partition("/")[0]
    return Protocol.ANTHROPIC if first == "messages" else Protocol.OPENAI


# Which operation carries a client's request to a backend that does not know it, best first.
_CARRIERS = {
    Kind.MESSAGES: (Kind.CHAT, Kind.RESPONSES),
    Kind.CHAT: (Kind.MESSAGES, Kind.RESPONSES),
    Kind.RESPONSES: (Kind.CHAT, Kind.MESSAGES),
}


def carrier(kind: Kind, spoken: frozenset[Kind]) -> Kind | None:
    """The operation in which a backend that speaks `spoken` gets a request of `kind`: the same one, else one that
    it can be translated into, else None."""
    if kind in spoken:
        return kind
    return next((other for other in _CARRIERS.get(kind, ()) if other in spoken), None)
