"""Requests through the agent, before a guard that follows a script: bytes, proofs, endings."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from email.utils import formatdate

import pytest

from tokenward.client.agent import server as agent_server
from tokenward.client.agent.screening import BODY_BYTES_MAX
from tokenward.client.signer import content_digest_of
from unit.client.agent.running import CHALLENGE, OK, TOKEN, running_agent, scripted, signed
from unit.client.holders import KEY
from unit.http.raw_sockets import Wire, free_port, provider, say

STREAM = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
WAIT_S = 30


def refused_for_time(ahead_s: float, now_s: float) -> bytes:
    """A guard whose clock is ahead says that the proof's time is wrong."""
    date = formatdate(now_s + ahead_s, usegmt=True)
    return (
        f"HTTP/1.1 401 Unauthorized\r\ndate: {date}\r\ncontent-length: 5\r\n"
        'www-authenticate: DPoP error="invalid_dpop_proof", algs="ES256"\r\n\r\nstale'
    ).encode()


async def test_a_request_goes_on_byte_for_byte_with_the_key_and_a_proof() -> None:
    target = "/v1beta/models/m:stream%3aX%2f..;p=1?alt=sse&q=%C3%A9+a&&key="
    async with signed(OK) as (agent, guard):
        answer = await agent.ask(f"POST {target}", "User-Agent: tool/1", "X: 1", body=b"\0body\xff")
    assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
    assert answer.endswith(b"\r\n\r\n{}")
    assert guard.heads[0].startswith(f"POST {target} HTTP/1.1\r\n".encode())
    assert guard.bodies == [b"\0body\xff"]
    assert guard.header("authorization") == [f"DPoP {KEY}"]
    assert guard.header("user-agent") == ["tool/1"]
    assert guard.header("accept-encoding") == []
    assert TOKEN.encode() not in guard.heads[0]
    claims = guard.proof().claims
    assert claims["htm"] == "POST"
    assert claims["htu"].endswith("/v1beta/models/m:stream%3aX%2f..;p=1")


@pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "OPTIONS", "PATCH"])
async def test_every_method_goes_on(method: str) -> None:
    async with signed(OK) as (agent, guard):
        await agent.ask(f"{method} /v1/models")
    assert guard.heads[0].startswith(f"{method} /v1/models HTTP/1.1\r\n".encode())
    assert guard.proof().claims["htm"] == method


async def test_an_answer_comes_back_as_it_is() -> None:
    said = (
        b"HTTP/1.1 418 Short and stout\r\ncontent-encoding: gzip\r\nx-a: 1\r\nx-a: 2\r\n"
        b"location: http://elsewhere.test/\r\ncontent-length: 4\r\n\r\nnot!"
    )
    async with signed(said) as (agent, _guard):
        answer = await agent.ask("GET /v1/models")
    head, _, body = answer.partition(b"\r\n\r\n")
    assert body == b"not!"
    assert head.startswith(b"HTTP/1.1 418 Short and stout\r\n")
    for line in (b"content-encoding: gzip", b"x-a: 1", b"x-a: 2", b"content-length: 4"):
        assert line in head.lower().split(b"\r\n")
    assert b"aiohttp" not in head


@pytest.mark.parametrize("status", [301, 307, 308])
async def test_a_redirect_is_passed_on_and_never_followed(status: int) -> None:
    said = f"HTTP/1.1 {status} Moved\r\nlocation: /v1/there\r\ncontent-length: 0\r\n\r\n".encode()
    async with signed(said) as (agent, guard):
        answer = await agent.ask("GET /v1/models")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert len(guard.heads) == 1


@pytest.mark.parametrize("status", [204, 304])
async def test_an_answer_without_a_body_ends(status: int) -> None:
    said = f"HTTP/1.1 {status} Nothing\r\n\r\n".encode()
    async with signed(said) as (agent, _guard):
        answer = await agent.ask("GET /v1/models")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert answer.endswith(b"\r\n\r\n")


