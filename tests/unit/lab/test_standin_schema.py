"""What the stand-in answers when it is held to a JSON Schema."""

from typing import Any

import jsonschema
import pytest

from tokenward.lab.standin.schema import instance_of

TREE: dict[str, Any] = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "children": {"type": "array", "items": {"$ref": "#/$defs/node"}},
            },
            "required": ["name", "children"],
            "additionalProperties": False,
        }
    },
    "$ref": "#/$defs/node",
}
SCHEMAS: list[dict[str, Any]] = [
    {"type": "object", "properties": {"status": {"enum": ["ok"]}}, "required": ["status"]},
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 3, "maximum": 3}}},
    {"type": "object", "properties": {"a": {"type": "number", "exclusiveMinimum": 0.5}}},
    {"type": "object", "properties": {"a": {"type": "number", "exclusiveMaximum": 0}}},
    {"type": "object", "properties": {"a": {"type": "integer", "minimum": 7, "multipleOf": 5}}},
    {"type": "number", "minimum": 0.5, "exclusiveMaximum": 1},
    {"type": "integer", "exclusiveMinimum": 1, "exclusiveMaximum": 3},
    {"type": "object", "properties": {"a": {"type": "string", "minLength": 40}}},
    {"type": "object", "properties": {"a": {"type": "string", "maxLength": 2}}},
    {"type": "object", "properties": {"a": {"type": "string", "format": "date-time"}}},
    {"type": "object", "properties": {"a": {"type": ["null", "boolean"]}}},
    {"type": "object", "properties": {"a": {"type": "array", "minItems": 3, "items": {}}}},
    {"type": "object", "properties": {"a": {"anyOf": [{"type": "null"}, {"type": "integer"}]}}},
    {"type": "object", "properties": {"a": {"const": {"deep": [1]}}}, "required": ["a"]},
    {"allOf": [{"type": "object"}, {"properties": {"a": {"type": "integer"}}, "required": ["a"]}]},
    {"type": "object", "required": ["a"], "additionalProperties": {"type": "string"}},
    {"type": "array", "items": {"oneOf": [{"type": "string"}, {"type": "object"}]}},
    TREE,
]


@pytest.mark.parametrize("schema", SCHEMAS, ids=range(len(SCHEMAS)))
def test_the_instance_fits_its_schema(schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(instance_of(schema))


def test_types_in_capitals_are_understood_as_gemini_writes_them() -> None:
    schema = {"type": "OBJECT", "properties": {"n": {"type": "INTEGER"}, "s": {"type": "STRING"}}}
    made = instance_of(schema)
    assert isinstance(made["n"], int)
    assert isinstance(made["s"], str)


def test_a_schema_that_refers_to_itself_for_ever_ends() -> None:
    endless = {
        "type": "object",
        "properties": {"next": {"$ref": "#"}},
        "required": ["next"],
    }
    assert isinstance(instance_of(endless), dict)
    assert instance_of({"$ref": "#"}) is not None


@pytest.mark.parametrize("schema", [None, 3, "x", [], True])
def test_what_is_no_schema_still_gives_a_value(schema: object) -> None:
    assert instance_of(schema) is not None
