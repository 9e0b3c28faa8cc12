"""One connection, against a server that does what the test says."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import pytest

from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.valkey import link as links
from tokenward.store.valkey.address import Address, parse_url
from tokenward.store.valkey.handshake import dial
from tokenward.store.valkey.link import Link
from tokenward.store.valkey.resp import GarbledError, Reader, Reply, ServerSaidError, pack

PATIENCE_S = 20.0
GREETING = 1
"""Commands of the handshake, which the server here answers by itself."""


class Scripted:
    """Answers commands as `answer` says; what came at once stands together in `reads`."""

    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self.answer = answer
        self.reads: list[int] = []
        self.ended: list[str] = []
        self.refused: list[str] = []
        self.writers: list[asyncio.StreamWriter] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.writers.append(writer)
        commands = Reader()
        greeted = 0
        while data := await _read(reader):
            got = commands.feed(data)
            for command in got:
                assert isinstance(command, list)
                word = command[-1]
                assert isinstance(word, bytes)
                if greeted < GREETING:
                    greeted += 1
                    writer.write(b"+OK\r\n")
                else:
                    writer.write(self.answer(word))
            self.reads.append(len(got))

    def end(self, link: Link) -> None:
        self.ended.append(link.why_closed)

    def refuse(self, _link: Link, error: ServerSaidError) -> None:
        self.refused.append(error.text)


async def _read(reader: asyncio.StreamReader) -> bytes:
    with suppress(ConnectionError):
        return await reader.read(2**20)
    return b""


def echo(word: bytes) -> bytes:
    return b"$%d\r\n%b\r\n" % (len(word), word)


def silence(_word: bytes) -> bytes:
    return b""


@asynccontextmanager
async def linked(script: Scripted, limit_s: float = PATIENCE_S) -> AsyncIterator[Link]:
    server = await asyncio.start_server(script.serve, "127.0.0.1", 0)
    address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    link = await dial(
        lambda: Link(address, limit_s, script.end, script.refuse),
        address,
        parse_url(f"valkey://{address}"),
        limit_s,
    )
    try:
        yield link
    finally:
        link.close()
        server.close()
        for writer in script.writers:
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def outcome(answer: Awaitable[Reply]) -> Reply | str:
    try:
        return await answer
    except StoreError as error:
        return type(error).__name__


async def test_calls_of_one_turn_go_out_together_and_are_answered_in_order() -> None:
    script = Scripted(echo)
    async with linked(script) as link:
        script.reads.clear()
        words = [b"%d" % number for number in range(100)]
        assert await asyncio.gather(*(link.send(pack(b"ECHO", word)) for word in words)) == words
        assert script.reads == [100]
        assert link.waiting == 0


async def test_callers_that_left_do_not_shift_the_answers_of_others() -> None:
    async with linked(Scripted(echo)) as link:
        answers = [link.send(pack(b"ECHO", b"%d" % number)) for number in range(9)]
        for answer in answers[::2]:
            answer.cancel()
        assert await asyncio.gather(*answers[1::2]) == [b"1", b"3", b"5", b"7"]
        assert await link.send(pack(b"ECHO", b"last")) == b"last"


async def test_what_the_server_refuses_is_one_callers_fault_and_told() -> None:
    script = Scripted(lambda word: b"-OOM no room\r\n" if word == b"b" else echo(word))
    async with linked(script) as link:
        met = await asyncio.gather(*(outcome(link.send(pack(b"E", w))) for w in (b"a", b"b", b"c")))
        assert met == [b"a", "ServerSaidError", b"c"]
        assert script.refused == ["OOM no room"]


async def test_a_server_that_does_not_answer_is_waited_for_no_longer_than_the_limit() -> None:
    """All who wait hear it at once, and from then on nobody is let wait."""
    script = Scripted(silence)
    async with linked(script, limit_s=0.05) as link:
        met = await asyncio.gather(*(outcome(link.send(pack(b"E", b"x"))) for _ in range(20)))
        assert met == ["StoreBusyError"] * 20
        assert not link.is_open
        assert script.ended == ["no answer within 0.05 s"]
        with pytest.raises(StoreError, match="no answer within"):
            link.send(pack(b"E", b"x"))


async def test_answers_that_came_while_this_process_was_paused_are_heard() -> None:
    async with linked(Scripted(echo), limit_s=0.1) as link:
        answer = link.send(pack(b"ECHO", b"x"))
        await asyncio.sleep(0.02)
        slow = link.send(pack(b"ECHO", b"y"))
        await asyncio.sleep(0)
        time.sleep(0.3)
        assert await answer == b"x"
        assert await slow == b"y"
        assert link.is_open


@pytest.mark.parametrize("said", [b"what?\r\n", b"$1\r\nxyz", b":1\r\n:2\r\n"])
async def test_a_server_that_talks_nonsense_is_not_listened_to(said: bytes) -> None:
    script = Scripted(lambda _word: said)
    async with linked(script) as link:
        first = await outcome(link.send(pack(b"E", b"x")))
        assert first in ("GarbledError", 1)
        assert not link.is_open


async def test_when_the_server_hangs_up_whoever_waits_hears_it() -> None:
    script = Scripted(silence)
    async with linked(script) as link:
        waiting = asyncio.gather(*(outcome(link.send(pack(b"E", b"x"))) for _ in range(3)))
        await asyncio.sleep(0)
        script.writers[0].close()
        assert await waiting == ["StoreError"] * 3
        assert len(script.ended) == 1


async def test_more_than_it_can_hold_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "WAITING_MAX", 5)
    async with linked(Scripted(silence)) as link:
        answers = [link.send(pack(b"E", b"x")) for _ in range(5)]
        with pytest.raises(StoreBusyError, match="5 calls wait"):
            link.send(pack(b"E", b"x"))
        for answer in answers:
            answer.cancel()


async def test_a_server_that_takes_connections_and_says_nothing_is_no_server() -> None:
    async def mute(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await _read(reader):
            pass
        writer.transport.abort()

    server = await asyncio.start_server(mute, "127.0.0.1", 0)
    address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    with pytest.raises(StoreBusyError):
        await dial(
            lambda: Link(address, 0.05, lambda _: None, lambda _, __: None),
            address,
            parse_url(f"valkey://{address}"),
            0.05,
        )
    server.close()
    await asyncio.sleep(0.01)


async def test_where_nobody_listens_is_no_server() -> None:
    server = await asyncio.start_server(lambda _r, _w: None, "127.0.0.1", 0)
    address = Address("127.0.0.1", server.sockets[0].getsockname()[1])
    server.close()
    await server.wait_closed()
    with pytest.raises(StoreError, match=str(address.port)):
        await dial(
            lambda: Link(address, 1.0, lambda _: None, lambda _, __: None),
            address,
            parse_url(f"valkey://{address}"),
            1.0,
        )


def test_a_garbled_answer_is_a_fault_of_the_store() -> None:
    assert issubclass(GarbledError, StoreError)
