"""Which HTTP client may carry paid calls to providers? The trial behind docs/decisions/0001
and 0011.

    python -m benchmarks.upstream_clients [cases] [cost]      (needs aiohttp, pyreqwest, uvloop)

The clients stand behind the same seam (`pipeline.interfaces.Upstream`) and meet the same rude
provider on loopback. `cases` prints what each does; `cost` prints CPU microseconds of this
process a call, at 64 calls at a time, provider in another process: the median of three rounds
that go by turns, and its ratio to the first client's.
"""

import asyncio
import contextlib
import os
import resource
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pyreqwest.exceptions as faults
import uvloop
from pyreqwest.client import ClientBuilder

from benchmarks.aiohttp_upstream import AiohttpUpstream
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import BrokenError, ProviderError, UnsentError
from tokenward.pipeline.interfaces import Answer, Upstream
from tokenward.providers.interfaces import Headers

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
PLAIN = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
HEADERS: Headers = (
    (b"authorization", b"Bearer x"),
    (b"content-type", b"application/json"),
    (b"accept", b"application/json"),
    (b"user-agent", b"trial"),
)


class PyreqwestAnswer:
    """The seam's answer over pyreqwest."""

    def __init__(self, request: object, response: object) -> None:
        self.status = response.status
        self.headers = tuple((n.encode(), v.encode()) for n, v in response.headers.items())
        self._request, self._reader = request, response.body_reader

    async def read(self) -> bytes:
        try:
            chunk = await self._reader.read_chunk()
        except faults.RequestError as error:
            raise BrokenError(type(error).__name__) from None
        return bytes(chunk) if chunk is not None else b""

    async def close(self) -> None:
        await self._request.__aexit__(None, None, None)


class PyreqwestUpstream:
    """The seam over pyreqwest, set up as safely as it can be."""

    def __init__(self, *, max_connections: int = 100, ca_file: str | None = None) -> None:
        builder = ClientBuilder().no_proxy().follow_redirects(enable=False).referer(enable=False)
        builder = builder.gzip(enable=False).brotli(enable=False).zstd(enable=False)
        builder = builder.deflate(enable=False).max_connections(max_connections)
        builder = builder.connect_timeout(timedelta(seconds=5)).read_timeout(timedelta(seconds=600))
        builder = builder.pool_timeout(timedelta(seconds=1))
        if ca_file is not None:
            builder = builder.add_root_certificate_pem(Path(ca_file).read_bytes())
        self._client = builder.build()

    async def send(self, method: str, url: str, headers: Headers, body: bytes) -> Answer:
        named = [(name.decode(), value.decode()) for name, value in headers]
        request = self._client.request(method, url).headers(named).body_bytes(body)
        request = request.streamed_read_buffer_limit(0).build_streamed()  # else it waits for 64 kB
        try:
            return PyreqwestAnswer(request, await request.__aenter__())
        except faults.PoolTimeoutError:
            raise UnsentError("no connection free") from None
        except faults.RequestError as error:
            # ConnectError also covers resets after sending; only this text tells them apart.
            causes = [cause["message"] for cause in error.details["causes"] or ()]
            kind = UnsentError if "client error (Connect)" in causes else BrokenError
            raise kind(type(error).__name__) from None

    async def close(self) -> None:
        await self._client.close()


