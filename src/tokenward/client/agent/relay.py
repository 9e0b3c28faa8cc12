"""One request through the agent: screened, read, signed, sent, and its answer passed on."""

import asyncio
from typing import Final

import aiohttp
from aiohttp import web

from tokenward.client.agent import envelope, passing
from tokenward.client.agent.screening import BODY_BYTES_MAX, TOO_LARGE, Headers, Screen
from tokenward.client.agent.signed_link import SignedLink
from tokenward.kernel.refusals import Refusal

BODY_WAIT_S: Final = 60.0
SLOW: Final = Refusal(
    "agent:body_late", 408, "The body did not come whole in time. Nothing was sent."
)
VERSION: Final = Refusal(
    "agent:version",
    505,
    "The agent speaks HTTP/1.1: in HTTP/1.0 nobody can tell a stream that broke from a whole one.",
)
_CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"


class Relay:
    """Answers every request. Cancelled when its caller hangs up, which hangs up on the guard."""

    def __init__(self, screen: Screen, link: SignedLink) -> None:
        self._screen = screen
        self._link = link

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        """The guard's answer, passed on until its end, or why there is none."""
        headers = tuple((name.lower(), value) for name, value in request.raw_headers)
        target = request.raw_path
        refusal = self._screen.refuse(target, headers)
        if request.version < aiohttp.HttpVersion11:
            refusal = VERSION
        if refusal is not None:
            return _refused(refusal, target, headers)
        body = await _read_body(request)
        if isinstance(body, Refusal):
            return _refused(body, target, headers)
        answer = await self._link.send(request.method, target, passing.to_guard(headers), body)
        if isinstance(answer, Refusal):
            return _refused(answer, target, headers)
        try:
            return await _pass_on(request, answer)
        finally:
            answer.close()  # of one that was read to its end, the connection is back in its pool


async def _read_body(request: web.BaseRequest) -> bytes | Refusal:
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(_CONTINUE)
        request.writer.output_size = 0  # the answer itself has not begun
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_WAIT_S):
            while piece := await request.content.readany():
                body += piece
                if len(body) > BODY_BYTES_MAX:
                    return TOO_LARGE
    except TimeoutError:
        return SLOW
    return bytes(body)


async def _pass_on(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    """Each piece as it comes; what the guard breaks off is broken off for the caller too."""
    passed = web.StreamResponse(
        status=answer.status, reason=answer.reason, headers=passing.to_caller(answer.raw_headers)
    )
    passed.headers.setdefault("Server", "tokenward")  # else aiohttp names itself
    try:
        await passed.prepare(request)
        while piece := await answer.content.readany():
            await passed.write(piece)
        await passed.write_eof()
    except (aiohttp.ClientError, OSError, TimeoutError):
        _break_off(request)
    return passed


def _break_off(request: web.BaseRequest) -> None:
    """End the connection where the answer's end is missing, so that nobody takes it for whole."""
    if request.transport is not None:
        request.transport.close()


def _refused(refusal: Refusal, target: str, headers: Headers) -> web.Response:
    answer = web.Response(
        status=refusal.status,
        body=envelope.error_body(refusal, target, headers),
        headers=envelope.error_headers(refusal),
    )
    answer.headers.setdefault("Server", "tokenward")
    return answer
