"""Where gateways run and what they share: processes that start, die and start again.

`Alone` is one process with the file, as `tokenward serve`. `Crew` is a keeper with the file and
gateways that ask it over links, as `tokenward serve --workers`; only that here links can be worse
than any socket of one machine, and with `skew` each process has clocks of its own.
"""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Protocol

from sim.clocks import SimClock
from sim.disk import SimDisk
from sim.gateway import CHORES_EVERY_S, KEEP_MS, Gateway
from sim.history import History
from sim.loop import Process, SimLoop
from sim.network import Network, SimLink
from sim.plan import Plan
from sim.provider import SimProvider
from tokenward.kernel.errors import StoreError
from tokenward.store.interfaces import Store
from tokenward.store.sqlite import SqliteStore
from tokenward.store.sqlite.database import COMMIT_LIMIT_S
from tokenward.store.sqlite.proofs import SqliteProofs
from tokenward.store.workers import Keeper, RemoteStore
from tokenward.store.workers.keeper import GRACE_S

RESTART_S = 0.5
VERSION = "1"


class Site(Protocol):
    """All processes of the product in one world."""

    clocks: list[SimClock]

    def start(self) -> None:
        """Start whatever is not running."""
        ...

    def crash(self, name: str) -> bool:
        """Kill the process; False if it is not running."""
        ...

    @property
    def gateways(self) -> list[Gateway]:
        """Those that take calls now."""
        ...

    @property
    def processes(self) -> dict[str, Process]:
        """Those that run now, by name; `keeper` is the one that has the file."""
        ...

    @property
    def keeper(self) -> SqliteStore | None:
        """The store on the file, while it is open."""
        ...


