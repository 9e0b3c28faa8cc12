"""What every store of grants promises: one winner, and what ended stays so."""

import asyncio
from dataclasses import replace

import pytest

from engines import AnyStore, Engine, Opener
from ledger_world import MovingClock
from tokenward.kernel.errors import StoreError
from tokenward.kernel.incidents import Evidence, Incident
from tokenward.keys.access_tokens import AccessToken, family_name, token_name
from tokenward.keys.families import Family, end
from tokenward.keys.interfaces import GrantStore
from tokenward.keys.records import KeyRecord
from tokenward.keys.scopes import Scope

KEY = "AbCdEf012345"
NOW_MS = 1_795_000_000_000


def family(name: str = "f" * 12) -> Family:
    return Family(
        id=name, key_id=KEY, kind="dpop", thumbprint="t" * 43, got_by="holder", scope="model:gpt-*",
        number=0, created_ms=NOW_MS, used_ms=NOW_MS, ends_ms=NOW_MS + 86_400_000,
    )  # fmt: skip


def access_token(jti: str = "j" * 20) -> AccessToken:
    return AccessToken(
        key_id=KEY, jti=jti, kind="dpop", thumbprint="t" * 43, got_by="holder", scope=Scope(),
        issued_ms=NOW_MS, expires_ms=NOW_MS + 300_000,
    )  # fmt: skip


def incident(name: str = "inc_1") -> Incident:
    evidence = Evidence(
        kind="E1", detector="refresh", reason="refresh:reused", at_ms=NOW_MS, request_id="req_1"
    )
    return Incident(
        id=name, subject=f"key:{KEY}", opened_ms=NOW_MS, first_sign_ms=NOW_MS, stopped_ms=NOW_MS,
        actions=("family revoked",), evidence=(evidence,),
    )  # fmt: skip


def turned(old: Family) -> Family:
    return replace(old, number=old.number + 1, used_ms=old.used_ms + 1)


@pytest.fixture
async def grants(store: AnyStore) -> GrantStore:
    await add_key(store)
    return store.grants


async def add_key(store: AnyStore) -> None:
    record = KeyRecord(
        id=KEY, digest=b"d" * 32, account="default", project="tests", created_ms=NOW_MS
    )
    await store.keys.add(record)


async def test_a_family_is_kept_over_a_restart(reopen: Opener) -> None:
    store = await reopen()
    await add_key(store)
    await store.grants.add(family())
    assert await store.grants.rotate(family(), turned(family()))
    store = await reopen()
    assert await store.grants.find("f" * 12) == turned(family())
    assert await store.grants.find("g" * 12) is None


async def test_of_many_at_once_one_rotates(grants: GrantStore) -> None:
    await grants.add(family())
    old = await grants.find("f" * 12)
    won = await asyncio.gather(*(grants.rotate(old, turned(old)) for _ in range(20)))
    assert sorted(won) == [False] * 19 + [True]
    assert (await grants.find("f" * 12)).number == 1


async def test_an_end_and_a_turn_at_once_leave_one_truth(grants: GrantStore) -> None:
    await grants.add(family())
    old = family()
    dead = end(old, "refresh:reused", NOW_MS)
    ended, rotated = await asyncio.gather(
        grants.end(old, dead, incident()), grants.rotate(old, turned(old))
    )
    assert (ended, rotated) == (True, False)
    assert (await grants.find(old.id)).ended_why == "refresh:reused"


async def test_an_end_kills_the_access_tokens_and_is_told_everywhere(reopen: Opener) -> None:
    store = await reopen()
    await add_key(store)
    await store.grants.add(family())
    names = (token_name("x"), family_name("f" * 12))
    assert not store.grants.is_revoked(names)
    assert await store.grants.end(family(), end(family(), "refresh:reused", NOW_MS), incident())
    assert store.grants.is_revoked(names)
    store = await reopen()
    assert store.grants.is_revoked(names)
    assert await store.incidents.recent(10) == [incident()]
    assert await store.incidents.find("inc_1") == incident()
    assert await store.incidents.find("inc_2") is None
    kinds = [event.kind for _, event in await store.books.events(0, 100)]
    assert kinds[-2:] == ["family:revoked", "incident:opened"]
    assert await store.books.audit() == []


async def test_a_revoked_token_is_known_at_once_and_until_its_end(
    reopen: Opener, engine: Engine, clock: MovingClock
) -> None:
    clock.at_ms = NOW_MS
    store = await reopen()
    await add_key(store)
    token = access_token()
    assert not store.grants.is_revoked(token.names)
    for _ in range(2):
        await store.grants.revoke(token, NOW_MS)
        assert store.grants.is_revoked(token.names)
    kinds = [event.kind for _, event in await store.books.events(0, 100)]
    assert kinds.count("token:revoked") == 1
    store = await reopen()
    assert store.grants.is_revoked(token.names)
    await store.chores(token.expires_ms, 0)
    assert store.grants.is_revoked(token.names)
    clock.at_ms = token.expires_ms + engine.forgets_late_ms + 1
    await store.chores(clock.at_ms, 0)
    assert not store.grants.is_revoked(token.names)
    store = await reopen()
    assert not store.grants.is_revoked(token.names)


async def test_families_are_forgotten_a_month_after_their_end(reopen: Opener) -> None:
    month_ms = 30 * 86_400_000
    store = await reopen()
    await add_key(store)
    await store.grants.add(family())
    await store.chores(family().ends_ms + month_ms, 0)
    store = await reopen()
    assert await store.grants.find("f" * 12) is not None
    await store.chores(family().ends_ms + month_ms + 1, 0)
    store = await reopen()
    assert await store.grants.find("f" * 12) is None


async def test_a_closed_store_cannot_know(reopen: Opener) -> None:
    store = await reopen()
    await store.close()
    for asked in (
        store.grants.find("f" * 12),
        store.grants.add(family()),
        store.grants.rotate(family(), turned(family())),
        store.grants.revoke(access_token(), NOW_MS),
    ):
        with pytest.raises(StoreError):
            await asked


async def test_a_family_of_no_key_is_a_fault_and_a_change_that_failed_leaves_nothing(
    store: AnyStore,
) -> None:
    with pytest.raises(StoreError):
        await store.grants.add(family())
    assert await store.grants.find("f" * 12) is None
