"""What the tests of the client towards providers share: short calls, scripts, TLS by hand."""

import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from certificates import Pair, authority, make
from tokenward.http.upstream import HttpAnswer, HttpUpstream
from tokenward.kernel.errors import BrokenError, ProviderError
from tokenward.providers.interfaces import Headers
from unit.http.raw_sockets import Script, Wire

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
HEADERS: Headers = ((b"authorization", b"Bearer sk-secret"),)


async def send(client: HttpUpstream, url: str, body: bytes = b"{}") -> HttpAnswer:
    """A POST; the answer's head has come."""
    return await client.send("POST", url, HEADERS, body)


async def read_all(answer: HttpAnswer) -> bytes:
    """The body to its end."""
    body = b""
    while chunk := await answer.read():
        body += chunk
    return body


async def call(client: HttpUpstream, url: str, body: bytes = b"{}") -> bytes:
    """A POST and its whole answer."""
    return await read_all(await send(client, url, body))


async def outcome(client: HttpUpstream, url: str) -> bytes | type[ProviderError]:
    """The body, or how the call failed."""
    try:
        return await call(client, url)
    except ProviderError as error:
        return type(error)


async def broken_in_body(answer: HttpAnswer) -> bytes:
    """What came of a body before it broke; AssertionError if it did not."""
    body = b""
    try:
        while chunk := await answer.read():
            body += chunk
    except BrokenError:
        return body
    raise AssertionError("it looked whole")


def answering(
    answer: bytes | Callable[[bytes], bytes], seen: list[tuple[bytes, bytes]] | None = None
) -> Script:
    """Every request gets this answer, or what it makes of the body."""

    async def script(wire: Wire) -> None:
        while True:
            request = await wire.request()
            if seen is not None:
                seen.append(request)
            await wire.say(answer if isinstance(answer, bytes) else answer(request[1]))

    return script


class World:
    """An authority, and a server's side of TLS with a certificate for localhost."""

    def __init__(self, folder: Path) -> None:
        self.authority: Pair = authority(folder)
        pair = make(folder, "server", self.authority, usage=None)
        self.server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self.server.load_cert_chain(*pair.files)

    def client(self) -> HttpUpstream:
        """One that trusts the authority."""
        return HttpUpstream(ca_file=str(self.authority.pem))


class TlsWire:
    """TLS by hand over a plain wire, so that it can end without saying so."""

    def __init__(self, wire: Wire, context: ssl.SSLContext) -> None:
        self.wire = wire
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out, server_side=True)

    async def request(self) -> bytes:
        """Shake hands, then what comes until the end of a head and its body of two bytes."""
        await self._do(self._tls.do_handshake)
        said = b""
        while not said.endswith(b"\r\n\r\n{}"):
            said += await self._do(lambda: self._tls.read(65536))
        return said

    async def say(self, data: bytes) -> None:
        """One or more records."""
        await self._do(lambda: self._tls.write(data))

    async def say_end(self) -> None:
        """close_notify."""
        try:
            self._tls.unwrap()
        except ssl.SSLWantReadError:
            await self.wire.say(self._out.read())

    async def _do(self, step: Callable[[], Any]) -> Any:
        while True:
            try:
                done = step()
            except ssl.SSLWantReadError:
                await self.wire.say(self._out.read())
                self._in.write(await self.wire.reader.read(65536))
            else:
                await self.wire.say(self._out.read())
                return done