class File:
    """The data folder: who has it open, and what a death leaves behind."""

    def __init__(self, folder: Path, disk: SimDisk) -> None:
        self.folder = folder
        self.store: SqliteStore | None = None
        self.ready: SqliteStore | None = None
        """The same once it is open."""
        self._disk = disk

    async def open(self, clock: SimClock) -> SqliteStore:
        """Open it in the running process. Raises `StoreError`."""
        holder = self

        class Known(SqliteStore):
            """Known from its first moment: an opening can die half-way."""

            def __init__(self, *args: object) -> None:
                super().__init__(*args)
                holder.store = self

            async def close(self) -> None:
                """As one who ends by itself."""
                await super().close()
                holder.store = None

        store = await Known.open(self.folder, clock=clock, make_committer=self._disk.open)
        self.ready = store
        return store

    def abandon(self) -> None:
        """What the system does with files and locks of a process that died."""
        store, self.store, self.ready = self.store, None, None
        if store is not None:
            store.database.connection.close()
            store._reader._connection.close()
            store.proofs.close()
            store._lock.release()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What a site stands on."""

    plan: Plan
    loop: SimLoop
    history: History
    provider: SimProvider
    file: File
    network: Network
    rng: Random

    def clock(self) -> SimClock:
        """Of one more machine."""
        pace = self.rng.uniform(0.98, 1.02) if self.plan.has("drift") else 1.0
        if pace != 1.0:
            self.history.fire("drift")
        return SimClock(self.loop, pace, since_s=self.rng.uniform(0, 1e6))

    def gateway(self, process: Process, clock: SimClock, store: Store) -> Gateway:
        """Over an open store."""
        rng = Random(self.rng.random())
        return Gateway(process, clock, store, self.provider, self.loop, self.history, rng)

    def note(self, where: str, what: str, **facts: object) -> None:
        """Add to the history."""
        self.history.note(self.loop.time(), where, what, **facts)


class Alone:
    """One process: the guard and its file."""

    def __init__(self, ground: Ground) -> None:
        self.clocks = [ground.clock()]
        self._ground = ground
        self._process: Process | None = None
        self._gateway: Gateway | None = None

    def start(self) -> None:
        """Start it unless it runs."""
        if self._process is None:
            self._process = Process(self._ground.loop, "guard")
            self._process.spawn(self._serve(self._process))

    async def _serve(self, process: Process) -> None:
        ground = self._ground
        try:
            store = await ground.file.open(self.clocks[0])
        except StoreError as error:  # as the command: it ends, and is started again
            ground.note(process.name, "not_started", why=str(error))
            self.crash(process.name)
            return
        self._gateway = ground.gateway(process, self.clocks[0], store)
        ground.note(process.name, "started", orphans=store.orphans)

    def crash(self, name: str) -> bool:
        """Kill it."""
        process, self._process, self._gateway = self._process, None, None
        if process is None:
            return False
        process.kill()
        self._ground.file.abandon()
        return True

    @property
    def gateways(self) -> list[Gateway]:
        """At most one."""
        return [] if self._gateway is None else [self._gateway]

    @property
    def processes(self) -> dict[str, Process]:
        """At most one."""
        return {} if self._process is None else {"keeper": self._process}

    @property
    def keeper(self) -> SqliteStore | None:
        """The store, once it is open."""
        return self._ground.file.ready


class Crew:
    """A keeper and the gateways that ask it."""

    def __init__(self, ground: Ground) -> None:
        self.names = [f"g{number + 1}" for number in range(ground.plan.gateways)]
        self.processes: dict[str, Process] = {}
        self._ground = ground
        self._clocks = {"keeper": ground.clock()}
        for name in self.names:
            skewed = ground.plan.has("skew")
            self._clocks[name] = ground.clock() if skewed else self._clocks["keeper"]
        if ground.plan.has("skew"):
            ground.history.fire("skew")
        self._keeper: Keeper | None = None
        self._ready: dict[str, Gateway] = {}
        self._proofs: dict[str, SqliteProofs] = {}
        self._starts = 0

    @property
    def clocks(self) -> list[SimClock]:
        """The keeper's first."""
        return list(dict.fromkeys(self._clocks.values()))

    @property
    def gateways(self) -> list[Gateway]:
        """Those that take calls."""
        return list(self._ready.values())

    @property
    def keeper(self) -> SqliteStore | None:
        """The store, once it is open."""
        return self._ground.file.ready

    def start(self) -> None:
        """Start each that is not running."""
        for name in ("keeper", *self.names):
            self._start(name)

    def _start(self, name: str) -> None:
        if name not in self.processes:
            process = self.processes[name] = Process(self._ground.loop, name)
            process.spawn(self._keep(process) if name == "keeper" else self._serve(process))

    def _give_up(self, name: str, error: StoreError) -> None:
        """As the command: it says why and ends, and is started again."""
        self._ground.note(name, "not_started", why=str(error))
        self.crash(name)
        self._ground.loop.world.call(RESTART_S, self._start, name)

    def crash(self, name: str) -> bool:
        """Kill it."""
        process = self.processes.pop(name, None)
        if process is None:
            return False
        process.kill()
        if name == "keeper":
            self._keeper = None
            self._ground.file.abandon()
        self._ready.pop(name, None)
        proofs = self._proofs.pop(name, None)
        if proofs is not None:
            proofs.close()
        self._ground.network.bury(process)
        return True

    async def _keep(self, process: Process) -> None:
        clock = self._clocks[process.name]
        try:
            store = await self._ground.file.open(clock)
        except StoreError as error:
            self._give_up(process.name, error)
            return
        # Where links come back a worker is given time to; on one machine there is no other link.
        grace_s = GRACE_S if self._ground.plan.has("loss") else 0.0
        self._keeper = Keeper(store, clock, VERSION, grace_s=grace_s)
        self._ground.note(process.name, "started", orphans=store.orphans)
        while True:
            await asyncio.sleep(CHORES_EVERY_S)
            now_ms = clock.now_ms()
            with suppress(StoreError):
                await store.chores(now_ms, now_ms - KEEP_MS)

    async def _serve(self, process: Process) -> None:
        ground, name = self._ground, process.name
        clock = self._clocks[name]

        async def connect() -> SimLink:
            keeper, at = self._keeper, self.processes.get("keeper")
            if keeper is None or at is None:
                raise StoreError("there is no keeper")
            one, other = ground.network.connect(name, process, at)
            at.call(0.0002, keeper.serve, other)
            return one

        self._starts += 1
        try:
            proofs = self._proofs[name] = SqliteProofs(ground.file.folder, clock)
            store = RemoteStore(
                connect,
                clock,
                instance=f"{name}-{self._starts}",
                version=VERSION,
                limit_s=COMMIT_LIMIT_S,
                proofs=proofs,
            )
            await store.open()
        except StoreError as error:
            self._give_up(name, error)
            return
        self._ready[name] = ground.gateway(process, clock, store)
        ground.note(name, "started")
