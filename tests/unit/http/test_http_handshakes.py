"""TLS connections: whom they let in, what the app sees of them, how they come up and end."""

import asyncio
import contextlib
import functools
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import uvloop

from certificates import HOUR, SERVERS, Pair, authority, make
from tokenward.http.certificates import CLIENT_CERTIFICATE
from tokenward.http.exchange import WHOLE_BODY
from tokenward.http.lifespan import Message, Receive, Send
from tokenward.http.tls import server_context
from unit.http.serving import Echo, Served, answer, live, served

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi"


def on_uvloop(test: Callable[..., Coroutine[Any, Any, None]]) -> Callable[..., None]:
    """Run on the event loop that guards run on: the other tests' own differs where TLS ends."""

    @functools.wraps(test)
    def run(**given: Any) -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(test(**given))

    return run


@dataclass(frozen=True, slots=True)
class World:
    folder: Path
    authority: Pair
    server: Pair

    def context(self, *clients: Pair) -> ssl.SSLContext:
        """The server's; `clients` are authorities or pinned."""
        return server_context(*map(Path, self.server.files), [pair.pem for pair in clients])

    def caller(self, pair: Pair | None = None, *chain: Pair) -> ssl.SSLContext:
        """A client's, who trusts the server and shows `pair`."""
        context = ssl.create_default_context(cafile=str(self.server.pem))
        if pair is not None:
            context.load_cert_chain(*pair.files)
        return context


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("tls")
    return World(folder, authority(folder), make(folder, "server", usage=SERVERS))


@contextlib.asynccontextmanager
async def line(
    to: Served, context: ssl.SSLContext
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", to.port, ssl=context, server_hostname="localhost"
    )
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def ask(to: Served, context: ssl.SSLContext, request: bytes = POST) -> bytes:
    """The answer's head and body."""
    async with line(to, context) as (reader, writer):
        writer.write(request)
        return await read_answer(reader)


