"""When a connection serves another call, and that no byte of one answer reaches the next."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator

import pytest

from tokenward.http import upstream as face
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import BrokenError
from unit.http.provider.calling import CHUNKED, HEADERS, OK, answering, call, outcome, send
from unit.http.raw_sockets import Wire, provider

EVIL = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    client = HttpUpstream()
    yield client
    await client.close()


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (OK, 1),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n", 1),
        (CHUNKED + b"2\r\nok\r\n0\r\nX-Late: 1\r\n\r\n", 1),
        (b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok", 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + OK, 1),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 3),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", 3),
        (OK + EVIL, 3),
        (OK + b"x", 3),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n" + EVIL, 3),
        (CHUNKED + b"2\r\nok\r\n0\r\n\r\n0\r\n\r\n", 3),
    ],
)
async def test_a_connection_serves_again_only_after_an_answer_with_a_plain_end(
    upstream: HttpUpstream, answer: bytes, connections: int
) -> None:
    async with provider(answering(answer)) as served:
        for _ in range(3):
            assert await call(upstream, served.url) == b"ok"
    assert served.connections == connections


async def test_the_answer_to_head_has_no_body_and_is_the_last_one(upstream: HttpUpstream) -> None:
    async with provider(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")) as served:
        for _ in range(2):
            answer = await upstream.send("HEAD", served.url, HEADERS, b"")
            assert (answer.headers, await answer.read()) == (((b"content-length", b"9"),), b"")
    assert served.connections == 2


@pytest.mark.parametrize("end", ["answer", "junk", "fin", "reset"])
@pytest.mark.parametrize("is_heard", [True, False])
async def test_a_connection_on_which_something_came_between_two_calls_is_dropped(
    upstream: HttpUpstream, end: str, is_heard: bool
) -> None:
    """Also when the event loop has not heard of it yet: a request written then would be lost."""
    seen: list[bytes] = []
    wires: list[Wire] = []

    async def script(wire: Wire) -> None:
        wires.append(wire)
        while True:
            seen.append((await wire.request())[1])
            await wire.say(OK)

    async with provider(script) as served:
        assert await call(upstream, served.url, b"1") == b"ok"
        wire = wires[0]
        if end == "reset":
            wire.reset()
            await asyncio.sleep(0)  # until the reset is on its way
        elif end == "fin":
            fin(wire)
        else:
            wire.writer.write(EVIL if end == "answer" else b"\0")
        if is_heard:
            await asyncio.sleep(0.05)
        assert await call(upstream, served.url, b"2") == b"ok"
    assert seen == [b"1", b"2"]
    assert served.connections == 2


async def test_a_connection_that_spoke_unasked_is_not_taken_in_the_same_turn_of_the_loop(
    upstream: HttpUpstream,
) -> None:
    """The bytes are read already, and the socket is not closed yet."""
    async with provider(answering(OK)) as served:
        assert await call(upstream, served.url) == b"ok"
        ((connection,),) = upstream._pool._idle.values()
        connection.data_received(EVIL)
        assert await call(upstream, served.url) == b"ok"
    assert served.connections == 2


def fin(wire: Wire) -> None:
    """At once, without a turn of the event loop."""
    end = socket.socket(fileno=wire.writer.get_extra_info("socket").fileno())
    end.shutdown(socket.SHUT_WR)
    end.detach()


async def test_a_connection_that_ends_as_the_request_is_written_is_broken_not_repeated(
    upstream: HttpUpstream,
) -> None:
    """Nobody can know whether the provider has begun with it."""
    seen: list[bytes] = []

    async def script(wire: Wire) -> None:
        while True:
            seen.append((await wire.request())[1])
            if len(seen) == 2:
                return
            await wire.say(OK)

    async with provider(script) as served:
        assert await call(upstream, served.url, b"1") == b"ok"
        with pytest.raises(BrokenError, match="before the answer's head: it was closed"):
            await call(upstream, served.url, b"2")
        assert await call(upstream, served.url, b"3") == b"ok"
    assert seen == [b"1", b"2", b"3"]


async def test_a_get_is_not_repeated_either(upstream: HttpUpstream) -> None:
    async def script(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")

    async with provider(script) as served:
        with pytest.raises(BrokenError):
            await upstream.send("GET", served.url, HEADERS, b"")
    assert served.connections == 1


async def test_an_idle_connection_is_given_up_before_the_provider_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(face, "_KEEP_IDLE_S", 0.05)
    client = HttpUpstream()
    ended = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(OK)
        await wire.until_closed()
        ended.set()

    async with provider(script) as served:
        assert await call(client, served.url) == b"ok"
        await asyncio.wait_for(ended.wait(), 10)
    await client.close()


async def test_a_connection_is_too_old_even_if_the_event_loop_was_too_busy_to_see_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(face, "_KEEP_IDLE_S", 0.05)
    client = HttpUpstream()
    async with provider(answering(OK)) as served:
        assert await call(client, served.url) == b"ok"
        time.sleep(0.1)
        assert await call(client, served.url) == b"ok"
    assert served.connections == 2
    await client.close()


async def test_an_answer_that_was_read_late_cannot_touch_the_call_that_came_after(
    upstream: HttpUpstream,
) -> None:
    turn = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(OK)
        await wire.request()
        await turn.wait()
        await wire.say(CHUNKED + b"4\r\nnext\r\n0\r\n\r\n")

    async with provider(script) as served:
        first = await send(upstream, served.url)
        second = asyncio.create_task(call(upstream, served.url))
        await asyncio.sleep(0.01)
        await first.close()
        assert (await first.read(), await first.read()) == (b"ok", b"")
        await first.close()
        turn.set()
        assert await second == b"next"
    assert served.connections == 1


async def test_every_call_gets_its_own_answer_under_load(upstream: HttpUpstream) -> None:
    def echo(body: bytes) -> bytes:
        number = int(body)
        if number % 3 == 0:
            return CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        end = EVIL if number % 7 == 0 else b""
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body) + end

    async def ask(number: int) -> None:
        assert await call(upstream, served.url, b"%d" % number) == b"%d" % number

    async with provider(answering(echo)) as served:
        for start in range(0, 600, 60):
            await asyncio.gather(*(ask(number) for number in range(start, start + 60)))


async def test_what_is_read_is_the_answer_or_broken_whatever_the_provider_does_after(
    upstream: HttpUpstream,
) -> None:
    """Answers are followed by the beginning of another; then the connection closes."""
    async with provider(answering(OK + EVIL[:20])) as served:
        for _ in range(20):
            assert await outcome(upstream, served.url) == b"ok"
