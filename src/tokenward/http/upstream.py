"""The only way out of the guard: HTTP/1.1 towards providers. Why aiohttp: docs/decisions/0001.

What it never does: repeat a POST, follow a redirect, decode a body, keep a cookie, read proxies
or credentials from the environment, add a header of its own but those that frame the message.
"""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from functools import lru_cache
from typing import Final

import aiohttp
from yarl import URL

from tokenward.kernel.errors import BrokenError, SettingsError, UnfitError, UnsentError
from tokenward.providers.interfaces import Headers

# The connection's own: what a caller says about them is about another connection.
_FRAMING: Final = frozenset(
    (b"host", b"content-length", b"transfer-encoding", b"connection", b"keep-alive", b"expect",
     b"upgrade", b"te", b"trailer", b"proxy-connection", b"proxy-authorization")
)  # fmt: skip
_NAME: Final = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 5.6.2, token
_VALUE: Final = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 5.5: no CR, LF, NUL
_URL: Final = re.compile(r"https?://[!-~]+")
_PIECE_BYTES: Final = 256 * 1024
_HEADER_BYTES_MAX: Final = 16 * 1024
_HEADERS_MAX: Final = 128
# Read ahead of a slow reader; aiohttp pauses the socket at twice this.
_BUFFER_BYTES: Final = 64 * 1024
# Node and uvicorn close idle connections after 5 s. A call sent in that instant breaks, and its
# hold is charged though nothing was done; a new handshake is cheaper than that.
_KEEP_IDLE_S: Final = 4.0
# Answers to these end with their head (RFC 9112 6.3); no end of the body can be missing.
_BODILESS: Final = frozenset((204, 304))


class HttpUpstream:
    """The connections to one provider. Belongs to the event loop of its first call.

    `connect_timeout_s` bounds name, TCP and TLS together, after waiting at most `pool_wait_s` for
    one of `max_connections`; `head_timeout_s` each silence from there to the answer's head,
    `idle_timeout_s` each within its body. How long a call lasts in all is for the flow to bound.
    `ca_file` (PEM) is trusted besides the system's authorities. Raises `SettingsError` for a
    `ca_file` that cannot be read.
    """

    def __init__(
        self,
        *,
        connect_timeout_s: float = 5.0,
        pool_wait_s: float = 5.0,
        head_timeout_s: float = 600.0,
        idle_timeout_s: float = 300.0,
        max_connections: int = 1000,
        ca_file: str | None = None,
    ) -> None:
        self._ssl = _trust(ca_file)
        self._idle_timeout_s = idle_timeout_s
        self._max_connections = max_connections
        self._timeout = aiohttp.ClientTimeout(
            total=None,
            connect=pool_wait_s + connect_timeout_s,
            sock_connect=connect_timeout_s,
            sock_read=head_timeout_s,
        )
        self._session: aiohttp.ClientSession | None = None
        self._is_closed = False

    async def send(self, method: str, url: str, headers: Headers, body: bytes) -> "HttpAnswer":
        """Send once and wait for the answer's head; any status is an answer.

        Raises `UnsentError` when certainly nothing reached the provider (`UnfitError`: because of a
        header), else `BrokenError`.
        When cancelled, the connection is closed at once.
        """
        target = _target(url)
        sent_headers = _sent_headers(headers)
        data: bytes | AsyncIterator[bytes] | None = body
        if len(body) > _PIECE_BYTES:
            sent_headers.append(("Content-Length", str(len(body))))
            data = _pieces(body)
        elif not body and method not in ("POST", "PUT", "PATCH"):
            data = None
        session = self._open()
        try:
            response = await session.request(
                method, target, headers=sent_headers, data=data, allow_redirects=False
            )
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            # Raised only while a connection is waited for or made; `from None` here and below
            # because the library's errors carry the request, and with it the credential.
            raise UnsentError(f"{target.authority} could not be reached: {error}") from None
        except (aiohttp.ClientError, OSError) as error:
            raise _broken(target.authority, "before the answer's head", error) from None
        if response.status == 101:
            response.close()
            raise BrokenError(f"{target.authority} switched protocols; nobody asked it to")
        return HttpAnswer(response, target.authority, self._idle_timeout_s)

    async def close(self) -> None:
        """Close every connection; running calls break. Sends are refused from now on."""
        self._is_closed = True
        if self._session is not None:
            await self._session.close()

    def _open(self) -> aiohttp.ClientSession:
        if self._is_closed:
            raise UnsentError("the guard is stopping; nothing is sent any more")
        if self._session is None:  # not in __init__: a session binds to the running loop
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=self._max_connections,
                    ssl=self._ssl,
                    keepalive_timeout=_KEEP_IDLE_S,
                ),
                timeout=self._timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                read_bufsize=_BUFFER_BYTES,
                max_line_size=_HEADER_BYTES_MAX,
                max_field_size=_HEADER_BYTES_MAX,
                max_headers=_HEADERS_MAX,
            )
        return self._session


