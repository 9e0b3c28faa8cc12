"""Large bodies out and in: pieces, back-pressure, early answers, silence on either side."""

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import BrokenError
from unit.http.provider.calling import CHUNKED, HEADERS, broken_in_body, call, read_all, send
from unit.http.raw_sockets import Wire, provider

BODY = bytes(range(256)) * 40_000  # 10 MB


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    client = HttpUpstream()
    yield client
    await client.close()


def small_buffers(wire: Wire) -> None:
    end = wire.writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)


async def test_a_provider_that_reads_slowly_gets_all_of_a_large_body(
    upstream: HttpUpstream,
) -> None:
    async def script(wire: Wire) -> None:
        small_buffers(wire)
        head = await wire.reader.readuntil(b"\r\n\r\n")
        assert b"Content-Length: %d\r\n" % len(BODY) in head
        got = b""
        while len(got) < len(BODY):
            got += await wire.reader.read(1_000_000)
            await asyncio.sleep(0)
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n")
        await wire.say(b"same" if got == BODY else b"else")

    async with provider(script) as served:
        assert await call(upstream, served.url, BODY) == b"same"


async def test_what_waits_to_be_written_is_no_second_copy_of_the_body_and_holds_nothing_up(
    upstream: HttpUpstream,
) -> None:
    async def script(wire: Wire) -> None:
        small_buffers(wire)
        wire.writer.transport.pause_reading()
        await wire.until_closed()

    async with provider(script) as served:
        task = asyncio.create_task(send(upstream, served.url, BODY * 3))
        await asyncio.sleep(0.1)
        (connection,) = upstream._pool._busy
        assert 0 < connection._transport.get_write_buffer_size() < 1_000_000
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.wait_for(connection.gone, 10)


@pytest.mark.parametrize("status", [302, 401, 413, 500])
async def test_a_provider_that_refuses_early_gets_no_more_of_the_body(
    upstream: HttpUpstream, status: int
) -> None:
    got = 0
    ended = asyncio.Event()

    async def script(wire: Wire) -> None:
        nonlocal got
        small_buffers(wire)
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.say(b"HTTP/1.1 %d No\r\nContent-Length: 2\r\n\r\nn" % status)
        while True:
            try:
                async with asyncio.timeout(0.2):
                    got += len(await wire.reader.read(65536))
            except TimeoutError:
                break  # nothing more comes
        await wire.say(b"o")
        await wire.until_closed()
        ended.set()

    async with provider(script) as served:
        answer = await send(upstream, served.url, BODY * 3)
        assert (answer.status, await read_all(answer)) == (status, b"no")
        await asyncio.wait_for(ended.wait(), 10)
    assert 0 < got < len(BODY)  # what was on its way


