"""Listening, being ready, and stopping without losing a call."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from tokenward.http import server
from tokenward.http.lifespan import Message, Receive, Send
from tokenward.http.protocol import ConnectionLimits
from tokenward.http.server import Stopping, serve
from tokenward.kernel.errors import SettingsError, StoreError
from unit.http.raw_sockets import say
from unit.http.serving import Echo, answer, served

GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"


class Slow:
    """Begins an answer and waits to be told to end it; writes down what happened in order."""

    def __init__(self, when_cancelled: Callable[[], None] = lambda: None) -> None:
        self.story: list[str] = []
        self.has_begun = asyncio.Event()
        self.may_end = asyncio.Event()
        self._when_cancelled = when_cancelled

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await receive()
            await send({"type": "lifespan.startup.complete"})
            await receive()
            self.story.append("stopped")
            await send({"type": "lifespan.shutdown.complete"})
            return
        await receive()
        head = {"type": "http.response.start", "status": 200, "headers": []}
        await send(head)
        await send({"type": "http.response.body", "body": b"begin ", "more_body": True})
        self.has_begun.set()
        try:
            await self.may_end.wait()
        except asyncio.CancelledError:
            self.story.append("cancelled")
            await asyncio.sleep(0.1)  # settling takes a moment
            self.story.append("settled")
            raise
        await send({"type": "http.response.body", "body": b"end", "more_body": False})
        self.story.append("answered")


async def bind(host: str, port: int) -> None:
    await serve(
        Echo(),
        host,
        port,
        drain_s=0,
        limits=ConnectionLimits(),
        on_ready=lambda _, port: None,
        stopping=asked(),
    )


def asked() -> Stopping:
    stopping = Stopping()
    stopping.ask()
    return stopping


async def test_a_taken_port_is_said_with_what_to_do() -> None:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.listen()
        port = end.getsockname()[1]
        with pytest.raises(SettingsError) as caught:
            await bind("127.0.0.1", port)
    said = f"port {port} on 127.0.0.1 is taken; choose another with --port"
    assert str(caught.value) == said


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
async def test_an_address_that_is_not_ours_is_said(host: str) -> None:
    with pytest.raises(SettingsError, match=r"no address of this machine; .* --host"):
        await bind(host, 0)


async def test_a_port_that_cannot_be_is_said() -> None:
    with pytest.raises(SettingsError, match=r"70000 is no port; .* --port"):
        await bind("127.0.0.1", 70000)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may take any port")
async def test_a_port_that_needs_more_rights_is_said() -> None:
    with pytest.raises(SettingsError, match=r"port 80 needs more rights; .* --port"):
        await bind("127.0.0.1", 80)


async def test_the_app_does_not_start_when_the_port_is_taken() -> None:
    started: list[str] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        started.append(scope["type"])

    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        end.listen()
        with pytest.raises(SettingsError):
            await serve(
                app,
                "127.0.0.1",
                end.getsockname()[1],
                drain_s=0,
                limits=ConnectionLimits(),
                on_ready=lambda _, port: None,
                stopping=asked(),
            )
    assert started == []


async def test_what_the_app_raises_on_starting_is_raised_and_nobody_is_served() -> None:
    ports: list[int] = []

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        raise StoreError("the records cannot be opened")

    with pytest.raises(StoreError, match="cannot be opened"):
        await serve(
            app,
            "127.0.0.1",
            0,
            drain_s=0,
            limits=ConnectionLimits(),
            on_ready=lambda _, port: ports.append(port),
            stopping=Stopping(),
        )
    assert ports == []


async def test_a_running_call_ends_before_the_server_does() -> None:
    slow = Slow()
    async with served(slow, drain_s=30) as server:
        call = asyncio.create_task(say(server.port, GET))
        await slow.has_begun.wait()
        server.stopping.ask()
        await asyncio.sleep(0.05)
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", server.port)
        assert not server.task.done()
        slow.may_end.set()
        assert (await call).endswith(b"3\r\nend\r\n0\r\n\r\n")
        await server.task
    assert slow.story == ["answered", "stopped"]


async def test_an_idle_connection_does_not_hold_the_server_up() -> None:
    async with served(Echo(), drain_s=3600) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await reader.readuntil(b"GET /a ")
        server.stopping.ask()
        await asyncio.wait_for(server.task, 10)
        assert await reader.read() == b""
        writer.close()


async def test_a_call_longer_than_the_drain_is_cancelled_and_settles_before_the_app_stops() -> None:
    slow = Slow()
    async with served(slow, drain_s=0.1) as server:
        call = asyncio.create_task(say(server.port, GET))
        await slow.has_begun.wait()
        server.stopping.ask()
        said = await call
        await server.task
    assert b"begin" in said
    assert not said.endswith(b"0\r\n\r\n")
    assert slow.story == ["cancelled", "settled", "stopped"]


async def test_asking_twice_does_not_wait_for_the_drain() -> None:
    slow = Slow()
    async with served(slow, drain_s=3600) as server:
        call = asyncio.create_task(say(server.port, GET))
        await slow.has_begun.wait()
        server.stopping.ask()
        server.stopping.ask()
        await asyncio.wait_for(server.task, 30)
        await call
    assert slow.story == ["cancelled", "settled", "stopped"]


async def test_a_request_that_is_being_read_when_stopping_gets_its_answer() -> None:
    async with served(Echo(), drain_s=30) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab")
        await asyncio.sleep(0.05)
        server.stopping.ask()
        await asyncio.sleep(0.05)
        writer.write(b"cd")
        said = await reader.read()
        writer.close()
    assert said.endswith(b"POST /a abcd")
    assert b"connection: close" in said


CHILD = """
import asyncio, sys
from tokenward.http.server import run
from tokenward.http.protocol import ConnectionLimits

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive(); await send({"type": "lifespan.startup.complete"})
        await receive(); print("stopped", flush=True)
        await send({"type": "lifespan.shutdown.complete"})
        return
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"begin", "more_body": True})
    await asyncio.sleep(float(scope["raw_path"][1:]))
    await send({"type": "http.response.body", "body": b"end"})

