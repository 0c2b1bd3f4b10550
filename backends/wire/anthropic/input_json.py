"""Tool arguments as the object that `tool_use.input` must be."""

from __future__ import annotations

import msgspec
from msgspec import Raw

_OBJECT = msgspec.json.Decoder(dict[str, Raw])
_EMPTY = Raw(b"{}")


def input_object(arguments: str) -> Raw:
    """The arguments byte for byte if they are a JSON object; {} for none; else an object that holds them.

    A model's broken JSON must not make the conversation unusable, and it should see what it wrote.
    """
    text = arguments.strip()
    if not text or text == "null":
        return _EMPTY
    data = text.encode("utf-8", "replace")
    try:
        _OBJECT.decode(data)
    except msgspec.ValidationError:
        return Raw(b'{"value":' + data + b"}")
    except (ValueError, RecursionError):
        return Raw(msgspec.json.encode({"value": data.decode()}))
    return Raw(data)
