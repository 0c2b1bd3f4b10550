"""Values made from JSON schemas."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.simulator.synth import value_for


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({"const": 7}, 7),
        ({"enum": ["x", "y"]}, "x"),
        ({"type": ["null", "integer"]}, 1),
        ({"type": "null"}, None),
        ({"anyOf": [{"type": "boolean"}, {"type": "null"}]}, True),
        ({"type": "string", "minLength": 20, "maxLength": 20}, "simulated valuexxxxx"),
        ({"type": "string", "format": "date"}, "2026-01-02"),
        ({"items": {"type": "number"}, "minItems": 2}, [0.5, 0.5]),
        ({"type": "object", "properties": {}}, {}),
        ({"properties": {"a": {"type": "boolean"}, "b": {}}, "required": ["a"]}, {"a": True}),
        ({"properties": {"a": {"type": "boolean"}}}, {"a": True}),
        (
            {"allOf": [{"properties": {"a": {"const": 1}}, "required": ["a"]}, {"properties": {"b": {}}}]},
            {"a": 1},
        ),
        ({"$defs": {"n": {"const": 3}}, "properties": {"n": {"$ref": "#/$defs/n"}}}, {"n": 3}),
    ],
)
def test_value_fits_the_schema(schema: dict[str, object], value: object) -> None:
    assert value_for(schema) == value


def test_recursive_schema_ends() -> None:
    tree = {"properties": {"child": {"$ref": "#"}}, "required": ["child"]}
    value = value_for(tree)
    while value is not None:
        value = value["child"]


@given(st.integers(-1000, 1000), st.integers(0, 100))
def test_numbers_lie_within_their_bounds(low: int, width: int) -> None:
    schema = {"type": "integer", "minimum": low, "maximum": low + width}
    value = value_for(schema)
    assert isinstance(value, int)
    assert low <= value <= low + width
    assert low < value_for({"type": "integer", "exclusiveMinimum": low})
    assert low > value_for({"type": "number", "exclusiveMaximum": low})
