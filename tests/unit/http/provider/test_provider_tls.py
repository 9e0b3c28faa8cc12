"""TLS on a connection: what is asked for, and which ends are believed."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import BrokenError, UnsentError
from unit.http.provider.calling import (
    OK,
    TlsWire,
    World,
    answering,
    broken_in_body,
    call,
    outcome,
    read_all,
    send,
)
from unit.http.raw_sockets import Wire, provider

OPEN_ENDED = b"HTTP/1.1 200 OK\r\n\r\n"
BODY = bytes(range(256)) * 8_000  # 2 MB


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


@pytest.fixture
async def upstream(world: World) -> AsyncIterator[HttpUpstream]:
    client = world.client()
    yield client
    await client.close()


async def test_the_name_is_told_and_http_1_1_is_agreed(
    world: World, upstream: HttpUpstream
) -> None:
    names: list[str | None] = []
    agreed: list[str | None] = []
    world.server.sni_callback = lambda _, name, __: names.append(name)
    world.server.set_alpn_protocols(["h2", "http/1.1"])

    async def script(wire: Wire) -> None:
        await wire.request()
        tls: ssl.SSLObject = wire.writer.get_extra_info("ssl_object")
        agreed.append(tls.selected_alpn_protocol())
        await wire.say(OK)

    async with provider(script, world.server) as served:
        assert await call(upstream, f"https://localhost:{served.port}/") == b"ok"
    assert (names, agreed) == (["localhost"], ["http/1.1"])


async def test_an_address_is_verified_and_not_told(world: World, upstream: HttpUpstream) -> None:
    names: list[str | None] = []
    world.server.sni_callback = lambda _, name, __: names.append(name)
    async with provider(answering(OK), world.server) as served:
        assert await call(upstream, f"https://127.0.0.1:{served.port}/") == b"ok"
    assert names == [None]


async def test_a_provider_that_speaks_only_http_2_is_unsent(
    world: World, upstream: HttpUpstream
) -> None:
    """With ALPN it says so in the handshake instead of in bytes that nobody understands."""
    seen: list[tuple[bytes, bytes]] = []
    world.server.set_alpn_protocols(["h2"])
    async with provider(answering(OK, seen), world.server) as served:
        try:
            assert await call(upstream, f"https://localhost:{served.port}/") == b"ok"
        except UnsentError:
            assert seen == []  # OpenSSL leaves it to the server whether to go on


async def test_an_old_tls_is_unsent(world: World, upstream: HttpUpstream) -> None:
    world.server.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        world.server.maximum_version = ssl.TLSVersion.TLSv1_1
    async with provider(answering(OK), world.server) as served:
        with pytest.raises(UnsentError):
            await call(upstream, f"https://localhost:{served.port}/")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_connection_serves_many_calls(
    world: World, upstream: HttpUpstream, version: ssl.TLSVersion
) -> None:
    """With TLS 1.3 tickets come after the handshake: they are not taken for an answer."""
    world.server.minimum_version = world.server.maximum_version = version
    async with provider(answering(OK), world.server) as served:
        for _ in range(5):
            assert await call(upstream, f"https://localhost:{served.port}/") == b"ok"
            await asyncio.sleep(0.01)
    assert served.connections == 1


async def test_large_bodies_pass_both_ways(world: World, upstream: HttpUpstream) -> None:
    async def script(wire: Wire) -> None:
        _, body = await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    async with provider(script, world.server) as served:
        assert await call(upstream, f"https://localhost:{served.port}/", BODY) == BODY


@pytest.mark.parametrize("says_end", [True, False])
@pytest.mark.parametrize("size", [1_000, 3_000_000])
@pytest.mark.parametrize("is_slow", [True, False])
async def test_only_an_end_that_was_signed_ends_a_body_that_nothing_else_ends(
    world: World, upstream: HttpUpstream, says_end: bool, size: int, is_slow: bool
) -> None:
    """Anyone on the way can end TCP (RFC 9112 9.8)."""
    body = b"x" * size

    async def script(wire: Wire) -> None:
        tls = TlsWire(wire, world.server)
        await tls.request()
        await tls.say(OPEN_ENDED + body)
        if says_end:
            await tls.say_end()

    async with provider(script) as served:
        answer = await send(upstream, f"https://localhost:{served.port}/")
        if is_slow:
            await asyncio.sleep(0.1)
        if says_end:
            assert await read_all(answer) == body
        else:
            assert body.startswith(await broken_in_body(answer))


@pytest.mark.parametrize("says_end", [True, False])
@pytest.mark.parametrize("is_slow", [True, False])
async def test_a_body_with_a_length_is_whole_however_the_connection_ends(
    world: World, upstream: HttpUpstream, says_end: bool, is_slow: bool
) -> None:
    async def script(wire: Wire) -> None:
        tls = TlsWire(wire, world.server)
        await tls.request()
        head = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(BODY)
        await tls.say(head + BODY)
        if says_end:
            await tls.say_end()

    async with provider(script) as served:
        answer = await send(upstream, f"https://localhost:{served.port}/")
        if is_slow:
            await asyncio.sleep(0.1)
        assert await read_all(answer) == BODY


@pytest.mark.parametrize("cut", [1, 20])
async def test_a_record_that_is_cut_or_forged_breaks_the_answer(
    world: World, upstream: HttpUpstream, cut: int
) -> None:
    async def script(wire: Wire) -> None:
        tls = TlsWire(wire, world.server)
        await tls.request()
        await tls.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nab")
        await wire.say(b"\x17\x03\x03\x00\x13" + bytes(cut - 1))

    async with provider(script) as served:
        assert await outcome(upstream, f"https://localhost:{served.port}/") is BrokenError


async def test_a_handshake_that_is_cancelled_leaves_nothing_open(world: World) -> None:
    client = world.client()
    arrived, ended = asyncio.Event(), asyncio.Event()

    async def script(wire: Wire) -> None:
        arrived.set()
        await wire.until_closed()
        ended.set()

    async with provider(script) as served:
        task = asyncio.create_task(call(client, f"https://localhost:{served.port}/"))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.wait_for(ended.wait(), 10)
    await client.close()


async def test_words_before_the_handshake_are_not_believed(
    world: World, upstream: HttpUpstream
) -> None:
    """A stranger on the way cannot put its answer before the provider's."""

    async def script(wire: Wire) -> None:
        await wire.say(OK)
        tls = TlsWire(wire, world.server)
        await tls.request()
        await tls.say(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ntrue")

    async with provider(script) as served:
        said = await outcome(upstream, f"https://localhost:{served.port}/")
        assert said in (b"true", UnsentError)
