"""The OpenAPI 3.1 document, made from the table that dispatches."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

import tokenward
from tokenward.http.admin.route import PREFIX, Route

_REFERENCE: Final = "#/components/schemas/{name}"
_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message", "request_id"],
            "properties": {
                "code": {"type": "string", "description": "stable, subject:reason"},
                "message": {"type": "string"},
                "request_id": {"type": "string"},
            },
        }
    },
}

_NEXT: Final = {
    "description": 'The next page, where this one is full: <?limit=…&after=…>; rel="next"',
    "schema": {"type": "string"},
}


def document(routes: Sequence[Route]) -> dict[str, Any]:
    """What the admin API offers, for people and generators of clients."""
    shapes = [route.ask for route in routes] + [route.answer for route in routes]
    schemas, components = msgspec.json.schema_components(shapes, ref_template=_REFERENCE)
    asks, answers = schemas[: len(routes)], schemas[len(routes) :]
    paths: dict[str, dict[str, Any]] = {}
    for route, ask, answer in zip(routes, asks, answers, strict=True):
        fields = components[ask["$ref"].rsplit("/", 1)[1]]
        entry = paths.setdefault(PREFIX + route.path, {})
        entry[route.method.lower()] = _operation(route, fields, answer)
    for route in routes:  # asks are spelled out in the operations: nothing refers to them
        components.pop(route.ask.__name__, None)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "tokenward admin",
            "version": tokenward.__version__,
            "description": "Everything the command line does. Amounts are integer nano-dollars.",
        },
        "security": [{"admin": []}],
        "paths": paths,
        "components": {
            "schemas": {**components, "Error": _ERROR},
            "responses": {
                "Error": {
                    "description": "Refused: what happened and what to do",
                    "content": _json({"$ref": _REFERENCE.format(name="Error")}),
                }
            },
            "securitySchemes": {"admin": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route, fields: dict[str, Any], answer: dict[str, Any]) -> dict[str, Any]:
    properties: dict[str, Any] = fields["properties"]
    required: list[str] = fields.get("required", [])
    operation: dict[str, Any] = {
        "summary": route.summary,
        "operationId": f"{route.handler.__module__.rsplit('.', 1)[1]}_{route.handler.__name__}",
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": properties[name]}
            for name in route.parameters
        ],
    }
    rest = {name: shape for name, shape in properties.items() if name not in route.parameters}
    if route.has_body:
        body = {
            "type": "object",
            "properties": rest,
            "required": [name for name in required if name in rest],
            "additionalProperties": False,
        }
        operation["requestBody"] = {"content": _json(body), "required": bool(body["required"])}
    else:
        operation["parameters"] += [
            {"name": name, "in": "query", "required": name in required, "schema": shape}
            for name, shape in rest.items()
        ]
    done = {"description": "Done", "content": _json(answer)}
    if route.is_paged:
        done["headers"] = {"link": _NEXT}
    operation["responses"] = {
        str(route.status): done,
        "default": {"$ref": "#/components/responses/Error"},
    }
    return operation


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
