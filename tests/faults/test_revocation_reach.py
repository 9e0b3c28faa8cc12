"""A key stopped on one guard is dead on every other within a second: also on one that was stopped
in the middle of its work, and on one that nobody can reach."""

import asyncio
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from pathlib import Path
from typing import Self

import aiohttp
import pytest

from books import billed
from caller import Caller, admin, calling, chat, new_key
from chance import fixed_seed, soak
from gateways import Gateways
from guard import GuardProcess
from postgres_server import PostgresServer, why_not
from postgres_world import Wire
from standin import StandinProcess
from valkey_server import ValkeyServer

REACH_MS = 1_000
NOTICED_S = 30.0
HEARD = frozenset(("key:invalid", "key:frozen"))
KEYS = 10
SHAPE = chat(stream=False, output=10)
EVERY_MS = 20
PAUSE_S = 1.6
"""Longer than any lease, so that whatever goes out late went out late."""

pytestmark = pytest.mark.skipif(bool(why_not()), reason=why_not())


class Round:
    """Ten keys, each called without a pause on every guard, and then stopped on the first one."""

    def __init__(
        self, gateways: Gateways, standin: StandinProcess, watch: "Watch", number: int
    ) -> None:
        self.first, self.harmed, *_ = gateways.all
        self.guards = gateways.all
        self.standin = standin
        self.watch = watch
        self.number = number
        self.passed: set[tuple[str, int]] = set()
        self.stopped_ms: dict[str, int] = {}
        self.codes_after: dict[int, Counter[str]] = {n: Counter() for n in range(len(self.guards))}
        self._is_over = False

    async def run(self, dice: random.Random, harm: str, wires: list[Wire]) -> None:
        """Call, harm the second guard, stop the keys, undo the harm, look on for a while."""
        keys = [await new_key(self.first, "none") for _ in range(KEYS)]
        async with calling("", tries_again=False) as caller:
            callers = [
                asyncio.create_task(self._insist(caller, key_id, key, place))
                for key_id, key in keys
                for place in range(len(self.guards))
            ]
            await _until(lambda: len(self.passed) == len(callers))
            await asyncio.sleep(0.4 * dice.random())
            self._harm(harm, wires)
            await asyncio.sleep(0.3 * dice.random())
            await asyncio.gather(*(self._stop(key_id, dice) for key_id, _ in keys))
            await asyncio.sleep(PAUSE_S)
            if harm == "stopped":
                os.kill(self.harmed.pid, signal.SIGCONT)
            await _until(lambda: self._all_told(harm))
            await asyncio.sleep(0.2)
            self._is_over = True
            await asyncio.gather(*callers)

    def _all_told(self, harm: str) -> bool:
        """Each guard says that the keys are stopped, or that it cannot know."""
        return all(
            codes["key:stale_view"] if (place, harm) == (1, "cut off") else HEARD & set(codes)
            for place, codes in self.codes_after.items()
        )

    def _harm(self, harm: str, wires: list[Wire]) -> None:
        if harm == "stopped":
            os.kill(self.harmed.pid, signal.SIGSTOP)
        elif harm == "cut off":
            for wire in wires:
                wire.is_hushed = True

    async def _stop(self, key_id: str, dice: random.Random) -> None:
        verb = dice.choice(("revoke", "freeze"))
        await admin(self.first, "POST", f"/keys/{key_id}/{verb}")
        self.stopped_ms[key_id] = _now_ms()

    async def _insist(self, caller: Caller, key_id: str, key: str, place: int) -> None:
        number, guard = 0, self.guards[place]
        to_it = Caller(guard.base_url, caller._session, tries_again=False)
        while not self._is_over:
            number += 1
            name = f"{self.number}.{key_id}.{place}.{number}"
            told = await to_it.call(
                key, SHAPE, f"output_tokens=3; tag={name}", headers={"x-request-id": name}
            )
            if told.status == 200:
                self.passed.add((key_id, place))
            elif key_id in self.stopped_ms:
                self.codes_after[place][told.code] += 1
            await asyncio.sleep(0.01)

    def late(self) -> dict[str, int]:
        """Calls that reached the provider more than a second after their key was stopped; on the
        guard that stopped it none may come later at all, but for what was on its way. For how late
        the provider itself was in seeing them no guard can do anything."""
        found = {}
        for line in self.standin.bill()["lines"]:
            number, key_id, place, _ = line["tag"].split(".")
            if int(number) != self.number:
                continue
            late_ms = line["arrived_ms"] - self.stopped_ms[key_id]
            late_ms -= self.watch.late_ms(line["arrived_ms"])
            if late_ms > (100 if place == "0" else REACH_MS):
                found[line["tag"]] = late_ms
        return found


