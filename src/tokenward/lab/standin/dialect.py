"""How does each provider take a credential and say no?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

Headers = tuple[tuple[bytes, bytes], ...]
_encode = msgspec.json.encode


class RejectedError(Exception):
    """The request is not one that the provider serves: a 4xx in the dialect's envelope."""

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.status = status


@dataclass(frozen=True, slots=True, kw_only=True)
class Dialect:
    """A provider's manners."""

    name: str
    request_id_header: bytes
    request_id_prefix: str
    credential: Callable[[dict[bytes, bytes], bytes], str]
    """Headers and query → the credential presented, "" if none."""
    error: Callable[[int, str, str], dict[str, Any]]
    """Status, message, request id → the error envelope."""

    def refusal(self, status: int, message: str, request_id: str) -> bytes:
        """The error envelope as JSON."""
        return _encode(self.error(status, message, request_id))


def _bearer(headers: dict[bytes, bytes]) -> str:
    scheme, _, token = headers.get(b"authorization", b"").decode("latin-1").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else ""


def _openai_credential(headers: dict[bytes, bytes], _query: bytes) -> str:
    return _bearer(headers) or headers.get(b"api-key", b"").decode("latin-1")


def _anthropic_credential(headers: dict[bytes, bytes], _query: bytes) -> str:
    return headers.get(b"x-api-key", b"").decode("latin-1") or _bearer(headers)


def _gemini_credential(headers: dict[bytes, bytes], query: bytes) -> str:
    key = headers.get(b"x-goog-api-key", b"").decode("latin-1")
    return key or parse_qs(query.decode("latin-1")).get("key", [""])[0] or _bearer(headers)


_OPENAI_TYPES: Final = {
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
    500: ("server_error", None),
    503: ("server_error", "service_unavailable"),
}


def _openai_error(status: int, message: str, _request_id: str) -> dict[str, Any]:
    fallback = ("server_error" if status >= 500 else "invalid_request_error", None)
    kind, code = _OPENAI_TYPES.get(status, fallback)
    return {"error": {"message": message, "type": kind, "param": None, "code": code}}


_ANTHROPIC_TYPES: Final = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    529: "overloaded_error",
}


def _anthropic_error(status: int, message: str, request_id: str) -> dict[str, Any]:
    fallback = "api_error" if status >= 500 else "invalid_request_error"
    kind = _ANTHROPIC_TYPES.get(status, fallback)
    return {
        "type": "error",
        "error": {"type": kind, "message": message},
        "request_id": request_id,
    }


_GEMINI_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}


def _gemini_error(status: int, message: str, _request_id: str) -> dict[str, Any]:
    word = _GEMINI_STATUSES.get(status, "INTERNAL" if status >= 500 else "FAILED_PRECONDITION")
    return {"error": {"code": status, "message": message, "status": word}}


OPENAI: Final = Dialect(
    name="openai",
    request_id_header=b"x-request-id",
    request_id_prefix="req_",
    credential=_openai_credential,
    error=_openai_error,
)
ANTHROPIC: Final = Dialect(
    name="anthropic",
    request_id_header=b"request-id",
    request_id_prefix="req_01",
    credential=_anthropic_credential,
    error=_anthropic_error,
)
GEMINI: Final = Dialect(
    name="gemini",
    request_id_header=b"x-goog-request-id",
    request_id_prefix="",
    credential=_gemini_credential,
    error=_gemini_error,
)
