"""A link over a socket pair: frames whole and in order, and an end that both ends hear of."""

import asyncio
import random
import socket
from collections.abc import AsyncIterator

import pytest

from tokenward.store.workers import UnixLink
from tokenward.store.workers import link as links


class End:
    """One end and what it hears."""

    def __init__(self, link: UnixLink) -> None:
        self.link = link
        self.heard: list[bytes] = []
        self.lost = 0
        self.news = asyncio.Event()

    def start(self) -> "End":
        self.link.start(self._hear, self._lose)
        return self

    def _hear(self, frame: bytes) -> None:
        self.heard.append(frame)
        self.news.set()

    def _lose(self) -> None:
        self.lost += 1
        self.news.set()

    async def until(self, count: int = 0, lost: int = 0) -> None:
        async with asyncio.timeout(10):
            while len(self.heard) < count or self.lost < lost:
                self.news.clear()
                await self.news.wait()


@pytest.fixture
async def ends() -> AsyncIterator[tuple[End, End]]:
    one, two = socket.socketpair()
    pair = End(await UnixLink.over(one)), End(await UnixLink.over(two))
    yield pair
    for end in pair:
        end.link.close()
    await asyncio.sleep(0)


async def test_frames_of_every_size_arrive_whole_and_in_order_both_ways(
    ends: tuple[End, End],
) -> None:
    dice = random.Random("frames")
    sizes = [0, 1, 3, 4, 70_000, 300_000, *(dice.randrange(2_000) for _ in range(300))]
    frames = [dice.randbytes(size) for size in sizes]
    for end in ends:
        end.start()
    for number, frame in enumerate(frames):
        for end in ends:
            end.link.send(frame)
            if number % 7 == 0:
                end.link.flush()
        if number % 50 == 0:
            await asyncio.sleep(0)
    for end in ends:
        await end.until(len(frames))
        assert end.heard == frames


async def test_what_came_before_anybody_listened_is_not_lost(ends: tuple[End, End]) -> None:
    one, two = ends
    one.link.send(b"early")
    one.link.close()
    await asyncio.sleep(0.05)
    two.start()
    await two.until(1, lost=1)
    assert (two.heard, two.lost) == ([b"early"], 1)


async def test_the_end_is_told_once_and_nothing_more_after_it(ends: tuple[End, End]) -> None:
    one, two = ends[0].start(), ends[1].start()
    one.link.send(b"last")
    one.link.close()
    await two.until(1, lost=1)
    two.link.send(b"into the void")
    two.link.flush()
    await two.link.drain()
    await asyncio.sleep(0.02)
    assert (one.heard, one.lost, two.heard, two.lost) == ([], 0, [b"last"], 1)


async def test_whoever_reads_nothing_is_cut_off_and_a_sender_that_cares_waits(
    ends: tuple[End, End], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(links, "QUEUE_BYTES_MAX", 3_000_000)
    one, two = ends[0].start(), ends[1].start()
    transport = two.link._transport
    assert transport is not None
    transport.pause_reading()
    one.link.send(bytes(2_000_000))
    draining = asyncio.create_task(one.link.drain())
    await asyncio.sleep(0.02)
    assert not draining.done()
    transport.resume_reading()
    await asyncio.wait_for(draining, 10)
    await two.until(1)
    transport.pause_reading()
    for _ in range(5):
        one.link.send(bytes(1_000_000))
        one.link.flush()
    await one.until(lost=1)


async def test_a_length_that_cannot_be_ends_the_link() -> None:
    theirs, ours = socket.socketpair()
    end = End(await UnixLink.over(ours)).start()
    theirs.sendall(b"\xff\xff\xff\xff")
    await end.until(lost=1)
    theirs.close()
