"""Every engine of hot state, opened as several gateways would: used proofs and limits."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

from tokenward.binding.interfaces import ReplayStore
from tokenward.kernel.clock import Clock
from tokenward.kernel.secret import Secret
from tokenward.limits.interfaces import Limiter
from tokenward.limits.local import LocalLimiter
from tokenward.machine import RealClock
from tokenward.store.sqlite.proofs import SqliteProofs
from tokenward.store.valkey import HotState
from valkey_server import running_cluster, running_server

PROOFS: Final = ("sqlite", "valkey", "valkey cluster")
LIMITERS: Final = ("local", "valkey", "valkey cluster")
PATIENCE_S: Final = 20.0
"""How long tests wait for a server: a busy machine is no fault."""

OpenProofs = Callable[[], Awaitable[ReplayStore]]
OpenLimiter = Callable[[], Awaitable[Limiter]]


@contextmanager
def running_engine(engine: str, folder: Path) -> Iterator[str]:
    """What the engine needs, for a while: the folder or the URL at which stores are opened."""
    if engine == "valkey":
        with running_server(folder) as server:
            yield server.url.reveal()
    elif engine == "valkey cluster":
        with running_cluster(folder) as cluster:
            yield cluster.url.reveal()
    else:
        yield str(folder)


@asynccontextmanager
async def open_hot(url: str, clock: Clock | None = None) -> AsyncIterator[HotState]:
    """One gateway's."""
    hot = await HotState.open(Secret(url, "url"), clock or RealClock(), limit_s=PATIENCE_S)
    try:
        yield hot
    finally:
        await hot.close()


@asynccontextmanager
async def open_proofs(place: str, clock: Clock) -> AsyncIterator[ReplayStore]:
    """A gateway's used proofs, at a folder or a URL."""
    if "://" in place:
        async with open_hot(place, clock) as hot:
            yield hot.proofs
    else:
        store = SqliteProofs(Path(place), clock)
        try:
            yield store
        finally:
            store.close()


@asynccontextmanager
async def open_limiter(place: str, local: LocalLimiter) -> AsyncIterator[Limiter]:
    """A gateway's limits; without a URL those of the one process."""
    if "://" in place:
        async with open_hot(place) as hot:
            yield hot.limiter
    else:
        yield local