class HttpAnswer:
    """A provider's answer; header names are lower case, in order, duplicates kept."""

    def __init__(
        self, response: aiohttp.ClientResponse, authority: str, idle_timeout_s: float
    ) -> None:
        self.status = response.status
        self.headers: Headers = tuple((n.lower(), v) for n, v in response.raw_headers)
        self._response = response
        self._authority = authority
        self._lost: asyncio.Future[None] | None = None
        connection = response.connection  # None: the whole body came with the head
        protocol = connection.protocol if connection is not None else None
        if protocol is not None:
            # The session's sock_read bounded the wait for the head; from here each silence is.
            # On the connection, because a timeout around each read costs a third of a chunk.
            protocol.read_timeout = idle_timeout_s
            protocol.start_timeout()
            if not self._is_framed():
                self._lost = protocol.closed
                if self._lost is not None:
                    self._lost.add_done_callback(_retrieve)

    async def read(self) -> bytes:
        """The next piece of the body as it came, b"" at its end. Raises `BrokenError`.

        When cancelled, the connection is closed at once.
        """
        try:
            chunk = await self._response.content.readany()
        except (aiohttp.ClientError, OSError) as error:
            self._response.close()
            raise _broken(self._authority, "within the answer's body", error) from None
        except asyncio.CancelledError:
            self._response.close()
            raise
        if not chunk and self._lost is not None and self._lost.done() and self._lost.exception():
            # A body that only the connection's end ends (RFC 9112 8): a reset is not its end.
            raise BrokenError(f"{self._authority} reset the connection within the answer's body")
        return chunk

    async def close(self) -> None:
        """Let go of the answer; a body not read to its end costs the connection. Never raises."""
        self._response.close()

    def _is_framed(self) -> bool:
        names = {name for name, _ in self.headers}
        return (
            b"content-length" in names
            or b"transfer-encoding" in names
            or self.status in _BODILESS
            or self._response.method == "HEAD"
        )


def _trust(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"ca_file {ca_file} cannot be used: {error}. It must be a readable PEM file of "
                "the certificate authorities to trust besides the system's."
            ) from None
    return context


def _target(url: str) -> URL:
    # Visible ASCII only, so that no part of it can end the request line.
    if not _URL.fullmatch(url) or "#" in url or "@" in url.split("/", 3)[2]:
        raise UnsentError("the provider's URL is not plain http(s); check its base_url")
    try:
        target = URL(url, encoded=True)  # as it is: a provider's path is not ours to normalise
        assert target.port is not None
    except ValueError:
        raise UnsentError("the provider's URL cannot be read; check its base_url") from None
    return target


def _sent_headers(headers: Headers) -> list[tuple[str, str]]:
    sent = []
    for name, value in headers:
        sent_name = _sent_name(name)
        if sent_name is None:
            continue
        try:
            text = value.decode("utf-8")  # aiohttp encodes it the same way again
        except UnicodeDecodeError:
            text = "\0"
        if not sent_name or not _VALUE.fullmatch(value) or text == "\0":
            raise UnfitError("a header was not sent on: its name or value cannot be in HTTP")
        sent.append((sent_name, text))
    return sent


@lru_cache(maxsize=1024)
def _sent_name(name: bytes) -> str | None:
    """The name as it goes out; None if it stays here, "" if it cannot be in HTTP."""
    lower = name.lower()  # aiohttp keeps duplicates only where the names are spelt alike
    if lower in _FRAMING:
        return None
    return lower.decode("ascii") if _NAME.fullmatch(name) else ""


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    # One write of a large body would hold the loop, and a second copy of it in the buffer.
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


def _broken(authority: str, where: str, error: Exception) -> BrokenError:
    # Only the kind: the library's text may quote what the provider sent.
    return BrokenError(f"{authority} broke the call {where} ({type(error).__name__})")


def _retrieve(lost: "asyncio.Future[None]") -> None:
    if not lost.cancelled():
        lost.exception()  # else asyncio logs it as never retrieved
