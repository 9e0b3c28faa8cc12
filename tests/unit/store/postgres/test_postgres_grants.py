"""A turn of a family that its caller was not told of, and names that are revoked."""

import asyncio
from dataclasses import replace

import pytest

from ledger_world import NOON_MS, key_record
from postgres_world import Town, Wire
from tokenward.kernel.errors import StoreError
from tokenward.keys.access_tokens import AccessToken, family_name
from tokenward.keys.families import Family, end
from tokenward.keys.scopes import Scope

FAMILY = Family(
    id="f" * 12, key_id="k1", kind="dpop", thumbprint="t" * 43, got_by="holder", scope="",
    number=0, created_ms=1, used_ms=1, ends_ms=10**13,
)  # fmt: skip
TURNED = replace(FAMILY, number=1, used_ms=2)
NUMBER = "SELECT number FROM families"
WAITING = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'"


def token(jti: str, expires_ms: int) -> AccessToken:
    return AccessToken(
        key_id="k1", jti=jti, kind="dpop", thumbprint="t" * 43, got_by="holder", scope=Scope(),
        issued_ms=NOON_MS, expires_ms=expires_ms,
    )  # fmt: skip


async def test_a_turn_whose_caller_left_is_taken_back(town: Town) -> None:
    """Else the client's next try would be a second use of its token, and end the family."""
    store = await town.gateway()
    await store.keys.add(key_record())
    await store.grants.add(FAMILY)
    async with await town.connect() as other, other.transaction():
        await other.execute("LOCK TABLE families IN SHARE MODE")
        turning = asyncio.create_task(store.grants.rotate(FAMILY, TURNED))
        await town.until(WAITING, 1)
        turning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await turning
    await town.until("SELECT ctid::text FROM families", "(0,3)")  # written, turned, turned back
    await town.until(NUMBER, 0)
    assert await store.grants.rotate(FAMILY, replace(FAMILY, number=1, used_ms=3))


async def test_a_turn_that_was_kept_and_not_heard_of_is_taken_back(town: Town, wire: Wire) -> None:
    first = await town.gateway()
    await first.keys.add(key_record())
    await first.grants.add(FAMILY)
    store = await town.gateway(wire.port)
    wire.hush_at = b"COMMIT"
    turning = asyncio.create_task(store.grants.rotate(FAMILY, TURNED))
    await town.until(NUMBER, 1)
    wire.heal()
    wire.cut()
    with pytest.raises(StoreError):
        await turning
    await town.until(NUMBER, 0)


async def test_of_gateways_that_turn_a_family_at_once_one_wins(town: Town) -> None:
    stores = [await town.gateway() for _ in range(3)]
    await stores[0].keys.add(key_record())
    await stores[0].grants.add(FAMILY)
    won = await asyncio.gather(*(store.grants.rotate(FAMILY, TURNED) for store in stores))
    assert sorted(won) == [False, False, True]
    dead = end(TURNED, "refresh:reused", NOON_MS)
    ended = await asyncio.gather(*(store.grants.end(TURNED, dead, None) for store in stores))
    assert sorted(ended) == [False, False, True]
    winner = stores[ended.index(True)]
    assert winner.grants.is_revoked((family_name(FAMILY.id),)), "at once, where it was done"


async def test_a_gateway_knows_from_its_start_what_is_revoked(town: Town) -> None:
    first = await town.gateway()
    await first.grants.revoke(token("a", NOON_MS + 1_000), NOON_MS)
    second = await town.gateway()
    assert second.grants.is_revoked(token("a", 0).names)


async def test_a_revoked_name_outlives_its_time_for_gateways_whose_clocks_are_behind(
    town: Town,
) -> None:
    first = await town.gateway()
    await first.grants.revoke(token("a", NOON_MS + 1_000), NOON_MS)
    await first.grants.sweep(NOON_MS + 60_000)
    assert not first.grants.is_revoked(token("a", 0).names), "by its own clock it is over"
    behind = await town.gateway()
    assert behind.grants.is_revoked(token("a", 0).names)
    await first.grants.sweep(NOON_MS + 602_000)
    assert town.ask("SELECT count(*) FROM revoked_tokens") == [(0,)]


async def test_names_that_are_over_leave_the_memory_of_every_gateway(town: Town) -> None:
    leader, other = await town.gateway(), await town.gateway()
    assert await leader.is_leader()
    await other.grants.revoke(token("a", NOON_MS + 1_000), NOON_MS)
    await other.chores(NOON_MS + 1_000, 0)
    assert other.grants.is_revoked(token("a", 0).names)
    await other.chores(NOON_MS + 1_001, 0)
    assert not other.grants.is_revoked(token("a", 0).names)