async def test_the_answer_to_head_keeps_its_length_and_has_no_body() -> None:
    said = b"HTTP/1.1 200 OK\r\ncontent-length: 700\r\n\r\n"
    async with signed(said) as (agent, _guard):
        answer = await agent.ask("HEAD /v1/models")
    assert b"content-length: 700" in answer.lower()
    assert answer.endswith(b"\r\n\r\n")


async def test_the_nonce_challenge_is_answered_once_with_a_new_proof() -> None:
    async with signed(CHALLENGE, OK) as (agent, guard):
        answer = await agent.ask("POST /v1/x", body=b"body")
        await agent.ask("POST /v1/x", body=b"body")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert guard.bodies == [b"body"] * 3
    first, second, third = (guard.proof(number).claims for number in range(3))
    assert "nonce" not in first
    assert [second["nonce"], third["nonce"]] == ["fresh", "fresh"]
    assert len({first["jti"], second["jti"], third["jti"]}) == 3


async def test_a_guard_that_always_wants_another_nonce_is_asked_twice() -> None:
    async with signed(CHALLENGE) as (agent, guard):
        answer = await agent.ask("POST /v1/x", body=b"body")
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert answer.endswith(b"sign")
    assert len(guard.heads) == 2


async def test_the_newest_nonce_is_used_next() -> None:
    renewed = OK.replace(b"content-type", b"dpop-nonce: newer\r\ncontent-type")
    async with signed(renewed, OK) as (agent, guard):
        answer = await agent.ask("GET /v1/x")
        await agent.ask("GET /v1/x")
    assert b"nonce" not in answer
    assert guard.proof().claims["nonce"] == "newer"


async def test_a_refusal_of_the_guard_is_passed_on_and_not_repeated() -> None:
    said = b'HTTP/1.1 401 No\r\nwww-authenticate: DPoP error="invalid_token"\r\ncontent-length: 2'
    async with signed(said + b"\r\n\r\nno") as (agent, guard):
        answer = await agent.ask("POST /v1/x", body=b"body")
    assert answer.endswith(b"\r\n\r\nno")
    assert len(guard.heads) == 1


@pytest.mark.parametrize("status", [429, 500, 503])
async def test_what_the_guard_fails_at_is_not_repeated(status: int) -> None:
    said = f"HTTP/1.1 {status} No\r\nx-should-retry: true\r\ncontent-length: 0\r\n\r\n".encode()
    async with signed(said) as (agent, guard):
        answer = await agent.ask("POST /v1/x", body=b"body")
    assert answer.startswith(f"HTTP/1.1 {status} ".encode())
    assert len(guard.heads) == 1


@pytest.mark.parametrize("ahead_s", [3600, -3600, 90])
async def test_a_wrong_clock_is_corrected_by_the_guards_and_said_once(ahead_s: int) -> None:
    now_s = 1_795_263_600.0
    stale = refused_for_time(ahead_s, now_s)
    async with signed(stale, OK, now_s=lambda: now_s) as (agent, guard):
        answer = await agent.ask("POST /v1/x", body=b"body")
        await agent.ask("POST /v1/x", body=b"body")
        warnings = agent.warnings
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert [guard.proof(n).claims["iat"] - now_s for n in range(3)] == [0, ahead_s, ahead_s]
    (warning,) = warnings
    assert f"{abs(ahead_s)} s" in warning
    assert ("behind" if ahead_s > 0 else "ahead of") in warning


async def test_a_proof_refused_for_its_time_though_the_clock_is_right_is_not_repeated() -> None:
    now_s = 1_795_263_600.0
    stale = refused_for_time(3, now_s)
    async with signed(stale, OK, now_s=lambda: now_s) as (agent, guard):
        answer = await agent.ask("POST /v1/x", body=b"body")
        assert agent.warnings == []
    assert answer.endswith(b"stale")
    assert len(guard.heads) == 1


