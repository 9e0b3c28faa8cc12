"""The provider's answer, to the caller as it comes, with the meter reading along.

Promises: every piece is passed on when it arrives; what the reader calls final is kept back as
`tail` until the money is settled; a caller that leaves does not stop the reading (the provider
bills on), but bounds it; a cut answer never looks complete to the caller.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import BrokenError
from tokenward.pipeline.interfaces import Answer, Reply
from tokenward.pipeline.stages import Outcome
from tokenward.providers.interfaces import Headers, Reader

HOP_BY_HOP: Final = frozenset(
    (
        b"connection",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    )
)
"""RFC 9110 section 7.6.1: these speak of one connection and are never passed on."""

KEPT_INSIDE: Final = frozenset(
    (
        b"content-length",  # may change when a chunk is taken out; the server writes it anew
        b"set-cookie",  # one caller's cookie would travel with the provider's account
        b"openai-organization",
        b"openai-project",
        b"alt-svc",  # would invite the caller to go round the guard
        b"location",  # so would this, and SDKs follow it with the key in `x-api-key`
        b"strict-transport-security",
        b"dpop-nonce",  # callers hear of the guard's nonces, no one else's
        b"x-request-id",  # ours; the provider's is passed as x-provider-request-id
    )
)


EVENT_WAITS_BYTES: Final = 64 * 1024
"""An event that is longer than this (a picture) goes as it comes."""
_BLANK_LINES: Final = (b"\n\n", b"\r\n\r\n", b"\r\r")


def answer_headers(answer: Answer, request_id: str, theirs: bytes) -> Headers:
    """The provider's headers for the caller, without what must stay inside, plus our id and
    `theirs`."""
    inside = _kept_inside(b",".join(v for name, v in answer.headers if name == b"connection"))
    kept = [(name, value) for name, value in answer.headers if name not in inside]
    if theirs:
        kept.append((b"x-provider-request-id", theirs))
    kept.append((b"x-request-id", request_id.encode("ascii")))
    return tuple(kept)


@lru_cache(maxsize=64)
def _kept_inside(connection: bytes) -> frozenset[bytes]:
    named = (token.strip().lower() for token in connection.split(b","))
    return HOP_BY_HOP | KEPT_INSIDE | frozenset(named)


def provider_request_id(answer: Answer) -> bytes:
    """The provider's own name for the call, for support questions; b"" if it gave none."""
    for name, value in answer.headers:
        if name in (b"x-request-id", b"request-id"):
            return value[:128]
    return b""


@dataclass(slots=True)
class Events:
    """Lets whole events through. `begun` is the beginning of one that is still coming.

    `is_within`: the caller has the beginning of one that was too long to wait for, so nothing else
    may follow before its end.
    """

    begun: bytes = b""
    is_within: bool = False

    def let_through(self, ready: bytes) -> bytes:
        """What may go now: up to the last blank line, in whichever way lines end, and comments, by
        which some servers keep a connection alive."""
        body = self.begun + ready
        ends = (body.rfind(blank) + len(blank) for blank in _BLANK_LINES if blank in body)
        end = len(body) if body.endswith(b"\n\n") else max(ends, default=0)
        is_between = bool(end) or not self.is_within
        if is_between and body[end : end + 1] == b":" and body.endswith(b"\n"):
            lines = body[end:].splitlines()
            end = len(body) if all(line.startswith(b":") for line in lines) else end
        self.is_within &= end == 0
        if self.is_within or len(body) - end > EVENT_WAITS_BYTES:
            self.is_within, end = True, len(body)
        self.begun = body[end:]
        return body[:end]


@dataclass(slots=True)
class Passage:
    """What has passed so far; kept outside the loop because a cut may come at any await.

    `tail` is what the caller has not got yet; `is_at_end` says the provider's body was read to
    its end, so that the connection can be used again. `may_tell`: an event with an error can
    follow what the caller has. `may_have_left`: the request's first byte may have gone out; before
    that nothing can be billed.
    """

    may_have_left: bool = False
    has_started: bool = False
    is_at_end: bool = False
    may_tell: bool = True
    tail: bytes = b""
    first_byte_s: float | None = None


async def pass_on(
    answer: Answer,
    reader: Reader,
    reply: Reply,
    passage: Passage,
    head: Headers,
    clock: Clock,
    *,
    is_stream: bool,
) -> Outcome:
    """Pass the answer on until its end or the reader's word that all is said.

    A streamed answer goes event by event as it comes: one that breaks off within an event can then
    still be told apart from one that ended. Of any other the last piece is kept back (of a list of
    answers its last bracket): with it the caller has a whole document, and may call again before
    this one is settled.
    Returns COMPLETE, or BROKEN when the body broke off. A cut arrives as `CancelledError` from
    any await and is the flow's business.
    """
    is_list: bool | None = None
    events = Events()
    passage.has_started = True
    await reply.start(answer.status, head)
    try:
        while chunk := await answer.read():
            if passage.first_byte_s is None:
                passage.first_byte_s = clock.monotonic_s()
            ready = reader.feed(chunk)
            if reader.is_final:
                passage.tail = events.begun + ready
                return Outcome.COMPLETE
            if is_stream:
                ready = events.let_through(ready)
                passage.may_tell = not events.is_within
            else:
                if is_list is None:
                    is_list = ready.startswith(b"[")
                keep_back = _keep_bracket if is_list else _keep_piece
                ready, passage.tail = keep_back(passage.tail, ready)
            if ready:
                await reply.write(ready)
    except BrokenError:
        tail = reader.finish()
        # Half an event is nothing to the caller, and would spoil the error that comes after it.
        passage.tail += events.let_through(tail) if is_stream else tail
        passage.may_tell = not events.is_within
        return Outcome.BROKEN
    passage.is_at_end = True
    passage.tail += events.begun + reader.finish()
    return Outcome.COMPLETE


def _keep_piece(kept: bytes, ready: bytes) -> tuple[bytes, bytes]:
    """What may go now, and what waits: the piece that came last."""
    return kept, ready


def _keep_bracket(kept: bytes, ready: bytes) -> tuple[bytes, bytes]:
    """The same for a JSON list, as Gemini streams without `alt=sse`: each answer in it goes at
    once, and no list is whole without its last bracket."""
    body = kept + ready
    end = len(body.rstrip())
    if body[end - 1 : end] == b"]":
        end -= 1
        return body[:end], body[end:]
    return body, b""


def is_event_stream(answer: Answer) -> bool:
    """Whether the answer comes as server-sent events."""
    return any(
        name == b"content-type" and value.lower().startswith(b"text/event-stream")
        for name, value in answer.headers
    )


def stream_error(error_body: bytes) -> bytes:
    """An error as the last server-sent event: the SDKs of all three dialects raise on it."""
    return b"event: error\ndata: " + error_body + b"\n\n"
