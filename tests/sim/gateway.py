"""A guard of the world: the real pipeline over a real store, wired as `app.py` wires it."""

import asyncio
import hashlib
import hmac
from collections.abc import Awaitable
from contextlib import suppress
from decimal import Decimal
from functools import cache
from random import Random
from typing import Any

from sim.clocks import SimClock
from sim.history import History
from sim.loop import Process, SimLoop
from sim.provider import INPUT_NUSD, MODEL, OUTPUT_MAX, OUTPUT_NUSD, SimProvider
from tokenward.binding.addresses import PublicUrls
from tokenward.binding.dpop import DpopVerifier
from tokenward.binding.nonces import Nonces
from tokenward.http.admin.office import Office
from tokenward.kernel.errors import StoreError
from tokenward.kernel.events import Event, Record
from tokenward.kernel.ids import base62_text
from tokenward.kernel.incidents import INCIDENT_CHARS
from tokenward.kernel.jwk import PublicKeys
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys.access_tokens import AccessTokens, signing_key
from tokenward.ledger.interfaces import Ledger
from tokenward.ledger.records import Charge, Hold, HoldAsk, Settlement
from tokenward.pipeline.cutting import Cutter
from tokenward.pipeline.flow import guard_call
from tokenward.pipeline.guard import FlowLimits, Guard, Prover
from tokenward.pipeline.interfaces import Provider, Reply
from tokenward.pipeline.remembering import Memory
from tokenward.pipeline.running import RunningCalls
from tokenward.pipeline.stages import Arrived
from tokenward.pipeline.ward import Ward
from tokenward.policy.rules import Rules
from tokenward.prices.book import PriceBook
from tokenward.prices.overrides import PriceOverride
from tokenward.providers.openai import OPENAI
from tokenward.signals.network import Atlas, Networks
from tokenward.signals.senses import Senses
from tokenward.store.interfaces import Store

URL = "http://guard.sim"
PEPPER = Secret("p" * 32, "pepper")
CALL_LIMIT_S = 6.0
HANGUP_DRAIN_S = 1.0
TTL_S = 9.0
CHORES_EVERY_S = 2.0
KEEP_MS = 86_400_000
PROVIDER = Provider(
    name="sim",
    dialect="openai",
    base_url="http://provider.sim",
    credential=Secret("sk-real", "provider"),
    models=(MODEL,),
    prices_from="openai",
)


class SeededDice:
    """Fulfils `kernel.ids.Dice`."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng

    def below(self, limit: int) -> int:
        """A uniform integer in [0, limit)."""
        return self._rng.randrange(limit)


class Ordered(dict[Any, None]):
    """A set that is walked in the order of its making: addresses in memory are no seed."""

    add = dict.setdefault

    def discard(self, each: Any) -> None:
        """As of a set."""
        self.pop(each, None)


class NotingLedger:
    """The gateway's ledger, and in the history what it answered."""

    def __init__(self, ledger: Ledger, name: str, loop: SimLoop, history: History) -> None:
        self._ledger = ledger
        self._name = name
        self._loop = loop
        self._history = history

    def __getattr__(self, name: str) -> Any:
        return getattr(self._ledger, name)

    async def hold(self, ask: HoldAsk) -> Hold | Refusal:
        """As the ledger; an exception means: perhaps."""
        self._note("hold_asked", ask.request_id)
        try:
            answer = await self._ledger.hold(ask)
        except BaseException as error:
            self._note("hold_unknown", ask.request_id, why=type(error).__name__)
            raise
        if isinstance(answer, Hold):
            facts = {"hold": answer.id, "nusd": answer.amount_nusd, "tokens": answer.tokens}
            self._note("held", ask.request_id, **facts)
        else:
            self._note("hold_refused", ask.request_id, code=answer.code)
        return answer

    def settle(self, hold: Hold, charge: Charge, at_ms: int) -> Awaitable[Settlement]:
        """As the ledger."""
        cost_nusd = hold.amount_nusd if charge.is_estimate else charge.cost_nusd
        self._note("settle_asked", hold.request_id, hold=hold.id, nusd=cost_nusd)
        return self._ending("settled", hold, self._ledger.settle(hold, charge, at_ms))

    def void(self, hold: Hold, why: str, at_ms: int) -> Awaitable[Settlement]:
        """As the ledger."""
        self._note("void_asked", hold.request_id, hold=hold.id, why=why)
        return self._ending("voided", hold, self._ledger.void(hold, why, at_ms))

    def _ending(
        self, what: str, hold: Hold, answer: Awaitable[Settlement]
    ) -> "asyncio.Future[Settlement]":
        future = asyncio.ensure_future(answer)

        def tell(done: "asyncio.Future[Settlement]") -> None:
            if done.cancelled() or done.exception() is not None:
                self._note(f"{what}_unknown", hold.request_id, hold=hold.id)
            else:
                ended = done.result()
                facts = {"hold": hold.id, "state": ended.state, "nusd": ended.cost_nusd}
                self._note(what, hold.request_id, **facts)

        future.add_done_callback(tell)
        return future

    def _note(self, what: str, request_id: str, **facts: Any) -> None:
        self._history.note(self._loop.time(), self._name, what, request=request_id, **facts)


