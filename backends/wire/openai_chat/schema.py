"""JSON Schemas of tools and answers, as servers take them.

Rule: a server that understands a subset gets an allow-list, never a deny-list; what is not on it is told in the
`description`, so that the model still reads it.
"""

from __future__ import annotations

from typing import Any

import msgspec

from backends.wire.conversation import Json

_MAX_DEPTH = 64
_GEMINI_WORDS = """
    type format title description nullable enum items prefixItems minItems maxItems properties
    required propertyOrdering additionalProperties minProperties maxProperties minLength maxLength
    pattern minimum maximum anyOf default example
"""
_GEMINI = frozenset(_GEMINI_WORDS.split())
SUBSETS = {"gemini": _GEMINI}
_SILENT = ("$schema", "$id", "$comment", "$defs", "definitions")
_NESTED = ("items", "additionalProperties")
_LISTS = ("anyOf", "prefixItems")


def parameters(schema: Json | None, *, subset: str = "", keep_schema_uri: bool = True) -> dict[str, Any]:
    """A tool's `parameters`: an object schema that always has `properties`."""
    made = dict(schema or {"type": "object"})
    if not keep_schema_uri:
        made.pop("$schema", None)
    if subset:
        made = _reduced(made, made, SUBSETS[subset], 0)
    if made.get("type") == "object" and "properties" not in made:
        made["properties"] = {}
    return made


def is_strict(schema: object, depth: int = 0) -> bool:
    """Whether OpenAI would take the schema with `strict`: each object closed and all its properties required."""
    if depth > _MAX_DEPTH:
        return False
    if isinstance(schema, list):
        return all(is_strict(item, depth + 1) for item in schema)
    if not isinstance(schema, dict):
        return True
    if "allOf" in schema or "oneOf" in schema or "patternProperties" in schema:
        return False
    properties = schema.get("properties")
    if isinstance(properties, dict) or schema.get("type") == "object":
        properties = properties if isinstance(properties, dict) else {}
        required = schema.get("required")
        names = required if isinstance(required, list) else []
        if schema.get("additionalProperties") is not False or any(name not in names for name in properties):
            return False
        if not all(is_strict(value, depth + 1) for value in properties.values()):
            return False
    parts = (schema.get(name) for name in ("items", "anyOf"))
    defined = (schema.get(name) for name in ("$defs", "definitions"))
    inner = (value for table in defined if isinstance(table, dict) for value in table.values())
    return all(is_strict(part, depth + 1) for part in (*parts, *inner))


def _reduced(
    schema: dict[str, Any], root: dict[str, Any], known: frozenset[str], depth: int
) -> dict[str, Any]:
    """The schema with the known words only; the others are folded into the description."""
    if depth > _MAX_DEPTH // 4:  # a recursive definition ends here
        return {"type": "object"}
    schema = _renamed(_resolved(schema, root))
    made: dict[str, Any] = {}
    folded: list[str] = []
    for name, value in schema.items():
        if name in _NESTED and isinstance(value, dict):
            made[name] = _reduced(value, root, known, depth + 1)
        elif name in _LISTS and isinstance(value, list):
            made[name] = [_reduced(part, root, known, depth + 1) for part in value if isinstance(part, dict)]
        elif name == "properties" and isinstance(value, dict):
            made[name] = {
                key: _reduced(part, root, known, depth + 1)
                for key, part in value.items()
                if isinstance(part, dict)
            }
        elif name in known:
            made[name] = value
        elif name not in _SILENT:
            folded.append(f"{name}: {msgspec.json.encode(value).decode()}")
    if folded:
        described = made.get("description")
        made["description"] = " ".join(
            [*([described] if isinstance(described, str) else []), f"({'; '.join(folded)})"]
        )
    return made


def _resolved(schema: dict[str, Any], root: dict[str, Any]) -> dict[str, Any]:
    """A local `$ref` replaced by what it points to."""
    pointer = schema.get("$ref")
    if not isinstance(pointer, str) or not pointer.startswith("#/"):
        return schema
    found: Any = root
    for step in pointer[2:].split("/"):
        found = found.get(step.replace("~1", "/").replace("~0", "~")) if isinstance(found, dict) else None
    rest = {name: value for name, value in schema.items() if name != "$ref"}
    return {**found, **rest} if isinstance(found, dict) else rest


def _renamed(schema: dict[str, Any]) -> dict[str, Any]:
    """Words that mean the same: `const`, `oneOf`, a list of types with null in it."""
    made = dict(schema)
    if "const" in made and "enum" not in made:
        made["enum"] = [made.pop("const")]
    if "oneOf" in made and "anyOf" not in made:
        made["anyOf"] = made.pop("oneOf")
    types = made.get("type")
    if isinstance(types, list):
        named = [kind for kind in types if kind != "null"]
        if "null" in types:
            made["nullable"] = True
        if len(named) == 1:
            made["type"] = named[0]
        else:
            del made["type"]
            made.setdefault("anyOf", [{"type": kind} for kind in named])
    return made
