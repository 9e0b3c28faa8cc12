"""Step 7: out to the provider and back, with every way it can end."""

import asyncio
from functools import lru_cache, partial
from typing import Final
from urllib.parse import unquote_to_bytes

from tokenward.kernel.errors import BrokenError, UnfitError, UnsentError, WithheldError
from tokenward.kernel.refusals import Refusal
from tokenward.keys.format import PREFIX
from tokenward.pipeline.guard import Guard
from tokenward.pipeline.interfaces import Answer, LastLook, Provider, Reply
from tokenward.pipeline.notes import Notes
from tokenward.pipeline.relay import (
    HOP_BY_HOP,
    Passage,
    answer_headers,
    is_event_stream,
    pass_on,
    provider_request_id,
)
from tokenward.pipeline.running import HUNG_UP, TOO_LONG, RunningCall
from tokenward.pipeline.stages import Answered, Arrived, Cleared, Outcome
from tokenward.providers.interfaces import Headers, Reader, Reading

UNREACHABLE: Final = Refusal(
    "provider:unavailable",
    503,
    "The provider could not be reached. Nothing was sent and nothing is charged; call again.",
    should_retry=True,
    retry_after_s=1,
)
UNFIT: Final = Refusal(
    "request:invalid",
    400,
    "A header of the request cannot be sent on: values must be UTF-8 without control characters. "
    "Nothing was sent and nothing is charged.",
)
NO_ANSWER: Final = Refusal(
    "provider:no_answer",
    502,
    "The request was sent and the provider's answer did not come whole. It may have billed the "
    "call, so what was held for it is charged. Calling again is a new call with a new price.",
)

NOT_READ: Final = Reading(usage=None, problem="no answer came")
VERSION_PREFIX: Final = "/v1"
OUR_KEYS: Final = PREFIX.encode()
CREDENTIALS_IN_QUERY: Final = frozenset((b"key", b"api_key", b"api-key", b"access_token"))
KEPT_FROM_PROVIDER: Final = HOP_BY_HOP | frozenset(
    (
        b"authorization",  # the caller's tokenward key, in every place SDKs put one
        b"x-api-key",
        b"x-goog-api-key",
        b"api-key",
        b"dpop",
        b"signature",
        b"signature-input",
        b"content-digest",  # of the body that came; what goes out may have a limit set in it
        b"client-cert",  # what proxies say of certificates; x-forwarded-… is kept by its prefix
        b"client-cert-chain",
        b"ssl-client-cert",
        b"x-ssl-client-cert",
        b"x-amzn-mtls-clientcert",
        b"x-amzn-mtls-clientcert-leaf",
        b"cookie",
        b"host",
        b"content-length",
        b"accept-encoding",  # an answer must be readable to be metered
        b"expect",
        b"forwarded",
        b"via",
        b"x-real-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
        b"openai-organization",  # who pays at the provider is the operator's choice
        b"openai-project",
        b"x-goog-user-project",
        b"anthropic-workspace-id",
        b"x-should-retry",
    )
)


