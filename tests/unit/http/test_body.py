"""A request's body arrives whole and within its limits, or says why not."""

import asyncio

import pytest

from tokenward.http.body import CALLER_GONE, has_come, read_body
from tokenward.http.exchange import WHOLE_BODY
from tokenward.http.lifespan import Message, Receive, Send
from tokenward.kernel.refusals import Refusal
from unit.http.raw_sockets import say
from unit.http.serving import answer, live, served

LIMIT_BYTES = 10_000


class App:
    """Reads every body with a small limit, and answers with its size or the refusal's code."""

    def __init__(self, timeout_s: float = 20) -> None:
        self.got: list[bytes | Refusal] = []
        self.has_got = asyncio.Event()
        self._timeout_s = timeout_s

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        length = dict(scope["headers"]).get(b"content-length")
        body = await read_body(
            receive,
            int(length) if length else None,
            scope.get("extensions", {}).get(WHOLE_BODY),
            limit_bytes=LIMIT_BYTES,
            timeout_s=self._timeout_s,
        )
        self.got.append(body)
        self.has_got.set()
        if isinstance(body, Refusal):
            await answer(send, body.code.encode(), body.status)
        else:
            await answer(send, b"%d" % len(body))


def head(headers: bytes) -> bytes:
    return b"POST /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + headers + b"\r\n"


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("size", [0, 1, LIMIT_BYTES])
async def test_a_body_up_to_the_limit_arrives_whole(size: int) -> None:
    app = App()
    body = bytes(index % 251 for index in range(size))
    async with served(app) as server:
        await say(server.port, head(b"Content-Length: %d\r\n" % size) + body)
        await say(server.port, head(b"Transfer-Encoding: chunked\r\n") + chunk(body) * bool(size)
                  + b"0\r\n\r\n")  # fmt: skip
    assert app.got == [body, body]


async def test_a_body_in_many_packets_arrives_whole() -> None:
    app = App()
    async with served(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head(b"Content-Length: 300\r\n"))
        for index in range(30):
            writer.write(b"%010d" % index)
            await writer.drain()
            await asyncio.sleep(0.001)
        assert (await reader.read()).endswith(b"300")
        writer.close()
    assert app.got == [b"".join(b"%010d" % index for index in range(30))]


@pytest.mark.parametrize("size", [0, 300, LIMIT_BYTES])
async def test_what_has_come_behind_its_head_is_read_without_a_turn_of_the_loop(size: int) -> None:
    """So nobody comes in between a proof and what its call is refused for."""
    body, is_asked, read = b"x" * size, asyncio.Event(), list[object]()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        read.append(await has_come(scope))
        is_asked.set()
        while not await has_come(scope):
            await asyncio.sleep(0.001)
        reading = read_body(receive, size, limit_bytes=LIMIT_BYTES, timeout_s=20)
        try:
            reading.send(None)
        except StopIteration as ended:
            read.append(ended.value)
        await answer(send, b"done")

    async with served(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head(b"Content-Length: %d\r\n" % size))
        async with asyncio.timeout(30):
            await is_asked.wait()
            writer.write(body)
            assert (await reader.read()).endswith(b"done")
        writer.close()
    assert read == [size == 0, body]


async def test_a_body_that_says_it_is_too_large_is_refused_before_it_is_sent() -> None:
    app = App()
    async with served(app) as server:
        said = await say(
            server.port,
            head(b"Content-Length: %d\r\nExpect: 100-continue\r\n" % (LIMIT_BYTES + 1)),
        )
    assert said.startswith(b"HTTP/1.1 413 ")
    assert said.endswith(b"request:too_large")


async def test_a_large_body_that_is_sent_all_the_same_still_gets_to_read_why() -> None:
    async with served(App()) as server:
        said = await say(server.port, head(b"Content-Length: 3000000\r\n") + bytes(3_000_000))
    assert said.startswith(b"HTTP/1.1 413 ")


async def test_a_chunked_body_is_refused_as_soon_as_it_has_passed_the_limit() -> None:
    app = App()
    async with served(app) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head(b"Transfer-Encoding: chunked\r\n"))
        writer.write(chunk(bytes(LIMIT_BYTES)) + chunk(b"x"))
        said = await reader.read()
        writer.close()
    assert said.startswith(b"HTTP/1.1 413 ")


async def test_a_body_that_does_not_come_in_time_is_refused() -> None:
    async with served(App(timeout_s=0.2)) as server:
        said = await say(server.port, head(b"Content-Length: 10\r\n") + b"abc")
    assert said.startswith(b"HTTP/1.1 408 ")
    assert said.endswith(b"request:timeout")


async def test_a_caller_gone_within_the_body_is_told_apart() -> None:
    app = App()
    async with served(app) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(head(b"Content-Length: 10\r\n") + b"abc")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.close()
        await asyncio.wait_for(app.has_got.wait(), 10)
    assert app.got == [CALLER_GONE]


async def test_a_garbled_chunk_is_a_400_and_the_app_hears_that_the_caller_left() -> None:
    app = App()
    async with served(app) as server:
        said = await say(
            server.port, head(b"Transfer-Encoding: chunked\r\n") + chunk(b"abc") + b"zz\r\n"
        )
        await asyncio.wait_for(app.has_got.wait(), 10)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert app.got == [CALLER_GONE]
