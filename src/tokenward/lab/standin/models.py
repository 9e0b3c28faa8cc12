"""GET /v1/models and /v1beta/models: what is served, as each dialect lists it."""

from typing import Any

from tokenward.lab.standin.dialect import ANTHROPIC, GEMINI, Dialect
from tokenward.lab.standin.tariff import Model, Tariff

_SINCE_S = 1_767_225_600
_SINCE = "2026-01-01T00:00:00Z"


def listed(tariff: Tariff, dialect: Dialect) -> dict[str, Any]:
    """The list of all models."""
    models = [shown(model, dialect) for model in tariff.served(dialect.name)]
    if dialect is GEMINI:
        return {"models": models}
    if dialect is ANTHROPIC:
        ids = [model["id"] for model in models]
        return {"data": models, "has_more": False, "first_id": ids[0], "last_id": ids[-1]}
    return {"object": "list", "data": models}


def shown(model: Model, dialect: Dialect) -> dict[str, Any]:
    """One model."""
    if dialect is GEMINI:
        verbs = (
            ["embedContent"] if model.kind == "embedding" else ["generateContent", "countTokens"]
        )
        return {
            "name": f"models/{model.name}",
            "version": "001",
            "displayName": model.name,
            "inputTokenLimit": 1_048_576,
            "outputTokenLimit": 65_536,
            "supportedGenerationMethods": verbs,
        }
    if dialect is ANTHROPIC:
        return {
            "type": "model",
            "id": model.snapshot,
            "display_name": model.name,
            "created_at": _SINCE,
            "lifecycle": "active",
        }
    return {"id": model.name, "object": "model", "created": _SINCE_S, "owned_by": "system"}
