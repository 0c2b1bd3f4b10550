"""Earlier responses of translated conversations, for clients that refer to them instead of sending them again.

`previous_response_id` and `item_reference` work where no backend keeps anything: in memory of this process, bounded by
number and by size, apart for each client key, so that nobody continues another's conversation. What is gone is gone
with a clear error; clients that send the whole history never need it.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from backends.wire.conversation import Conversation, Json, Reply, Turn
from backends.wire.estimate import count_characters
from backends.wire.openai_responses import build_response, history_of, with_history
from proxyapp.errors import ProxyError

MOST_RESPONSES = 1000
MOST_CHARACTERS = 64 * 2**20


@dataclass(slots=True)
class _Kept:
    turns: list[Turn]
    items: list[str]
    characters: int


@dataclass
class Remembered:
    """The newest responses, by client key and response id, and their output items, by client key and item id."""

    most: int = MOST_RESPONSES
    most_characters: int = MOST_CHARACTERS
    _kept: OrderedDict[tuple[str, str], _Kept] = field(default_factory=OrderedDict)
    _items: dict[tuple[str, str], Json] = field(default_factory=dict)
    _characters: int = 0

    def keep(self, key: str, talk: Conversation, reply: Reply) -> str:
        """Remember a conversation up to and including this reply, unless its client said `store: false`.

        Returns the id that the client knows the response by, "" if it is not kept.
        """
        if talk.store is False:
            return ""
        response: dict[str, Any] = msgspec.json.decode(build_response(reply, talk))
        items = {item["id"]: item for item in response["output"]}
        self._items.update({(key, item_id): item for item_id, item in items.items()})
        kept = _Kept(history_of(talk, reply), list(items), count_characters(talk))
        if replaced := self._kept.pop((key, response["id"]), None):
            self._characters -= replaced.characters
        self._kept[key, response["id"]] = kept
        self._characters += kept.characters
        while len(self._kept) > self.most or self._characters > self.most_characters:
            self._forget_oldest()
        return str(response["id"])

    def continued(self, key: str, talk: Conversation) -> Conversation:
        """The conversation with its earlier turns in front. Raises ProxyError 400 when they are not known."""
        if talk.previous_response_id is None:
            return talk
        kept = self._kept.get((key, talk.previous_response_id))
        if kept is None:
            raise ProxyError(
                400,
                f"Response {talk.previous_response_id!r} is not known here (any more). Send the whole conversation as"
                " input, without previous_response_id.",
                code="previous_response_not_found",
                param="previous_response_id",
                is_rejection=True,
            )
        return with_history(talk, kept.turns)

    def items_of(self, key: str) -> Mapping[str, Json]:
        """The output items that a client may refer to."""
        return _ItemsOfKey(self._items, key)

    def _forget_oldest(self) -> None:
        (key, _), oldest = self._kept.popitem(last=False)
        self._characters -= oldest.characters
        for item_id in oldest.items:
            self._items.pop((key, item_id), None)


class _ItemsOfKey(Mapping[str, Json]):
    """One client key's share of all items."""

    def __init__(self, items: Mapping[tuple[str, str], Json], key: str) -> None:
        self._items, self._key = items, key

    def __getitem__(self, item_id: str) -> Json:
        return self._items[self._key, item_id]

    def __iter__(self) -> Iterator[str]:
        return (item_id for key, item_id in self._items if key == self._key)

    def __len__(self) -> int:
        return len(self._items)


remembered = Remembered()
