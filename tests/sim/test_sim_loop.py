"""The loop itself: what every other statement of the simulation rests on."""

import asyncio
from random import Random

import pytest

from sim.loop import DeadlockError, Process, SimLoop


def test_sleepers_wake_in_the_order_of_their_times_and_no_time_is_lost() -> None:
    loop, seen = SimLoop(Random(1)), []

    async def sleeper(wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        seen.append((wait_s, loop.time()))

    async def work() -> None:
        await asyncio.gather(*(sleeper(wait_s) for wait_s in (3600.0, 1.0, 60.0)))

    loop.run(work())
    loop.close()
    assert seen == [(1.0, 1.0), (60.0, 60.0), (3600.0, 3600.0)]


def test_a_killed_process_does_nothing_more_not_even_clean_up() -> None:
    loop, seen = SimLoop(Random(1)), []

    async def victim() -> None:
        try:
            seen.append("began")
            await asyncio.sleep(2)
            seen.append("went on")
        finally:
            seen.append("cleaned up")

    async def work() -> None:
        process = Process(loop, "victim")
        process.spawn(victim())
        await asyncio.sleep(1)
        process.kill()
        await asyncio.sleep(5)
        assert seen == ["began"]

    loop.run(work())
    loop.close()


def test_a_stopped_process_wakes_late_and_in_order() -> None:
    loop, seen = SimLoop(Random(1)), []

    async def ticking() -> None:
        for _ in range(3):
            await asyncio.sleep(1)
            seen.append(loop.time())

    async def work() -> None:
        process = Process(loop, "ticking")
        process.spawn(ticking())
        await asyncio.sleep(1.5)
        process.is_stopped = True
        await asyncio.sleep(4)
        process.is_stopped = False
        await asyncio.sleep(9)

    loop.run(work())
    loop.close()
    assert seen == [1.0, 5.5, 6.5]


def test_who_waits_for_ever_is_named() -> None:
    loop = SimLoop(Random(1))

    async def waits_for_nobody() -> None:
        await asyncio.Event().wait()

    with pytest.raises(DeadlockError, match="waits_for_nobody"):
        loop.run(waits_for_nobody())
    loop.close()


def test_the_seed_alone_says_whose_turn_it_is() -> None:
    def order(seed: int) -> list[str]:
        loop, seen = SimLoop(Random(seed)), []

        async def step(name: str) -> None:
            for _ in range(4):
                seen.append(name)
                await asyncio.sleep(0)

        async def work() -> None:
            tasks = [Process(loop, name).spawn(step(name)) for name in "abc"]
            await asyncio.gather(*tasks)

        loop.run(work())
        loop.close()
        return seen

    assert order(1) == order(1)
    assert len({tuple(order(seed)) for seed in range(10)}) > 5
