"""The last look: asked with the connection ready, right before the first byte, and once."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import UnfitError, UnsentError, WithheldError
from tokenward.kernel.refusals import Refusal
from unit.http.provider.calling import HEADERS, OK, answering, call, read_all, send
from unit.http.raw_sockets import Wire, free_port, provider

NO = Refusal("key:stale_view", 503, "Not now.", should_retry=True)


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    client = HttpUpstream(max_connections=1)
    yield client
    await client.close()


@pytest.mark.parametrize("is_new", [True, False])
async def test_what_the_last_look_refuses_is_not_sent_and_its_connection_serves_the_next(
    upstream: HttpUpstream, is_new: bool
) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with provider(answering(OK, seen)) as served:
        if not is_new:
            await call(upstream, served.url, b"before")
        with pytest.raises(WithheldError) as caught:
            await upstream.send("POST", served.url, HEADERS, b"withheld", lambda: NO)
        assert caught.value.refusal is NO
        assert await call(upstream, served.url, b"after") == b"ok"
    assert [body for _, body in seen] == ([b"after"] if is_new else [b"before", b"after"])
    assert served.connections == 1


async def test_the_last_look_is_asked_once_when_the_connection_is_there(
    upstream: HttpUpstream,
) -> None:
    asked: list[int] = []
    arrived = asyncio.Event()

    async def script(wire: Wire) -> None:
        arrived.set()
        await wire.request()
        await wire.say(OK)

    def look() -> None:
        asked.append(served.connections)

    async with provider(script) as served:
        answer = await upstream.send("POST", served.url, HEADERS, b"{}", look)
        assert await read_all(answer) == b"ok"
    assert len(asked) == 1
    assert arrived.is_set()


async def test_the_last_look_comes_after_the_wait_for_a_connection(
    upstream: HttpUpstream,
) -> None:
    """What changed while the call stood in line counts."""
    refusal: Refusal | None = None
    seen: list[tuple[bytes, bytes]] = []
    turn = asyncio.Event()

    async def script(wire: Wire) -> None:
        while True:
            seen.append(await wire.request())
            await turn.wait()
            await wire.say(OK)

    async with provider(script) as served:
        first = asyncio.create_task(call(upstream, served.url))
        while not seen:
            await asyncio.sleep(0)
        second = asyncio.create_task(
            upstream.send("POST", served.url, HEADERS, b"second", lambda: refusal)
        )
        await asyncio.sleep(0.01)
        refusal = NO
        turn.set()
        assert await first == b"ok"
        with pytest.raises(WithheldError):
            await second
    assert len(seen) == 1


async def test_nothing_is_asked_when_nothing_could_be_sent(upstream: HttpUpstream) -> None:
    def look() -> None:
        raise AssertionError("nothing is about to be sent")

    with pytest.raises(UnsentError):
        await upstream.send("POST", f"http://127.0.0.1:{free_port()}/", HEADERS, b"", look)
    with pytest.raises(UnfitError):
        await upstream.send("POST", "http://127.0.0.1:9/", ((b"x", b"\0"),), b"", look)
    with pytest.raises(UnsentError):
        await upstream.send("POST", "nonsense", HEADERS, b"", look)


async def test_a_bug_in_the_last_look_costs_no_connection(upstream: HttpUpstream) -> None:
    def look() -> None:
        raise ZeroDivisionError

    async with provider(answering(OK)) as served:
        with pytest.raises(ZeroDivisionError):
            await upstream.send("POST", served.url, HEADERS, b"{}", look)
        answer = await send(upstream, served.url)
        assert await read_all(answer) == b"ok"
    assert served.connections == 1
