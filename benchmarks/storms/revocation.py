"""How long does a key that was revoked on one gateway still work on the others?

Each trial: a new key that every gateway is using, with a running stream on each; then it is revoked
on one. What counts is when the provider got the last call from another gateway, after the answer
to the revocation. In some trials one of the others is frozen (SIGSTOP) or cut off from both stores
meanwhile, and calls go on waiting at it.
"""

import asyncio
import random
import statistics
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from benchmarks.storms.asking import RefusedError
from benchmarks.storms.load import Ask, Callers, Told, calling
from benchmarks.storms.peer import Key, World
from benchmarks.storms.slow import CUT_S

BUDGET_NUSD: Final = 100_000_000_000
WARM_S: Final = 0.5
QUIET_S: Final = 1.5
"""A trial ends when no gateway has answered a call for so long."""
AWAY_S: Final = 3.0
"""How long a gateway is frozen or cut off: from a little before the revocation."""
AWAY_BEFORE_S: Final = 0.3
LATE_S: Final = 1.0
WELL_LIMIT_S: Final = 120.0
REVOKE_LIMIT_S: Final = 60.0
REVOKE_AGAIN_S: Final = 0.2
WAITING_MAX: Final = 6
"""Calls under way at one gateway: so many that some wait at one that is frozen, so few that none
waits long at one that is only slow."""
STREAM_CHUNKS: Final = 200
STREAM_GAP_MS: Final = 50
CALL_S: Final = 10.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """So many trials; each gateway is called every `every_s`; none takes longer than `watch_s`.
    `frozen` and `cut` are shares of the trials."""

    name: str
    trials: int
    every_s: float = 0.1
    watch_s: float = 10.0
    frozen: float = 0.0
    cut: float = 0.0


@dataclass(kw_only=True)
class _Trial:
    """One trial: the gateway that is told, the one that is away and how, and what is seen."""

    tag: str
    key: Key
    told_at: int
    away_at: int
    away: str
    streams: list[Told] = field(default_factory=list)
    calls: list[list[Told]] = field(default_factory=list)
    refused: int = 0
    """How often the revocation was refused before it was done."""
    revoked_s: float = 0.0
    last_ok_s: float = 0.0
    is_over: bool = False

    def role(self, gateway: int) -> str:
        """Of a gateway."""
        if gateway == self.told_at:
            return "told"
        return self.away if self.away and gateway == self.away_at else "others"


async def revocation(world: World, plan: Plan) -> dict[str, Any]:
    """All trials and what they come to, in milliseconds after the revocation was answered."""
    dice = random.Random(f"{world.seed}-{plan.name}")
    urls = [gateway.url for gateway in world.peer.gateways]
    trials = []
    async with calling(lambda: urls) as callers:
        for number in range(plan.trials):
            told_at, away_at = dice.sample(range(len(urls)), 2) if len(urls) > 1 else (0, 0)
            draw = dice.random()
            trial = _Trial(
                tag=f"{plan.name}-{number}",
                key=await _used_everywhere(world, callers, f"{plan.name}-{number}"),
                told_at=told_at,
                away_at=away_at,
                away="frozen" if draw < plan.frozen else "cut" * (draw < plan.frozen + plan.cut),
            )
            await _run(world, plan, trial, callers)
            trials.append(trial)
    came_s = await asyncio.to_thread(world.provider.came_s, plan.name)
    return {
        "storm": plan.name,
        "trials": plan.trials,
        "gateways": len(urls),
        **_account(world, trials, came_s),
    }


async def _used_everywhere(world: World, callers: Callers, tag: str) -> Key:
    """A new key that every gateway has answered: so all are well again, and know it."""
    until_s = time.monotonic() + WELL_LIMIT_S
    key: Key | None = None
    while key is None:
        try:
            key = await world.peer.new_key(BUDGET_NUSD)
        except RefusedError:
            assert time.monotonic() < until_s, "no key can be made"
            await asyncio.sleep(REVOKE_AGAIN_S)
    for at, gateway in enumerate(world.peer.gateways):
        tries = 0
        while True:
            ask = Ask(tag=f"{tag}-{at}-well-{tries}", output=5, output_max=10, chunks=1, gap_ms=0)
            if world.peer.meaning(await callers.call(key.text, ask, gateway.url)) == "ok":
                break
            assert time.monotonic() < until_s, f"{gateway.name} does not get well"
            tries += 1
            await asyncio.sleep(REVOKE_AGAIN_S)
    return key


async def _run(world: World, plan: Plan, trial: _Trial, callers: Callers) -> None:
    gateways = range(len(world.peer.gateways))
    trial.calls = [[] for _ in gateways]
    streams = [asyncio.create_task(_stream(world, trial, callers, each)) for each in gateways]
    hammers = [asyncio.create_task(_hammer(world, plan, trial, callers, at)) for at in gateways]
    await asyncio.sleep(WARM_S)
    leaving = asyncio.create_task(_be_away(world, trial)) if trial.away else None
    await asyncio.sleep(AWAY_BEFORE_S if trial.away else 0)
    await _revoke(world, trial)
    trial.revoked_s = time.monotonic()
    if leaving is not None:
        await leaving
        trial.last_ok_s = max(trial.last_ok_s, time.monotonic())
    while time.monotonic() < trial.revoked_s + plan.watch_s:
        await asyncio.sleep(0.05)
        if time.monotonic() > max(trial.last_ok_s, trial.revoked_s) + QUIET_S:
            break
    trial.is_over = True
    await asyncio.gather(*hammers)
    trial.streams = await asyncio.gather(*streams)


