"""The product with one promise broken on purpose: each must be seen by the checker, and soon.

`sim.measure` prints the table of `docs/explanation/simulation.md` anew.
"""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import replace as replace_plan
from typing import Any

import pytest
from msgspec.structs import replace

from sim.plan import Plan, draw
from tokenward.keys.lease import Lease
from tokenward.ledger import keeping
from tokenward.ledger.keeping import Keeping
from tokenward.ledger.records import Charge, HoldAsk, Settlement
from tokenward.pipeline import forward as forwarding
from tokenward.pipeline import steps
from tokenward.pipeline.cutting import Cutter
from tokenward.pipeline.interfaces import may_go
from tokenward.pipeline.running import RunningCalls
from tokenward.pipeline.stages import Answered, Metered, Outcome
from tokenward.store.sqlite.book import SqliteBook
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.keys import SqliteKeys
from tokenward.store.sqlite.ledger import SqliteLedger
from tokenward.store.sqlite.proofs import SqliteProofs
from tokenward.store.workers import messages
from tokenward.store.workers.hand import Hand
from tokenward.store.workers.keeper import Keeper
from tokenward.store.workers.keys import RemoteKeys
from tokenward.store.workers.line import Line

Patch = Callable[[pytest.MonkeyPatch], None]


@dataclass(frozen=True, slots=True)
class Mutant:
    """One way to break it, in words."""

    name: str
    about: str
    patch: Patch
    seed: int
    """In whose world it was last seen; where that changed, those after it are tried."""
    forced: frozenset[str]
    """Features that are on in all of its worlds: it hides where they are not."""

    def plan(self, seed: int) -> Plan:
        """One of its worlds."""
        plan = draw(seed)
        if not self.forced:
            return plan
        gateways, features = max(2, plan.gateways), plan.features | self.forced
        return replace_plan(plan, gateways=gateways, features=features)

    @contextmanager
    def alive(self) -> Iterator[None]:
        """While this is open the product is broken."""
        with pytest.MonkeyPatch.context() as patching:
            self.patch(patching)
            yield


MUTANTS: list[Mutant] = []
STOPS = ("freezes", "revokes", "copied_key", "dawdles")
CUT_OFF = ("cut", *STOPS)


def _mutant(about: str, seed: int, *forced: str) -> Callable[[Patch], Patch]:
    def keep(patch: Patch) -> Patch:
        MUTANTS.append(Mutant(patch.__name__, about, patch, seed, frozenset(forced)))
        return patch

    return keep


# -- money -------------------------------------------------------------------------------------


@_mutant("a cap forgets what is only held", 1)
def cap_ignores_held(patching: pytest.MonkeyPatch) -> None:
    decide = keeping.decide

    def blind(legs: Any, ask: HoldAsk) -> Any:
        held = [leg.held for leg in legs]
        for leg in legs:
            leg.held = 0
        try:
            return decide(legs, ask)
        finally:
            for leg, amount in zip(legs, held, strict=True):
                leg.held = amount

    patching.setattr(keeping, "decide", blind)


@_mutant("a hold stands on the first of its caps only", 0)
def hold_on_one_cap(patching: pytest.MonkeyPatch) -> None:
    made = SqliteBook.__init__

    def make(self: SqliteBook, database: Any, journal: Any, counters: Any, holds: Any) -> None:
        made(self, database, journal, counters, holds)
        legs = self.legs
        self.legs = lambda *call: legs(*call)[:1]

    patching.setattr(SqliteBook, "__init__", make)


@_mutant("a second settlement is posted once more", 1)
def double_settle(patching: pytest.MonkeyPatch) -> None:
    def post_again(self: Keeping, seq: int, charge: Charge, at_ms: int) -> Settlement:
        book = self._book
        hold = book.taken(seq)
        legs = book.legs(hold.account, hold.project, hold.key, hold.model, hold.at_ms)
        entry = hold._replace(
            seq=book.next_seq(), ts=at_ms, kind="overrun", nusd=charge.cost_nusd, detail="{}"
        )
        book.write(entry)
        self._post(entry, legs)
        return Settlement(state="settled", cost_nusd=charge.cost_nusd, overrun_nusd=0)

    patching.setattr(Keeping, "_settle_late", post_again)


