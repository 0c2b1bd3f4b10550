"""What a decision may know of a request: read from what `peek` kept, and no further than somebody asks."""

from __future__ import annotations

from datetime import datetime

from django.conf import settings

from backends.wire.features import (
    BYTES_PER_TOKEN,
    Media,
    asks_for_reasoning,
    asks_for_schema,
    asks_for_tools,
    estimated_tokens,
    media_of,
)
from backends.wire.kinds import Kind
from backends.wire.shapes import Clues


class CallFacts:
    """The facts of one client request, as `backends.conditions.Facts` wants them; each is found once."""

    __slots__ = ("_body", "_clues", "_kind", "_media", "_moment", "key", "session")

    def __init__(self, kind: Kind, body: bytes, clues: Clues, *, key: str, session: str) -> None:
        self.key, self.session = key, session
        self._kind, self._body, self._clues = kind, body, clues
        self._media: Media | None = None
        self._moment: datetime | None = None

    @property
    def moment(self) -> datetime:
        """Local time when it was first asked for."""
        if self._moment is None:
            self._moment = datetime.now(settings.PATCHBAY_TIME_ZONE)
        return self._moment

    @property
    def tokens(self) -> int:
        """The prompt's length, by estimate."""
        return estimated_tokens(len(self._body), self._found_media())

    def has(self, feature: str) -> bool:
        """Whether the request asks for this word of FEATURES."""
        match feature:
            case "tools":
                return asks_for_tools(self._clues)
            case "schema":
                return asks_for_schema(self._kind, self._clues)
            case "reasoning":
                return asks_for_reasoning(self._clues)
            case "images":
                return self._found_media().images > 0
            case _:
                return self._found_media().documents > 0

    def exceeds(self, tokens: int) -> bool:
        """Whether the prompt is longer, by estimate. Most bodies are too short for a look at their media."""
        return len(self._body) > tokens * BYTES_PER_TOKEN and self.tokens > tokens

    def _found_media(self) -> Media:
        if self._media is None:
            self._media = media_of(self._body)
        return self._media