async def _revoke(world: World, trial: _Trial) -> None:
    """As a person in a hurry would: again until it is done."""
    until_s = time.monotonic() + REVOKE_LIMIT_S
    while True:
        try:
            return await world.peer.revoke(trial.key, trial.told_at)
        except RefusedError:
            assert time.monotonic() < until_s, f"{trial.tag} cannot be revoked"
            trial.refused += 1
            await asyncio.sleep(REVOKE_AGAIN_S)


async def _stream(world: World, trial: _Trial, callers: Callers, gateway: int) -> Told:
    """One that runs for ten seconds unless it is cut."""
    ask = Ask(
        tag=f"{trial.tag}-{gateway}-stream",
        output=STREAM_CHUNKS,
        output_max=STREAM_CHUNKS,
        is_stream=True,
        chunks=STREAM_CHUNKS,
        gap_ms=STREAM_GAP_MS,
    )
    return await callers.call(trial.key.text, ask, world.peer.gateways[gateway].url)


async def _hammer(world: World, plan: Plan, trial: _Trial, callers: Callers, gateway: int) -> None:
    """Calls at one gateway in even steps, whatever becomes of them, until the trial is over."""
    running: set[asyncio.Task[None]] = set()
    number, due_s = 0, time.monotonic()

    async def call(tag: str) -> None:
        ask = Ask(tag=tag, output=5, output_max=10, chunks=1, gap_ms=0, leave_s=CALL_S)
        told = await callers.call(trial.key.text, ask, world.peer.gateways[gateway].url)
        trial.calls[gateway].append(told)
        if world.peer.meaning(told) == "ok":
            trial.last_ok_s = max(trial.last_ok_s, told.head_s)

    while not trial.is_over:
        if len(running) < WAITING_MAX:
            number += 1
            task = asyncio.create_task(call(f"{trial.tag}-{gateway}-{number}"))
            running.add(task)
            task.add_done_callback(running.discard)
        due_s = max(due_s + plan.every_s, time.monotonic() - plan.every_s)
        await asyncio.sleep(max(0.0, due_s - time.monotonic()))
    await asyncio.gather(*running)


async def _be_away(world: World, trial: _Trial) -> None:
    """Frozen or cut off for a while."""
    gateway, seen = world.peer.gateways[trial.away_at], world.stores.seen[trial.away_at]
    if trial.away == "frozen":
        gateway.freeze()
    else:
        seen.delay(CUT_S)
    await asyncio.sleep(AWAY_S)
    gateway.thaw()
    if trial.away == "cut":
        seen.delay(0)


def _account(world: World, trials: Sequence[_Trial], came_s: dict[str, float]) -> dict[str, Any]:
    lags_s: dict[str, list[float]] = {}
    begun_s: dict[str, list[float]] = {}
    ends_s: list[float] = []
    later: Counter[str] = Counter()
    unused = 0
    for trial in trials:
        for gateway, calls in enumerate(trial.calls):
            role = trial.role(gateway)
            forwarded = [told for told in calls if told.tag in came_s]
            last_s = max((came_s[told.tag] for told in forwarded), default=0.0)
            lags_s.setdefault(role, []).append(max(0.0, last_s - trial.revoked_s))
            last_s = max((told.began_s for told in forwarded), default=0.0)
            begun_s.setdefault(role, []).append(max(0.0, last_s - trial.revoked_s))
            unused += not forwarded
            late = [told for told in calls if told.began_s > trial.revoked_s + LATE_S]
            later.update(f"{role}: {world.peer.meaning(told)}" for told in late)
            if trial.streams[gateway].status == 200:
                ends_s.append(trial.streams[gateway].ended_s - trial.revoked_s)
    return {
        **{f"last_forwarded_{role}_ms": _spread(values) for role, values in lags_s.items()},
        **{f"last_begun_{role}_ms": _spread(values) for role, values in begun_s.items()},
        "streams_end_ms": _spread(ends_s),
        "answers_to_calls_begun_later_than_1_s": dict(later.most_common()),
        "gateways_that_forwarded_nothing": unused,
        "trials_with_refused_revocation": sum(trial.refused > 0 for trial in trials),
    }


def _spread(values_s: Sequence[float]) -> dict[str, float]:
    """How many, median, 95th percentile and the most, in milliseconds."""
    if not values_s:
        return {"count": 0}
    ordered = sorted(values_s)
    return {
        "count": len(ordered),
        "p50": round(statistics.median(ordered) * 1000),
        "p95": round(ordered[min(len(ordered) - 1, int(len(ordered) * 0.95))] * 1000),
        "max": round(ordered[-1] * 1000),
    }