async def read_answer(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
    return head + await reader.readexactly(length)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(20):
        while not is_so():
            await asyncio.sleep(0.01)


# --- whose certificate the app sees


@on_uvloop
async def test_the_app_sees_the_callers_certificate_on_each_request(world: World) -> None:
    client = make(world.folder, "client", world.authority)
    app = Echo()
    async with (
        served(app, tls=world.context(world.authority)) as to,
        line(to, world.caller(client)) as (reader, writer),
    ):
        for request in (POST, GET, POST):
            writer.write(request)
            assert (await read_answer(reader)).startswith(b"HTTP/1.1 200")
    assert [scope["extensions"][CLIENT_CERTIFICATE] for scope in app.scopes] == [client.der] * 3
    assert {scope["scheme"] for scope in app.scopes} == {"https"}
    assert app.scopes[0]["extensions"][WHOLE_BODY] == b"hi"


@on_uvloop
async def test_a_caller_may_come_without_a_certificate(world: World) -> None:
    app = Echo()
    async with served(app, tls=world.context(world.authority)) as to:
        await ask(to, world.caller())
    assert CLIENT_CERTIFICATE not in app.scopes[0]["extensions"]


@on_uvloop
async def test_without_authorities_of_clients_none_is_asked_for_a_certificate(world: World) -> None:
    app = Echo()
    async with served(app, tls=world.context()) as to:
        await ask(to, world.caller(make(world.folder, "client", world.authority)))
    assert CLIENT_CERTIFICATE not in app.scopes[0]["extensions"]


@on_uvloop
async def test_a_pinned_certificate_is_known_whoever_signed_it(world: World) -> None:
    alone = make(world.folder, "alone")
    pinned = make(world.folder, "pinned", authority(world.folder, "unknown"))
    app = Echo()
    async with served(app, tls=world.context(alone, pinned)) as to:
        await ask(to, world.caller(alone))
        await ask(to, world.caller(pinned))
    assert [s["extensions"][CLIENT_CERTIFICATE] for s in app.scopes] == [alone.der, pinned.der]


@pytest.mark.parametrize(
    "wish",
    [
        {"signer": "unknown"},
        {"signer": None},
        {"signer": "authority", "usage": SERVERS},
        {"signer": "authority", "begins": -9 * HOUR, "ends": -HOUR},
        {"signer": "authority", "begins": HOUR},
    ],
    ids=["of an unknown authority", "signed by itself", "for servers", "expired", "not yet valid"],
)
@on_uvloop
async def test_a_certificate_that_is_not_good_does_not_get_in(
    world: World, wish: dict[str, Any]
) -> None:
    signers = {
        "authority": world.authority,
        "unknown": authority(world.folder, "unknown"),
        None: None,
    }
    client = make(world.folder, "wrong", **{**wish, "signer": signers[wish["signer"]]})
    app = Echo()
    async with served(app, tls=world.context(world.authority)) as to:
        with pytest.raises((OSError, asyncio.IncompleteReadError)):
            await ask(to, world.caller(client))
        await ask(to, world.caller())
    assert len(app.scopes) == 1, "the one without a certificate"


@on_uvloop
async def test_a_connection_that_is_taken_up_again_has_its_certificate(world: World) -> None:
    """TLS 1.2 resumes a session without the certificate being sent a second time."""
    client = make(world.folder, "client", world.authority)
    context = world.caller(client)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    app = Echo()

    def call(port: int, session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool]:
        with (
            socket.create_connection(("127.0.0.1", port)) as raw,
            context.wrap_socket(raw, server_hostname="localhost", session=session) as tls,
        ):
            tls.sendall(GET)
            assert tls.recv(65536).startswith(b"HTTP/1.1 200")
            return tls.session, bool(tls.session_reused)

    async with served(app, tls=world.context(world.authority)) as to:
        session, _ = await asyncio.to_thread(call, to.port, None)
        _, is_reused = await asyncio.to_thread(call, to.port, session)
    assert is_reused
    assert [s["extensions"][CLIENT_CERTIFICATE] for s in app.scopes] == [client.der] * 2


# --- which TLS


@on_uvloop
async def test_only_http_1_1_is_offered_and_only_modern_tls_spoken(world: World) -> None:
    context = world.caller()
    context.set_alpn_protocols(["h2", "http/1.1"])
    async with served(Echo(), tls=world.context()) as to:
        async with line(to, context) as (_, writer):
            tls = writer.get_extra_info("ssl_object")
            assert (tls.selected_alpn_protocol(), tls.version()) == ("http/1.1", "TLSv1.3")
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        async with line(to, context) as (_, writer):
            name, _, bits = writer.get_extra_info("cipher")
            assert name.startswith("ECDHE-"), name
            assert bits >= 128
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLS"):
            context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
        with pytest.raises(OSError):
            await ask(to, context)


@on_uvloop
async def test_plain_http_to_a_tls_port_is_cut(world: World) -> None:
    app = Echo()
    async with served(app, tls=world.context()) as to:
        reader, writer = await asyncio.open_connection("127.0.0.1", to.port)
        writer.write(GET)
        with contextlib.suppress(ConnectionError):
            assert b"HTTP" not in await reader.read()
        writer.close()
        await ask(to, world.caller())
    assert len(app.scopes) == 1


# --- how connections come up


@on_uvloop
async def test_a_handshake_that_does_not_end_is_cut(world: World) -> None:
    async with served(Echo(), tls=world.context(), handshake_wait_s=0.3) as to:
        reader, writer = await asyncio.open_connection("127.0.0.1", to.port)
        writer.write(b"\x16\x03\x01")  # the start of a first message
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()


@on_uvloop
async def test_half_open_handshakes_do_not_keep_a_caller_out(world: World) -> None:
    """The oldest makes room, so a caller who means it comes in."""
    async with served(Echo(), tls=world.context(), handshakes=4) as to:
        lines = [await asyncio.open_connection("127.0.0.1", to.port) for _ in range(20)]
        for _ in range(3):
            assert b"200" in await ask(to, world.caller())
        ended = 0
        for reader, writer in lines[:12]:
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(reader.read(), 20) == b""
            ended += 1
            writer.close()
        assert ended == 12
        for _, writer in lines[12:]:
            writer.close()


@on_uvloop
async def test_a_server_that_is_full_cuts_before_the_handshake(world: World) -> None:
    async with (
        served(Echo(), tls=world.context(), connections=1) as to,
        line(to, world.caller()) as (reader, writer),
    ):
        writer.write(GET)
        await read_answer(reader)
        with pytest.raises(OSError):
            await ask(to, world.caller())
        writer.write(GET)
        assert b"200" in await read_answer(reader)


@on_uvloop
async def test_stopping_cuts_handshakes_and_ends_running_calls(world: World) -> None:
    may_end = asyncio.Event()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await live(receive, send)
        begun.set()
        await may_end.wait()
        return await answer(send, b"whole")

    begun = asyncio.Event()
    async with served(app, tls=world.context()) as to:
        raw_reader, raw_writer = await asyncio.open_connection("127.0.0.1", to.port)
        async with line(to, world.caller()) as (reader, writer):
            writer.write(GET)
            await begun.wait()
            to.stopping.ask()
            with contextlib.suppress(ConnectionError):
                assert await asyncio.wait_for(raw_reader.read(), 20) == b""
            may_end.set()
            assert (await read_answer(reader)).endswith(b"whole")
            assert await reader.read() == b""
        raw_writer.close()
        await asyncio.wait_for(to.task, 20)


# --- how they end


@on_uvloop
async def test_an_early_answer_arrives_while_the_body_is_still_being_sent(world: World) -> None:
    """TLS cannot close one direction: the server reads on into the void instead of resetting."""
    async with (
        served(Echo(), tls=world.context()) as to,
        line(to, world.caller()) as (reader, writer),
    ):
        writer.write(
            b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\nBad Name: a\r\n\r\n"
        )
        for _ in range(100):
            writer.write(b"x" * 65536)
        assert (await read_answer(reader)).startswith(b"HTTP/1.1 400")
        assert await asyncio.wait_for(reader.read(), 20) == b"", "and then it closes"


@on_uvloop
async def test_an_answer_without_a_length_ends_with_the_connection(world: World) -> None:
    async with (
        served(Pieces(3), tls=world.context()) as to,
        line(to, world.caller()) as (reader, writer),
    ):
        writer.write(b"GET /a HTTP/1.0\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 20)).endswith(b"piece0piece1piece2")


@on_uvloop
async def test_a_stream_arrives_piece_by_piece(world: World) -> None:
    app = Pieces(3)
    async with (
        served(app, tls=world.context()) as to,
        line(to, world.caller()) as (reader, writer),
    ):
        app.may_go.clear()
        writer.write(GET)
        await reader.readuntil(b"piece0\r\n")
        app.may_go.set()
        await reader.readuntil(b"0\r\n\r\n")


@on_uvloop
async def test_a_long_answer_reaches_a_slow_reader_whole(world: World) -> None:
    app = Pieces(400, size=65536)
    async with (
        served(app, tls=world.context()) as to,
        line(to, world.caller()) as (reader, writer),
    ):
        writer.write(b"GET /a HTTP/1.0\r\n\r\n")
        got = 0
        while piece := await reader.read(1 << 20):
            got += len(piece)
            await asyncio.sleep(0.001)
        assert got > 400 * 65536


@on_uvloop
async def test_a_caller_who_does_not_read_is_cut_off(world: World) -> None:
    app = Pieces(10_000, size=65536)
    async with (
        served(app, tls=world.context(), write_wait_s=0.3) as to,
        line(to, world.caller()) as (_, writer),
    ):
        writer.write(GET)
        await until(lambda: app.is_gone)


@on_uvloop
async def test_a_caller_who_hangs_up_is_heard(world: World) -> None:
    app = Pieces(10_000, size=10, pause_s=0.01)
    async with served(app, tls=world.context()) as to:
        async with line(to, world.caller()) as (reader, writer):
            writer.write(GET)
            await reader.readuntil(b"piece")
        await until(lambda: app.is_gone)


class Pieces:
    """Answers in pieces; stops when the caller is gone."""

    def __init__(self, count: int, size: int = 6, pause_s: float = 0) -> None:
        self.count, self.size, self.pause_s = count, size, pause_s
        self.may_go = asyncio.Event()
        self.may_go.set()
        self.is_gone = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            return await live(receive, send)
        await receive()
        gone = asyncio.create_task(self._listen(receive))
        await send({"type": "http.response.start", "status": 200, "headers": ()})
        for number in range(self.count):
            if number == 1:
                await self.may_go.wait()
            piece = b"piece%d" % number
            await send(
                {
                    "type": "http.response.body",
                    "body": piece.ljust(self.size, b"."),
                    "more_body": True,
                }
            )
            await asyncio.sleep(self.pause_s)
            if self.is_gone:
                break
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        gone.cancel()
        return None

    async def _listen(self, receive: Receive) -> None:
        self.is_gone = (await receive())["type"] == "http.disconnect"
