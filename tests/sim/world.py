"""One world from its founding to its judgement: act under faults, heal, demand progress, look."""

import asyncio
import sqlite3
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

from holder import Holder
from sim import actors
from sim.calls import Call, Order, SimKey, SimReply, arrival, headers_of, renamed
from sim.chaos import Chaos
from sim.disk import SimDisk
from sim.gateway import CHORES_EVERY_S, PEPPER, TTL_S, Gateway, SeededDice
from sim.history import History
from sim.loop import Process, SimLoop
from sim.network import Network
from sim.plan import Plan
from sim.provider import SimProvider
from sim.site import Alone, Crew, File, Ground, Site
from tokenward.keys.life import KeyDraft, create
from tokenward.keys.records import Caveats
from tokenward.ledger.cap_text import parse_cap
from tokenward.ledger.chain import Entry
from tokenward.ledger.records import Cap, Finding
from tokenward.providers.interfaces import Headers
from tokenward.store.sqlite import SqliteStore
from tokenward.store.sqlite.statements import audit_folder

HEAL_LIMIT_S: Final = 60.0
"""Of virtual time, from the end of all faults to a guard that takes calls."""
QUIET_S: Final = TTL_S + 12.0
"""After the last call: the time to live of a hold, a sweep, and what lateness there was."""
SUBJECTS: Final = ("account:acme", "project:p0", "project:p1", "key:0")
LIMITS: Final = (
    "0.003/minute", "0.006/hour", "0.02/day", "0.04/total", "1500tok/minute", "4000tok/hour",
    "9000tok/total", "6req/minute", "20req/hour", "60req/total",
)  # fmt: skip
_HOLDS: Final = (
    "SELECT seq, json_extract(detail, '$.request') FROM entries WHERE kind = 'hold' AND seq > ?"
)
_ENTRIES: Final = "SELECT * FROM entries ORDER BY seq"


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """Everything there is to judge a world by."""

    plan: Plan
    history: History
    calls: dict[str, Call]
    keys: list[SimKey]
    entries: list[Entry]
    open_holds: int
    bill: dict[str, int]
    findings: list[Finding]
    failures: list[str]