async def forward(
    guard: Guard, cleared: Cleared, reply: Reply, running: RunningCall, notes: Notes
) -> Answered:
    """Send the request and pass the answer on. Raises nothing: every ending is an `Outcome`.

    `running` is cut when the key is frozen or revoked, when the call lasts too long, and when the
    caller has left and the rest does not come in time.
    """
    passage = Passage()
    answer: Answer | None = None
    reader: Reader | None = None
    reason: Refusal | None = None
    is_stream = False
    request_id = cleared.read.bound.known.arrived.request_id
    running.cut_after(guard.limits.call_limit_s, TOO_LONG)
    notes.send(guard.clock.monotonic_s())

    def look() -> Refusal | None:
        refusal = running.look()
        passage.may_have_left = refusal is None
        return refusal

    try:
        answer = await _send(guard, cleared, look)
        their_id = provider_request_id(answer)
        notes.answer(answer.status, their_id)
        dialect = cleared.read.bound.known.arrived.dialect
        reader = dialect.reader(cleared.read.ask, answer.status, answer.headers)
        is_stream = is_event_stream(answer)
        if is_stream or cleared.read.ask.stream:
            # Of anything else the rest follows its head at once, whoever is still there.
            reply.watch(partial(running.cut_after, guard.limits.hangup_drain_s, HUNG_UP))
        head = answer_headers(answer, request_id, their_id)
        outcome = await pass_on(
            answer, reader, reply, passage, head, guard.clock, is_stream=is_stream
        )
    except UnfitError:
        outcome, reason = Outcome.UNSENT, UNFIT
    except WithheldError as withheld:
        outcome, reason = Outcome.WITHHELD, withheld.refusal
    except UnsentError:
        outcome, reason = Outcome.UNSENT, UNREACHABLE
    except BrokenError:
        outcome = Outcome.BROKEN
    except asyncio.CancelledError:
        reason = running.was_cut()
        if not passage.may_have_left:  # TOO_LONG would say that it was charged
            outcome, reason = Outcome.WITHHELD, UNREACHABLE if reason is TOO_LONG else reason
        else:
            outcome = Outcome.HUNG_UP if reason is HUNG_UP else Outcome.CUT
    notes.resume(guard.clock.monotonic_s(), passage)
    if outcome is Outcome.BROKEN:
        reason = NO_ANSWER
    if answer is not None and outcome is Outcome.COMPLETE and answer.status >= 300:
        outcome = Outcome.REJECTED
    is_open = outcome is Outcome.COMPLETE and not passage.is_at_end
    if answer is not None and not is_open:
        await answer.close()
    return Answered(
        cleared=cleared,
        outcome=outcome,
        reading=reader.reading() if reader is not None else NOT_READ,
        status=answer.status if answer is not None else 0,
        tail=passage.tail,
        may_tell=is_stream and passage.may_tell,
        refusal=None if passage.has_started else reason,
        interruption=reason if passage.has_started else None,
        rest=answer if is_open else None,
        said=reader.said() if reader is not None and outcome is Outcome.COMPLETE else "",
    )


async def _send(guard: Guard, cleared: Cleared, last_look: LastLook) -> Answer:
    read, arrived = cleared.read, cleared.read.bound.known.arrived
    body = arrived.dialect.rewrite(read.request, read.ask, cleared.held.output_limit)
    headers = provider_headers(arrived, read.provider)
    url = provider_url(read.provider, arrived)
    upstream = guard.upstreams[read.provider.name]
    return await upstream.send(arrived.route.method, url, headers, body, last_look)


def provider_url(provider: Provider, arrived: Arrived) -> str:
    """Host and path prefix from the settings alone (S-6); path and query as the caller sent them,
    without any credential in the query, and without one of our keys under any other name."""
    path = arrived.path
    if provider.path_prefix != VERSION_PREFIX and path.startswith(VERSION_PREFIX + "/"):
        path = provider.path_prefix + path.removeprefix(VERSION_PREFIX)
    query = b"&".join(
        part
        for part in arrived.query.split(b"&")
        if part
        and part.partition(b"=")[0].lower() not in CREDENTIALS_IN_QUERY
        and OUR_KEYS not in unquote_to_bytes(part)
    )
    return provider.base_url + path + ("?" + query.decode("latin-1") if query else "")


def provider_headers(arrived: Arrived, provider: Provider) -> Headers:
    """The caller's headers without what must stay here, plus the provider's credential. One of our
    keys stays here in whatever header it came: callers of other gateways have places of theirs."""
    kept_here = _kept_here(arrived.headers.get(b"connection", b""))
    kept = [
        (name, value)
        for name, value in arrived.header_list
        if name not in kept_here
        and not name.startswith(b"x-forwarded-")
        and value.find(OUR_KEYS) < 0  # bytes are searched in half the time of `in`
    ]
    kept.append((b"accept-encoding", b"identity"))
    if provider.credential is not None:
        kept.extend(arrived.dialect.credential(provider.credential))
    return tuple(kept)


@lru_cache(maxsize=64)
def _kept_here(connection: bytes) -> frozenset[bytes]:
    """What is not for the provider, and what speaks of the caller's connection alone: RFC 9110
    section 7.6.1."""
    return KEPT_FROM_PROVIDER.union(connection.lower().replace(b" ", b"").split(b","))


async def let_go(answer: Answer) -> None:
    """Read what follows the last word (a few bytes at most), so the connection can be kept."""
    left_bytes = 65_536
    try:
        async with asyncio.timeout(1.0):
            while left_bytes > 0 and (chunk := await answer.read()):
                left_bytes -= len(chunk)
    except (BrokenError, TimeoutError):
        pass  # everything was said; only the connection is lost
    await answer.close()
