"""Whose turn it is, how many connections there are, and that no place is ever lost."""

import asyncio
import random
from collections.abc import AsyncIterator

import pytest

from chance import fixed_seed, soak
from tokenward.http.provider.address import split_url
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import BrokenError, ProviderError, UnsentError, WithheldError
from tokenward.kernel.refusals import Refusal
from unit.http.provider.calling import CHUNKED, HEADERS, OK, answering, call, outcome, send
from unit.http.raw_sockets import Wire, free_port, provider

NO = Refusal("key:stale_view", 503, "Not now.")


@pytest.fixture
async def single() -> AsyncIterator[HttpUpstream]:
    client = HttpUpstream(max_connections=1)
    yield client
    await client.close()


async def turns(count: int = 5) -> None:
    for _ in range(count):
        await asyncio.sleep(0)


async def test_places_are_given_in_the_order_of_asking(single: HttpUpstream) -> None:
    seen: list[tuple[bytes, bytes]] = []
    async with provider(answering(OK, seen)) as served:
        calls = []
        for number in range(20):
            calls.append(asyncio.create_task(call(single, served.url, b"%02d" % number)))
            await turns()
        assert await asyncio.gather(*calls) == [b"ok"] * 20
    assert [body for _, body in seen] == [b"%02d" % number for number in range(20)]
    assert served.connections == 1


@pytest.mark.parametrize("how", ["cancelled", "late"])
async def test_whoever_leaves_the_line_takes_no_place_along(how: str) -> None:
    client = HttpUpstream(max_connections=1, pool_wait_s=0.05 if how == "late" else 20)
    turn = asyncio.Event()

    async def script(wire: Wire) -> None:
        while True:
            await wire.request()
            await turn.wait()
            await wire.say(OK)

    async with provider(script) as served:
        first = asyncio.create_task(call(client, served.url))
        await turns()
        waiting = [asyncio.create_task(call(client, served.url)) for _ in range(3)]
        await turns()
        if how == "cancelled":
            for task in waiting:
                task.cancel()
        left = await asyncio.gather(*waiting, return_exceptions=True)
        kind = asyncio.CancelledError if how == "cancelled" else UnsentError
        assert all(isinstance(each, kind) for each in left)
        turn.set()
        assert await first == b"ok"
        assert await call(client, served.url) == b"ok"
    await client.close()


async def test_a_place_that_comes_in_the_moment_of_leaving_goes_to_the_next(
    single: HttpUpstream,
) -> None:
    async with provider(answering(OK)) as served:
        answer = await send(single, served.url)  # whole, and not read: its place is free
        pool = single._pool
        connection = await pool.take(split_url(served.url)[0])
        waiting = [asyncio.create_task(call(single, served.url)) for _ in range(2)]
        await turns()
        pool.put_back(connection)
        waiting[0].cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting[0]
        assert await waiting[1] == b"ok"
        assert await answer.read() == b"ok"
    assert pool._places == 1


@pytest.mark.parametrize("how", ["refused", "broken", "withheld", "unread", "cut"])
async def test_a_place_is_free_again_however_a_call_ends(single: HttpUpstream, how: str) -> None:
    async def script(wire: Wire) -> None:
        while True:
            _, body = await wire.request()
            if body == b"break":
                return
            await wire.say(CHUNKED + b"2\r\nok\r\n")
            if body == b"cut":
                return
            await wire.say(b"0\r\n\r\n")

    async with provider(script) as served:
        for _ in range(3):
            if how == "refused":
                with pytest.raises(UnsentError):
                    await call(single, f"http://127.0.0.1:{free_port()}/")
            elif how == "broken":
                with pytest.raises(BrokenError):
                    await call(single, served.url, b"break")
            elif how == "withheld":
                with pytest.raises(WithheldError):
                    await single.send("POST", served.url, HEADERS, b"{}", lambda: NO)
            elif how == "unread":
                await (await send(single, served.url)).close()
            else:
                with pytest.raises(BrokenError):
                    await call(single, served.url, b"cut")
        assert await call(single, served.url) == b"ok"


async def test_idle_connections_to_others_give_way(single: HttpUpstream) -> None:
    ended: list[int] = []

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(OK)
        await wire.until_closed()
        ended.append(1)

    async with provider(script) as one, provider(script) as other:
        assert await call(single, one.url) == b"ok"
        assert await call(single, other.url) == b"ok"
        async with asyncio.timeout(2):  # sooner than an idle connection ends by itself
            while not ended:
                await asyncio.sleep(0.001)
    assert (one.connections, other.connections) == (1, 1)


