"""A server that is slow, gone or silent: whoever needs it is told at once, nobody else notices."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from itertools import count
from pathlib import Path

import pytest

from hot_engines import PATIENCE_S
from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.kernel.refusals import Refusal
from tokenward.limits.interfaces import UNLIMITED, KeyLimits, Place
from tokenward.machine import RealClock
from tokenward.store.valkey import HotState
from tokenward.store.valkey.limiter import ValkeyLimiter, keys_of
from valkey_gates import Gate, Maker, SetClock, Storm, soon
from valkey_server import ValkeyServer, running_server

LIMIT_S = 0.5
"""Where lateness itself is the matter; elsewhere the server has time, on a busy machine too."""
LIMITED = KeyLimits(concurrency=2)
TRIES = 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[ValkeyServer]:
    with running_server(tmp_path) as running:
        yield running


@asynccontextmanager
async def opened(server: ValkeyServer, limit_s: float) -> AsyncIterator[list[Gate]]:
    async with AsyncExitStack() as stack:
        gates = []
        for _ in range(2):
            clock = SetClock()
            hot = await open_soon(server, clock, limit_s)
            stack.push_async_callback(hot.close)
            gates.append(Gate(hot, clock))
        yield gates


async def open_soon(server: ValkeyServer, clock: SetClock, limit_s: float) -> HotState:
    """Also where the machine is too busy for the limit at first."""
    for _ in range(TRIES):
        with suppress(StoreError):
            return await HotState.open(server.url, clock, limit_s=limit_s)
    return await HotState.open(server.url, clock, limit_s=limit_s)


@pytest.fixture
async def gates(server: ValkeyServer) -> AsyncIterator[list[Gate]]:
    async with opened(server, PATIENCE_S) as both:
        yield both


@pytest.fixture
async def hasty(server: ValkeyServer) -> AsyncIterator[list[Gate]]:
    """Gateways that wait only for `LIMIT_S`."""
    async with opened(server, LIMIT_S) as both:
        yield both


@pytest.fixture
def hot(gates: list[Gate]) -> HotState:
    return gates[0].hot


async def claim(hot: HotState, number: int) -> bool:
    proofs = hot.proofs
    until_ms = RealClock().now_ms() + 60_000
    return await proofs.claim(number.to_bytes(32), until_ms, proofs.epoch.since_ms)


async def is_ready(hot: HotState) -> bool:
    return hot.why_not_ready == ""


async def claims_again(hot: HotState) -> None:
    """Wait until a claim is heard of in time."""
    numbers = count(1_000)

    async def is_heard() -> bool:
        with suppress(StoreError):
            return await claim(hot, next(numbers))
        return False

    await soon(is_heard)


async def test_a_server_that_stands_still_is_given_up_while_it_does(
    server: ValkeyServer, hasty: list[Gate]
) -> None:
    """The fault comes although nothing was answered; the next ones come without waiting."""
    hot = hasty[0].hot
    await claims_again(hot)
    server.pause()
    first = await asyncio.gather(
        *(claim(hot, number) for number in range(20)),
        hot.limiter.enter("k", LIMITED),
        return_exceptions=True,
    )
    assert {type(fault) for fault in first} == {StoreBusyError}
    assert hot.why_not_ready != ""
    with pytest.raises(StoreError, match="away"):
        await claim(hot, 99)
    assert hot.waiting == 0
    server.resume()
    await soon(lambda: is_ready(hot))
    await claims_again(hot)


async def test_a_pause_forgets_nothing_and_begins_nothing(
    server: ValkeyServer, hasty: list[Gate]
) -> None:
    """What was sent into the pause is done or not done, and never taken a second time."""
    epoch, storm = hasty[0].hot.proofs.epoch, Storm(hasty)
    async with storm:
        await storm.more()
        for _ in range(3):
            faults = storm.met["fault"]
            server.pause()
            await soon(lambda before=faults: has_more_faults(storm, before))
            server.resume()
            await storm.more(20)
    assert storm.taken_twice() == []
    assert {gate.hot.proofs.epoch for gate in hasty} == {epoch}


async def has_more_faults(storm: Storm, before: int) -> bool:
    return storm.met["fault"] > before


async def test_a_server_killed_and_emptied_again_and_again_is_found_each_time(
    server: ValkeyServer, gates: list[Gate]
) -> None:
    async with Storm(gates) as storm:
        for _ in range(3):
            await storm.more(20)
            await asyncio.to_thread(server.kill)
            await asyncio.to_thread(server.start)
        await storm.more(20)
    assert storm.taken_twice() == []
    assert storm.met["fault"] > 0


async def test_calls_that_need_no_server_go_on_without_one(
    server: ValkeyServer, hot: HotState
) -> None:
    server.kill()
    for _ in range(10):
        place = await hot.limiter.enter("k", UNLIMITED)
        assert not isinstance(place, Refusal)
        place.leave()
    hot.limiter.use("k", 5)
    hot.pokes.publish()
    with pytest.raises(StoreError):
        await hot.limiter.enter("k", LIMITED)


async def placed(hot: HotState) -> Place:
    """A place, as soon as one is given in time; those that were given late come free."""
    while True:
        with suppress(StoreError):
            place = await hot.limiter.enter("k", LIMITED)
            if not isinstance(place, Refusal):
                return place
        await hot.limiter.renew()
        await asyncio.sleep(0.02)


async def test_a_place_given_unheard_and_one_left_unheard_come_free(
    server: ValkeyServer, hasty: list[Gate]
) -> None:
    """Both are said again, with the next renewal, and doing so twice does no harm."""
    hot = hasty[0].hot
    async with asyncio.timeout(PATIENCE_S):
        place = await placed(hot)
    server.pause()
    with pytest.raises(StoreError):
        await hot.limiter.enter("k", LIMITED)
    place.leave()
    server.resume()
    await soon(lambda: is_ready(hot))

    async def is_free() -> bool:
        await hot.limiter.renew()
        _, (_, _, places) = keys_of("k")
        return server.ask("ZCARD", places) == 0

    await soon(is_free)


async def test_tokens_used_while_it_is_away_are_counted_when_it_is_back(
    server: ValkeyServer, hot: HotState
) -> None:
    await asyncio.to_thread(server.kill)
    await soon(lambda: is_away(hot))
    hot.limiter.use("k", 7)
    hot.limiter.use("k", 5)
    await asyncio.to_thread(server.start)
    await soon(lambda: is_ready(hot))
    await hot.limiter.renew()

    async def is_counted() -> bool:
        met = await hot.limiter.enter("k", KeyLimits(tpm=12))
        return isinstance(met, Refusal) and dict(met.facts)["used"] == 12

    await soon(is_counted)


async def is_away(hot: HotState) -> bool:
    return hot.why_not_ready != ""


async def test_the_places_of_running_calls_outlive_the_servers_memory(
    server: ValkeyServer, hot: HotState
) -> None:
    held = [await hot.limiter.enter("k", LIMITED) for _ in range(2)]
    assert not any(isinstance(place, Refusal) for place in held)
    server.ask("FLUSHALL")
    await hot.limiter.renew()

    async def is_full() -> bool:
        _, (_, _, places) = keys_of("k")
        return server.ask("ZCARD", places) == 2

    await soon(is_full)
    assert isinstance(await hot.limiter.enter("k", LIMITED), Refusal)


async def test_what_waits_for_a_server_that_is_away_has_a_bound(
    server: ValkeyServer, hot: HotState, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.store.valkey.limiter.KEPT_MAX", 3)
    await asyncio.to_thread(server.kill)
    await soon(lambda: is_away(hot))
    limiter: ValkeyLimiter = hot.limiter
    for number in range(50):
        limiter.use(f"k{number}", 1)
        limiter._leave(f"k{number}", b"place")
    await asyncio.sleep(0)
    assert len(limiter._used_late) == 3
    assert len(limiter._left_late) == 3


async def test_nothing_starts_without_its_server(server: ValkeyServer) -> None:
    server.kill()
    with pytest.raises(StoreError, match=str(server.port)):
        await HotState.open(server.url, RealClock(), limit_s=LIMIT_S)


async def test_a_gate_that_was_away_makes_new_proofs_good_by_itself(
    server: ValkeyServer, gates: list[Gate]
) -> None:
    await asyncio.to_thread(server.kill)
    assert await gates[0].show(Maker()(gates[0])) == "fault"
    await asyncio.to_thread(server.start)
    for gate in gates:
        await gate.open_again(Maker())
