"""A refusal in Google's error envelope (google.rpc.Status as JSON; AIP-193)."""

import json
from typing import Final

from tokenward.kernel.refusals import Refusal

_STATUSES: Final = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    402: "FAILED_PRECONDITION",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ABORTED",
    429: "RESOURCE_EXHAUSTED",
    499: "CANCELLED",
    503: "UNAVAILABLE",
    504: "DEADLINE_EXCEEDED",
}
_TYPES: Final = "type.googleapis.com/google.rpc."


def error_body(refusal: Refusal, request_id: str) -> bytes:
    """The code and the facts go into `ErrorInfo`, a wait that helps into `RetryInfo`."""
    other = "INVALID_ARGUMENT" if refusal.status < 500 else "INTERNAL"
    facts = {name: str(value) for name, value in refusal.facts if value is not None}
    details: list[dict[str, object]] = [
        {
            "@type": _TYPES + "ErrorInfo",
            "reason": refusal.shown_code,
            "domain": "tokenward",
            "metadata": {**facts, "request_id": request_id},
        }
    ]
    if refusal.retry_after_s is not None:
        retry = {"@type": _TYPES + "RetryInfo", "retryDelay": f"{refusal.retry_after_s}s"}
        details.append(dict(retry))
    error = {
        "code": refusal.status,
        "message": refusal.message,
        "status": _STATUSES.get(refusal.status, other),
        "details": details,
    }
    return json.dumps({"error": error}).encode()
