"""The way back to a caller who may leave at any time."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

from tokenward.http.lifespan import Message, Receive, Send
from tokenward.http.reply import AsgiReply
from unit.http.raw_sockets import say
from unit.http.serving import live, served

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
CLOSE = b"GET /a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class App:
    """Gives every request's reply to `tell` once its body was read."""

    def __init__(self, tell: Callable[[AsgiReply], Awaitable[None]]) -> None:
        self._tell = tell

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await live(receive, send)
            return
        await receive()
        await self._tell(AsgiReply(receive, send))


async def test_an_answer_goes_out_piece_by_piece() -> None:
    turn = asyncio.Semaphore(0)

    async def tell(reply: AsgiReply) -> None:
        await reply.start(200, ((b"x-a", b"1"), (b"x-a", b"2")))
        for piece in (b"one", b"two"):
            await turn.acquire()
            await reply.write(piece)
            await reply.write(b"")
        await turn.acquire()
        await reply.end(b"three")

    async with served(App(tell)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.count(b"x-a: ") == 2
        for piece in (b"3\r\none\r\n", b"3\r\ntwo\r\n"):
            turn.release()
            assert await reader.readexactly(len(piece)) == piece
        turn.release()
        assert await reader.readexactly(15) == b"5\r\nthree\r\n0\r\n\r\n"
        writer.close()


async def test_a_caller_that_hangs_up_is_told_of_once_and_written_to_no_more() -> None:
    told: list[str] = []
    gone, done = asyncio.Event(), asyncio.Event()

    async def tell(reply: AsgiReply) -> None:
        reply.watch(lambda: (told.append("gone"), gone.set())[0])
        await reply.start(200, ())
        await gone.wait()
        assert reply.is_gone
        await reply.write(b"into the void")
        await reply.end()
        done.set()

    async with served(App(tell)) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await asyncio.wait_for(done.wait(), 10)
    assert told == ["gone"]


async def test_another_watch_takes_the_place_of_the_one_before() -> None:
    told: list[str] = []
    gone = asyncio.Event()

    async def tell(reply: AsgiReply) -> None:
        reply.watch(lambda: told.append("first"))
        reply.watch(lambda: (told.append("second"), gone.set())[0])
        await gone.wait()
        reply.watch(lambda: told.append("third"))
        await reply.start(200, ())
        await reply.end()
        reply.watch(lambda: told.append("after the end"))

    async with served(App(tell)) as server:
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await writer.drain()
        writer.close()
        await asyncio.wait_for(gone.wait(), 10)
    assert told == ["second", "third"], "who watches later hears of it at once"


async def test_the_end_of_an_answer_is_not_a_hangup() -> None:
    told: list[str] = []
    replies: list[AsgiReply] = []

    async def tell(reply: AsgiReply) -> None:
        replies.append(reply)
        reply.watch(lambda: told.append("gone"))
        await asyncio.sleep(0)
        await reply.start(200, ())
        await reply.end(b"all")

    async with served(App(tell)) as server:
        for _ in range(3):
            assert (await say(server.port, CLOSE)).endswith(b"all\r\n0\r\n\r\n")
    assert told == []
    assert not any(reply.is_gone for reply in replies)


async def test_an_abandoned_answer_does_not_look_whole() -> None:
    async def tell(reply: AsgiReply) -> None:
        reply.watch(lambda: None)
        await reply.start(200, ())
        await reply.write(b"half")
        reply.abandon()
        await reply.write(b"never")
        await reply.end()

    async with served(App(tell)) as server:
        said = await say(server.port, GET)
    assert said.endswith(b"4\r\nhalf\r\n")


async def test_an_answer_with_a_length_is_cut_short_when_abandoned() -> None:
    async def tell(reply: AsgiReply) -> None:
        await reply.start(200, ((b"content-length", b"10"),))
        await reply.write(b"half")
        reply.abandon()

    async with served(App(tell)) as server:
        assert (await say(server.port, GET)).endswith(b"\r\n\r\nhalf")


async def test_a_caller_that_stops_reading_counts_as_gone() -> None:
    gone = asyncio.Event()
    written = 0

    async def tell(reply: AsgiReply) -> None:
        nonlocal written
        reply.watch(gone.set)
        await reply.start(200, ())
        while not gone.is_set() and written < 500_000_000:
            await reply.write(bytes(65536))
            written += 65536
            await asyncio.sleep(0)
        assert reply.is_gone

    async with served(App(tell), write_wait_s=0.2) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port, limit=1024)
        writer.write(GET)
        await asyncio.wait_for(gone.wait(), 30)
        with contextlib.suppress(ConnectionError):
            while await reader.read(65536):
                pass
        writer.close()
    assert written < 100_000_000
