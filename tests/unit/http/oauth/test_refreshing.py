"""Refresh tokens: every row of the rotation table, one after another and all at once."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from holder import Holder
from tokenward.kernel.secret import Secret
from tokenward.keys import life
from tokenward.keys.families import refresh_token
from tokenward.keys.records import KeyRecord
from tokenward.machine import RealDice
from unit.http.oauth.token_world import TOKEN, TokenWorld, secret_of

DAY_MS = 86_400_000


@pytest.fixture
def holder() -> Holder:
    return Holder()


async def test_the_newest_token_gives_the_next_one(world: TokenWorld, holder: Holder) -> None:
    tokens = await world.tokens(await world.key(), holder)
    seen = {tokens["refresh_token"]}
    for _ in range(3):
        said = await world.refresh(tokens["refresh_token"], holder)
        assert said.status == 200
        assert said.headers["cache-control"] == "no-store"
        tokens = said.value
        assert await world.passes(tokens["access_token"], holder)
        seen.add(tokens["refresh_token"])
    assert len(seen) == 4
    assert await world.incidents() == []


@pytest.mark.parametrize("thief_is_first", [True, False])
async def test_two_uses_of_one_token_kill_the_family_in_either_order(
    world: TokenWorld, holder: Holder, thief_is_first: bool
) -> None:
    """The thief has copied the private key too: only the second use can tell."""
    key = await world.key()
    first = await world.tokens(key, holder)
    second = (await world.refresh(first["refresh_token"], holder)).value
    if thief_is_first:  # the one who redeemed first comes again with what it got
        assert (await world.refresh(first["refresh_token"], holder)).error == "invalid_grant"
        last = await world.refresh(second["refresh_token"], holder)
    else:
        third = await world.refresh(second["refresh_token"], holder)
        assert third.status == 200
        assert (await world.refresh(first["refresh_token"], holder)).error == "invalid_grant"
        last = await world.refresh(third.value["refresh_token"], holder)
    assert (last.status, last.error, last.code) == (400, "invalid_grant", "refresh:invalid")
    for tokens in (first, second):
        assert not await world.passes(tokens["access_token"], holder)
    (incident,) = await world.incidents()
    assert (incident.subject, incident.state) == (f"key:{key.record.id}", "open")
    (evidence,) = incident.evidence
    assert (evidence.kind, evidence.detector, evidence.reason) == (
        "E1", "refresh", "refresh:reused",
    )  # fmt: skip
    assert incident.actions == ("family revoked",)
    counted = (await world.house.metrics.text()).decode()
    assert 'tokenward_incidents_total{action="family revoked"} 1.0' in counted
    assert [e.subject for e in await world.events("incident:opened")] == [incident.subject]
    assert len(await world.events("family:revoked")) == 1


@pytest.mark.parametrize("which", ["newest", "used"])
async def test_another_private_key_ends_the_family_at_once(
    world: TokenWorld, holder: Holder, which: str
) -> None:
    first = await world.tokens(await world.key(), holder)
    second = (await world.refresh(first["refresh_token"], holder)).value
    stolen = (second if which == "newest" else first)["refresh_token"]
    said = await world.refresh(stolen, Holder())
    assert (said.error, said.code) == ("invalid_grant", "refresh:invalid")
    assert (await world.refresh(second["refresh_token"], holder)).error == "invalid_grant"
    assert not await world.passes(second["access_token"], holder)
    (incident,) = await world.incidents()
    assert incident.evidence[0].reason == "refresh:other_holder"


async def test_of_twenty_at_once_at_most_one_wins_and_none_survives(
    world: TokenWorld, holder: Holder
) -> None:
    first = await world.tokens(await world.key(), holder)
    said = await asyncio.gather(*(world.refresh(first["refresh_token"], holder) for _ in range(20)))
    won = [each.value for each in said if each.status == 200]
    assert len(won) == 1
    assert (await world.refresh(won[0]["refresh_token"], holder)).error == "invalid_grant"
    assert not await world.passes(won[0]["access_token"], holder)
    assert len(await world.incidents()) == 1


async def test_one_request_that_is_sent_twice_kills_nothing(
    world: TokenWorld, holder: Holder
) -> None:
    """A proxy that repeats, or a thief with a captured request: the proof is used up before the
    token is looked at."""
    first = await world.tokens(await world.key(), holder)
    proof = world.proof(holder)
    form = {"grant_type": "refresh_token", "refresh_token": first["refresh_token"]}
    said = [await world.post(TOKEN, form, {"dpop": proof}) for _ in range(3)]
    assert [each.status for each in said] == [200, 400, 400]
    assert {(e.error, e.code) for e in said[1:]} == {("invalid_dpop_proof", "proof:replayed")}
    assert (await world.refresh(said[0].value["refresh_token"], holder)).status == 200
    assert await world.incidents() == []


@pytest.mark.parametrize("world", ["refresh_grace_s = 20\n"], indirect=True)
async def test_with_a_grace_a_used_token_gives_the_same_successor_again(
    world: TokenWorld, holder: Holder
) -> None:
    first = await world.tokens(await world.key(), holder)
    said = [await world.refresh(first["refresh_token"], holder) for _ in range(3)]
    assert {each.status for each in said} == {200}
    assert len({each.value["refresh_token"] for each in said}) == 1
    third = await world.refresh(said[0].value["refresh_token"], holder)
    assert third.status == 200
    assert (await world.refresh(first["refresh_token"], holder)).error == "invalid_grant"
    assert len(await world.incidents()) == 1  # two behind is no lost answer


@pytest.mark.parametrize("world", ["refresh_grace_s = 20\n"], indirect=True)
async def test_a_grace_is_for_the_same_holder_and_for_its_time(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key()
    late, theirs = await world.tokens(key, holder), await world.tokens(key, holder)
    for tokens in (late, theirs):
        assert (await world.refresh(tokens["refresh_token"], holder)).status == 200
    assert (await world.refresh(theirs["refresh_token"], Holder())).error == "invalid_grant"
    world.clock.ahead_ms += 20_001
    assert (await world.refresh(late["refresh_token"], holder)).error == "invalid_grant"
    reasons = [each.evidence[0].reason for each in await world.incidents()]
    assert reasons == ["refresh:reused", "refresh:other_holder"]


async def test_a_dead_family_stays_dead_over_a_restart(
    world: TokenWorld, holder: Holder, tmp_path: Path
) -> None:
    tokens = await world.tokens(await world.key(), holder)
    assert (await world.refresh(tokens["refresh_token"], Holder())).status == 400
    await world.close()
    await world.open(tmp_path)
    assert (await world.refresh(tokens["refresh_token"], holder)).error == "invalid_grant"
    assert not await world.passes(tokens["access_token"], holder)
    assert len(await world.incidents()) == 1


async def test_a_token_that_the_guard_never_made_touches_nothing(
    world: TokenWorld, holder: Holder
) -> None:
    """Whoever knows a family's id but none of its tokens cannot end it."""
    tokens = await world.tokens(await world.key(), holder)
    text = tokens["refresh_token"]
    guard = world.house.guard
    family = text[6:18]
    for made in (
        refresh_token(family, 0, Secret("x" * 64, "another pepper")).reveal(),
        refresh_token(family, 7, guard.pepper).reveal(),  # not given out yet
        refresh_token("0" * 12, 0, guard.pepper).reveal(),
        text[:-1] + ("A" if text[-1] != "A" else "B"),
        "tw_rt_", "é" * 56, text + " ", "tw_sk_" + text[6:],
    ):  # fmt: skip
        assert (await world.refresh(made, Holder())).error == "invalid_grant"
    assert (await world.refresh(text, holder)).status == 200
    assert await world.incidents() == []


