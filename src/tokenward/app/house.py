"""The guard, wired."""

import hashlib
import hmac
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from tokenward.app.geography import networks
from tokenward.app.stores import check_hot, check_past, office
from tokenward.app.tending import Tending
from tokenward.binding.addresses import PublicUrls
from tokenward.binding.dpop import DpopVerifier
from tokenward.binding.nonces import Nonces
from tokenward.http.admin.door import AdminDoor
from tokenward.http.admin.office import Check, Office
from tokenward.http.alerts import Alerts
from tokenward.http.door import Door
from tokenward.http.gateway import Gateway
from tokenward.http.metrics import Metrics
from tokenward.http.oauth.door import OauthDoor
from tokenward.http.oauth.endpoints import endpoints
from tokenward.http.oauth.issuers import pinned
from tokenward.http.oauth.service import Service
from tokenward.http.oauth.workloads import Workloads
from tokenward.http.routing import Routes
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.events import Event, Record
from tokenward.kernel.ids import base62_text
from tokenward.kernel.incidents import INCIDENT_CHARS
from tokenward.kernel.jwk import PublicKeys
from tokenward.kernel.secret import Secret
from tokenward.keys.access_tokens import AccessTokens, signing_key
from tokenward.keys.lease import Sight
from tokenward.limits.rates import Rates
from tokenward.machine import RealClock, RealDice, RequestIds
from tokenward.pipeline.cutting import Cutter
from tokenward.pipeline.dampers import Repeats, StrangerRecords
from tokenward.pipeline.guard import FlowLimits, Guard, Prover
from tokenward.pipeline.remembering import Memory
from tokenward.pipeline.running import RunningCalls
from tokenward.pipeline.ward import Ward
from tokenward.prices.counting import exact_counter, no_counter
from tokenward.providers.anthropic import ANTHROPIC
from tokenward.providers.gemini import GEMINI
from tokenward.providers.openai import OPENAI
from tokenward.settings import Settings
from tokenward.settings.judgement import rules_by_project
from tokenward.settings.own_secrets import read_master_keys, read_pepper
from tokenward.settings.served import price_book, providers
from tokenward.settings.tls import certificate_source, ja4_source
from tokenward.settings.urls import check_issuer_url
from tokenward.settings.workloads import pins_of, rules_of
from tokenward.signals.senses import Senses
from tokenward.store.high_water import HighWater
from tokenward.store.interfaces import Store

DIALECTS: Final = (OPENAI, ANTHROPIC, GEMINI)
BODY_TIMEOUT_S: Final = 60.0
ANY: Final = ("0.0.0.0", "::", "")  # noqa: S104 - to know it, not to listen there


