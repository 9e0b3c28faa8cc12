"""The composition root: settings in, a wired guard out. The only file that imports everything."""

import asyncio
import gc
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from msgspec.structs import asdict

from tokenward.http.admin.door import AdminDoor
from tokenward.http.admin.office import Check, Office
from tokenward.http.alerts import Alerts
from tokenward.http.door import Door
from tokenward.http.gateway import Gateway, Receive, Scope, Send
from tokenward.http.metrics import Metrics
from tokenward.http.protocol import ConnectionLimits
from tokenward.http.routing import Routes
from tokenward.http.server import run
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import SettingsError, StoreError
from tokenward.kernel.events import Record
from tokenward.kernel.secret import Secret
from tokenward.limits.concurrency import Concurrency
from tokenward.limits.networks import trusted_proxies
from tokenward.limits.rates import Rates
from tokenward.pipeline.guard import FlowLimits, Guard
from tokenward.pipeline.interfaces import Provider
from tokenward.pipeline.running import RunningCalls
from tokenward.prices.book import PriceBook
from tokenward.prices.counting import exact_counter, no_counter
from tokenward.prices.overrides import PriceOverride
from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.gemini import GEMINI
from tokenward.providers.openai import OPENAI
from tokenward.settings import Settings, resolve_secret
from tokenward.settings.own_secrets import read_admin_token, read_pepper
from tokenward.store.sqlite import SqliteStore

DIALECTS: Final = (OPENAI, ANTHROPIC, GEMINI)
SWEEP_EVERY_S: Final = 5.0
BODY_TIMEOUT_S: Final = 60.0
STRANGER_RECORDS_A_MINUTE: Final = 1_000


class RealClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Wall time, Unix ms."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds that never go back."""
        return time.monotonic()


class RealDice:
    """The system's randomness."""

    def below(self, limit: int) -> int:
        """A uniform integer in [0, limit)."""
        return secrets.randbelow(limit)


class IdDice:
    """Randomness for what must be unique and is no secret. It is fetched some thousand bytes at a
    time: a system call costs more than the rest of drawing an id."""

    def __init__(self) -> None:
        self._bytes = b""
        self._used = 0

    def below(self, limit: int) -> int:
        """A uniform integer in [0, limit)."""
        bits = (limit - 1).bit_length()
        size = (bits + 7) // 8
        while True:
            if self._used + size > len(self._bytes):
                self._bytes, self._used = os.urandom(max(4096, size)), 0
            drawn = self._bytes[self._used : self._used + size]
            self._used += size
            number = int.from_bytes(drawn) >> (size * 8 - bits)
            if number < limit:
                return number


class StrangerRecords:
    """Whoever has no key must not fill the disk with records of its refusals: so many a minute
    are written, the rest only counted."""

    def __init__(self) -> None:
        self._minute = 0
        self._written = 0
        self.dropped = 0

    def may_write(self, at_ms: int) -> bool:
        """Whether there is room for one more in this minute."""
        minute = at_ms // 60_000
        if minute != self._minute:
            self._minute, self._written = minute, 0
        if self._written >= STRANGER_RECORDS_A_MINUTE:
            self.dropped += 1
            return False
        self._written += 1
        return True


def price_book(settings: Settings) -> PriceBook:
    """Public prices and the operator's own. Raises SettingsError for a price a thousandfold off."""
    overrides = {model: PriceOverride(**asdict(price)) for model, price in settings.prices.items()}
    return PriceBook(overrides)


def providers(
    settings: Settings, environ: Mapping[str, str], book: PriceBook
) -> tuple[Provider, ...]:
    """The configured providers with their credentials. Raises SettingsError for a missing one."""
    return tuple(
        Provider(
            name=each.name,
            dialect=each.dialect,
            base_url=each.base_url.rstrip("/"),
            credential=resolve_secret(
                each.credential, settings.base_dir, environ, f"provider {each.name}"
            ),
            models=each.models,
            prices_from=each.prices_from or book.source_for(each.name, each.dialect, each.base_url),
            path_prefix=each.path_prefix,
            service_tiers=each.service_tiers,
            stored_objects=each.stored_objects,
            default_model=each.default_model,
        )
        for each in settings.providers
    )