async def test_a_family_ends_without_use_and_at_its_hard_end(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key()
    idle, used = await world.tokens(key, holder), await world.tokens(key, holder)
    for _ in range(6):
        world.clock.ahead_ms += 29 * DAY_MS
        said = await world.refresh(used["refresh_token"], holder)
        assert said.status == 200
        used = said.value
    assert (await world.refresh(idle["refresh_token"], holder)).error == "invalid_grant"
    world.clock.ahead_ms += 7 * DAY_MS
    assert (await world.refresh(used["refresh_token"], holder)).error == "invalid_grant"
    assert await world.incidents() == []


async def test_a_key_that_cannot_be_used_gives_nothing_and_its_families_wait(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key()
    tokens = await world.tokens(key, holder)
    await world.change(key.record.id, lambda record: life.freeze(record, "a test"))
    assert (await world.refresh(tokens["refresh_token"], holder)).error == "invalid_grant"
    assert not await world.passes(tokens["access_token"], holder)
    await world.change(key.record.id, life.unfreeze)
    assert await world.passes(tokens["access_token"], holder)
    assert (await world.refresh(tokens["refresh_token"], holder)).status == 200


async def test_a_secret_that_is_rotated_away_takes_its_tokens_along(
    world: TokenWorld, holder: Holder
) -> None:
    """Whoever had stolen the key may have got tokens with it."""
    key = await world.key()
    tokens = await world.tokens(key, holder)
    pepper, now_ms = world.house.guard.pepper, world.clock.now_ms()

    def rotated(grace_ms: int) -> Callable[[KeyRecord], Any]:
        return lambda record: life.rotate(record, RealDice(), pepper, grace_ms, now_ms)[0]

    await world.change(key.record.id, rotated(60_000))
    assert await world.passes(tokens["access_token"], holder)
    tokens = (await world.refresh(tokens["refresh_token"], holder)).value
    world.clock.ahead_ms += 60_001
    assert not await world.passes(tokens["access_token"], holder)
    assert (await world.refresh(tokens["refresh_token"], holder)).error == "invalid_grant"


async def test_another_client_cannot_use_it_even_with_the_same_private_key(
    world: TokenWorld, holder: Holder
) -> None:
    key, other = await world.key(), await world.key()
    tokens = await world.tokens(key, holder)
    for form in (secret_of(other), {"client_id": other.record.id}):
        said = await world.refresh(tokens["refresh_token"], holder, **form)
        assert said.error == "invalid_grant"
    assert (await world.refresh(tokens["refresh_token"], holder, **secret_of(key))).status == 200


async def test_scope_only_shrinks_and_the_family_keeps_its_own(
    world: TokenWorld, holder: Holder
) -> None:
    tokens = await world.tokens(await world.key(), holder, scope="offline_access model:gpt-*")
    for wider in ("model:o3", "model:*", "offline_access model:gpt-* model:o3"):
        said = await world.refresh(tokens["refresh_token"], holder, scope=wider)
        assert said.error == "invalid_scope"
    said = await world.refresh(tokens["refresh_token"], holder, scope="model:gpt-5-mini")
    assert said.value["scope"] == "model:gpt-5-mini"
    assert await world.passes(said.value["access_token"], holder)
    assert not await world.passes(said.value["access_token"], holder, "gpt-5")
    said = await world.refresh(said.value["refresh_token"], holder)
    assert said.value["scope"] == "offline_access model:gpt-*"


async def test_without_offline_access_there_is_no_refresh_token(
    world: TokenWorld, holder: Holder
) -> None:
    assert "refresh_token" not in (await world.grant(await world.key(), holder)).value