CLIENTS: dict[str, Callable[..., Upstream]] = {
    "aiohttp": AiohttpUpstream,
    "pyreqwest": PyreqwestUpstream,
    "our own": lambda **settings: HttpUpstream(pool_wait_s=1, **settings),
}
Script = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def request_of(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
    return head, await reader.readexactly(int(length or 0))


def reset(writer: asyncio.StreamWriter) -> None:
    end = writer.get_extra_info("socket")
    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


@contextlib.asynccontextmanager
async def rude_provider(script: Script):
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(
            asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError
        ):
            await script(reader, writer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    server.close()


async def outcome(client: Upstream, url: str) -> str:
    try:
        answer = await client.send("POST", url, HEADERS, b"{}")
        body = b""
        while chunk := await answer.read():
            body += chunk
    except ProviderError as error:
        return type(error).__name__
    return f"clean end after {len(body)} bytes"


def saying(data: bytes, *, is_reset: bool = False) -> Script:
    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_of(reader)
        writer.write(data)
        await writer.drain()
        await asyncio.sleep(0.1)
        if is_reset:
            reset(writer)

    return script


def breaks(data: bytes, *, is_reset: bool = False):
    async def case(client: Upstream) -> str:
        async with rude_provider(saying(data, is_reset=is_reset)) as url:
            return await outcome(client, url)

    return case


async def refused(client: Upstream) -> str:
    with socket.socket() as end:
        end.bind(("127.0.0.1", 0))
        port = end.getsockname()[1]
    return await outcome(client, f"http://127.0.0.1:{port}/")


async def no_name(client: Upstream) -> str:
    return await outcome(client, "http://no-such-host.invalid/")


def lets_go(when: str):
    async def case(client: Upstream) -> str:
        closed = asyncio.Event()

        async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await request_of(reader)
            if when == "body":
                writer.write(CHUNKED + b"3\r\nabc\r\n")
            await reader.read(1)
            closed.set()

        async def call(url: str) -> None:
            answer = await client.send("POST", url, HEADERS, b"{}")
            try:
                while await answer.read():
                    pass
            finally:
                await answer.close()

        async with rude_provider(script) as url:
            task = asyncio.create_task(call(url))
            await asyncio.sleep(0.2)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            try:
                await asyncio.wait_for(closed.wait(), 3)
            except TimeoutError:
                return "connection still open after 3 s"
        return "connection closed at once"

    return case


async def slot_after_cancel(client: Upstream) -> str:
    """`client` has one connection; is it free again after a cancelled wait for a head?"""

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if b"hang" not in (await request_of(reader))[0].split(b"\r\n")[0]:
            writer.write(PLAIN)
        await reader.read(1)

    async with rude_provider(script) as url:
        task = asyncio.create_task(client.send("POST", url + "/hang", HEADERS, b"{}"))
        await asyncio.sleep(0.2)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return await outcome(client, url)


async def closing_race(client: Upstream) -> str:
    """The provider half-closes after each answer and goes on reading: is anything sent twice?"""
    seen: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await request_of(reader))[1])
        writer.write(PLAIN)
        await asyncio.sleep(len(seen) % 5 * 0.0003)
        writer.write_eof()
        seen.append((await request_of(reader))[1])

    broken = 0
    async with rude_provider(script) as url:
        for index in range(500):
            try:
                answer = await client.send("POST", url, HEADERS, b"%d" % index)
                while await answer.read():
                    pass
            except BrokenError:
                broken += 1
            await asyncio.sleep(index % 7 * 0.0002)
    return f"{len(seen) - len(set(seen))} sent twice ({broken} of 500 broken)"


async def added_headers(client: Upstream) -> str:
    heads: list[bytes] = []

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append((await request_of(reader))[0])
        writer.write(PLAIN)
        await writer.drain()

    async with rude_provider(script) as url:
        answer = await client.send("POST", url, ((b"x-a", b"1"),), b"{}")
        await answer.close()
    names = [line.partition(b":")[0].decode() for line in heads[0].strip().split(b"\r\n")[1:]]
    return ", ".join(names)