class House:
    """A wired guard over an open store."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        store: Store,
        mark: HighWater | None = None,
    ) -> None:
        """`mark` is where the newest entry seen is kept; None: somebody else keeps it. Raises
        SettingsError: nothing starts with a secret or a price missing."""
        self.settings = settings
        self.store = store
        self.pid = os.getpid()
        """The process that people stop; of a worker its keeper."""
        self._environ = environ
        self.sight = Sight(store.view)
        self.running = RunningCalls()
        store.watch(Cutter(self.running))
        self.metrics = Metrics()
        self._clock, self._request_ids = RealClock(), RequestIds()
        self._pepper = read_pepper(settings)
        self._upstreams = {
            each.name: HttpUpstream(ca_file=each.ca_file) for each in settings.providers
        }
        self._alerts_out = HttpUpstream(head_timeout_s=10.0, max_connections=4)
        keep_ms = settings.records.keep_days * 86_400_000
        self._tending = Tending(store, self._clock, mark, self.sight, keep_ms)
        self._strangers, self._repeats = StrangerRecords(), Repeats()
        self._suspects = StrangerRecords()
        """Those with a key: nobody without one may crowd out what they do."""
        self.urls = PublicUrls(settings.server.public_urls)
        self.certificates = certificate_source(settings)
        self.workloads = Workloads(
            rules_of(settings),
            pinned(pins_of(settings), self._clock, check_issuer_url),
            store.proofs,
            lambda: self.urls.issuer,
        )
        is_shared = bool(settings.store.records) or settings.server.workers > 1
        self.memory = Memory(store.pasts, is_shared=is_shared)
        self.guard = self._wire_guard(environ)
        watch = self.metrics.watch
        watch("running_calls", "Calls under way now.", self.running.count)
        watch("waiting_writes", "Writes that wait for the disk.", lambda: store.waiting)
        watch("lessons_waiting", "Keys whose past the store has not seen.", self.memory.count)
        watch("lessons_lost", "Keys whose newest lessons were lost.", lambda: self.memory.lost)
        watch("records_dropped", "Records lost to a full queue.", lambda: store.records.dropped)
        watch(
            "stranger_records_dropped",
            "Refusals of unknown callers that were counted but not written.",
            lambda: self._strangers.dropped + self._suspects.dropped,
        )

    def _wire_guard(self, environ: Mapping[str, str]) -> Guard:
        settings, book = self.settings, price_book(self.settings)
        key = self._pepper.reveal().encode()
        served = providers(settings, environ, book)
        return Guard(
            clock=self._clock,
            pepper=self._pepper,
            keys=self.store.keys,
            view=self.sight,
            tokens=self._tokens(),
            grants=self.store.grants,
            prover=self._prover(),
            ledger=self.store.ledger,
            prices=book,
            limiter=self.store.limiter,
            admission=self.store.admission,
            providers=served,
            default_models={p.dialect: p.default_model for p in served if p.default_model},
            upstreams=self._upstreams,
            running=self.running,
            ward=self._ward(key),
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
            opened=self.metrics.opened,
        )

    def _ward(self, key: bytes) -> Ward:
        """Hashes of texts have a key of their own, derived from the pepper."""
        text_key = hashlib.sha256(b"texts" + key).digest()
        dice = RealDice()
        return Ward(
            senses=Senses(
                networks=networks(self.settings),
                hash_text=lambda text: hashlib.blake2b(
                    text, digest_size=8, key=text_key
                ).hexdigest(),
            ),
            memory=self.memory,
            rules=rules_by_project(self.settings.policy),
            draw_incident=lambda: "inc_" + base62_text(dice, INCIDENT_CHARS),
        )

    def _tokens(self) -> AccessTokens:
        masters = read_master_keys(self.settings)
        first, *others = [signing_key(master.reveal().encode()) for master in masters]
        return AccessTokens(first, others, lambda: self.urls.issuer)

    def _prover(self) -> Prover:
        proofs = self.store.proofs
        nonces = Nonces(lambda: proofs.epoch)
        dpop = DpopVerifier(
            self.urls,
            nonces,
            PublicKeys(),
            requires_nonce=self.settings.binding.require_nonce,
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
        elif not record.key or record.evidence:
            budget = self._suspects if record.key else self._strangers
            if not budget.may_write(record.ts):
                return
        self.store.records.write_record(record)

    def _tell(self, event: Event) -> None:
        if self._repeats.is_news(event):
            self.store.tell(event)

    def office(self) -> Office:
        """What admin commands work with."""
        made = office(self.settings, self.store, self.running, self._pepper, self._check)
        return replace(made, pid=self.pid)

    async def _check(self) -> list[Check]:
        """What only the running guard can say: it fetched these when it started."""
        names = ", ".join(provider.name for provider in self.guard.providers)
        return [
            await check_past(self.settings, self.store),
            *await check_hot(self.settings, self._environ),
            Check(
                name="providers",
                ok=bool(names),
                why=f"{names}: the guard holds every credential"
                if names
                else "there is none; add a [[provider]] to the settings",
            ),
        ]

    def door(self, admin_token: Secret) -> Door:
        """The ASGI app of the whole guard."""
        server = self.settings.server
        gateway = Gateway(
            self.guard,
            Routes(DIALECTS),
            self._request_ids.draw,
            trusted=self.certificates.trusted,
            certificates=self.certificates,
            ja4=ja4_source(self.settings),
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
        draw_id = self._request_ids.draw
        return OauthDoor(self.guard, endpoints(service), draw_id, certificates=self.certificates)

    def _why_not_ready(self) -> str:
        if self.sight.why_shut:
            return self.sight.why_shut
        why = self.store.why_not_ready
        return why or ("" if self.sight.is_fresh() else "no fresh view of the keys")

    async def start(self) -> None:
        """Start what runs beside the requests."""
        self._tending.start(self._alerts(), self.memory)

    def _alerts(self) -> Alerts | None:
        webhook = self.settings.alerts.webhook
        if webhook is None:
            return None
        alerts = Alerts(self.store.books, self._alerts_out, webhook)
        watch = self.metrics.watch
        watch("alerts_sent", "Events that the webhook took.", lambda: alerts.sent)
        watch("alerts_given_up", "Events it did not take.", lambda: alerts.given_up)
        return alerts

    async def stop(self) -> None:
        """When every call has ended: stop, write what waits, close the store."""
        await self._tending.stop()
        for upstream in (*self._upstreams.values(), self._alerts_out):
            await upstream.close()
        await self.workloads.close()
        await self.store.close()