async def test_a_provider_that_answers_early_and_reads_on_gets_all_of_the_body(
    upstream: HttpUpstream,
) -> None:
    async def script(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.say(CHUNKED + b"5\r\nearly\r\n")
        got = await wire.reader.readexactly(len(BODY))
        await wire.say(b"4\r\n%b\r\n0\r\n\r\n" % (b"same" if got == BODY else b"else"))
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nagain")

    async with provider(script) as served:
        answer = await send(upstream, served.url, BODY)
        assert await answer.read() == b"early"
        assert await read_all(answer) == b"same"
        assert await call(upstream, served.url) == b"again"
    assert served.connections == 1


async def test_an_early_answer_that_is_whole_costs_the_connection(upstream: HttpUpstream) -> None:
    async def script(wire: Wire) -> None:
        small_buffers(wire)
        await wire.reader.readuntil(b"\r\n\r\n")
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await wire.until_closed()

    async with provider(script) as served:
        for _ in range(2):
            assert await call(upstream, served.url, BODY * 3) == b"ok"
    assert served.connections == 2


async def test_a_provider_that_stops_reading_is_broken_after_the_silence_allowed() -> None:
    client = HttpUpstream(head_timeout_s=0.2)
    ended = asyncio.Event()

    async def script(wire: Wire) -> None:
        small_buffers(wire)
        wire.writer.transport.pause_reading()
        await asyncio.sleep(1)
        wire.writer.transport.resume_reading()
        await wire.until_closed()
        ended.set()

    async with provider(script) as served:
        with pytest.raises(BrokenError, match=r"silent for 0\.2 s"):
            await send(client, served.url, BODY * 3)
        await asyncio.wait_for(ended.wait(), 10)
    await client.close()


async def test_a_provider_that_reads_on_slowly_is_not_silent() -> None:
    """It takes longer than the silence allowed, but never pauses for so long."""
    client = HttpUpstream(head_timeout_s=0.4)
    loop = asyncio.get_running_loop()
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        listener.setblocking(False)
        url = f"http://127.0.0.1:{listener.getsockname()[1]}/"
        task = asyncio.create_task(call(client, url, BODY * 3))
        end, _ = await loop.sock_accept(listener)
        with end:
            left = len(BODY) * 3
            while left > 0:
                left -= len(await loop.sock_recv(end, 65536))
                await asyncio.sleep(0.002)
            await loop.sock_sendall(end, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            assert await task == b"ok"
    await client.close()


async def test_a_provider_that_closes_its_side_within_the_body_is_broken_at_once(
    upstream: HttpUpstream,
) -> None:
    async def script(wire: Wire) -> None:
        small_buffers(wire)
        wire.writer.transport.pause_reading()
        wire.writer.write_eof()
        await asyncio.sleep(20)

    async with provider(script) as served:
        async with asyncio.timeout(10):
            with pytest.raises(BrokenError, match="it was closed"):
                await send(upstream, served.url, BODY * 3)


@pytest.mark.parametrize("has_begun", [True, False])
async def test_a_call_cancelled_while_its_body_goes_out_closes_at_once(
    upstream: HttpUpstream, has_begun: bool
) -> None:
    asked, ended = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        small_buffers(wire)
        await wire.reader.readuntil(b"\r\n\r\n")
        if has_begun:
            await wire.say(CHUNKED + b"2\r\nab\r\n")
        asked.set()
        await asyncio.sleep(0.05)
        await wire.until_closed()
        ended.set()

    async with provider(script) as served:
        task = asyncio.create_task(call(upstream, served.url, BODY * 3))
        await asked.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(ended.wait(), 10)


async def test_the_silence_of_a_slow_reader_is_not_the_providers() -> None:
    client = HttpUpstream(idle_timeout_s=0.1)

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(BODY) + BODY)

    async with provider(script) as served:
        answer = await send(client, served.url)
        await asyncio.sleep(0.5)
        assert await read_all(answer) == BODY
    await client.close()


async def test_silence_after_a_slow_reader_counts_again() -> None:
    client = HttpUpstream(idle_timeout_s=0.1)

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (len(BODY) + 1) + BODY)
        await wire.until_closed()

    async with provider(script) as served:
        answer = await send(client, served.url)
        await asyncio.sleep(0.3)
        assert await broken_in_body(answer) == BODY
    await client.close()


async def test_a_connection_serves_again_after_a_body_that_was_read_slowly(
    upstream: HttpUpstream,
) -> None:
    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: 150000\r\n\r\n" + BODY[:150_000])

    async with provider(script) as served:
        for _ in range(3):
            answer = await send(upstream, served.url)
            await asyncio.sleep(0.02)
            assert await read_all(answer) == BODY[:150_000]
    assert served.connections == 1


async def test_what_came_before_a_break_is_read_before_it_is_told(upstream: HttpUpstream) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(CHUNKED + b"3\r\nabc\r\n2\r\nde\r\n")

    async with provider(script) as served:
        answer = await upstream.send("POST", served.url, HEADERS, b"{}")
        await asyncio.sleep(0.05)  # the break has come before the first read
        assert await broken_in_body(answer) == b"abcde"
        with pytest.raises(BrokenError, match="within the answer's body: it was closed"):
            await answer.read()


async def test_a_head_that_dribbles_is_waited_for_byte_by_byte() -> None:
    client = HttpUpstream(head_timeout_s=0.3)

    async def script(wire: Wire) -> None:
        await wire.request()
        for octet in b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok":
            await wire.say(bytes([octet]))
            await asyncio.sleep(0.01)

    async with provider(script) as served:
        assert await call(client, served.url) == b"ok"
    await client.close()
