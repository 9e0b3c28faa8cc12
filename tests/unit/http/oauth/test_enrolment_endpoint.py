"""Enrolment: a code binds its key once, to whoever signs the request."""

import asyncio

import pytest

from holder import Holder
from tokenward.keys import life
from unit.http.oauth.token_world import TokenWorld

PATH = "/oauth/enrolment"


@pytest.fixture
def holder() -> Holder:
    return Holder()


async def test_the_holder_gets_the_key_and_nobody_else_does(
    world: TokenWorld, holder: Holder
) -> None:
    made = await world.key("dpop")
    assert made.code is not None
    code = made.code.reveal()
    said = await world.ask(PATH, holder, code=code)
    assert said.value == {
        "id": made.record.id, "key": made.key.reveal(), "bind": "dpop",
        "thumbprint": holder.thumbprint, "account": "default", "project": "tests",
        "expires_at": None,
    }  # fmt: skip
    assert said.headers["cache-control"] == "no-store"
    again = await world.ask(PATH, holder, code=code)  # its answer may have been lost
    assert again.value == said.value
    stolen = await world.ask(PATH, Holder(), code=code)
    assert (stolen.status, stolen.error, stolen.code) == (
        400, "invalid_grant", "enrolment:invalid",
    )  # fmt: skip
    (event,) = await world.events("key:misused")
    assert (event.facts["reason"], event.facts["class"]) == ("enrolment:used", "E1")
    assert len(await world.events("key:enrolled")) == 1
    assert (await world.grant(made, holder)).status == 200


async def test_of_many_at_once_one_is_the_holder(world: TokenWorld) -> None:
    made = await world.key("dpop")
    assert made.code is not None
    code = made.code.reveal()
    said = await asyncio.gather(*(world.ask(PATH, Holder(), code=code) for _ in range(20)))
    assert sorted(each.status for each in said) == [200] + [400] * 19


async def test_a_code_is_good_for_its_time_and_its_key(world: TokenWorld, holder: Holder) -> None:
    late, revoked, unbound = await world.key("dpop"), await world.key("dpop"), await world.key()
    assert late.code is not None
    assert revoked.code is not None
    await world.change(revoked.record.id, lambda record: life.revoke(record, "a test"))
    for code in (revoked.code.reveal(), unbound.key.reveal(), "tw_ec_x", "é" * 56):
        assert (await world.ask(PATH, holder, code=code)).error == "invalid_grant"
    world.clock.ahead_ms += 3_600_000
    assert (await world.ask(PATH, holder, code=late.code.reveal())).error == "invalid_grant"


async def test_the_proof_is_checked_as_at_the_token_endpoint(
    world: TokenWorld, holder: Holder
) -> None:
    made = await world.key("dpop")
    assert made.code is not None
    form = {"code": made.code.reveal()}
    said = await world.post(PATH, form, {"dpop": world.proof(holder, PATH, nonce=None)})
    assert (said.error, said.headers["dpop-nonce"]) == ("use_dpop_nonce", world.nonce)
    assert (await world.post(PATH, form)).error == "invalid_dpop_proof"
    elsewhere = world.proof(holder, "/oauth/token")
    assert (await world.post(PATH, form, {"dpop": elsewhere})).error == "invalid_dpop_proof"
    proof = world.proof(holder, PATH)
    assert (await world.post(PATH, {}, {"dpop": proof})).error == "invalid_request"
    assert (await world.post(PATH, form, {"dpop": proof})).status == 200
    assert (await world.post(PATH, form, {"dpop": proof})).code == "proof:replayed"
