"""Faults: each feature that is on strikes now and then, until the world heals."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sim.world import World

EVERY_S = 3.0


class Chaos:
    """Strikes, and makes good what it did."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._tasks: list[asyncio.Task[None]] = []
        self._strikes: dict[str, Callable[[Random], Awaitable[None]]] = {
            "gateway_crash": self._crash_gateway,
            "keeper_crash": self._crash_keeper,
            "crash_in_commit": self._crash_in_commit,
            "stop": self._stop,
            "clock_step": self._step_clock,
            "cut": self._cut,
            "lag": self._lag,
            "loss": self._lose,
            "slow_disk": self._slow_disk,
            "full_disk": self._fill_disk,
        }

    def start(self) -> None:
        """Begin."""
        world = self._world
        world.disk.crash = lambda: self._kill("keeper", "crash_in_commit")
        for feature, strike in self._strikes.items():
            if world.plan.has(feature):
                rng = world.plan.rng(f"chaos {feature}")
                self._tasks.append(world.actor(feature).spawn(self._go_on(strike, rng)))

    async def heal(self) -> None:
        """No more faults: everything runs, everything is connected, every clock is right."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        world = self._world
        world.disk.slow_s, world.disk.is_full, world.disk.crash_at = 0.0, False, ""
        for name in list(world.network.cut):
            self._join(name)
        world.network.lags.clear()
        world.network.doomed.clear()
        for process in world.site.processes.values():
            process.is_stopped = False
        for clock in world.site.clocks:
            clock.correct()
        world.actor("doctor").spawn(self._keep_running())

    async def _keep_running(self) -> None:
        while True:
            self._world.site.start()
            await asyncio.sleep(0.5)

    async def _go_on(self, strike: Callable[[Random], Awaitable[None]], rng: Random) -> None:
        while True:
            await asyncio.sleep(rng.expovariate(1 / EVERY_S))
            await strike(rng)

    def _kill(self, name: str, feature: str) -> None:
        self._world.crash(name, feature)

    async def _crash_gateway(self, rng: Random) -> None:
        gateways = self._world.site.gateways
        if gateways:
            self._kill(rng.choice(gateways).process.name, "gateway_crash")
        await asyncio.sleep(rng.choice((0.05, 1.0, 4.0)))
        self._world.site.start()

    async def _crash_keeper(self, rng: Random) -> None:
        self._kill("keeper", "keeper_crash")
        await asyncio.sleep(rng.choice((0.05, 1.0, 4.0)))
        self._world.site.start()

    async def _crash_in_commit(self, rng: Random) -> None:
        self._world.disk.crash_at = rng.choice(("before", "after"))
        await asyncio.sleep(rng.uniform(1.0, 3.0))
        self._world.site.start()

    async def _stop(self, rng: Random) -> None:
        processes = list(self._world.site.processes.values())
        if not processes:
            return
        process = rng.choice(processes)
        self._world.history.fire("stop")
        self._world.note(process.name, "stopped")
        process.is_stopped = True
        await asyncio.sleep(rng.choice((0.1, 0.7, 1.5, 5.0, 20.0)))
        process.is_stopped = False
        self._world.note(process.name, "continued")

    async def _step_clock(self, rng: Random) -> None:
        clock = rng.choice(self._world.site.clocks)
        by_ms = rng.choice((-3_700_000, -70_000, -3_000, -200, 200, 3_000, 70_000, 3_700_000))
        clock.step(by_ms)
        self._world.history.fire("clock_step")
        self._world.note("chaos", "clock_stepped", by_ms=by_ms)

    async def _cut(self, rng: Random) -> None:
        name = self._name(rng)
        if name is None or name in self._world.network.cut:
            return
        if rng.random() < 0.5:  # it gets slow before it is gone
            await self._slow_down(name, (0,), rng.uniform(0.2, 0.7), 1.0)
        self._world.history.fire("cut")
        self._world.note(name, "cut")
        self._world.network.cut.add(name)
        await asyncio.sleep(rng.choice((0.1, 0.9, 2.0, 6.0)))
        if rng.random() < 0.5:
            self._world.network.break_off(name)
        self._join(name)

    def _join(self, name: str) -> None:
        self._world.network.join(name)
        self._world.note(name, "joined")

    async def _lag(self, rng: Random) -> None:
        name = self._name(rng)
        if name is not None:
            ways = rng.choice(((0,), (1,), (0, 1)))
            lag_s = rng.choice((0.01, 0.1, 0.5, 2.0))
            await self._slow_down(name, ways, lag_s, rng.uniform(0.3, 3.0))

    async def _slow_down(
        self, name: str, ways: tuple[int, ...], lag_s: float, for_s: float
    ) -> None:
        lags = self._world.network.lags
        for to in ways:
            lags[name, to] = lag_s
        await asyncio.sleep(for_s)
        for to in ways:
            lags.pop((name, to), None)

    async def _lose(self, rng: Random) -> None:
        name = self._name(rng)
        if name is not None:
            way = rng.choice((None, 0, 1))
            if way is None:
                self._world.network.break_off(name)
            else:  # under what is asked next, or under its answer
                self._world.network.doomed[name] = way

    def _name(self, rng: Random) -> str | None:
        """Of a gateway that has a link."""
        names = [n for n in self._world.site.processes if n not in ("keeper", "guard")]
        return rng.choice(names) if names else None

    async def _slow_disk(self, rng: Random) -> None:
        self._world.disk.slow_s = rng.choice((0.05, 0.5, 1.0, 3.0))
        await asyncio.sleep(rng.uniform(0.3, 3.0))
        self._world.disk.slow_s = 0.0

    async def _fill_disk(self, rng: Random) -> None:
        self._world.disk.is_full = True
        await asyncio.sleep(rng.uniform(0.1, 2.0))
        self._world.disk.is_full = False
