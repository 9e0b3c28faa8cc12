"""The seam over aiohttp, as tokenward had it before docs/decisions/0011; only for measurements."""

import asyncio
import ssl
from typing import Final

import aiohttp
from yarl import URL

from tokenward.kernel.errors import BrokenError, UnsentError
from tokenward.providers.interfaces import Headers

_BODILESS: Final = frozenset((204, 304))


class AiohttpUpstream:
    """Bodies in one piece, no check of headers; else what the old client did."""

    def __init__(self, *, max_connections: int = 100, ca_file: str | None = None) -> None:
        self._ssl = ssl.create_default_context(cafile=ca_file)
        self._max_connections = max_connections
        self._session: aiohttp.ClientSession | None = None

    async def send(self, method: str, url: str, headers: Headers, body: bytes) -> "AiohttpAnswer":
        """Send once and wait for the answer's head."""
        if self._session is None:
            self._session = self._open()
        target = URL(url, encoded=True)
        named = [(name.decode(), value.decode()) for name, value in headers]
        try:
            response = await self._session.request(
                method, target, headers=named, data=body, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            raise UnsentError(type(error).__name__) from None
        except (aiohttp.ClientError, OSError) as error:
            raise BrokenError(type(error).__name__) from None
        return AiohttpAnswer(response)

    async def close(self) -> None:
        """Close every connection."""
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self._max_connections, ssl=self._ssl, keepalive_timeout=4.0
            ),
            timeout=aiohttp.ClientTimeout(total=None, connect=6, sock_connect=5, sock_read=600),
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            read_bufsize=64 * 1024,
            max_line_size=16 * 1024,
            max_field_size=16 * 1024,
        )


class AiohttpAnswer:
    """The seam's answer."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self.status = response.status
        self.headers: Headers = tuple((n.lower(), v) for n, v in response.raw_headers)
        self._response = response
        self._lost: asyncio.Future[None] | None = None
        connection = response.connection
        protocol = connection.protocol if connection is not None else None
        if protocol is not None and not self._is_framed():
            self._lost = protocol.closed
            if self._lost is not None:
                self._lost.add_done_callback(lambda lost: lost.cancelled() or lost.exception())

    async def read(self) -> bytes:
        """The next piece of the body."""
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            self._response.close()
            raise BrokenError(type(error).__name__) from None
        except asyncio.CancelledError:
            self._response.close()
            raise
        if not chunk and self._lost is not None and self._lost.done() and self._lost.exception():
            raise BrokenError("reset")
        return chunk

    async def close(self) -> None:
        """Let go of the answer."""
        self._response.close()

    def _is_framed(self) -> bool:
        names = {name for name, _ in self.headers}
        framed = b"content-length" in names or b"transfer-encoding" in names
        return framed or self.status in _BODILESS
