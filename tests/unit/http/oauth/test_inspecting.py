"""Revocation and introspection: for the client's own tokens, in effect at once."""

import pytest

from holder import Holder
from tokenward.keys import life
from unit.http.oauth.test_token_clients import assertion
from unit.http.oauth.token_world import (
    ACCESS_TOKEN,
    EXCHANGE,
    TOKEN,
    TokenWorld,
    secret_of,
)

REVOKE, INTROSPECT = "/oauth/revoke", "/oauth/introspect"
INACTIVE = {"active": False}


@pytest.fixture
def holder() -> Holder:
    return Holder()


async def test_a_client_learns_what_its_tokens_are_good_for(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key()
    tokens = await world.tokens(key, holder, scope="offline_access model:gpt-*")
    client = secret_of(key)
    said = (await world.ask(INTROSPECT, None, **client, token=tokens["access_token"])).value
    assert said["active"] is True
    assert said["cnf"] == {"jkt": holder.thumbprint}
    assert said["client_id"] == key.record.id
    assert said["token_type"] == "DPoP"
    assert said["exp"] - said["iat"] == 300
    assert said["scope"] == "offline_access model:gpt-*"
    said = (await world.ask(INTROSPECT, None, **client, token=tokens["refresh_token"])).value
    assert said["active"] is True
    assert said["cnf"] == {"jkt": holder.thumbprint}


async def test_of_anything_else_it_learns_that_it_is_not_active_and_no_more(
    world: TokenWorld, holder: Holder
) -> None:
    key, other = await world.key(), await world.key()
    tokens = await world.tokens(key, holder)
    used = tokens["refresh_token"]
    tokens = (await world.refresh(used, holder)).value
    theirs = await world.tokens(other, holder)
    texts = [
        used, theirs["access_token"], theirs["refresh_token"], key.key.reveal(), "x", "a.b.c",
        "é.é.é", "tw_rt_" + "0" * 50, tokens["access_token"] + "A",
    ]  # fmt: skip
    for text in texts:
        said = await world.ask(INTROSPECT, None, **secret_of(key), token=text)
        assert (said.status, said.value) == (200, INACTIVE), text
    assert (await world.refresh(tokens["refresh_token"], holder)).status == 200  # used: only looked
    world.clock.ahead_ms += 301_000
    said = await world.ask(INTROSPECT, None, **secret_of(key), token=tokens["access_token"])
    assert said.value == INACTIVE


async def test_nobody_asks_without_proving_who_it_is(world: TokenWorld, holder: Holder) -> None:
    key = await world.key()
    token = (await world.tokens(key, holder))["access_token"]
    for path in (REVOKE, INTROSPECT):
        for form in ({}, {"client_id": key.record.id}, {**secret_of(key), "client_secret": "x"}):
            said = await world.ask(path, None, **form, token=token)
            assert (said.status, said.error) == (401, "invalid_client")
        said = await world.ask(path, None, **secret_of(key))
        assert said.error == "invalid_request"
    assert await world.passes(token, holder)


async def test_a_copied_bound_key_learns_and_revokes_nothing(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key("dpop", holder.thumbprint)
    token = (await world.tokens(key, holder))["access_token"]
    for thief in (None, Holder()):
        for path in (REVOKE, INTROSPECT):
            said = await world.ask(path, thief, **secret_of(key), token=token)
            assert said.error == "invalid_dpop_proof"
    assert await world.passes(token, holder)
    signed = assertion(world, holder, key.record.id, {"jwk": holder.jwk})
    said = await world.post(INTROSPECT, {**signed, "token": token})
    assert said.value["active"] is True


async def test_an_access_token_is_dead_with_the_next_call(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key()
    tokens = await world.tokens(key, holder)
    exchange = {
        "grant_type": EXCHANGE,
        "subject_token": tokens["access_token"],
        "subject_token_type": ACCESS_TOKEN,
    }
    child = (await world.ask(TOKEN, holder, **exchange)).value["access_token"]
    for _ in range(2):
        said = await world.ask(REVOKE, None, **secret_of(key), token=tokens["access_token"])
        assert (said.status, said.value) == (200, {})
    assert not await world.passes(tokens["access_token"], holder)
    assert not await world.passes(child, holder)
    assert (await world.ask(TOKEN, holder, **exchange)).error == "invalid_request"
    assert (await world.refresh(tokens["refresh_token"], holder)).status == 200
    assert len(await world.events("token:revoked")) == 1
    said = await world.ask(INTROSPECT, None, **secret_of(key), token=tokens["access_token"])
    assert said.value == INACTIVE


@pytest.mark.parametrize("which", ["newest", "used"])
async def test_a_refresh_token_takes_its_family_and_access_tokens_along(
    world: TokenWorld, holder: Holder, which: str
) -> None:
    key = await world.key()
    first = await world.tokens(key, holder)
    second = (await world.refresh(first["refresh_token"], holder)).value
    token = (second if which == "newest" else first)["refresh_token"]
    said = await world.ask(REVOKE, None, **secret_of(key), token=token, token_type_hint="x")
    assert said.status == 200
    for tokens in (first, second):
        assert not await world.passes(tokens["access_token"], holder)
        assert (await world.refresh(tokens["refresh_token"], holder)).error == "invalid_grant"
    assert await world.incidents() == []  # its client asked for it: nobody has a copy


async def test_a_public_client_may_take_back_what_its_private_key_is_bound_to(
    world: TokenWorld, holder: Holder
) -> None:
    tokens = await world.tokens(await world.key(), holder)
    said = await world.ask(REVOKE, Holder(), token=tokens["refresh_token"])
    assert said.status == 200  # and nothing happened
    assert await world.passes(tokens["access_token"], holder)
    assert (await world.ask(REVOKE, holder, token=tokens["refresh_token"])).status == 200
    assert not await world.passes(tokens["access_token"], holder)


async def test_unknown_and_other_peoples_tokens_are_revoked_with_the_same_yes(
    world: TokenWorld, holder: Holder
) -> None:
    key, other = await world.key(), await world.key()
    theirs = await world.tokens(other, holder)
    for text in ("x", "tw_rt_" + "0" * 50, theirs["access_token"], theirs["refresh_token"]):
        said = await world.ask(REVOKE, None, **secret_of(key), token=text)
        assert (said.status, said.value) == (200, {})
    assert await world.passes(theirs["access_token"], holder)
    assert (await world.refresh(theirs["refresh_token"], holder)).status == 200


async def test_a_key_that_is_revoked_takes_all_its_tokens_along(
    world: TokenWorld, holder: Holder
) -> None:
    key = await world.key()
    tokens = await world.tokens(key, holder)
    await world.change(key.record.id, lambda record: life.revoke(record, "a test"))
    assert (await world.call(tokens["access_token"], holder)).code == "key:invalid"
    assert (await world.refresh(tokens["refresh_token"], holder)).error == "invalid_grant"
