"""Tool arguments as the object that `tool_use.input` must be."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_VALUE = msgspec.json.Decoder(Raw)
_EMPTY = Raw(b"{}")


def input_object(arguments: str) -> Raw:
    """The arguments byte for byte if they are a JSON object; {} for none; else an object that holds them.

    A model's broken JSON must not make the conversation unusable, and it should see what it wrote.
    """
    text = arguments.strip()
    if not text or text == "null":
        return _EMPTY
    data = text.encode("utf-8", "replace")
    if _is_json(_OBJECT, data):
        return Raw(data)
    # The whole text must be one value: what a model puts behind its end would become part of the message around it.
    return Raw(b'{"value":' + (data if _is_json(_VALUE, data) else msgspec.json.encode(data.decode())) + b"}")


def _is_json(decoder: msgspec.json.Decoder[Any], data: bytes) -> bool:
    try:
        decoder.decode(data)
    except (ValueError, RecursionError):
        return False
    return True
