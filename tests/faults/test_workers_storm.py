"""Several processes on one machine in a storm: callers that break off, a provider that fails, and
workers, or the process that keeps the records, killed again and again. One cap over all of it."""

import asyncio
import os
import random
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from books import booked, ended
from caller import admin, calling, cap_of, claude, new_key
from chance import fixed_seed, soak
from crew_guard import is_alive, lines_to_all, running_crew, until_so, workers_of
from guard import GuardProcess
from pressing import Press
from standin import StandinProcess

WORKERS = 4
UNDER_WAY = 30
"""So many calls have passed when the first process is killed."""
DICE = random.Random(fixed_seed())

Harm = Callable[[GuardProcess, Press, int], Awaitable[None]]


async def kill_workers(guard: GuardProcess, press: Press, times: int) -> None:
    """`kill -9` of any worker every second; the next one takes its place."""
    await press.until(lambda: press.passed >= UNDER_WAY)
    for _ in range(times):
        await asyncio.sleep(1.0)
        running = [pid for pid in workers_of(guard) if is_alive(pid)]
        if running:
            os.kill(DICE.choice(running), signal.SIGKILL)


async def kill_keeper(guard: GuardProcess, press: Press, times: int) -> None:
    """`kill -9` of the process that keeps the records: its workers end, and it starts anew."""
    await press.until(lambda: press.passed >= UNDER_WAY)
    for _ in range(times):
        port = int(guard.base_url.rpartition(":")[2])
        workers = workers_of(guard)
        await asyncio.to_thread(guard.kill)
        await until_so(lambda workers=workers: not any(is_alive(pid) for pid in workers))
        await asyncio.to_thread(guard.start, port)
        await asyncio.sleep(1.0)


async def kill_both(guard: GuardProcess, press: Press, times: int) -> None:
    """Workers, and in the middle the one that keeps the records."""
    await kill_workers(guard, press, times // 2)
    await kill_keeper(guard, press, 1)
    await kill_workers(guard, press, times // 2)


@pytest.mark.slow
@pytest.mark.req("B-1", "B-3", "F-1", "M-7", "O-1", "O-4")
@pytest.mark.parametrize(
    ("harm", "times", "callers", "cap"),
    [
        pytest.param(kill_workers, 4, 60, "6.00", id="workers killed"),
        pytest.param(kill_keeper, 1, 60, "6.00", id="keeper killed"),
        soak(kill_both, 60, 1_000, "60.00", limit_s=900, name="killed for a minute"),
    ],
)
async def test_a_cap_over_all_workers_holds_whoever_is_killed(
    standin: StandinProcess, tmp_path: Path, harm: Harm, times: int, callers: int, cap: str
) -> None:
    standin.reset()
    with running_crew(tmp_path, standin, WORKERS) as guard:
        key_id, key = await new_key(guard, f"{cap}/total", rpm=1_000_000, concurrency=5_000)
        name = f"{harm.__name__}-{times}"
        async with Press(name, [key], callers, lambda: guard.base_url) as press:
            await harm(guard, press, times)
            await press.until_all_heard("cap:reached")
        data = guard.folder / "data"
        ledger = await ended(data, *(press.told.keys() & booked(data).keys()), wait_s=60)
        guard.wait_until_settled()
        status = await cap_of(guard, f"key:{key_id}")
        assert status["held"] == 0
        cap_nusd = int(float(cap) * 1e9)
        press.check(standin.bill(), ledger, cap_nusd, status["spent"])
        assert press.hangups > 0
        assert press.codes["0"] > 0, "nobody felt it"
        assert (await admin(guard, "GET", "/doctor?audit=true"))["ok"]
        await fits_again(guard, key_id, key, status["spent"])
        ends = [each.end for each in ledger.values()]
        assert "expire" in ends, "nobody's call was cut down"
        print(
            f"{press}\n{len(ends)} holds, {ends.count('expire')} charged in full for a killed one"
        )
        bill_nusd = standin.bill()["totals"]["cost_nusd"]
        print(f"bill ${bill_nusd / 1e9:.4f} <= spent ${status['spent'] / 1e9:.4f} <= cap ${cap}")
        print(f"{guard.log().count('ended with status -9')} workers killed were started anew")


async def fits_again(guard: GuardProcess, key_id: str, key: str, spent_nusd: int) -> None:
    """No cap blocks falsely: what fits beside what was spent is let in by every worker."""
    cap = f"{(spent_nusd + 200_000_000) / 1e9:.9f}/total"
    await admin(guard, "PUT", "/caps", subject=f"key:{key_id}", cap=cap)
    async with lines_to_all(guard) as lines:
        for line in lines:
            assert await line.call(key, f"fits-{line.worker}") == (200, "")
    async with calling(guard.base_url) as caller:
        assert (await caller.call(key, claude(), "output_tokens=5")).status == 200
