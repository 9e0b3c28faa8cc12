"""The guard: everything a request needs, wired once by `app.py` and never changed."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, Protocol

from tokenward.binding.dpop import DpopVerifier
from tokenward.binding.interfaces import ReplayStore
from tokenward.binding.nonces import Nonces
from tokenward.kernel.clock import Clock
from tokenward.kernel.events import Event, Record
from tokenward.kernel.secret import Secret
from tokenward.keys.access_tokens import AccessTokens
from tokenward.keys.interfaces import GrantStore, KeyStore, View
from tokenward.ledger.interfaces import Ledger
from tokenward.limits.interfaces import Limiter
from tokenward.pipeline.admitting import Admission
from tokenward.pipeline.interfaces import Provider, Upstream
from tokenward.pipeline.running import RunningCalls
from tokenward.pipeline.ward import Ward
from tokenward.prices.book import PriceBook

WAITING_MAX: Final = 256


class RecordSink(Protocol):
    """Takes the record of every request; never blocks, never raises, counts what it drops."""

    def __call__(self, record: Record) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Prover:
    """What step 2 works with."""

    dpop: DpopVerifier
    nonces: Nonces
    replays: ReplayStore


@dataclass(frozen=True, slots=True, kw_only=True)
class FlowLimits:
    """How long things may take. `output_tokens_default` is the limit told to the provider where
    the caller set none, a cap applies and the model's own ceiling is not known."""

    call_limit_s: float
    hangup_drain_s: float
    hold_ttl_ms: int
    throttle_wait_s: float
    keys_in_query: bool = False
    output_tokens_default: int = 16_384


@dataclass(frozen=True, slots=True, kw_only=True)
class Guard:
    """What the ten steps work with."""

    clock: Clock
    pepper: Secret = field(repr=False)
    keys: KeyStore
    view: View
    tokens: AccessTokens
    grants: GrantStore
    prover: Prover
    ledger: Ledger
    prices: PriceBook
    limiter: Limiter
    admission: Admission
    providers: tuple[Provider, ...]
    upstreams: Mapping[str, Upstream]
    running: RunningCalls
    ward: Ward
    limits: FlowLimits
    fingerprint: Callable[[bytes], str]
    count_tokens: Callable[[str, tuple[str, ...]], int | None]
    record: RecordSink
    tell: Callable[[Event], None]
    """Keeps an event for people and pagers; never blocks, never raises, and may drop repeats."""
    opened: Callable[[str], None] = lambda action: None
    """Counts an incident that was opened, by what it did; never blocks, never raises."""
    default_models: Mapping[str, str] = field(default_factory=dict)
    """By dialect, the model of calls that may leave it out and do."""
    waiting: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(WAITING_MAX))
    """Calls that wait for room under a cap that throttles; more are refused at once."""