class Watch:
    """Asks the provider all the time, and knows how late it was in seeing what came to it."""

    def __init__(self, standin: StandinProcess) -> None:
        self._url = f"{standin.base_url}/_standin/leaks"
        self._asked: list[tuple[int, int]] = []

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._go_on())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        with suppress(asyncio.CancelledError):
            await self._task

    def late_ms(self, at_ms: int) -> int:
        """The longest that a question took which was on its way at that moment, or just before."""
        near = [end - begin for begin, end in self._asked if begin <= at_ms <= end + EVERY_MS]
        return max(near, default=0)

    async def _go_on(self) -> None:
        async with aiohttp.ClientSession() as session:
            while True:
                begin_ms = _now_ms()
                async with session.get(self._url) as answer:
                    await answer.read()
                self._asked.append((begin_ms, _now_ms()))
                await asyncio.sleep(EVERY_MS / 1_000)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


async def _until(is_so: Callable[[], object]) -> None:
    async with asyncio.timeout(NOTICED_S):
        while not is_so():
            await asyncio.sleep(0.02)


@pytest.mark.req("K-1")
@pytest.mark.parametrize(
    "rounds", [pytest.param(1, id="once"), soak(7, limit_s=900, name="many times")]
)
async def test_no_call_goes_out_later_than_a_second_after_its_key_was_stopped(
    servers: tuple[PostgresServer, ValkeyServer],
    standin: StandinProcess,
    tmp_path: Path,
    rounds: int,
) -> None:
    """Ten keys a round; the soak makes 210 trials of them."""
    postgres, valkey = servers
    standin.reset()
    dice = random.Random(fixed_seed())
    async with AsyncExitStack() as stack:
        wires = [Wire(postgres.port), Wire(valkey.port)]
        for wire in wires:
            await wire.open()
            stack.push_async_callback(wire.close)
        gateways = _gateways(postgres, valkey, wires, standin, tmp_path)
        await asyncio.to_thread(gateways.start)
        stack.push_async_callback(asyncio.to_thread, gateways.stop)
        watch = await stack.enter_async_context(Watch(standin))
        number = 0
        for _ in range(rounds):
            for harm in ("none", "stopped", "cut off"):
                one = Round(gateways, standin, watch, number := number + 1)
                await one.run(dice, harm, wires)
                assert one.late() == {}, harm
                assert len(one.stopped_ms) == KEYS
                _check_answers(one, harm)
                for wire in wires:
                    wire.heal()
                    wire.cut()
                await _until_ready(gateways.all)
    assert len(billed(standin.bill()["lines"])) >= 120 * rounds, "calls went out before"


def _check_answers(one: Round, harm: str) -> None:
    """Who heard of it refuses the key; who could not says 503 and never 401 or 403."""
    for place, codes in one.codes_after.items():
        if place == 1 and harm == "cut off":
            assert codes["key:stale_view"] > 0, codes
            assert not HEARD & set(codes), codes
        else:
            assert HEARD & set(codes), (place, codes)


def _gateways(
    postgres: PostgresServer,
    valkey: ValkeyServer,
    wires: list[Wire],
    standin: StandinProcess,
    folder: Path,
) -> Gateways:
    """Four, of which the second reaches its servers through wires that can be cut."""
    database = postgres.create()
    records = [postgres.url(database)] * 4
    hot = [f"valkey://127.0.0.1:{valkey.port}"] * 4
    records[1] = postgres.url(database, wires[0].port)
    hot[1] = f"valkey://127.0.0.1:{wires[1].port}"
    return Gateways(folder, standin, records, hot)


async def _until_ready(guards: list[GuardProcess]) -> None:
    async with asyncio.timeout(2 * NOTICED_S):
        for guard in guards:
            while (await asyncio.to_thread(guard.run, "--json", "key", "list")).returncode:
                await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)
