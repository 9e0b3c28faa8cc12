"""The composition root: settings in, a wired guard out. The only file that imports everything."""

import asyncio
import hashlib
import hmac
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Final

from tokenward.binding.addresses import PublicUrls
from tokenward.binding.dpop import DpopVerifier
from tokenward.binding.nonces import Nonces
from tokenward.http.admin.door import AdminDoor
from tokenward.http.admin.office import Check, Office
from tokenward.http.alerts import Alerts
from tokenward.http.door import Door
from tokenward.http.gateway import Gateway, Receive, Scope, Send
from tokenward.http.metrics import Metrics
from tokenward.http.oauth.door import OauthDoor
from tokenward.http.oauth.endpoints import endpoints
from tokenward.http.oauth.issuers import pinned
from tokenward.http.oauth.service import Service
from tokenward.http.oauth.workloads import Workloads
from tokenward.http.protocol import ConnectionLimits
from tokenward.http.routing import Routes
from tokenward.http.server import run
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import SettingsError, StoreError
from tokenward.kernel.events import Event, Record
from tokenward.kernel.jwk import PublicKeys
from tokenward.kernel.secret import Secret
from tokenward.keys.access_tokens import AccessTokens, signing_key
from tokenward.limits.concurrency import Concurrency
from tokenward.limits.rates import Rates
from tokenward.machine import IdDice, RealClock, RealDice, quiet_collector
from tokenward.pipeline.dampers import Repeats, StrangerRecords
from tokenward.pipeline.guard import FlowLimits, Guard, Prover
from tokenward.pipeline.running import RunningCalls
from tokenward.prices.counting import exact_counter, no_counter
from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.gemini import GEMINI
from tokenward.providers.openai import OPENAI
from tokenward.settings import Settings
from tokenward.settings.own_secrets import read_admin_token, read_master_keys, read_pepper
from tokenward.settings.served import price_book, providers
from tokenward.settings.tls import certificate_source, sees_certificates, tls_context
from tokenward.settings.urls import check_issuer_url
from tokenward.settings.workloads import pins_of, rules_of
from tokenward.store.sqlite import SqliteStore

DIALECTS: Final = (OPENAI, ANTHROPIC, GEMINI)
SWEEP_EVERY_S: Final = 5.0
TELL_ENDING_EVERY_S: Final = 3600.0
BODY_TIMEOUT_S: Final = 60.0
ANY: Final = ("0.0.0.0", "::", "")  # noqa: S104 - to know it, not to listen there


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
        self._strangers, self._repeats = StrangerRecords(), Repeats()
        self.urls = PublicUrls(settings.server.public_urls)
        self.certificates = certificate_source(settings)
        self.workloads = Workloads(
            rules_of(settings),
            pinned(pins_of(settings), self._clock, check_issuer_url),
            store.proofs,
            lambda: self.urls.issuer,
        )
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
            tokens=self._tokens(),
            grants=self.store.grants,
            prover=self._prover(),
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
            tell=self._tell,
        )

    def _tokens(self) -> AccessTokens:
        masters = read_master_keys(self.settings)
        first, *others = [signing_key(master.reveal().encode()) for master in masters]
        return AccessTokens(first, others, lambda: self.urls.issuer)

    def _prover(self) -> Prover:
        proofs = self.store.proofs
        nonces = Nonces(proofs.nonce_secret)
        dpop = DpopVerifier(
            self.urls,
            nonces,
            PublicKeys(),
            requires_nonce=self.settings.binding.require_nonce,
            since_ms=proofs.since_ms,
        )
        return Prover(dpop=dpop, nonces=nonces, replays=proofs)

    def listen_on(self, host: str, port: int) -> None:
        """The guard's own address, by which callers know it where the settings name no other."""
        if not self.settings.server.public_urls:
            names = ["127.0.0.1", "localhost", "[::1]"] + ([host] if host not in ANY else [])
            shown = (f"[{name}]" if ":" in name and name[0] != "[" else name for name in names)
            scheme = "https" if self.settings.server.tls_certificate else "http"
            self.urls.set(tuple(dict.fromkeys(f"{scheme}://{name}:{port}" for name in shown)))

    def _record(self, record: Record) -> None:
        self.metrics.observe(record)
        if record.verdict == "allow" and record.key:
            self.store.keys.used(record.key, record.ts)
        elif (record.evidence or not record.key) and not self._strangers.may_write(record.ts):
            return
        self.store.records.write_record(record)

    def _tell(self, event: Event) -> None:
        if self._repeats.is_news(event):
            self.store.tell(event)

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
            trusted=self.certificates.trusted,
            certificates=self.certificates,
            body_bytes_max=server.max_body_mb * 1_000_000,
            body_timeout_s=BODY_TIMEOUT_S,
        )
        return Door(
            gateway,
            self._oauth(),
            AdminDoor(self.office(), admin_token),
            self.metrics,
            is_ready=self._why_not_ready,
            start=self.start,
            stop=self.stop,
        )

    def _oauth(self) -> OauthDoor:
        service = Service(
            guard=self.guard,
            dice=RealDice(),
            keys=PublicKeys(),
            rates=Rates(),
            lifetimes=self.settings.oauth.lifetimes,
            workloads=self.workloads,
        )
        return OauthDoor(self.guard, endpoints(service), self._dice, certificates=self.certificates)

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
        await self.workloads.close()
        await self.store.close()

    async def _sweep(self) -> None:
        """L4: close holds past their time; forget records past theirs."""
        keep_ms = self.settings.records.keep_days * 86_400_000
        ending_s = self._clock.monotonic_s()
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            try:
                now_ms = self._clock.now_ms()
                await self.store.ledger.sweep(now_ms)
                await self.store.records.sweep(now_ms - keep_ms)
                await self.store.proofs.sweep(now_ms)
                await self.store.grants.sweep(now_ms)
                if self._clock.monotonic_s() >= ending_s:
                    await self.store.keys.tell_ending(now_ms)
                    ending_s += TELL_ENDING_EVERY_S
            except StoreError:
                continue  # the store is away; requests are refused meanwhile, try again


