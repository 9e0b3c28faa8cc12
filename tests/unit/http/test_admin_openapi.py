"""The OpenAPI document says what the table does."""

import json
import re
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tokenward.http.admin.openapi import document
from tokenward.http.admin.route import PREFIX, route
from tokenward.http.admin.routes import ROUTES
from unit.http.admin_world import World

DOCUMENT = json.loads(json.dumps(document(ROUTES)))


def _references(node: Any) -> list[str]:
    if isinstance(node, dict):
        here = [node["$ref"]] if "$ref" in node else []
        return here + [ref for value in node.values() for ref in _references(value)]
    return [ref for value in node for ref in _references(value)] if isinstance(node, list) else []


def test_every_route_stands_in_the_document_and_nothing_else() -> None:
    described = {
        (method.upper(), path)
        for path, operations in DOCUMENT["paths"].items()
        for method in operations
    }
    assert described == {(row.method, PREFIX + row.path) for row in ROUTES}
    assert len(described) == len(ROUTES)


def test_every_reference_leads_somewhere() -> None:
    references = _references(DOCUMENT)
    assert references
    for reference in references:
        node = DOCUMENT
        for part in reference.removeprefix("#/").split("/"):
            node = node[part]
        assert node


def test_every_operation_has_a_name_of_its_own_and_its_path_parameters() -> None:
    names = []
    for path, operations in DOCUMENT["paths"].items():
        for operation in operations.values():
            names.append(operation["operationId"])
            given = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert given == set(re.findall(r"\{(\w+)\}", path))
            assert "default" in operation["responses"]
    assert len(names) == len(set(names))


def test_every_schema_is_a_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["security"] == [{"admin": []}]


def test_a_handler_with_the_wrong_arguments_cannot_enter_the_table() -> None:
    async def handler(office: int) -> int:
        return office

    with pytest.raises(AssertionError):
        route("GET", "/x", "x", handler)


async def test_the_document_is_served_behind_the_token(world: World) -> None:
    answer = await world.ask("GET", "/openapi.json")
    assert answer.value == DOCUMENT
    assert (await world.send("GET", "/admin/v1/openapi.json", token=None)).status == 401