class Gateway:
    """One process that takes calls, from its start to its death."""

    def __init__(
        self,
        process: Process,
        clock: SimClock,
        store: Store,
        provider: SimProvider,
        loop: SimLoop,
        history: History,
        rng: Random,
    ) -> None:
        """Inside its own process."""
        self.process = process
        self.clock = clock
        self.store = store
        self.running = RunningCalls()
        # A set of calls is in the order of addresses; the same seed must cut in the same order.
        self.running._by_name.default_factory = Ordered
        self._loop = loop
        self._history = history
        self._dice = SeededDice(rng)
        self.memory = Memory(store.pasts, is_shared=True)
        self.guard = self._wire(provider)
        store.watch(Cutter(self.running))
        process.spawn(self._chores(rng.uniform(0, CHORES_EVERY_S)))

    def _wire(self, provider: SimProvider) -> Guard:
        store, proofs = self.store, self.store.proofs
        nonces = Nonces(lambda: proofs.epoch)
        dpop = DpopVerifier(
            PublicUrls((URL,)),
            nonces,
            PublicKeys(),
            requires_nonce=False,
        )
        return Guard(
            clock=self.clock,
            pepper=PEPPER,
            keys=store.keys,
            view=store.view,
            tokens=_tokens(),
            grants=store.grants,
            prover=Prover(dpop=dpop, nonces=nonces, replays=proofs),
            ledger=NotingLedger(store.ledger, self.process.name, self._loop, self._history),
            prices=_prices(),
            limiter=store.limiter,
            admission=store.admission,
            providers=(PROVIDER,),
            upstreams={PROVIDER.name: provider},
            running=self.running,
            ward=Ward(
                senses=Senses(networks=Networks(Atlas()), hash_text=_hash_text),
                memory=self.memory,
                rules=lambda project: Rules(),
                draw_incident=lambda: "inc_" + base62_text(self._dice, INCIDENT_CHARS),
            ),
            limits=FlowLimits(
                call_limit_s=CALL_LIMIT_S,
                hangup_drain_s=HANGUP_DRAIN_S,
                hold_ttl_ms=round(TTL_S * 1000),
                throttle_wait_s=1.0,
            ),
            fingerprint=lambda text: hmac.new(b"pepper", text, hashlib.sha256).hexdigest(),
            count_tokens=lambda model, texts: None,
            record=self._record,
            tell=self._tell,
        )

    def _record(self, record: Record) -> None:
        facts = {"request": record.request_id, "status": record.status, "outcome": record.outcome}
        fault = f"{record.refusal} {record.fault}".strip()
        self._history.note(self._loop.time(), self.process.name, "recorded", **facts, fault=fault)
        if record.verdict == "allow" and record.key:
            self.store.keys.used(record.key, record.ts)
        self.store.records.write_record(record)

    def _tell(self, event: Event) -> None:
        self.store.tell(event)

    def take(self, arrived: Arrived, reply: Reply) -> None:
        """A request came in."""
        self.process.spawn(guard_call(self.guard, arrived, reply))

    def office(self) -> Office:
        """What its admin door works with."""
        store = self.store
        return Office(
            keys=store.keys,
            ledger=store.ledger,
            books=store.books,
            records=store.records,
            incidents=store.incidents,
            running=self.running,
            pepper=PEPPER,
            clock=self.clock,
            dice=self._dice,
            zone="UTC",
            bearer_cap="",
            rules=(),
            sees_certificates=False,
            check=_nothing_to_check,
        )

    async def _chores(self, wait_s: float) -> None:
        await asyncio.sleep(wait_s)
        while True:
            now_ms = self.clock.now_ms()
            with suppress(StoreError):  # as `app/tending.py`: try again
                await self.store.chores(now_ms, now_ms - KEEP_MS)
                await self.memory.flush()
            await asyncio.sleep(CHORES_EVERY_S)


def _hash_text(text: bytes) -> str:
    return hashlib.blake2b(text, digest_size=8, key=b"pepper").hexdigest()


async def _nothing_to_check() -> list[Any]:
    return []


@cache
def _prices() -> PriceBook:
    price = PriceOverride(
        input_usd_per_mtok=_usd_per_mtok(INPUT_NUSD),
        output_usd_per_mtok=_usd_per_mtok(OUTPUT_NUSD),
        context_tokens=8_192,
        max_output_tokens=OUTPUT_MAX,
    )
    return PriceBook({MODEL: price})


def _usd_per_mtok(nusd: int) -> Decimal:
    return Decimal(nusd) / 1000


@cache
def _tokens() -> AccessTokens:
    return AccessTokens(signing_key(b"m" * 32), [], lambda: URL)


ROUTE = next(route for route in OPENAI.routes if route.path == "/v1/chat/completions")
