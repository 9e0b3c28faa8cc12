"""How does the agent say no? In the envelope of the dialect that was called, as the guard does."""

from typing import Final

import msgspec

from tokenward.client.agent.screening import Headers
from tokenward.kernel.refusals import Refusal

_ANTHROPIC_TYPES: Final = {
    401: "authentication_error",
    403: "permission_error",
    413: "request_too_large",
}
_GOOGLE_STATUSES: Final = {
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_OPENAI_TYPES: Final = {401: "authentication_error", 403: "permission_error"}


def error_body(refusal: Refusal, target: str, headers: Headers) -> bytes:
    """The refusal as JSON. The path and the caller's headers say which SDK reads it."""
    names = {name for name, _ in headers}
    if target.startswith("/v1beta/") or b"x-goog-api-key" in names:
        return msgspec.json.encode({"error": _google(refusal)})
    is_bad = refusal.status < 500
    if target.startswith("/v1/messages") or b"anthropic-version" in names:
        kind = "invalid_request_error" if is_bad else "api_error"
        told = _told(refusal, _ANTHROPIC_TYPES.get(refusal.status, kind))
        return msgspec.json.encode({"type": "error", "error": told})
    kind = "invalid_request_error" if is_bad else "server_error"
    told = _told(refusal, _OPENAI_TYPES.get(refusal.status, kind))
    return msgspec.json.encode({"error": {**told, "param": None}})


def error_headers(refusal: Refusal) -> dict[str, str]:
    """`x-should-retry` is what the official SDKs obey before their own rules."""
    head = {
        "Content-Type": "application/json",
        "X-Should-Retry": "true" if refusal.should_retry else "false",
    }
    if refusal.status == 401:
        head["WWW-Authenticate"] = 'Bearer realm="tokenward agent"'
    return head


def _told(refusal: Refusal, kind: str) -> dict[str, str]:
    return {"type": kind, "code": refusal.code, "message": refusal.message}


def _google(refusal: Refusal) -> dict[str, object]:
    other = "INVALID_ARGUMENT" if refusal.status < 500 else "INTERNAL"
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": refusal.code,
        "domain": "tokenward",
    }
    return {
        "code": refusal.status,
        "message": refusal.message,
        "status": _GOOGLE_STATUSES.get(refusal.status, other),
        "details": [info],
    }