run(app, "127.0.0.1", 0, drain_s=3600, limits=ConnectionLimits(),
    on_ready=lambda host, port: print(port, flush=True))
print("returned", flush=True)
"""


@pytest.mark.parametrize(
    ("signals", "wait", "is_whole"),
    [
        ((signal.SIGTERM,), b"0.5", True),
        ((signal.SIGINT,), b"0.5", True),
        ((signal.SIGTERM, signal.SIGTERM), b"3600", False),
        ((signal.SIGINT, signal.SIGTERM), b"3600", False),
    ],
)
async def test_a_signal_drains_and_the_process_ends_with_0(
    signals: tuple[signal.Signals, ...], wait: bytes, is_whole: bool
) -> None:
    child = subprocess.Popen([sys.executable, "-c", CHILD], stdout=subprocess.PIPE)
    assert child.stdout is not None
    try:
        port = int(child.stdout.readline())
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /" + wait + b" HTTP/1.1\r\nHost: a\r\n\r\n")
        said = await reader.readuntil(b"begin\r\n")
        for number in signals:
            child.send_signal(number)
            await asyncio.sleep(0.2)
        said += await reader.read()
        writer.close()
        assert said.endswith(b"0\r\n\r\n") is is_whole
        assert child.wait(30) == 0
        assert child.stdout.read() == b"stopped\nreturned\n"
    finally:
        child.kill()
        child.stdout.close()
        child.wait()


async def test_health_is_answered_while_a_call_runs() -> None:
    slow = Slow()

    async def app(scope: Message, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"] == "/healthz":
            await answer(send, b"well")
        else:
            await slow(scope, receive, send)

    async with served(app) as server:
        call = asyncio.create_task(say(server.port, GET))
        await slow.has_begun.wait()
        said = await say(
            server.port, b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        )
        assert said.endswith(b"well")
        slow.may_end.set()
        server.stopping.ask()
        await call


async def test_processes_share_one_address_each_with_a_socket_of_its_own() -> None:
    places = server.bind("127.0.0.1", 0, 3)
    assert len({each.getsockname() for sockets in places for each in sockets}) == 1
    ready: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    stopping = Stopping()
    serving = asyncio.create_task(
        serve(
            Echo(),
            "nowhere",
            0,
            drain_s=0,
            limits=ConnectionLimits(),
            on_ready=lambda _, port: ready.set_result(port),
            stopping=stopping,
            sockets=places[1],
        )
    )
    port = await ready
    assert port == places[0][0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    stopping.ask()
    await serving
    for sockets in places:
        for each in sockets:
            each.close()


async def test_a_port_that_others_share_is_taken_all_the_same() -> None:
    ((first,),) = server.bind("127.0.0.1", 0, 1)
    first.listen()
    port = first.getsockname()[1]
    with pytest.raises(SettingsError, match=f"port {port} on 127.0.0.1 is taken"):
        server.bind("127.0.0.1", port, 2)
    first.close()
    with pytest.raises(SettingsError, match="is no address of this machine"):
        server.bind("192.0.2.1", 0, 2)
    with pytest.raises(SettingsError, match="is no port"):
        server.bind("127.0.0.1", 65_536, 2)
