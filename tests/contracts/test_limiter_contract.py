"""What every limiter must keep to (`limits.interfaces.Limiter`), by the process or by servers.

Time passes here as it does; how minutes run out is shown for the process in `tests/unit/limits`,
and that servers count the same in `tests/unit/store/valkey/test_valkey_library.py`.
"""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from hot_engines import OpenHot
from tokenward.kernel.refusals import Refusal
from tokenward.limits import wording
from tokenward.limits.interfaces import UNLIMITED, KeyLimits, Limiter, Place

OpenLimiter = Callable[[], Awaitable[Limiter]]


@pytest.fixture
def opened(opened_hot: OpenHot) -> OpenLimiter:
    """Opens the limiter of another gateway; of one process they are the same."""

    async def open_limiter() -> Limiter:
        return (await opened_hot()).limiter

    return open_limiter


def is_in(outcome: Place | Refusal) -> bool:
    return not isinstance(outcome, Refusal)


def placed(outcome: Place | Refusal) -> Place:
    assert not isinstance(outcome, Refusal), outcome
    return outcome


async def soon(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Leaves and tokens are told without being waited for."""
    for _ in range(1_000):
        if await is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never happened")


async def test_exactly_the_limit_of_requests_passes_over_all_gateways(
    opened: OpenLimiter, key: str
) -> None:
    gateways: list[Limiter] = [await opened() for _ in range(3)]
    limits = KeyLimits(rpm=10)
    outcomes = await asyncio.gather(
        *(one.enter(key, limits) for _ in range(10) for one in gateways)
    )
    assert sum(map(is_in, outcomes)) == 10
    refusals = {one for one in outcomes if isinstance(one, Refusal)}
    assert {(one.code, one.status, one.should_retry) for one in refusals} == {
        ("rate:exceeded", 429, True)
    }


async def test_a_refusal_reads_the_same_whoever_counted(opened: OpenLimiter, key: str) -> None:
    gateway = await opened()
    for limits in (KeyLimits(rpm=1), KeyLimits(concurrency=1)):
        placed(await gateway.enter(key, limits))
    assert await gateway.enter(key, KeyLimits(concurrency=1)) == wording.too_wide(
        limit=1, running=1
    )
    refusal = await gateway.enter(key, KeyLimits(rpm=1))
    assert isinstance(refusal, Refusal)
    wait_s = refusal.retry_after_s
    assert wait_s is not None
    assert 50 < wait_s <= 61
    assert refusal == wording.too_fast("requests", limit=1, used=1, wait_s=wait_s)


async def test_tokens_stop_the_next_call_on_every_gateway(opened: OpenLimiter, key: str) -> None:
    first, second = await opened(), await opened()
    limits = KeyLimits(tpm=1_000)
    assert is_in(await first.enter(key, limits))
    first.use(key, 600)
    first.use(key, 0)
    first.use(key, 399)
    await asyncio.sleep(0.05)
    assert is_in(await second.enter(key, limits))
    second.use(key, 5_000)

    async def is_stopped() -> bool:
        return not is_in(await first.enter(key, limits))

    await soon(is_stopped)
    refusal = await second.enter(key, limits)
    assert isinstance(refusal, Refusal)
    assert dict(refusal.facts)["used"] == 5_999
    assert is_in(await first.enter(key, KeyLimits(rpm=5))), "tokens and requests are counted apart"


async def test_places_are_shared_and_one_that_is_left_is_free_again(
    opened: OpenLimiter, key: str
) -> None:
    first, second = await opened(), await opened()
    limits = KeyLimits(concurrency=2)
    places = [placed(await first.enter(key, limits)), placed(await second.enter(key, limits))]
    assert await second.enter(key, limits) == wording.too_wide(limit=2, running=2)
    places[0].leave()
    places[0].leave()

    async def is_free() -> bool:
        return is_in(await second.enter(key, limits))

    await soon(is_free)
    assert not is_in(await first.enter(key, limits)), "left twice, one place came free"


async def test_what_one_limit_refuses_no_other_counts(opened: OpenLimiter, key: str) -> None:
    gateway = await opened()
    place = placed(await gateway.enter(key, KeyLimits(concurrency=1)))
    both = KeyLimits(rpm=1, concurrency=1)
    for _ in range(5):
        assert await gateway.enter(key, both) == wording.too_wide(limit=1, running=1)
    place.leave()

    async def is_free() -> bool:
        return is_in(await gateway.enter(key, KeyLimits(rpm=1, concurrency=1)))

    await soon(is_free)
    refusal = await gateway.enter(key, KeyLimits(rpm=1, concurrency=5))
    assert isinstance(refusal, Refusal)
    assert refusal.code == "rate:exceeded", "requests are asked about first"
    assert is_in(await gateway.enter(key, KeyLimits(concurrency=2))), "and it took no place"


async def test_keys_do_not_share_their_limits(opened: OpenLimiter, key: str) -> None:
    gateway = await opened()
    limits = KeyLimits(rpm=1, tpm=10, concurrency=1)
    for name in (key, key + "x", key.upper() + "é"):
        assert is_in(await gateway.enter(name, limits))
        assert not is_in(await gateway.enter(name, limits))


async def test_a_key_without_limits_is_never_refused(opened: OpenLimiter, key: str) -> None:
    gateway = await opened()
    for _ in range(50):
        placed(await gateway.enter(key, UNLIMITED)).leave()
    assert is_in(await gateway.enter(key, KeyLimits(rpm=1, concurrency=1)))


async def test_a_changed_limit_holds_from_the_next_call_on(opened: OpenLimiter, key: str) -> None:
    gateway = await opened()
    for _ in range(3):
        assert is_in(await gateway.enter(key, KeyLimits(rpm=3)))
    assert is_in(await gateway.enter(key, KeyLimits(rpm=4)))
    assert not is_in(await gateway.enter(key, KeyLimits(rpm=2)))
