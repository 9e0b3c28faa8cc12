"""The ledger's nouns: caps, asks, holds, charges, entries. Money in nano-dollars."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from msgspec import Struct

from tokenward.kernel.bound import CostBound
from tokenward.kernel.pages import Seen
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.usage import Usage


class Window(StrEnum):
    """How often a cap starts anew. `total` never does."""

    MINUTE = "minute"
    HOUR = "hour"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    TOTAL = "total"


class Unit(StrEnum):
    """What a cap counts."""

    NUSD = "nusd"
    TOKENS = "tokens"
    REQUESTS = "requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cap:
    """A hard limit. `subject` is `account:A`, `project:P` or `key:ID`; `model` a glob or "".

    `zone` is the IANA time zone its windows start in; `throttles` says whether a call over the
    cap waits (bounded) for room instead of being refused at once. Prepaid credit is a cap with
    `window=total` whose limit is the sum of all credit, id `credit:<account>`.
    """

    id: str
    subject: str
    model: str = ""
    window: Window
    unit: Unit
    limit: int
    zone: str = "UTC"
    throttles: bool = False
    created_ms: int

    @property
    def seen(self) -> Seen:
        """Where a page that ends with it ends."""
        return self.created_ms, self.id


class Standing(Protocol):
    """What a decision needs of a cap: where it stands in the window of the call.

    `held` is reserved by `running` open holds; `resets_ms` None: never.
    """

    @property
    def cap(self) -> Cap: ...
    @property
    def spent(self) -> int: ...
    @property
    def held(self) -> int: ...
    @property
    def running(self) -> int: ...
    @property
    def resets_ms(self) -> int | None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class CapStatus:
    """A cap and where it stands in the window that runs now. `resets_ms` None: never.

    `running` is the number of open holds behind `held`.
    """

    cap: Cap
    window_start_ms: int
    spent: int
    held: int
    resets_ms: int | None
    running: int = 0


class HoldAsk(Struct, frozen=True, kw_only=True, gc=False):
    """A wish to reserve money for one call, on every cap that applies, or on none.

    `bound` None: the model has no price; only allowed where no nusd cap applies (and no
    max_call): else `model:unpriced`. `max_call_nusd` is the key's own limit for one call.
    `idempotency` is a keyed digest of the caller's idempotency key, or "".
    """

    request_id: str
    key: str
    project: str
    account: str
    model: str
    bound: CostBound
    is_priced: bool
    max_call_nusd: int | None
    idempotency: str = ""
    at_ms: int
    ttl_ms: int


@dataclass(frozen=True, slots=True)
class Waitable(Refusal):
    """Refused now, but every cap in the way throttles: the caller may wait for room (bounded)
    and ask again. `resets_ms`: when the first of their windows starts anew, None if none does."""

    resets_ms: int | None = None


class Hold(Struct, frozen=True, kw_only=True, gc=False):
    """Money reserved. `output_tokens` is the output limit a choice that was granted.

    `is_capped` says whether any cap of money or tokens (or a max_call) applied: only then must the
    provider be told the granted output limit if the caller had set none.
    """

    id: int
    request_id: str
    amount_nusd: int
    tokens: int
    output_tokens: int
    is_capped: bool
    expires_ms: int


class Charge(Struct, frozen=True, kw_only=True, gc=False):
    """What a call really cost. `is_estimate`: usage was unreadable, the whole hold is charged
    (`cost_nusd` and `tokens` are then ignored)."""

    cost_nusd: int
    tokens: int
    usage: Usage
    is_estimate: bool
    why: str = ""


class Settlement(Struct, frozen=True, kw_only=True, gc=False):
    """How a hold ended: `settled`, `voided` or `expired`, and what was posted."""

    state: str
    cost_nusd: int
    overrun_nusd: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who pays. `credit_nusd` None: prepaid credit was never added and does not limit it."""

    name: str
    created_ms: int
    credit_nusd: int | None

    @property
    def seen(self) -> Seen:
        """Where a page that ends with it ends."""
        return self.created_ms, self.name


@dataclass(frozen=True, slots=True, kw_only=True)
class Project:
    """What keys are for, and which account pays for it."""

    name: str
    account: str
    created_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class UsageRow:
    """What one key, project, account, model or day used."""

    by: str
    cost_nusd: int
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    estimates: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing the audit found wrong, in words a person can act on."""

    check: str
    subject: str
    why: str