async def test_the_connection_used_last_is_used_first() -> None:
    client = HttpUpstream(max_connections=2)
    served_by: list[int] = []
    both = asyncio.Barrier(2)

    async def script(wire: Wire) -> None:
        mine = served.connections
        await wire.request()
        await both.wait()
        if mine == 2:
            await asyncio.sleep(0.02)
        await wire.say(OK)
        while True:
            await wire.request()
            served_by.append(mine)
            await wire.say(OK)

    async with provider(script) as served:
        await asyncio.gather(call(client, served.url), call(client, served.url))
        for _ in range(3):
            await call(client, served.url)
    assert served_by == [2, 2, 2]
    await client.close()


async def test_closing_breaks_what_runs_and_sends_nothing_of_what_waits(
    single: HttpUpstream,
) -> None:
    asked = asyncio.Event()
    ended = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        asked.set()
        await wire.until_closed()
        ended.set()

    async with provider(script) as served:
        running = asyncio.create_task(outcome(single, served.url))
        await asked.wait()
        waiting = asyncio.create_task(outcome(single, served.url))
        await turns()
        await single.close()
        assert await running is BrokenError
        assert await waiting is UnsentError
        assert await outcome(single, served.url) is UnsentError
        await asyncio.wait_for(ended.wait(), 10)
        await single.close()
    assert served.connections == 1


async def test_closing_while_a_connection_is_made_sends_nothing_on_it(
    single: HttpUpstream,
) -> None:
    heard: list[bytes] = []
    ended = asyncio.Event()

    async def script(wire: Wire) -> None:
        heard.append(await wire.reader.read())
        ended.set()

    async with provider(script) as served:
        task = asyncio.create_task(outcome(single, served.url))
        await asyncio.sleep(0)
        await single.close()
        assert await task is UnsentError
        await asyncio.wait_for(ended.wait(), 2)  # sooner than it would end by itself
    assert heard == [b""]


async def test_closing_within_an_answer_breaks_it(single: HttpUpstream) -> None:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(CHUNKED + b"2\r\nab\r\n")
        await wire.until_closed()

    async with provider(script) as served:
        answer = await send(single, served.url)
        await single.close()
        assert await answer.read() == b"ab"
        with pytest.raises(BrokenError):
            await answer.read()
        await answer.close()


@pytest.mark.parametrize("calls", [400, soak(40_000, limit_s=1_800)])
async def test_a_storm_of_every_ending_leaves_no_connection_and_no_place_behind(
    calls: int,
) -> None:
    """Callers that leave at any moment, providers that end in any way; then all places are there,
    all bodies were seen at most once, and every answer that looked whole was the right one."""
    dice = random.Random(fixed_seed())
    client = HttpUpstream(max_connections=8, pool_wait_s=60, head_timeout_s=20)
    seen: list[bytes] = []
    open_now = 0

    async def script(wire: Wire) -> None:
        nonlocal open_now
        open_now += 1
        try:
            while True:
                body = (await wire.request())[1]
                seen.append(body)
                await play(wire, body)
        finally:
            open_now -= 1

    async def play(wire: Wire, body: bytes) -> None:
        ending = dice.randrange(12)
        whole = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
        if ending == 0:
            raise ConnectionError
        if ending == 1:
            wire.reset()
        if ending == 2:
            await wire.say(CHUNKED + b"1\r\nx\r\n")
            raise ConnectionError
        if ending == 3:
            await wire.say(whole + b"HTTP/1.1 200 OK\r\n")
        elif ending == 4:
            await wire.say(whole[:-1])
            await wire.until_closed()
        elif ending == 5:
            await wire.until_closed()
        elif ending == 6:
            await wire.say(whole)
            raise ConnectionError
        else:
            for _ in range(dice.randrange(20)):
                await asyncio.sleep(0)
            await wire.say(whole)

    async def one(number: int) -> None:
        body = b"%d" % number
        look = (lambda: NO) if dice.randrange(10) == 0 else (lambda: None)
        wait_s = dice.random() * 0.05
        try:
            async with asyncio.timeout(wait_s):
                answer = await client.send("POST", served.url, HEADERS, body, look)
                read = b""
                while chunk := await answer.read():
                    read += chunk
                    if dice.randrange(10) == 0:
                        await answer.close()
                assert read == body
        except (ProviderError, TimeoutError):
            pass

    async with provider(script) as served:
        for start in range(0, calls, 40):
            await asyncio.gather(*(one(number) for number in range(start, start + 40)))
        assert len(seen) == len(set(seen))
        assert len(seen) > calls // 10
        await client.close()
        async with asyncio.timeout(10):
            while open_now:
                await asyncio.sleep(0.001)
    pool = client._pool
    assert pool._places == 8
    assert not pool._busy
    assert not pool._idle
