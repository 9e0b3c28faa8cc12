"""From an origin to a connected socket: names, several addresses, one that hangs."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from tokenward.http.provider.dialling import Address, first_to_connect
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import UnsentError
from unit.http.provider.calling import OK, answering, call, outcome
from unit.http.raw_sockets import free_port, provider


@pytest.fixture
async def upstream() -> AsyncIterator[HttpUpstream]:
    client = HttpUpstream()
    yield client
    await client.close()


@pytest.fixture
def listening() -> Iterator[Address]:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.listen()
        yield Address(socket.AF_INET, end.getsockname())


@pytest.fixture
def hanging() -> Iterator[Address]:
    """Its queue is full: whoever connects waits."""
    with socket.socket() as end, contextlib.ExitStack() as fillers:
        end.bind(("127.0.0.1", 0))
        end.listen(0)
        for _ in range(4):
            filler = fillers.enter_context(socket.socket())
            filler.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                filler.connect(end.getsockname())
        yield Address(socket.AF_INET, end.getsockname())


def refused() -> Address:
    return Address(socket.AF_INET, ("127.0.0.1", free_port()))


async def test_an_address_that_refuses_is_passed_over(listening: Address) -> None:
    with await first_to_connect([refused(), refused(), listening], 60) as end:
        assert end.getpeername() == listening.where
        assert end.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert end.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


async def test_an_address_that_hangs_gets_a_head_start_and_no_more(
    hanging: Address, listening: Address
) -> None:
    with await first_to_connect([hanging, hanging, listening], 0.01) as end:
        assert end.getpeername() == listening.where


async def test_of_two_that_connect_only_one_stays_open(listening: Address) -> None:
    for _ in range(20):
        with await first_to_connect([listening, listening], 0) as end:
            assert end.getpeername() == listening.where
    await asyncio.sleep(0)
    gc.collect()  # a socket left open would warn, and a warning fails the test


async def test_if_none_connects_the_first_problem_is_told(hanging: Address) -> None:
    with pytest.raises(ConnectionRefusedError):
        await first_to_connect([refused(), refused()], 60)
    with pytest.raises(OSError, match="has no address"):
        await first_to_connect([], 60)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await first_to_connect([hanging, hanging], 0.01)
    await asyncio.sleep(0)
    gc.collect()


async def test_a_name_with_two_families_is_tried_in_both(upstream: HttpUpstream) -> None:
    async with provider(answering(OK)) as served:  # on IPv4 alone
        assert await call(upstream, f"http://localhost:{served.port}/") == b"ok"


async def test_ipv6_is_spoken(upstream: HttpUpstream) -> None:
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        writer.write(OK)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "::1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await call(upstream, f"http://[::1]:{port}/") == b"ok"
    assert b"Host: [::1]:%d\r\n" % port in heads[0]
    server.close()


class Loop:
    """The running loop, with a resolver that tells of other addresses each time."""

    def __init__(self, *told: str) -> None:
        self._loop = asyncio.get_running_loop()
        self._told = iter(told)
        self.asked: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loop, name)

    async def getaddrinfo(self, host: str, port: int, **_: Any) -> Any:
        self.asked.append(host)
        await asyncio.sleep(0.01)
        v6 = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0))
        return [v6, (socket.AF_INET, socket.SOCK_STREAM, 6, "", (next(self._told), port))]


async def test_a_burst_of_calls_asks_for_a_name_once(
    upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(answering(OK)) as served:
        loop = Loop("127.0.0.1")
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
        url = f"http://provider.example:{served.port}/"
        calls = [asyncio.create_task(call(upstream, url)) for _ in range(20)]
        await asyncio.sleep(0)
        calls[0].cancel()  # the question goes on for the others
        answers = await asyncio.gather(*calls, return_exceptions=True)
        monkeypatch.undo()
    assert answers[1:] == [b"ok"] * 19
    assert loop.asked == ["provider.example"]


async def test_an_address_that_did_not_connect_is_asked_for_anew(
    upstream: HttpUpstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with provider(answering(OK)) as served:
        loop = Loop("127.0.0.2", "127.0.0.1")
        monkeypatch.setattr(asyncio, "get_running_loop", lambda: loop)
        url = f"http://provider.example:{served.port}/"
        assert await outcome(upstream, url) is UnsentError
        assert await outcome(upstream, url) == b"ok"
        monkeypatch.undo()
    assert len(loop.asked) == 2


@pytest.mark.parametrize("host", ["no-such-host.invalid", "a" * 64 + ".invalid", "a..invalid", "."])
async def test_a_name_that_dns_cannot_know_is_unsent(upstream: HttpUpstream, host: str) -> None:
    for _ in range(2):
        assert await outcome(upstream, f"http://{host}/") is UnsentError


async def test_cancelling_closes_a_connection_that_is_being_made(hanging: Address) -> None:
    client = HttpUpstream(max_connections=1)
    url = f"http://127.0.0.1:{hanging.where[1]}/"
    task = asyncio.create_task(call(client, url))
    await asyncio.sleep(0.02)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with provider(answering(OK)) as served:
        assert await call(client, served.url) == b"ok"  # its place is free
    await client.close()
    gc.collect()