class House:
    """A wired guard over an open store."""

    def __init__(self, settings: Settings, environ: Mapping[str, str], store: SqliteStore) -> None:
        """Raises SettingsError: nothing starts with a secret or a price missing."""
        self.settings = settings
        self.store = store
        self.running = RunningCalls()
        self.metrics = Metrics()
        self._clock, self._dice = RealClock(), IdDice()
        self._pepper = read_pepper(settings)
        self._upstreams = {
            each.name: HttpUpstream(ca_file=each.ca_file) for each in settings.providers
        }
        self._alerts_out = HttpUpstream(head_timeout_s=10.0, max_connections=4)
        self._tasks: list[asyncio.Task[None]] = []
        self._strangers = StrangerRecords()
        self.guard = self._wire_guard(environ)
        watch = self.metrics.watch
        watch("running_calls", "Calls under way now.", self.running.count)
        watch("waiting_writes", "Writes that wait for the disk.", lambda: store.database.waiting)
        watch("records_dropped", "Records lost to a full queue.", lambda: store.records.dropped)
        watch(
            "stranger_records_dropped",
            "Refusals of unknown callers that were counted but not written.",
            lambda: self._strangers.dropped,
        )

    def _wire_guard(self, environ: Mapping[str, str]) -> Guard:
        settings, book = self.settings, price_book(self.settings)
        key = self._pepper.reveal().encode()
        served = providers(settings, environ, book)
        return Guard(
            clock=self._clock,
            pepper=self._pepper,
            keys=self.store.keys,
            ledger=self.store.ledger,
            prices=book,
            rates=Rates(),
            concurrency=Concurrency(),
            providers=served,
            default_models={p.dialect: p.default_model for p in served if p.default_model},
            upstreams=self._upstreams,
            running=self.running,
            limits=FlowLimits(
                call_limit_s=settings.server.call_limit_s,
                hangup_drain_s=settings.server.hangup_drain_s,
                hold_ttl_ms=round(settings.ledger.hold_ttl_s * 1000),
                throttle_wait_s=settings.ledger.throttle_wait_s,
                keys_in_query=settings.server.keys_in_query,
            ),
            fingerprint=lambda text: hmac.new(key, text, hashlib.sha256).hexdigest(),
            count_tokens=exact_counter() if settings.ledger.exact_counts else no_counter,
            record=self._record,
        )

    def _record(self, record: Record) -> None:
        self.metrics.observe(record)
        if record.key:
            self.store.keys.used(record.key, record.ts)
        elif not self._strangers.may_write(record.ts):
            return
        self.store.records.write_record(record)

    def office(self) -> Office:
        """What admin commands work with."""
        return office(self.settings, self.store, self.running, self._pepper, self._check)

    async def _check(self) -> list[Check]:
        """What only the running guard can say: it fetched these when it started."""
        names = ", ".join(provider.name for provider in self.guard.providers)
        return [
            Check(
                name="providers",
                ok=bool(names),
                why=f"{names}: the guard holds every credential"
                if names
                else "there is none; add a [[provider]] to the settings",
            )
        ]

    def door(self, admin_token: Secret) -> Door:
        """The ASGI app of the whole guard."""
        server = self.settings.server
        gateway = Gateway(
            self.guard,
            Routes(DIALECTS),
            self._dice,
            trusted=trusted_proxies(server.trusted_proxies, server.client_address_header),
            body_bytes_max=server.max_body_mb * 1_000_000,
            body_timeout_s=BODY_TIMEOUT_S,
        )
        return Door(
            gateway,
            AdminDoor(self.office(), admin_token),
            self.metrics,
            is_ready=self._why_not_ready,
            start=self.start,
            stop=self.stop,
        )

    def _why_not_ready(self) -> str:
        return self.store.why_not_ready

    async def start(self) -> None:
        """Start what runs beside the requests."""
        self._tasks.append(asyncio.create_task(self._sweep()))
        webhook = self.settings.alerts.webhook
        if webhook is not None:
            alerts = Alerts(self.store.books, self._alerts_out, webhook)
            watch = self.metrics.watch
            watch("alerts_sent", "Events that the webhook took.", lambda: alerts.sent)
            watch("alerts_given_up", "Events it did not take.", lambda: alerts.given_up)
            self._tasks.append(asyncio.create_task(alerts.run()))

    async def stop(self) -> None:
        """When every call has ended: stop, write what waits, close the store."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for upstream in (*self._upstreams.values(), self._alerts_out):
            await upstream.close()
        await self.store.close()

    async def _sweep(self) -> None:
        """L4: close holds past their time; forget records past theirs."""
        keep_ms = self.settings.records.keep_days * 86_400_000
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                now_ms = self._clock.now_ms()
                await self.store.ledger.sweep(now_ms)
                await self.store.records.sweep(now_ms - keep_ms)
            except StoreError:
                continue  # the store is away; requests are refused meanwhile, try again


async def _furnished(
    settings: Settings, environ: Mapping[str, str], store: SqliteStore, admin_token: Secret
) -> Door:
    try:
        return House(settings, environ, store).door(admin_token)
    except SettingsError:
        await store.close()
        raise


def office(
    settings: Settings,
    store: SqliteStore,
    running: RunningCalls,
    its_pepper: Secret,
    check: Callable[[], Awaitable[list[Check]]],
) -> Office:
    """What admin commands work with, in a running guard or without one."""
    return Office(
        keys=store.keys,
        ledger=store.ledger,
        books=store.books,
        records=store.records,
        running=running,
        pepper=its_pepper,
        clock=RealClock(),
        dice=RealDice(),
        zone=settings.server.zone,
        check=check,
    )


async def open_store(settings: Settings) -> SqliteStore:
    """The records, under this process's lock. Raises StoreError."""
    thresholds = tuple(sorted(round(share * 1000) for share in settings.alerts.thresholds))
    return await SqliteStore.open(settings.data_dir, clock=RealClock(), thresholds=thresholds)