@_mutant("a hold past its time is given back", 0)
def expiry_refunds(patching: pytest.MonkeyPatch) -> None:
    def refund(self: Keeping, seqs: Any, at_ms: int, why: str) -> None:
        for seq in seqs:
            self.void(seq, why, at_ms)

    patching.setattr(Keeping, "expire", refund)


@_mutant("nothing closes a hold past its time", 6)
def nothing_is_swept(patching: pytest.MonkeyPatch) -> None:
    async def sweep(self: SqliteLedger, now_ms: int) -> int:
        return 0

    patching.setattr(SqliteLedger, "sweep", sweep)


@_mutant("what a provider billed above the bound is left out", 0)
def overrun_dropped(patching: pytest.MonkeyPatch) -> None:
    patching.setattr(Keeping, "_overrun", lambda *_: None)


@_mutant("an idempotency key is forgotten", 0)
def idempotency_forgotten(patching: pytest.MonkeyPatch) -> None:
    patching.setattr(Keeping, "_repeat", lambda self, ask: None)


@_mutant("a hold is answered before its commit", 0)
def hold_not_durable(patching: pytest.MonkeyPatch) -> None:
    apply = Database._apply

    def answer_early(self: Database, ops: Any) -> None:
        apply(self, ops)
        for op in ops:
            op.abandoned = None
            if op.error is None:
                op.answer()

    patching.setattr(Database, "_apply", answer_early)


def _meter(patching: pytest.MonkeyPatch, outcome: Outcome, charge: Charge | None) -> None:
    meter = steps.meter

    def forgiving(answered: Answered) -> Metered:
        metered = meter(answered)
        if answered.outcome is not outcome or metered.charge is None:
            return metered
        return replace(metered, charge=charge)

    patching.setattr(steps, "meter", forgiving)


@_mutant("a call that was sent and broke off is voided", 4)
def broken_is_voided(patching: pytest.MonkeyPatch) -> None:
    _meter(patching, Outcome.BROKEN, None)


@_mutant("who hangs up pays nothing", 16)
def hang_up_is_free(patching: pytest.MonkeyPatch) -> None:
    _meter(patching, Outcome.HUNG_UP, None)


@_mutant("an answer without usage costs nothing", 0)
def no_usage_is_free(patching: pytest.MonkeyPatch) -> None:
    patching.setattr(steps, "_whole_hold", lambda ask, answered: None)


# -- what got lost on the way ------------------------------------------------------------------


@_mutant("a hold that nobody heard of is not taken back", 40, "loss", "slow_disk")
def unknown_hold_stays(patching: pytest.MonkeyPatch) -> None:
    patching.setattr(Line, "undo", lambda self, number: None)


@_mutant("a worker whose link is lost gets back what its running calls hold", 1)
def lost_link_voids(patching: pytest.MonkeyPatch) -> None:
    say_goodbye = Keeper.say_goodbye

    def take_back(self: Keeper, hand: Hand, link: Any) -> None:
        for number in list(hand._held):
            hand.undo(number)
        say_goodbye(self, hand, link)

    patching.setattr(Keeper, "say_goodbye", take_back)


# -- stops -------------------------------------------------------------------------------------


@_mutant("the key is looked at once, when the call comes", 340)
def looked_at_once(patching: pytest.MonkeyPatch) -> None:
    patching.setattr("tokenward.pipeline.flow.look_again", lambda guard, known: None)


