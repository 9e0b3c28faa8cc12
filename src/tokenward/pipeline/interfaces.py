"""What the pipeline needs from outside: a way to providers, and a way back to the caller."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.providers.interfaces import Headers


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """A configured provider. `prices_from` is the id in the price book's library.

    `path_prefix` takes the place of `/v1` in the caller's path, for servers that lay out theirs
    differently. `service_tiers` narrows what an unnamed tier may be billed as (None: unknown).
    `stored_objects`: keys may reach what is kept there. `default_model` is put into calls that the
    dialect lets name none, or "".
    """

    name: str
    dialect: str
    base_url: str
    credential: Secret | None = field(repr=False)
    models: tuple[str, ...]
    prices_from: str
    path_prefix: str = "/v1"
    service_tiers: tuple[str, ...] | None = None
    stored_objects: bool = False
    default_model: str = ""


LastLook = Callable[[], Refusal | None]
"""Why a request must not go out now; None: it may. Pure and quick."""


def may_go() -> Refusal | None:
    """The last look at what nobody can take back."""
    return None


class Answer(Protocol):
    """A provider's answer, its body still on the way."""

    status: int
    headers: Headers

    async def read(self) -> bytes:
        """The next piece of the body as it came, b"" at its end. Raises `BrokenError`."""
        ...

    async def close(self) -> None:
        """Let go of the answer; a body not read to its end costs the connection. Never raises."""
        ...


class Upstream(Protocol):
    """The only way out of the guard."""

    async def send(
        self, method: str, url: str, headers: Headers, body: bytes, last_look: LastLook = may_go
    ) -> Answer:
        """Send and wait for the answer's head.

        `last_look` is asked when the connection is ready, right before the first byte: what it
        refuses is not sent. Raises `WithheldError` then, `UnsentError` when certainly nothing
        reached the provider, else `BrokenError`.
        """
        ...


class Reply(Protocol):
    """The way back to the caller. Writing to a caller that is gone is silently dropped."""

    is_gone: bool
    """The caller hung up."""

    def watch(self, on_gone: Callable[[], None]) -> None:
        """From now on, call back once when the caller hangs up; soon, if it has. Another watch
        takes the place of the one before."""
        ...

    def add_header(self, name: bytes, value: bytes) -> None:
        """Have the head carry this too, whatever it will be."""
        ...

    async def start(self, status: int, headers: Headers) -> None:
        """Send the head."""
        ...

    async def write(self, chunk: bytes) -> None:
        """Send a piece of the body now; waits while the caller reads slowly."""
        ...

    async def end(self, chunk: bytes = b"") -> None:
        """Send the last piece."""
        ...

    def abandon(self) -> None:
        """Close the connection without an end, so that a broken answer never looks whole."""
        ...
