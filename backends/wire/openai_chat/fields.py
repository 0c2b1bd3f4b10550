"""Typed access to the fields of a client's JSON. A wrong type raises BadBody that names the field; null is absent."""

from __future__ import annotations

from typing import Any, NoReturn

from backends.wire.splice import BadBody

Obj = dict[str, Any]


def wrong(path: str, words: str) -> NoReturn:
    """Refuse the field: it must be `words`."""
    raise BadBody(f"The field `{path}` must be {words}. Correct it.", path)


def join(at: str, name: str) -> str:
    """The path of a field inside the object at `at`."""
    return f"{at}.{name}" if at else name


def text(obj: Obj, name: str, at: str = "") -> str | None:
    """A string."""
    value = obj.get(name)
    if value is not None and not isinstance(value, str):
        wrong(join(at, name), "a string")
    return value


def need_text(obj: Obj, name: str, at: str = "") -> str:
    """A string that must be there."""
    value = text(obj, name, at)
    if value is None:
        raise BadBody(f"The field `{join(at, name)}` is missing. Add it.", join(at, name))
    return value


def whole(obj: Obj, name: str, at: str = "") -> int | None:
    """A whole number; 5.0 is one too."""
    value = obj.get(name)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is not None and type(value) is not int:
        wrong(join(at, name), "a whole number")
    if value is not None and not -(2**63) <= value < 2**63:
        wrong(join(at, name), "a smaller number")
    return value


def number(obj: Obj, name: str, at: str = "") -> float | None:
    """A number."""
    value = obj.get(name)
    if value is not None and type(value) not in (int, float):
        wrong(join(at, name), "a number")
    if type(value) is int and not -(2**63) <= value < 2**63:
        wrong(join(at, name), "a smaller number")
    return value


def flag(obj: Obj, name: str, at: str = "") -> bool | None:
    """true or false."""
    value = obj.get(name)
    if value is not None and not isinstance(value, bool):
        wrong(join(at, name), "true or false")
    return value


def mapping(obj: Obj, name: str, at: str = "") -> Obj | None:
    """An object."""
    value = obj.get(name)
    if value is not None and not isinstance(value, dict):
        wrong(join(at, name), "an object")
    return value


def items(obj: Obj, name: str, at: str = "") -> list[Any]:
    """A list; empty if absent."""
    value = obj.get(name)
    if value is not None and not isinstance(value, list):
        wrong(join(at, name), "a list")
    return value or []


def as_object(value: Any, path: str) -> Obj:
    """The value itself, which must be an object."""
    if not isinstance(value, dict):
        wrong(path, "an object")
    return value
