"""How a "no" is told: in the dialect that was called, with the id of the request."""

from typing import Final

from tokenward.kernel.refusals import Refusal
from tokenward.pipeline.interfaces import Reply
from tokenward.pipeline.notes import Notes
from tokenward.pipeline.stages import Arrived
from tokenward.providers.interfaces import Headers

RETRY_WAIT_S_MAX: Final = 30
"""SDKs sleep a `Retry-After` out, some of any length, with their caller's request open."""
STORE_DOWN: Final = Refusal(
    "store:unavailable",
    503,
    "The guard cannot read or write its records right now, so it lets nothing pass. "
    "Nothing was sent and nothing is charged; call again in a moment.",
    should_retry=True,
    retry_after_s=2,
)
BUG: Final = Refusal(
    "guard:bug",
    500,
    "The guard failed on this request and refused it. What was held, if anything, is closed at "
    "its full price. Please report the request id.",
)


def refusal_headers(refusal: Refusal, request_id: str) -> Headers:
    """`x-should-retry` is what the official SDKs obey before their own rules: they may repeat what
    can succeed soon. Where that takes longer, `retry-after` says when, to whoever decides."""
    may_retry = refusal.should_retry and (refusal.retry_after_s or 0) <= RETRY_WAIT_S_MAX
    headers = [
        (b"content-type", b"application/json"),
        (b"x-request-id", request_id.encode("ascii")),
        (b"request-id", request_id.encode("ascii")),  # where Anthropic's SDKs look for it
        (b"x-should-retry", b"true" if may_retry else b"false"),
    ]
    if refusal.retry_after_s is not None:
        headers.append((b"retry-after", str(refusal.retry_after_s).encode("ascii")))
    if refusal.status == 401:
        challenge = refusal.challenge or 'Bearer realm="tokenward"'
        headers.append((b"www-authenticate", challenge.encode("ascii")))
    return tuple(headers)


async def refuse(arrived: Arrived, refusal: Refusal, reply: Reply, notes: Notes) -> None:
    """Answer with the refusal, unless an answer was already begun."""
    notes.refuse(refusal)
    if notes.has_started:
        return
    body = arrived.dialect.error(refusal, arrived.request_id)
    head = refusal_headers(refusal, arrived.request_id)
    length = (b"content-length", str(len(body)).encode("ascii"))
    await reply.start(refusal.status, (*head, length))
    await reply.end(body)
