"""Values made up from a JSON schema: arguments of simulated tool calls, and structured answers."""

from __future__ import annotations

from typing import Any

from backends.simulator.asking import JsonObject, mapping

_DEEPEST = 12
_FORMATS = {
    "date-time": "2026-01-02T03:04:05Z",
    "date": "2026-01-02",
    "time": "03:04:05Z",
    "email": "someone@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "ipv4": "192.0.2.1",
}


def value_for(schema: object, *, name: str = "value") -> Any:
    """A value that fits `schema`; `name` flavours strings. The same schema always gives the same value."""
    root = mapping(schema)
    return _value(root, root, name, 0)


def _value(schema: JsonObject, root: JsonObject, name: str, depth: int) -> Any:
    schema = _resolved(schema, root)
    if "const" in schema:
        return schema["const"]
    if isinstance(schema.get("enum"), list) and schema["enum"]:
        return schema["enum"][0]
    if depth > _DEEPEST:
        return None
    for joined in ("anyOf", "oneOf"):
        if isinstance(schema.get(joined), list) and schema[joined]:
            return _value(mapping(schema[joined][0]), root, name, depth + 1)
    if isinstance(schema.get("allOf"), list):
        return _value(_merged(schema, root), root, name, depth + 1)
    return _typed(schema, root, name, depth)


def _typed(schema: JsonObject, root: JsonObject, name: str, depth: int) -> Any:
    match _type(schema):
        case "object":
            return _object(schema, root, depth)
        case "array":
            items = mapping(schema.get("items"))
            return [_value(items, root, name, depth + 1) for _ in range(schema.get("minItems", 1))]
        case "integer":
            return int(_number(schema, 1))
        case "number":
            return _number(schema, 0.5)
        case "boolean":
            return True
        case "null":
            return None
        case _:
            return _string(schema, name)


def _type(schema: JsonObject) -> str:
    named = schema.get("type")
    if isinstance(named, list):
        named = next((one for one in named if one != "null"), "null")
    if isinstance(named, str):
        return named
    return "object" if "properties" in schema else "array" if "items" in schema else "string"


def _object(schema: JsonObject, root: JsonObject, depth: int) -> JsonObject:
    properties = mapping(schema.get("properties"))
    wanted = schema.get("required")
    names = wanted if isinstance(wanted, list) else list(properties)
    return {name: _value(mapping(properties.get(name)), root, name, depth + 1) for name in names}


def _number(schema: JsonObject, usual: float) -> float:
    """`usual` if it lies within the bounds, else a number near the bound that it breaks."""
    least, above = schema.get("minimum"), schema.get("exclusiveMinimum")
    most, below = schema.get("maximum"), schema.get("exclusiveMaximum")
    if least is not None and usual < least:
        return float(least)
    if above is not None and usual <= above:
        return float(above + 1 if below is None or above + 1 < below else (above + below) / 2)
    if most is not None and usual > most:
        return float(most)
    if below is not None and usual >= below:
        return float(below - 1)
    return usual


def _string(schema: JsonObject, name: str) -> str:
    text = _FORMATS.get(str(schema.get("format")), f"simulated {name}")
    least, most = schema.get("minLength", 0), schema.get("maxLength")
    text = text.ljust(least, "x")
    return text[:most] if isinstance(most, int) else text


def _resolved(schema: JsonObject, root: JsonObject) -> JsonObject:
    for _ in range(_DEEPEST):
        ref = schema.get("$ref")
        if not (isinstance(ref, str) and ref.startswith("#")):
            break
        schema = root
        for part in ref.removeprefix("#").strip("/").split("/"):
            schema = mapping(schema.get(part.replace("~1", "/").replace("~0", "~"))) if part else schema
    return schema


def _merged(schema: JsonObject, root: JsonObject) -> JsonObject:
    """`allOf` folded into one schema: properties and required names of all parts."""
    whole: JsonObject = {name: value for name, value in schema.items() if name != "allOf"}
    for part in schema["allOf"]:
        part = _resolved(mapping(part), root)
        properties = {**mapping(whole.get("properties")), **mapping(part.get("properties"))}
        required = [*(whole.get("required") or []), *(part.get("required") or [])]
        whole = {**whole, **part}
        if properties:
            whole.update(properties=properties, required=list(dict.fromkeys(required)))
    return whole
