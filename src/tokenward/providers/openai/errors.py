"""A refusal in OpenAI's error envelope, so that its SDKs raise their usual exceptions."""

import json

from tokenward.kernel.refusals import Refusal


def error_body(refusal: Refusal, request_id: str) -> bytes:
    """`{"error": {"message", "type", "param", "code", …facts, "request_id"}}`."""
    error: dict[str, str | int | None] = {
        "message": refusal.message,
        "type": _kind(refusal),
        "param": None,
        "code": refusal.shown_code,
    }
    facts = dict(refusal.facts)
    assert not error.keys() & facts.keys(), "a fact must not hide a member of the envelope"
    return json.dumps({"error": {**error, **facts, "request_id": request_id}}).encode()


def _kind(refusal: Refusal) -> str:
    """The `type` that OpenAI gives such an error."""
    if refusal.shown_code.startswith("cap:"):
        return "insufficient_quota"
    if refusal.status >= 500:
        return "server_error"
    kinds = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
    return kinds.get(refusal.status, "invalid_request_error")
