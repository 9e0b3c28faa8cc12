"""The public keys of an issuer that the settings pin: fetched, kept for minutes, fetched anew.

What strangers send makes the guard fetch at most once in `ANEW_EVERY_S`, or in `FAILED_FOR_S` while
that fails; where the keys cannot be had, tokens of this issuer are answered 503 and never pass.
"""

import asyncio
import logging
import math
from collections.abc import Callable, Iterable
from typing import Final

from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import IssuerError, ProviderError
from tokenward.kernel.json_text import parse_object
from tokenward.keys.issuer_keys import IssuerKey, read_key_set
from tokenward.keys.workload_rules import Pin
from tokenward.providers.interfaces import Headers

KEPT_S: Final = 600.0
"""A key that the issuer has withdrawn is good for this long after that, at most."""
ANEW_EVERY_S: Final = 30.0
FAILED_FOR_S: Final = 5.0
FETCH_S: Final = 10.0
BODY_BYTES_MAX: Final = 256 * 1024
_DISCOVERY: Final = "/.well-known/openid-configuration"
_HEADERS: Final[Headers] = (
    (b"accept", b"application/json"),
    (b"accept-encoding", b"identity"),
    (b"user-agent", b"tokenward"),
)

log = logging.getLogger("tokenward.issuers")


def pinned(
    pins: Iterable[Pin], clock: Clock, check_url: Callable[[str, bool], None]
) -> dict[str, "Issuer"]:
    """The issuers by source, each with connections of its own: the guard's other ones trust other
    authorities. Raises SettingsError for a `ca_file` that cannot be read."""
    return {pin.source: Issuer(pin, _way_to(pin), clock, check_url) for pin in pins}


def _way_to(pin: Pin) -> HttpUpstream:
    return HttpUpstream(
        head_timeout_s=FETCH_S, idle_timeout_s=FETCH_S, max_connections=1, ca_file=pin.ca_file
    )


class Issuer:
    """One pinned issuer. Belongs to the event loop of its first call; closes `upstream` at its end.

    `check_url` raises ValueError for an address that must not be fetched; what the settings name
    was checked before, what an issuer's own document names is checked here.
    """

    def __init__(
        self,
        pin: Pin,
        upstream: HttpUpstream,
        clock: Clock,
        check_url: Callable[[str, bool], None],
        *,
        fetch_s: float = FETCH_S,
    ) -> None:
        self._pin = pin
        self._fetch_s = fetch_s
        self._upstream = upstream
        self._clock = clock
        self._check_url = check_url
        self._keys: dict[str, IssuerKey] = {}
        self._read_s = -math.inf
        self._failed_s = -math.inf
        self._why = ""
        self._fetching: asyncio.Task[None] | None = None

    async def key(self, kid: str) -> IssuerKey | None:
        """The key of that name, None if the issuer has none now. Raises `IssuerError` where that
        cannot be known."""
        age_s = self._clock.monotonic_s() - self._read_s
        if age_s >= (ANEW_EVERY_S if kid not in self._keys else KEPT_S):
            await self._refresh()
        return self._keys.get(kid)

    async def close(self) -> None:
        """Stop fetching, and let go of the connections."""
        if self._fetching is not None:
            self._fetching.cancel()
            await asyncio.gather(self._fetching, return_exceptions=True)
        await self._upstream.close()

    async def _refresh(self) -> None:
        """One fetch for all who wait; it goes on when they leave, so that leaving starts none."""
        if self._fetching is None:
            if self._clock.monotonic_s() - self._failed_s < FAILED_FOR_S:
                raise IssuerError(self._why)
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)
        if self._why:
            raise IssuerError(self._why)

    async def _fetch(self) -> None:
        """Never raises: whoever waits reads `_why`, and maybe nobody does."""
        was_failing = bool(self._why)
        try:
            async with asyncio.timeout(self._fetch_s):
                where = self._pin.jwks_uri or await self._discover()
                self._keys = read_key_set(await self._get(where))
            self._read_s, self._why = self._clock.monotonic_s(), ""
        except TimeoutError:
            self._fail(f"it took longer than {self._fetch_s:g} s")
        except (ProviderError, ValueError) as error:
            self._fail(str(error))
        finally:
            self._fetching = None
        if self._why and not was_failing:
            log.warning("%s", self._why)

    def _fail(self, problem: str) -> None:
        self._failed_s = self._clock.monotonic_s()
        self._why = (
            f"tokenward: the keys of the issuer {self._pin.source} cannot be had: {problem}. Its "
            "workloads get no tokens until that changes; it is tried again with their next ones."
        )

    async def _discover(self) -> str:
        """Where the keys are, by the issuer's own document (OpenID Connect Discovery 4.3)."""
        document = parse_object(await self._get(self._pin.source.rstrip("/") + _DISCOVERY))
        if document.get("issuer") != self._pin.source:
            raise ValueError("its discovery document is another issuer's")
        where = document.get("jwks_uri")
        if not isinstance(where, str):
            raise ValueError("its discovery document names no jwks_uri")
        try:
            self._check_url(where, self._pin.allow_plain_http)
        except ValueError as error:
            raise ValueError(f"the jwks_uri of its discovery document {error}") from None
        return where

    async def _get(self, url: str) -> bytes:
        answer = await self._upstream.send("GET", url, _HEADERS, b"")
        try:
            if answer.status != 200:  # also a redirect: the settings say where the keys are
                raise ValueError(f"it answered {answer.status}")
            body = bytearray()
            while piece := await answer.read():
                body += piece
                if len(body) > BODY_BYTES_MAX:
                    raise ValueError(f"its answer is longer than {BODY_BYTES_MAX:,} bytes")
            return bytes(body)
        finally:
            await answer.close()