@asynccontextmanager
async def open_office(settings: Settings) -> AsyncIterator[Office]:
    """The records without a guard, for one admin command. Raises StoreError, SettingsError."""
    its_pepper = read_pepper(settings)
    store = await open_store(settings)
    try:
        yield office(settings, store, RunningCalls(), its_pepper, _nothing_to_check)
    finally:
        await store.close()


def quiet_collector() -> None:
    """What was loaded lives as long as the process: the garbage collector need not walk it for
    every few hundred objects of a request, most of which die without its help."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


async def _nothing_to_check() -> list[Check]:
    return []


def serve(
    settings: Settings, environ: Mapping[str, str], on_ready: Callable[[str, int], None]
) -> None:
    """Run the guard until SIGTERM. Raises SettingsError or StoreError instead of starting badly."""
    read_pepper(settings)  # the first thing that is missing where nothing was made yet
    admin_token = read_admin_token(settings, environ)
    door: Door | None = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal door
        if door is None:  # the first message is the lifespan's: the store needs the running loop
            store = await open_store(settings)
            door = await _furnished(settings, environ, store, admin_token)
        await door(scope, receive, send)

    def be_ready(host: str, port: int) -> None:
        quiet_collector()
        on_ready(host, port)

    run(
        app,
        settings.server.host,
        settings.server.port,
        drain_s=settings.server.drain_s,
        limits=ConnectionLimits(),
        on_ready=be_ready,
    )
