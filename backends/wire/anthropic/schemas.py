"""JSON Schemas brought into the form that this protocol accepts.

Rule: the client's schema is never changed in place.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from backends.wire.conversation import Json

_UNIONS = ("allOf", "anyOf", "oneOf")
_MOST_MERGES = 8
# What structured output refuses. It is told in the description instead, so that the model still sees it.
_TOLD_ONLY = (
    "minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "pattern",
    "maxItems", "uniqueItems", "minProperties", "maxProperties", "patternProperties", "propertyNames",
)  # fmt: skip
_MAPS = ("properties", "$defs", "definitions")
_LISTS = ("anyOf", "allOf", "prefixItems")


def tool_schema(schema: Json | None) -> tuple[dict[str, Any], bool]:
    """A tool's schema with an object at its root and no union there, and whether anything was given up for it."""
    if not schema:
        return {"type": "object", "properties": {}}, False
    root, is_lossy = _merged(dict(schema), schema, _MOST_MERGES)
    if root.get("type") == "object":
        return root, is_lossy
    given = root.pop("type", None)
    is_object = given is None or (isinstance(given, list) and "object" in given)
    return {"type": "object", **root}, is_lossy or not is_object


def _merged(schema: dict[str, Any], root: Json, left: int) -> tuple[dict[str, Any], bool]:
    """The schema with a reference and unions at its top resolved."""
    is_lossy = False
    if "$ref" in schema:
        found = _resolve(schema.pop("$ref"), root)
        is_lossy = found is None
        schema = {**(found or {}), **schema}
    for word in _UNIONS:
        branches = schema.pop(word, None)
        if not isinstance(branches, list) or not branches:
            continue
        is_lossy = is_lossy or word != "allOf" or left <= 0
        if left > 0:
            parts = [_merged(dict(b), root, left - 1) for b in branches if isinstance(b, Mapping)]
            is_lossy = is_lossy or any(lossy for _, lossy in parts)
            schema = _joined(schema, [part for part, _ in parts], is_all=word == "allOf")
    if "$ref" in schema and left > 0:
        schema, lost_more = _merged(schema, root, left - 1)
        is_lossy = is_lossy or lost_more
    schema.pop("$ref", None)
    return schema, is_lossy


def _joined(schema: dict[str, Any], parts: list[dict[str, Any]], *, is_all: bool) -> dict[str, Any]:
    """One object schema for several: with all of them, or with any one of them, in force."""
    properties: dict[str, Any] = dict(_mapping(schema.get("properties")))
    for part in parts:
        for name, value in _mapping(part.get("properties")).items():
            if name in properties and properties[name] != value:
                properties[name] = {"allOf" if is_all else "anyOf": [properties[name], value]}
            else:
                properties[name] = value
    needed = [_names(part.get("required")) for part in parts]
    kept = [name for names in needed for name in names if is_all or all(name in other for other in needed)]
    required = list(dict.fromkeys(_names(schema.get("required")) + kept))
    rest: dict[str, Any] = {}
    if is_all:
        for part in parts:
            rest |= part
    joined = {**rest, **schema, "properties": properties, "required": required}
    if not is_all and joined.get("additionalProperties") is False:
        joined.pop("additionalProperties")
    if not required:
        del joined["required"]
    return joined


def _resolve(ref: object, root: Json) -> Json | None:
    """What a reference within the document points to."""
    if not isinstance(ref, str) or not ref.startswith("#"):
        return None
    node: object = root
    for step in ref.removeprefix("#").split("/")[1:]:
        name = step.replace("~1", "/").replace("~0", "~")
        node = node.get(name) if isinstance(node, Mapping) else None
    return node if isinstance(node, Mapping) else None


def output_schema(schema: Json) -> tuple[dict[str, Any], bool]:
    """A schema for structured output: objects are closed, bounds move to descriptions. Whether anything was."""
    lossy: list[str] = []
    return _closed(schema, lossy), bool(lossy)


def _closed(schema: Json, lossy: list[str]) -> dict[str, Any]:
    made = dict(schema)
    if "oneOf" in made and "anyOf" not in made:
        made["anyOf"] = made.pop("oneOf")
    told = {name: made.pop(name) for name in _TOLD_ONLY if name in made}
    if made.get("minItems") not in (None, 0, 1):
        told["minItems"] = made.pop("minItems")
    if told:
        lossy += told
        words = msgspec.json.encode(told).decode()
        made["description"] = f"{made['description']} {words}" if made.get("description") else words
    kind = made.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or "properties" in made:
        if made.get("additionalProperties") not in (None, False):
            lossy.append("additionalProperties")
        made["additionalProperties"] = False
    for name in _MAPS:
        if isinstance(made.get(name), Mapping):
            made[name] = {key: _sub(value, lossy) for key, value in made[name].items()}
    for name in _LISTS:
        if isinstance(made.get(name), list):
            made[name] = [_sub(value, lossy) for value in made[name]]
    if "items" in made:
        made["items"] = _sub(made["items"], lossy)
    return made


def _sub(schema: object, lossy: list[str]) -> object:
    return _closed(schema, lossy) if isinstance(schema, Mapping) else schema


def _mapping(value: object) -> Json:
    return value if isinstance(value, Mapping) else {}


def _names(value: object) -> list[str]:
    return [name for name in value if isinstance(name, str)] if isinstance(value, list) else []