class World:
    """Actors find here what they act on."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.loop = SimLoop(plan.rng("loop"))
        self.history = History()
        self.calls: dict[str, Call] = {}
        self.keys: list[SimKey] = []
        self.is_healing = False
        self._folder = folder
        self._rng = plan.rng("world")
        self._live: list[tuple[Gateway, Call]] = []
        self._looking: sqlite3.Connection | None = None
        self._held: set[str] = set()
        self._looked = 0
        self.provider = SimProvider(self.loop, plan, self.history, self._is_held)
        self.disk = SimDisk(plan.rng("disk"), self.history)
        self.network = Network(self.loop, plan.rng("network"), self.history)
        ground = Ground(
            plan=plan,
            loop=self.loop,
            history=self.history,
            provider=self.provider,
            file=File(folder, self.disk),
            network=self.network,
            rng=plan.rng("site"),
        )
        self.site: Site = Crew(ground) if plan.gateways else Alone(ground)

    def run(self) -> Outcome:
        """Live through it. Raises only what is a fault of the simulation, or a deadlock."""
        try:
            self.loop.run(self._live_through())
            return self._outcome()
        finally:
            self.loop.close()
            for name in list(self.site.processes):
                self.site.crash(name)
            if self._looking is not None:
                self._looking.close()

    async def _live_through(self) -> None:
        self.site.start()
        await self._until(self._is_whole)
        await self._found()
        self._looking = sqlite3.connect(f"file:{self._folder}/tokenward.db?mode=ro", uri=True)
        people = actors.people(self)
        chaos = Chaos(self)
        chaos.start()
        await asyncio.sleep(self.plan.seconds)
        self.is_healing = self.provider.is_calm = True
        self.note("world", "healing")
        await chaos.heal()
        await self._until(self._is_whole)
        await asyncio.gather(*people)
        await self._until(lambda: all(call.outcome for call in self.calls.values()))
        await asyncio.sleep(QUIET_S)
        ahead_ms = max(clock.ahead_ms for clock in self.site.clocks)
        for clock in self.site.clocks:  # holds live by wall clocks, and one of those went back
            clock.step(ahead_ms)
        await asyncio.sleep(2 * CHORES_EVERY_S)
        self.note("world", "quiet")
        await actors.demand_progress(self)
        await asyncio.sleep(1.0)

    async def _found(self) -> None:
        """Keys, caps and credit, before anything happens."""
        plan, rng = self.plan, self._rng
        keeper, now_ms = self.keeper, self.site.clocks[0].now_ms()
        dice = SeededDice(rng)
        for number in range(plan.keys):
            is_bound = plan.has("bound") and (number == 0 or rng.random() < 0.5)
            holder = Holder("Ed25519") if is_bound else None
            draft = KeyDraft(
                project=f"p{number % 2}",
                account="acme",
                caveats=Caveats(bind="dpop" if is_bound else "none"),
                holder=holder.thumbprint if holder is not None else "",
            )
            made = create(draft, dice, PEPPER, now_ms)
            self.keys.append(SimKey(made.record.id, made.key.reveal(), draft.project, holder))
            await self.within(lambda store, record=made.record: store.keys.add(record))
        for _ in range(plan.caps):
            await self.within(lambda store: store.ledger.set_cap(self.draw_cap(rng)))
        if plan.has("credit"):
            await self.within(
                lambda store: store.ledger.add_credit("acme", 20_000_000, now_ms, "a gift")
            )
        assert keeper is self.keeper, "nothing happens yet"

    def draw_cap(self, rng: Random) -> Cap:
        """A cap on something, of a size that matters."""
        subject = rng.choice(SUBJECTS)
        if subject.startswith("key:"):
            subject = f"key:{self.keys[0].id}"
        limit, unit, window = parse_cap(rng.choice(LIMITS))
        return Cap(
            id="",
            subject=subject,
            window=window,
            unit=unit,
            limit=limit * rng.randint(1, 4),
            throttles=rng.random() < 0.3,
            created_ms=0,
        )

    # -- what actors do ------------------------------------------------------------------------

    @property
    def keeper(self) -> SqliteStore:
        """The store on the file; only while nothing happens."""
        store = self.site.keeper
        assert store is not None, "it is open while nothing happens"
        return store

    async def within(self, work: Callable[[SqliteStore], Awaitable[Any]]) -> Any:
        """Do something in the process that has the file, while nothing happens."""

        async def run() -> Any:
            return await work(self.keeper)

        return await self.site.processes["keeper"].spawn(run())

    def note(self, where: str, what: str, **facts: Any) -> None:
        """Add to the history."""
        self.history.note(self.loop.time(), where, what, **facts)

    def actor(self, name: str) -> Process:
        """A process of somebody outside the product."""
        return Process(self.loop, name)

    def send(
        self, order: Order, gateway: Gateway, headers: Headers | None = None, proof: str = ""
    ) -> tuple[Call, SimReply]:
        """Send a request; with `headers`, somebody else's once more."""
        number, where = len(self.calls), gateway.process.name
        request_id = f"r{number}"
        if headers is None:
            is_owner = order.key.holder is not None and not order.is_thief
            proof = f"proof-{number}" if is_owner else ""
            headers = headers_of(order, request_id, proof, gateway.clock)
        else:
            headers = renamed(headers, request_id)
        call = Call(request_id, order, headers, proof, self.loop.create_future())
        self.calls[request_id] = call
        reply = SimReply(call, gateway, lambda what, **facts: self.note(where, what, **facts))
        self.note(where, "called", request=request_id, key=order.key.id, thief=order.is_thief)
        self._live.append((gateway, call))
        gateway.take(arrival(call, gateway.clock.now_ms()), reply)
        return call, reply

    def crash(self, name: str, feature: str) -> bool:
        """Kill a process; callers see their connections break."""
        if not self.site.crash(name):
            return False
        self.history.fire(feature)
        self.note(name, "killed", by=feature)
        for gateway, call in self._live:
            if gateway.process.is_dead:
                call.end("lost")
        self._live = [(gateway, call) for gateway, call in self._live if not call.outcome]
        return True

    def _is_whole(self) -> bool:
        all_of_them = max(1, self.plan.gateways)
        return self.site.keeper is not None and len(self.site.gateways) == all_of_them

    async def _until(self, is_so: Callable[[], bool]) -> None:
        give_up_s = self.loop.time() + HEAL_LIMIT_S
        while not is_so():
            assert self.loop.time() < give_up_s, "it does not recover"
            await asyncio.sleep(0.05)

    # -- what is looked at ---------------------------------------------------------------------

    def _is_held(self, request_id: str) -> bool:
        """Whether the hold of a request is in the file, for others than its writer to see."""
        assert self._looking is not None, "nothing is forwarded before"
        for number, held in self._looking.execute(_HOLDS, (self._looked,)):
            self._looked = number
            self._held.add(held)
        return request_id in self._held

    def _outcome(self) -> Outcome:
        assert self._looking is not None, "the world was founded"
        entries = [Entry(*row[:-1]) for row in self._looking.execute(_ENTRIES)]
        (open_holds,) = self._looking.execute("SELECT count(*) FROM holds").fetchone()
        return Outcome(
            plan=self.plan,
            history=self.history,
            calls=self.calls,
            keys=self.keys,
            entries=entries,
            open_holds=open_holds,
            bill=self.provider.bill,
            findings=audit_folder(self._folder, self.site.clocks[0].now_ms()),
            failures=self.loop.failures,
        )
