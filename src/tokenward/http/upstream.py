"""The only way out of the guard: HTTP/1.1 towards providers. Why our own: docs/decisions/0011.

What it never does: repeat a request, follow a redirect, decode a body, keep a cookie, read proxies
or credentials from the environment, add a header of its own but those that frame the message.
"""

import ssl
from typing import Final

from tokenward.http.provider.address import split_url
from tokenward.http.provider.answer import HttpAnswer
from tokenward.http.provider.connection import Waits
from tokenward.http.provider.pool import Pool
from tokenward.http.provider.request_head import request_head
from tokenward.kernel.errors import SettingsError, WithheldError
from tokenward.kernel.refusals import Refusal
from tokenward.pipeline.interfaces import LastLook
from tokenward.providers.interfaces import Headers

__all__ = ["HttpAnswer", "HttpUpstream"]

# Node and uvicorn close idle connections after 5 s. A call sent in that instant breaks, and its
# hold is charged though nothing was done; a new handshake is cheaper than that.
_KEEP_IDLE_S: Final = 4.0


def _gladly() -> Refusal | None:
    """The last look of those who have nothing to look at."""
    return None


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
        self._pool = Pool(
            _trust(ca_file),
            Waits(head_s=head_timeout_s, body_s=idle_timeout_s, between_s=_KEEP_IDLE_S),
            connect_timeout_s=connect_timeout_s,
            pool_wait_s=pool_wait_s,
            max_connections=max_connections,
        )

    async def send(
        self, method: str, url: str, headers: Headers, body: bytes, last_look: LastLook = _gladly
    ) -> HttpAnswer:
        """Send once and wait for the answer's head; any status is an answer.

        `last_look` is asked when the connection is ready, right before the first byte. Raises
        `WithheldError` if it refuses, `UnsentError` when certainly nothing reached the provider
        (`UnfitError`: because of a header), else `BrokenError`.
        When cancelled, the connection is closed at once.
        """
        origin, target = split_url(url)
        head = request_head(method, target, origin.authority, headers, len(body))
        connection = await self._pool.take(origin)
        # From here to the first byte nothing waits.
        refusal: Refusal | None = None
        try:
            refusal = last_look()
        except BaseException:
            self._pool.put_back(connection)
            raise
        if refusal is not None:
            self._pool.put_back(connection)
            raise WithheldError(refusal)
        return await connection.call(head, body, is_head=method == "HEAD")

    async def close(self) -> None:
        """Close every connection; running calls break. Sends are refused from now on."""
        await self._pool.close()


def _trust(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    if ca_file is not None:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError) as error:
            raise SettingsError(
                f"ca_file {ca_file} cannot be used: {error}. It must be a readable PEM file of "
                "the certificate authorities to trust besides the system's."
            ) from None
    return context
