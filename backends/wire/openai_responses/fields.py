"""Reading fields of a client's JSON with their types checked: a wrong one is named, an absent or null one is None."""

from __future__ import annotations

from typing import Any

import msgspec

from backends.wire.conversation import Json
from backends.wire.splice import BadBody


def load_body(body: bytes) -> dict[str, Any]:
    """The body's JSON object. Raises BadBody."""
    try:
        value = msgspec.json.decode(body)
    except (ValueError, RecursionError) as exc:
        raise BadBody(f"The body is not valid JSON: {exc}. Send one JSON object.") from None
    if not isinstance(value, dict):
        raise BadBody("The body is not a JSON object. Send an object with the request's fields.")
    return value


def wrong(path: str, words: str) -> BadBody:
    """The complaint about a field of a wrong type; `words` say what it must be."""
    return BadBody(f"The field `{path}` must be {words}. Correct it.", path)


def opt_text(obj: Json, name: str, path: str = "") -> str | None:
    """A string that may be absent."""
    value = obj.get(name)
    if value is None or isinstance(value, str):
        return value
    raise wrong(_at(path, name), "a string")


def need_text(obj: Json, name: str, path: str = "") -> str:
    """A string that must be there."""
    value = obj.get(name)
    if isinstance(value, str):
        return value
    if value is None:
        raise BadBody(f"The field `{_at(path, name)}` is missing. Add it.", _at(path, name))
    raise wrong(_at(path, name), "a string")


def need_name(obj: Json, name: str, path: str = "") -> str:
    """A string that must be there and hold something."""
    value = need_text(obj, name, path)
    if not value:
        raise BadBody(f"The field `{_at(path, name)}` is empty. Fill it in.", _at(path, name))
    return value


def opt_flag(obj: Json, name: str, path: str = "") -> bool | None:
    """A boolean that may be absent."""
    value = obj.get(name)
    if value is None or isinstance(value, bool):
        return value
    raise wrong(_at(path, name), "true or false")


def opt_number(obj: Json, name: str, path: str = "") -> float | None:
    """A number that may be absent. Whole numbers stay whole, so that they are written as they came."""
    value = obj.get(name)
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise wrong(_at(path, name), "a number")


def opt_count(obj: Json, name: str, path: str = "") -> int | None:
    """A whole number above zero that may be absent."""
    value = obj.get(name)
    if value is None or (type(value) is int and 1 <= value < 2**63):
        return value
    raise wrong(_at(path, name), "a whole number of at least 1")


def opt_object(obj: Json, name: str, path: str = "") -> Json:
    """An object; an empty one if it is absent."""
    value = obj.get(name)
    if value is None:
        return {}
    return as_object(value, _at(path, name))


def opt_list(obj: Json, name: str, path: str = "") -> list[Any]:
    """A list; an empty one if it is absent."""
    value = obj.get(name)
    if value is None:
        return []
    if isinstance(value, list):
        return value
    raise wrong(_at(path, name), "a list")


def as_object(value: object, path: str) -> dict[str, Any]:
    """The value as an object. Raises BadBody."""
    if isinstance(value, dict):
        return value
    raise wrong(path, "an object")


def _at(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