async def _furnished(settings: Settings, environ: Mapping[str, str], store: SqliteStore) -> House:
    try:
        return House(settings, environ, store)
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
        incidents=store.incidents,
        running=running,
        pepper=its_pepper,
        clock=RealClock(),
        dice=RealDice(),
        zone=settings.server.zone,
        bearer_cap=settings.keys.bearer_cap,
        rules=rules_of(settings),
        sees_certificates=sees_certificates(settings),
        check=check,
    )


async def open_store(settings: Settings) -> SqliteStore:
    """The records, under this process's lock. Raises StoreError."""
    thresholds = tuple(sorted(round(share * 1000) for share in settings.alerts.thresholds))
    return await SqliteStore.open(
        settings.data_dir,
        clock=RealClock(),
        thresholds=thresholds,
        commit_limit_s=settings.ledger.commit_limit_s,
    )


@asynccontextmanager
async def open_office(settings: Settings) -> AsyncIterator[Office]:
    """The records without a guard, for one admin command. Raises StoreError, SettingsError."""
    its_pepper = read_pepper(settings)
    store = await open_store(settings)
    try:
        yield office(settings, store, RunningCalls(), its_pepper, _nothing_to_check)
    finally:
        await store.close()


async def _nothing_to_check() -> list[Check]:
    return []


def serve(
    settings: Settings, environ: Mapping[str, str], on_ready: Callable[[str, int], None]
) -> None:
    """Run the guard until SIGTERM. Raises SettingsError or StoreError instead of starting badly."""
    read_pepper(settings)  # the first thing that is missing where nothing was made yet
    admin_token = read_admin_token(settings, environ)
    tls = tls_context(settings)
    house: House | None = None
    door: Door | None = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal house, door
        if door is None:  # the first message is the lifespan's: the store needs the running loop
            house = await _furnished(settings, environ, await open_store(settings))
            door = house.door(admin_token)
        await door(scope, receive, send)

    def be_ready(host: str, port: int) -> None:
        assert house is not None, "the lifespan's first message came before"
        house.listen_on(host, port)
        quiet_collector()
        on_ready(host, port)

    run(
        app,
        settings.server.host,
        settings.server.port,
        drain_s=settings.server.drain_s,
        limits=ConnectionLimits(),
        on_ready=be_ready,
        tls=tls,
    )