async def test_the_body_is_bound_where_the_key_wants_it() -> None:
    async with signed(OK, bind="dpop+body") as (agent, guard):
        await agent.ask("POST /v1/x", "Content-Digest: sha-256=:forged:", body=b"body")
        await agent.ask("GET /v1/x")
    digest = content_digest_of(b"body")
    assert guard.header("content-digest", 0) == [digest]
    assert guard.proof(0).claims["content_digest"] == digest
    assert guard.proof(1).claims["content_digest"] == content_digest_of(b"")


async def test_each_piece_is_passed_on_before_the_next_one_is_made() -> None:
    taken = asyncio.Event()

    async def one_by_one(wire: Wire) -> None:
        await wire.request()
        await wire.say(STREAM)
        for number in range(3):
            await wire.say(b"4\r\nn=%d\n\r\n" % number)
            await asyncio.wait_for(taken.wait(), WAIT_S)
            taken.clear()
        await wire.say(b"0\r\n\r\n")

    async with scripted(one_by_one) as agent:
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        writer.write(agent.request("POST /v1/x", body=b"{}"))
        for number in range(3):
            await asyncio.wait_for(reader.readuntil(b"n=%d\n" % number), WAIT_S)
            taken.set()
        assert (await reader.read()).endswith(b"0\r\n\r\n")
        writer.close()


async def test_the_head_comes_before_there_is_any_body() -> None:
    async def wait(wire: Wire) -> None:
        await wire.request()
        await wire.say(STREAM)
        await wire.until_closed()

    async with scripted(wait) as agent:
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        writer.write(agent.request("POST /v1/x", body=b"{}"))
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
        writer.close()
    assert b"text/event-stream" in head


@pytest.mark.parametrize("when", ["before the head", "in mid-stream"])
async def test_a_caller_that_hangs_up_hangs_up_on_the_guard(when: str) -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def stream(wire: Wire) -> None:
        await wire.request()
        if when == "in mid-stream":
            await wire.say(STREAM + b"4\r\nn=0\n\r\n")
        arrived.set()
        await wire.until_closed()
        gone.set()

    async with scripted(stream) as agent:
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        writer.write(agent.request("POST /v1/x", body=b"{}"))
        await asyncio.wait_for(arrived.wait(), WAIT_S)
        if when == "in mid-stream":
            await asyncio.wait_for(reader.readuntil(b"n=0\n"), WAIT_S)
        writer.close()
        await asyncio.wait_for(gone.wait(), WAIT_S)
        assert agent.warnings == []


@pytest.mark.parametrize("ends", ["close", "reset"])
async def test_what_the_guard_breaks_off_is_never_taken_for_whole(ends: str) -> None:
    async def break_off(wire: Wire) -> None:
        await wire.request()
        await wire.say(STREAM + b"4\r\nn=0\n\r\n")
        if ends == "reset":
            wire.reset()

    async with scripted(break_off) as agent:
        told = await agent.ask("POST /v1/x", body=b"{}")
        assert agent.warnings == []
    assert b"n=0\n" in told
    assert not told.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize("target", ["/v1/chat/completions", "/v1/messages", "/v1beta/models/m:x"])
async def test_a_guard_that_is_not_there_is_said_and_its_return_too(target: str) -> None:
    port = free_port()
    async with running_agent(f"http://127.0.0.1:{port}") as agent:
        for _ in range(2):
            answer = await agent.ask(f"POST {target}", body=b"{}")
            head, _, body = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 503 ")
            assert b"x-should-retry: true" in head.lower()
            assert b"agent:guard_unreachable" in body
            json.loads(body)
        async with _guard_at(port):
            assert (await agent.ask(f"POST {target}", body=b"{}")).startswith(b"HTTP/1.1 200 ")
        assert len(agent.warnings) == 2, "gone once, back once"


@asynccontextmanager
async def _guard_at(port: int) -> AsyncIterator[None]:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await Wire(reader, writer).request()
        writer.write(OK)
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", port):
        yield


async def test_a_guard_that_breaks_before_its_answer_is_not_asked_again() -> None:
    asked = []

    async def drop(wire: Wire) -> None:
        asked.append(await wire.request())

    async with scripted(drop) as agent:
        answer = await agent.ask("POST /v1/x", body=b"{}")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"x-should-retry: false" in answer.lower()
    assert b"agent:no_answer" in answer
    assert len(asked) == 1


