"""What a caller asks of a provider, read from the request and reduced to what money needs."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from msgspec import Struct

from tokenward.kernel.conversation import Conversation
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.usage import Usage

NO_LIMIT: Final = "some servers read an output limit of 0 as none"
"""Why a limit of 0 holds nothing (`Ask.output_open`)."""


class Meter(StrEnum):
    """How a route is charged. Every route declares one; a route without is refused."""

    FREE = "free"
    """Nothing is billed (lists of models, counting tokens): no hold, no cost."""
    USAGE = "usage"
    """Billed by the usage in the answer; without it the whole hold is charged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One door of a dialect. `path` may hold one `{model}`, which matches a single segment
    (and, at its end, an optional `:verb` as in Gemini's paths), or one `{id}`, the name of an
    object that the provider keeps. `stored`: the door leads to such objects."""

    dialect: str
    operation: str
    method: str
    path: str
    stored: bool = False
    meter: Meter


class Request(Struct, frozen=True, kw_only=True, gc=False):
    """The caller's request as the dialect needs it; header names in lower case. `default_model`
    is the operator's word for calls that may leave the model out, or ""."""

    route: Route
    model_in_path: str
    default_model: str = ""
    query: bytes
    headers: dict[bytes, bytes]
    body: bytes


class Ask(Struct, frozen=True, kw_only=True, gc=False):
    """A request reduced to what bounding, routing, rewriting and metering need.

    `most` bounds everything but output, in priced buckets (put input tokens into the dearest
    bucket they can land in). `output_asked` is the caller's own output limit a choice, None when
    absent; `has_output` False means the route makes no output tokens. `output_open` says why no
    limit in the request holds the output: then the model's context window bounds it, no limit is
    set, and where that is not known, the call is refused under a cap. `output_min` is the least
    that makes sense (above a thinking budget). `output_bucket` names the dearest kind of output
    possible. `service_tiers` are the tiers it may be billed at ("" = standard). `open_ended` says
    what makes the input unknowable from the request (a file id, a stored conversation …): then
    the model's context window bounds it, or the call is refused where a cap applies.
    `wants_usage`: the caller itself asked for usage in the stream. `stored`: it reaches, or
    leaves behind to be fetched, an object that the provider keeps and shows to every key.
    """

    route: Route
    model: str
    stream: bool = False
    most: Usage = Usage()
    has_output: bool = True
    output_asked: int | None = None
    output_open: str = ""
    output_min: int = 1
    output_bucket: str = "output"
    choices: int = 1
    service_tiers: tuple[str, ...] = ("",)
    regions: tuple[str, ...] = ("",)
    speeds: tuple[str, ...] = ("",)
    open_ended: str = ""
    rounds: int = 1
    """How often the provider may read the growing input within this one call (loops of tools it
    runs itself): a factor on the context window, where `open_ended` makes that the bound."""
    unbounded: str = ""
    """Why the cost has no upper bound at all; such a call is refused where a cap applies."""
    wants_usage: bool = False
    stored: bool = False
    given: JsonObject = {}
    """Members of the body that the guard may have to set, as the caller gave them: so that setting
    them needs no second look through the body."""
    counted_text: tuple[str, ...] = ()
    """Texts of the request, for an exact token count where the cheap bound does not fit."""
    said: Conversation | None = None
    """What was said, for those who look for theft; None where the route carries no text."""

    @property
    def output_named(self) -> int | None:
        """The output limit as the caller wrote it: 0 too, which no bound may rely on."""
        return 0 if self.output_open == NO_LIMIT else self.output_asked
