"""A thief at the token service of a running guard: what it gets from what it has copied."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import pytest

from caller import CALL_LIMIT_S, NOT_NOW, Caller, Told, admin, calling, chat, new_key
from guard import GuardProcess
from holder import Holder, claims_for
from standin import StandinProcess

CUT_LIMIT_S = 10
"""Promised are two seconds of a machine that is not full of tests; `LONG` goes on for thirty."""
LONG = "chunks=300; gap_ms=100"
TOKEN, REVOKE = "/oauth/token", "/oauth/revoke"
PATH = "/v1/chat/completions"


class Client:
    """A key, a private key, and a connection to the guard."""

    def __init__(
        self, guard: GuardProcess, session: aiohttp.ClientSession, key_id: str, key: str
    ) -> None:
        self.key_id = key_id
        self.credentials = {"client_id": key_id, "client_secret": key}
        self.holder = Holder()
        self._guard = guard
        self._session = session
        self._nonce = ""

    async def post(
        self, path: str, holder: Holder | None = None, proof: str = "", **form: str
    ) -> tuple[int, dict[str, Any]]:
        """A form with a proof; a nonce that is asked for is used at once."""
        url = self._guard.base_url + path
        until_s = time.monotonic() + CALL_LIMIT_S
        while True:
            signed = (holder or self.holder).proof(claims_for("POST", url, nonce=self._nonce))
            headers = {"dpop": proof or signed}
            async with self._session.post(url, data=form, headers=headers) as answer:
                self._nonce = answer.headers["dpop-nonce"]
                value = await answer.json()
            is_late = answer.status == 503 and time.monotonic() < until_s
            if value.get("error") != "use_dpop_nonce" and not is_late:
                return answer.status, value

    async def tokens(self, **form: str) -> dict[str, Any]:
        """Client credentials with a refresh token."""
        wish = {"grant_type": "client_credentials", "scope": "offline_access", **form}
        status, value = await self.post(TOKEN, **wish, **self.credentials)
        assert status == 200, value
        return value

    async def refresh(
        self, token: str, holder: Holder | None = None, proof: str = ""
    ) -> tuple[int, dict[str, Any]]:
        """As a public client."""
        return await self.post(
            TOKEN, holder, proof, grant_type="refresh_token", refresh_token=token
        )

    def proof(self, path: str = TOKEN) -> str:
        """One that is good now, if the nonce is known."""
        url = self._guard.base_url + path
        return self.holder.proof(claims_for("POST", url, nonce=self._nonce))

    async def call(
        self, caller: Caller, token: str, script: str = "output_tokens=5", **more: Any
    ) -> Told:
        """A call with an access token."""
        url = self._guard.base_url + PATH
        until_s = time.monotonic() + CALL_LIMIT_S
        while True:
            claims = claims_for("POST", url, credential=token, nonce=self._nonce)
            headers = {"authorization": f"DPoP {token}", "dpop": self.holder.proof(claims)}
            told = await caller.call("", chat(), script, headers=headers, **more)
            if told.code not in NOT_NOW or time.monotonic() > until_s:
                return told


@asynccontextmanager
async def client_of(guard: GuardProcess) -> AsyncIterator[tuple[Client, Caller]]:
    """A client of a new key, and somebody who calls with its tokens."""
    key_id, key = await new_key(guard)
    async with (
        aiohttp.ClientSession() as session,
        calling(guard.base_url, tries_again=False) as caller,
    ):
        yield Client(guard, session, key_id, key), caller


async def incidents_of(guard: GuardProcess, key_id: str) -> list[dict[str, Any]]:
    """What the admin API tells of them."""
    listed: list[dict[str, Any]] = await admin(guard, "GET", "/incidents")
    return [incident for incident in listed if incident["subject"] == f"key:{key_id}"]


@pytest.mark.parametrize("how", ["used twice", "another private key", "revoked", "token revoked"])
async def test_running_streams_are_cut_with_what_they_were_begun_with(
    guard: GuardProcess, standin: StandinProcess, how: str
) -> None:
    """A dead family takes its access tokens and their streams along (R5), and no others."""
    async with client_of(guard) as (client, caller):
        first = await client.tokens()
        other = await client.tokens()
        began = [asyncio.Event(), asyncio.Event()]
        streams = [
            asyncio.create_task(
                client.call(caller, tokens["access_token"], LONG, on_piece=event.set)
            )
            for tokens, event in zip((first, other), began, strict=True)
        ]
        await asyncio.wait_for(asyncio.gather(*(event.wait() for event in began)), 30)
        if how == "used twice":
            assert (await client.refresh(first["refresh_token"]))[0] == 200
            assert (await client.refresh(first["refresh_token"]))[0] == 400
        elif how == "another private key":
            assert (await client.refresh(first["refresh_token"], Holder()))[0] == 400
        else:
            token = first["refresh_token" if how == "revoked" else "access_token"]
            assert (await client.post(REVOKE, token=token, **client.credentials))[0] == 200
        told = await asyncio.wait_for(streams[0], CUT_LIMIT_S)
        assert (
            b"token:revoked" not in told.body
        )  # of a revoked token no more than of an unknown one
        assert b"key:invalid" in told.body
        assert not streams[1].done()
        assert (await client.call(caller, first["access_token"])).code == "key:invalid"
        assert (await client.call(caller, other["access_token"])).status == 200
        await client.post(REVOKE, token=other["refresh_token"], **client.credentials)
        await asyncio.wait_for(streams[1], CUT_LIMIT_S)
        expected = 1 if how in ("used twice", "another private key") else 0
        assert len(await incidents_of(guard, client.key_id)) == expected


async def test_twenty_at_once_over_the_network_leave_no_family(guard: GuardProcess) -> None:
    async with client_of(guard) as (client, caller):
        tokens = await client.tokens()
        said = await asyncio.gather(*(client.refresh(tokens["refresh_token"]) for _ in range(20)))
        won = [value for status, value in said if status == 200]
        assert len(won) == 1
        assert (await client.refresh(won[0]["refresh_token"]))[1]["error"] == "invalid_grant"
        assert (await client.call(caller, won[0]["access_token"])).status == 401
        (incident,) = await incidents_of(guard, client.key_id)
        assert incident["evidence"][0]["reason"] == "refresh:reused"


async def test_a_captured_request_that_is_sent_again_changes_nothing(guard: GuardProcess) -> None:
    async with client_of(guard) as (client, _):
        tokens = await client.tokens()
        proof = client.proof()
        status, fresh = await client.refresh(tokens["refresh_token"], proof=proof)
        assert status == 200
        for _ in range(3):
            status, said = await client.refresh(tokens["refresh_token"], proof=proof)
            assert (status, said["code"]) == (400, "proof:replayed")
        assert (await client.refresh(fresh["refresh_token"]))[0] == 200
        assert await incidents_of(guard, client.key_id) == []


async def test_a_stolen_access_token_is_of_no_use_without_its_private_key(
    guard: GuardProcess, standin: StandinProcess
) -> None:
    async with client_of(guard) as (client, caller):
        token = (await client.tokens())["access_token"]
        holder, client.holder = client.holder, Holder()
        tag = f"stolen-{uuid.uuid4().hex[:8]}"
        told = await client.call(caller, token, f"tag={tag}")
        assert (told.status, told.code) == (401, "proof:invalid")
        told = await caller.call(token, chat(), f"tag={tag}")
        assert (told.status, told.code) == (401, "proof:missing")
        exchange = {
            "grant_type": "urn:ietf:params:oauth:grant-type:token-exchange",
            "subject_token": token,
            "subject_token_type": "urn:ietf:params:oauth:token-type:access_token",
        }
        assert (await client.post(TOKEN, **exchange))[1]["error"] == "invalid_request"
        assert standin.lines(tag) == []
        client.holder = holder
        assert (await client.call(caller, token, f"tag={tag}")).status == 200


async def test_an_incident_is_told_on_the_command_line(guard: GuardProcess) -> None:
    async with client_of(guard) as (client, _):
        tokens = await client.tokens()
        since = time.time()
        await client.refresh(tokens["refresh_token"], Holder())
        (told,) = await incidents_of(guard, client.key_id)
    shown = await asyncio.to_thread(guard.cli, "incident", "show", told["id"])
    assert shown == told
    listed = await asyncio.to_thread(guard.cli, "incident", "list")
    assert told in listed
    assert list(told) == [
        "id", "subject", "state", "opened_at", "first_sign_at", "stopped_at", "actions",
        "evidence", "cost_before_stop_nusd", "calls_before_stop", "things", "against", "undo",
        "who",
    ]  # fmt: skip
    (evidence,) = told["evidence"]
    assert list(evidence) == ["class", "detector", "reason", "value", "at", "request_id"]
    assert (evidence["class"], evidence["reason"]) == ("E1", "refresh:other_holder")
    assert told["opened_at"] >= time.strftime("%Y-%m-%dT%H:%M", time.gmtime(since))
    screen = (await asyncio.to_thread(guard.run, "incident", "show", told["id"])).stdout
    assert "refresh: refresh:other_holder" in screen
    missing = await asyncio.to_thread(guard.run, "--json", "incident", "show", "inc_0")
    assert missing.returncode == 1
    assert "incident:unknown" in missing.stderr