@_mutant("nobody looks when the connection to the provider is ready", 75, *STOPS)
def no_last_look(patching: pytest.MonkeyPatch) -> None:
    send = forwarding._send
    patching.setattr(forwarding, "_send", lambda guard, cleared, look: send(guard, cleared, may_go))


@_mutant("the lease counts from the answer to a refresh", 1290, *CUT_OFF)
def lease_from_reply(patching: pytest.MonkeyPatch) -> None:
    refresh = Lease.refresh
    patching.setattr(
        Lease, "refresh", lambda self, sent_s: refresh(self, self._clock.monotonic_s())
    )


@_mutant("the lease runs by the wall clock", 75, "clock_step", *CUT_OFF)
def lease_by_wall_clock(patching: pytest.MonkeyPatch) -> None:
    def refresh(self: Lease, sent_s: float) -> None:
        since_s = self._clock.monotonic_s() - sent_s
        until_s = self._clock.now_ms() / 1000 - since_s + self._lease_s
        self._until_s = max(self._until_s, until_s)

    patching.setattr(Lease, "refresh", refresh)
    patching.setattr(Lease, "is_fresh", lambda self: self._clock.now_ms() / 1000 < self._until_s)


@_mutant("a view without a lease: cut off, it goes on", 75, *CUT_OFF)
def no_lease(patching: pytest.MonkeyPatch) -> None:
    patching.setattr(Lease, "is_fresh", lambda self: True)


@_mutant("stops are not pushed to other workers", 6)
def stops_not_pushed(patching: pytest.MonkeyPatch) -> None:
    patching.setattr(Keeper, "key_changed", lambda self, record: None)


@_mutant("a look-up brings back what a push replaced", 177)
def look_up_wins(patching: pytest.MonkeyPatch) -> None:
    async def late(self: RemoteKeys, key_id: str) -> Any:
        record = self.cached(key_id)
        if record is None:
            record = await self._line.ask(messages.FIND_KEY, key_id)
            await asyncio.sleep(0.05)
            if record is not None:
                self._cached[key_id] = record
        return record

    patching.setattr(RemoteKeys, "find", late)


@_mutant("running streams of a stopped key run on", 2, "stream", "revokes")
def streams_run_on(patching: pytest.MonkeyPatch) -> None:
    patching.setattr(Cutter, "key_changed", lambda self, record: None)
    patching.setattr(RunningCalls, "cut_key", lambda self, key_id, reason: 0)
    patching.setattr(RunningCalls, "cut_unfit", lambda self, key_id, reason: 0)


@_mutant("a revocation is acknowledged before its commit, and lost in a crash", 6)
def revocation_not_durable(patching: pytest.MonkeyPatch) -> None:
    async def at_once(self: SqliteKeys, old: Any, new: Any, kind: str, why: str) -> bool:
        self._keep(new)
        self._database.push(lambda: self._replace(old, new, kind, why))
        return True

    patching.setattr(SqliteKeys, "replace", at_once)


@_mutant("a stop that is only in memory is taken for done", 5105)
def stop_in_memory_is_done(patching: pytest.MonkeyPatch) -> None:
    find = SqliteKeys.find

    async def from_memory(self: SqliteKeys, key_id: str) -> Any:
        record = self.cached(key_id)
        return await find(self, key_id) if record is None else record

    patching.setattr(SqliteKeys, "find", from_memory)
    patching.setattr(SqliteKeys, "read", from_memory)
    patching.setattr(RemoteKeys, "read", RemoteKeys.find)


@_mutant("each process remembers used proofs for itself", 5, "replay", "bound")
def replay_cache_of_its_own(patching: pytest.MonkeyPatch) -> None:
    async def claim(self: SqliteProofs, key: bytes, until_ms: int, since_ms: int) -> bool:
        used: set[bytes] = self.__dict__.setdefault("used", set())
        is_first = key not in used
        used.add(key)
        return is_first

    patching.setattr(SqliteProofs, "claim", claim)


__all__ = ["MUTANTS", "Mutant"]
