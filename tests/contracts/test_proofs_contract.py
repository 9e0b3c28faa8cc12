"""What every store of used proofs must keep to (`binding.interfaces.ReplayStore`)."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from hot_engines import PROOFS, OpenProofs, open_proofs, running_engine
from ledger_world import MovingClock
from racing import claim_all, open_once, race
from tokenward.binding.interfaces import ReplayStore
from tokenward.kernel.errors import StoreError
from tokenward.machine import RealClock

RACERS = 4
ROUNDS = 200
MINUTE_MS = 60_000


def named(number: int) -> bytes:
    return hashlib.sha256(number.to_bytes(8)).digest()


@pytest.fixture(params=PROOFS, scope="module")
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def engine_at(engine: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running_engine(engine, tmp_path_factory.mktemp("engine")) as place:
        yield place


@pytest.fixture
def place(engine_at: str, tmp_path: Path) -> str:
    """Where this test's stores are opened; what other tests used up is known to servers."""
    return engine_at if "://" in engine_at else str(tmp_path)


@pytest.fixture
async def opened(place: str, clock: MovingClock) -> AsyncIterator[OpenProofs]:
    """Opens another store on the same memory, as another gateway would."""
    async with AsyncExitStack() as stack:
        yield lambda: stack.enter_async_context(open_proofs(place, clock))


async def use(store: ReplayStore, name: bytes, until_ms: int) -> bool:
    return await store.claim(name, until_ms, store.epoch.since_ms)


async def test_a_proof_is_used_once_on_all_gateways(opened: OpenProofs, clock: MovingClock) -> None:
    until_ms = clock.now_ms() + MINUTE_MS
    first, second = await opened(), await opened()
    assert first.epoch == second.epoch
    assert await use(first, named(1), until_ms)
    assert not await use(first, named(1), until_ms)
    assert not await use(second, named(1), until_ms)
    assert await use(second, named(2), until_ms)
    assert not await use(first, named(2), until_ms)


async def test_of_many_claims_at_once_each_proof_has_one_winner(
    opened: OpenProofs, clock: MovingClock
) -> None:
    """They go out together, and two of them with one proof are still told apart."""
    stores = [await opened(), await opened()]
    until_ms = clock.now_ms() + MINUTE_MS
    claims = [use(store, named(1_000 + n % 50), until_ms) for n in range(200) for store in stores]
    met = await asyncio.gather(*claims)
    assert sum(met) == 50


async def test_a_claim_whose_caller_left_is_a_use_all_the_same(
    opened: OpenProofs, clock: MovingClock
) -> None:
    store, until_ms = await opened(), clock.now_ms() + MINUTE_MS
    left = asyncio.create_task(use(store, named(11), until_ms))
    stays = asyncio.create_task(use(store, named(12), until_ms))
    await asyncio.sleep(0)
    left.cancel()
    assert await stays
    assert not await use(store, named(11), until_ms)


@pytest.mark.req("K-9")
def test_of_four_processes_with_one_proof_exactly_one_wins_in_every_round(place: str) -> None:
    keys = [named(10_000 + number) for number in range(ROUNDS)]
    rounds = race(RACERS, claim_all, place, keys, RealClock().now_ms() + 10 * MINUTE_MS)
    assert len(rounds) == ROUNDS
    assert all(sorted(met) == [False, False, False, True] for met in rounds), rounds


def test_four_processes_that_open_it_at_once_are_in_one_epoch(place: str) -> None:
    (met,) = race(RACERS, open_once, place)
    assert len(set(met)) == 1


async def test_what_was_used_stays_used_when_the_store_is_opened_again(
    place: str, clock: MovingClock
) -> None:
    async with open_proofs(place, clock) as store:
        epoch = store.epoch
        assert await use(store, named(21), clock.now_ms() + MINUTE_MS)
    clock.at_ms += 5_000
    async with open_proofs(place, clock) as again:
        assert again.epoch == epoch
        assert not await use(again, named(21), clock.now_ms() + MINUTE_MS)


async def test_what_was_judged_in_another_epoch_is_not_used_up_but_judged_again(
    opened: OpenProofs, clock: MovingClock
) -> None:
    store, until_ms = await opened(), clock.now_ms() + MINUTE_MS
    for since_ms in (store.epoch.since_ms - 1, store.epoch.since_ms + 1, 0):
        with pytest.raises(StoreError, match="judged"):
            await store.claim(named(31), until_ms, since_ms)
    assert await use(store, named(31), until_ms)


async def test_the_secret_of_an_epoch_is_not_printed(opened: OpenProofs) -> None:
    epoch = (await opened()).epoch
    assert len(epoch.secret) >= 32
    assert repr(epoch.secret) not in repr(epoch)


async def test_a_closed_store_cannot_know(place: str, clock: MovingClock) -> None:
    async with open_proofs(place, clock) as store:
        pass
    with pytest.raises(StoreError):
        await use(store, named(41), clock.now_ms() + MINUTE_MS)
