"""Proof and limits asked together (`pipeline.admitting.Admission`): the same, whoever is asked."""

import asyncio
import secrets

import pytest

from hot_engines import Hot, OpenHot
from tokenward.binding.wording import REPLAYED
from tokenward.kernel.errors import StoreError
from tokenward.kernel.refusals import Refusal
from tokenward.limits.interfaces import UNLIMITED, KeyLimits, Place
from tokenward.limits.wording import too_wide
from tokenward.machine import RealClock

MINUTE_MS = 60_000


def proof() -> bytes:
    """One that was never used."""
    return secrets.token_bytes(32)


async def admit(hot: Hot, key: str, limits: KeyLimits, proof: bytes) -> Place | Refusal:
    until_ms = RealClock().now_ms() + MINUTE_MS
    return await hot.admission.admit(key, limits, proof, until_ms, hot.proofs.epoch.since_ms)


def is_in(outcome: Place | Refusal) -> bool:
    return not isinstance(outcome, Refusal)


async def test_a_replay_is_told_before_any_limit_and_counts_for_none(
    opened_hot: OpenHot, key: str
) -> None:
    first, second = await opened_hot(), await opened_hot()
    limits, used = KeyLimits(rpm=2), proof()
    assert is_in(await admit(first, key, limits, used))
    for hot in (first, second, first):
        assert await admit(hot, key, limits, used) == REPLAYED
    assert is_in(await admit(second, key, limits, proof())), "replays used nothing of the limit"
    refusal = await admit(second, key, limits, proof())
    assert isinstance(refusal, Refusal)
    assert refusal.code == "rate:exceeded"
    assert await admit(first, key, limits, used) == REPLAYED, "also where the limit is used up"


async def test_what_the_limits_refuse_has_used_its_proof_up(opened_hot: OpenHot, key: str) -> None:
    first, second = await opened_hot(), await opened_hot()
    limits, used = KeyLimits(concurrency=1), proof()
    place = await admit(first, key, limits, proof())
    assert not isinstance(place, Refusal)
    assert await admit(second, key, limits, used) == too_wide(limit=1, running=1)
    place.leave()
    assert await admit(second, key, limits, used) == REPLAYED


async def test_a_place_that_is_left_is_free_again(opened_hot: OpenHot, key: str) -> None:
    hot, limits = await opened_hot(), KeyLimits(concurrency=1)
    for _ in range(3):
        async with asyncio.timeout(30):
            while isinstance(place := await admit(hot, key, limits, proof()), Refusal):
                await asyncio.sleep(0.01)  # that it was left is told without being waited for
        place.leave()
        place.leave()


async def test_with_and_without_limits_it_is_the_same_memory(opened_hot: OpenHot, key: str) -> None:
    first, second = await opened_hot(), await opened_hot()
    early, late = proof(), proof()
    assert is_in(await admit(first, key, UNLIMITED, early))
    assert await admit(second, key, KeyLimits(rpm=9), early) == REPLAYED
    assert is_in(await admit(first, key, KeyLimits(rpm=9), late))
    assert await admit(second, key, UNLIMITED, late) == REPLAYED


async def test_of_many_with_one_proof_one_is_let_in(opened_hot: OpenHot, key: str) -> None:
    gateways, used = [await opened_hot() for _ in range(3)], proof()
    limits = KeyLimits(rpm=100, concurrency=100)
    met = await asyncio.gather(
        *(admit(hot, key, limits, used) for _ in range(10) for hot in gateways)
    )
    assert sum(map(is_in, met)) == 1
    assert met.count(REPLAYED) == 29


async def test_a_proof_of_another_epoch_is_a_fault_and_counts_for_nothing(
    opened_hot: OpenHot, key: str
) -> None:
    hot, limits = await opened_hot(), KeyLimits(rpm=1)
    until_ms, since_ms = RealClock().now_ms() + MINUTE_MS, hot.proofs.epoch.since_ms
    with pytest.raises(StoreError, match="judged"):
        await hot.admission.admit(key, limits, proof(), until_ms, since_ms - 1)
    assert is_in(await admit(hot, key, limits, proof()))