@pytest.mark.parametrize(
    "spoilt",
    [
        ("Authorization: Bearer " + TOKEN, "Authorization: Bearer " + TOKEN[:-1] + "X"),
        ("Authorization: Bearer " + TOKEN, "X-None: 1"),
        ("Host: 127.0.0.1", "Host: evil.test"),
        ("Connection: close", "Connection: close\r\nOrigin: https://evil.test"),
        ("POST /v1/x", "POST http://evil.test/v1/x"),
        ("HTTP/1.1", "HTTP/1.0"),
        ("Connection: close", "Connection: close, upgrade\r\nUpgrade: websocket"),
    ],
)
async def test_what_is_refused_never_reaches_the_guard(spoilt: tuple[str, str]) -> None:
    async with provider(_never) as guard, running_agent(f"http://127.0.0.1:{guard.port}") as agent:
        request = agent.request("POST /v1/x", body=b"{}").decode()
        assert spoilt[0] in request
        answer = await say(agent.port, request.replace(*spoilt).encode())
        assert answer.split()[1] in (b"400", b"401", b"403", b"505")
        assert b'"agent:' in answer
        assert b"access-control" not in answer.lower()
        assert guard.connections == 0


async def _never(_wire: Wire) -> None:
    raise AssertionError("the guard was reached")


async def test_the_largest_body_passes_and_a_larger_one_is_refused() -> None:
    async with signed(OK) as (agent, guard):
        assert b" 200 OK" in await agent.ask("POST /v1/x", body=bytes(BODY_BYTES_MAX))
        assert len(guard.bodies[0]) == BODY_BYTES_MAX
        chunk = b"%x\r\n" % (BODY_BYTES_MAX + 1) + bytes(BODY_BYTES_MAX + 1) + b"\r\n0\r\n\r\n"
        head = agent.request("POST /v1/x", "Transfer-Encoding: chunked")
        assert (await say(agent.port, head + chunk)).startswith(b"HTTP/1.1 413 ")
        assert len(guard.heads) == 1


async def test_a_caller_that_asks_before_it_sends_its_body_is_told_to_go_on() -> None:
    async with signed(OK) as (agent, guard):
        reader, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        request = agent.request("POST /v1/x", "Expect: 100-continue", body=b"body")
        writer.write(request.removesuffix(b"body"))
        line = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), WAIT_S)
        writer.write(b"body")
        answer = await asyncio.wait_for(reader.read(), WAIT_S)
        writer.close()
    assert line.startswith(b"HTTP/1.1 100 ")
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert guard.bodies == [b"body"]


async def test_a_chunked_body_goes_on_whole() -> None:
    async with signed(OK) as (agent, guard):
        head = agent.request("POST /v1/x", "Transfer-Encoding: chunked")
        await say(agent.port, head + b"2\r\nbo\r\n2\r\ndy\r\n0\r\n\r\n")
    assert guard.bodies == [b"body"]
    assert guard.header("content-length") == ["4"]


async def test_connections_above_the_limit_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent_server, "CONNECTIONS_MAX", 1)
    async with signed(OK) as (agent, guard):
        _, writer = await asyncio.open_connection("127.0.0.1", agent.port)
        await asyncio.sleep(0.05)
        assert await agent.ask("GET /v1/x") == b""
        writer.close()
        assert guard.heads == []


@pytest.mark.parametrize(
    "junk", [b"GET\r\n\r\n", b"\x16\x03\x01\x02\r\n\r\n", b"GET / HTTP/9\r\n\r\n"]
)
async def test_what_is_no_http_is_refused(junk: bytes) -> None:
    async with signed(OK) as (agent, guard):
        answer = await say(agent.port, junk)
        assert answer == b"" or answer.startswith((b"HTTP/1.1 400", b"HTTP/1.0 400"))
        assert guard.heads == []
