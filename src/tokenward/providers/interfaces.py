"""What every dialect offers the pipeline, and what a reader of answers is."""

from typing import Protocol

from msgspec import Struct

from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.kernel.usage import Usage
from tokenward.providers.ask import Ask, Request, Route

Headers = tuple[tuple[bytes, bytes], ...]


class Reading(Struct, frozen=True, kw_only=True, gc=False):
    """What an answer said. `usage` None: it could not be read, and `problem` says why.

    `is_error` True: the provider reported a failure inside the answer (an `error` event).
    """

    usage: Usage | None
    model: str = ""
    problem: str = ""
    is_error: bool = False


class Reader(Protocol):
    """Reads one answer as it passes. Sans-io: bytes in, bytes for the caller out.

    Bounded memory: what cannot be buffered passes unread and the reading says so.
    """

    is_final: bool
    """The provider has said everything; what `feed` just returned may wait for the settling."""

    def feed(self, chunk: bytes) -> bytes:
        """Bytes for the caller now; may be fewer (a usage chunk it did not ask for) or later."""
        ...

    def finish(self) -> bytes:
        """The provider's body ended, well or not: what is left for the caller."""
        ...

    def reading(self) -> Reading:
        """What is known now; final after `finish`."""
        ...

    def said(self) -> str:
        """The beginning of what the model said so far, of the first choice; "" where it said
        nothing or that cannot be read. Enough to know the answer again, see `hearing.py`."""
        ...


class Dialect(Protocol):
    """One provider's way of speaking. Stateless and pure."""

    @property
    def name(self) -> str:
        """`openai`, `anthropic` or `gemini`."""
        ...

    @property
    def routes(self) -> tuple[Route, ...]:
        """Every door of the dialect; what is not here does not exist."""
        ...

    def inspect(self, request: Request) -> Ask | Refusal:
        """What is asked; `request:invalid` with a plain reason for what no provider accepts."""
        ...

    def rewrite(self, request: Request, ask: Ask, output_limit: int | None) -> bytes:
        """The body for the provider: the caller's bytes, with the output limit set where one is
        given and the caller set none, and usage asked for in streams. Nothing else changes."""
        ...

    def credential(self, credential: Secret) -> Headers:
        """The headers that carry the provider's secret."""
        ...

    def reader(self, ask: Ask, status: int, headers: Headers) -> Reader:
        """A reader for this answer (a stream or one document; status >= 400 has no usage)."""
        ...

    def error(self, refusal: Refusal, request_id: str) -> bytes:
        """The refusal in the dialect's own error envelope, so that its SDKs raise as usual."""
        ...