async def read_ahead(client: Upstream) -> str:
    sent = 0

    async def script(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await request_of(reader)
        writer.write(CHUNKED)
        while sent < 200_000_000:
            writer.write(b"4000\r\n" + b"x" * 0x4000 + b"\r\n")
            await writer.drain()
            sent += 0x4000

    async with rude_provider(script) as url:
        answer = await client.send("POST", url, HEADERS, b"{}")
        await asyncio.sleep(1)
        ahead = sent
        await answer.close()
    return f"{ahead / 1e6:.1f} MB sent of an endless body nobody reads (kernel included)"


CASES = {
    "connection refused": refused,
    "name unknown": no_name,
    "reset before the head": breaks(b"", is_reset=True),
    "closed before the head": breaks(b""),
    "length cut short": breaks(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc"),
    "chunked, cut between chunks": breaks(CHUNKED + b"3\r\nabc\r\n"),
    "chunked, cut in the last chunk": breaks(CHUNKED + b"3\r\nabc\r\n0\r\n"),
    "no framing, reset": breaks(b"HTTP/1.1 200 OK\r\n\r\nabc", is_reset=True),
    "length and chunked at once": breaks(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ),
    "150 answer headers of a byte": breaks(
        b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 150 + b"Content-Length: 0\r\n\r\n"
    ),
    "answer header in Latin-1": breaks(
        b"HTTP/1.1 200 OK\r\nX: caf\xe9\r\nContent-Length: 2\r\n\r\nok"
    ),
    "cancelled before the head": lets_go("head"),
    "cancelled within the body": lets_go("body"),
    "call after a cancelled one, one connection": slot_after_cancel,
    "POST into a closing connection": closing_race,
    "headers sent for one given": added_headers,
    "reading ahead": read_ahead,
}


async def show_cases() -> None:
    for title, case in CASES.items():
        for name, client_of in CLIENTS.items():
            only_one = case is slot_after_cancel
            client = client_of(max_connections=1) if only_one else client_of()
            try:
                said = await asyncio.wait_for(case(client), 20)
            except Exception as error:
                said = f"{type(error).__name__}, which the seam does not know"
            print(f"{title:44} {name:10} {said}")
            await client.close()


PROVIDER = r"""
import asyncio, ssl, sys, uvloop
BODY = b"x" * 600
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 600\r\n\r\n" + BODY
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
EVENT = b"data: " + b"x" * 150 + b"\n\n"
CHUNK = b"%x\r\n" % len(EVENT) + EVENT + b"\r\n"
class Serving(asyncio.Protocol):
    def connection_made(self, transport):
        self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        if self.data.endswith(b"}"):
            streams, self.data = b" /stream " in self.data, b""
            if streams:
                self.transport.write(HEAD)
                self.step(0)
            else:
                self.transport.write(ANSWER)
    def step(self, index):
        self.transport.write(CHUNK if index < 20 else b"0\r\n\r\n")
        if index < 20:
            asyncio.get_running_loop().call_later(0.005, self.step, index + 1)
async def main():
    tls = None
    if len(sys.argv) > 1:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*sys.argv[1:])
    server = await asyncio.get_running_loop().create_server(Serving, "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()
uvloop.run(main())
"""
BODY = b'{"x":"' + b"y" * 2000 + b'"}'


async def cost(name: str, path: str, calls: int, tls: tuple[str, ...]) -> float:
    process = subprocess.Popen([sys.executable, "-c", PROVIDER, *tls], stdout=subprocess.PIPE)
    assert process.stdout is not None
    port = int(process.stdout.readline())
    url = f"https://localhost:{port}{path}" if tls else f"http://127.0.0.1:{port}{path}"
    client = CLIENTS[name](max_connections=64, ca_file=tls[0] if tls else None)

    async def work(count: int) -> None:
        for _ in range(count):
            answer = await client.send("POST", url, HEADERS, BODY)
            while await answer.read():
                pass
            await answer.close()

    await asyncio.gather(*(work(5) for _ in range(64)))
    before = resource.getrusage(resource.RUSAGE_SELF)
    await asyncio.gather(*(work(calls // 64) for _ in range(64)))
    after = resource.getrusage(resource.RUSAGE_SELF)
    await client.close()
    process.kill()
    spent_s = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    return spent_s / (calls // 64 * 64) * 1e6


def show_cost() -> None:
    with tempfile.TemporaryDirectory() as folder:
        tls = (f"{folder}/cert.pem", f"{folder}/key.pem")
        make = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2"
        names = "-subj /CN=localhost -addext subjectAltName=DNS:localhost"
        end = "-addext basicConstraints=critical,CA:FALSE"
        command = f"{make} {names} {end} -keyout {tls[1]} -out {tls[0]}"
        subprocess.run(command.split(), check=True, capture_output=True)
        for title, path, calls, certificate in (
            ("JSON answer of 600 bytes", "/json", 19_200, ()),
            ("the same over TLS", "/json", 19_200, tls),
            ("stream of 20 events, 5 ms apart", "/stream", 1_280, ()),
            ("the same over TLS", "/stream", 1_280, tls),
        ):
            spent: dict[str, list[float]] = {name: [] for name in CLIENTS}
            for _ in range(3):
                for name, rounds in spent.items():
                    rounds.append(uvloop.run(cost(name, path, calls, certificate)))
            first_us, *_ = (statistics.median(rounds) for rounds in spent.values())
            for name, rounds in spent.items():
                each_us = statistics.median(rounds)
                print(f"{title:44} {name:10} {each_us:7.1f} us a call  x {each_us / first_us:.2f}")


if __name__ == "__main__":
    os.environ["HTTP_PROXY"] = os.environ["ALL_PROXY"] = "http://127.0.0.1:9"  # must not matter
    wanted = sys.argv[1:] or ["cases", "cost"]
    if "cases" in wanted:
        asyncio.run(show_cases())
    if "cost" in wanted:
        show_cost()
