"""Every engine of hot state, opened as several gateways would: used proofs and limits."""

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from ledger_world import MovingClock
from tokenward.binding.interfaces import ReplayStore
from tokenward.kernel.clock import Clock
from tokenward.kernel.secret import Secret
from tokenward.limits.interfaces import Limiter
from tokenward.limits.local import LocalLimiter
from tokenward.machine import RealClock
from tokenward.pipeline.admitting import Admission, OneByOne
from tokenward.store.sqlite.proofs import SqliteProofs
from tokenward.store.valkey import HotState
from valkey_server import running_cluster, running_server
from workers_world import running_crew

PROOFS: Final = ("sqlite", "valkey", "valkey cluster")
"""Workers have that of SQLite: each opens the same file."""
GATEWAYS: Final = ("local", "workers", "valkey", "valkey cluster")
WORKERS_MAX: Final = 3
PATIENCE_S: Final = 20.0
"""How long tests wait for a server: a busy machine is no fault."""

OpenProofs = Callable[[], Awaitable[ReplayStore]]


class Hot(NamedTuple):
    """What a gateway asks about callers, whoever counts."""

    limiter: Limiter
    admission: Admission
    proofs: ReplayStore


OpenHot = Callable[[], Awaitable[Hot]]


@contextmanager
def running_engine(engine: str, folder: Path) -> Iterator[str]:
    """What the engine needs, for a while: the folder or the URL at which stores are opened; of
    limits that no server counts the engine's own name."""
    if engine == "valkey":
        with running_server(folder) as server:
            yield server.url.reveal()
    elif engine == "valkey cluster":
        with running_cluster(folder) as cluster:
            yield cluster.url.reveal()
    elif engine == "sqlite":
        yield str(folder)
    else:
        yield engine


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
async def open_gateways(place: str, folder: Path, clock: MovingClock) -> AsyncIterator[OpenHot]:
    """Opens one gateway after the other: at a URL, as one of `WORKERS_MAX` workers, or as the one
    process, which is always the same."""
    async with AsyncExitStack() as stack:

        async def open_there() -> Hot:
            hot = await stack.enter_async_context(open_hot(place))
            return Hot(hot.limiter, hot, hot.proofs)

        async def open_one() -> Hot:
            return next(ready)

        if place == "workers":
            crew = running_crew(folder, clock, WORKERS_MAX, limit_s=PATIENCE_S)
            _, _, workers = await stack.enter_async_context(crew)
            ready = iter([Hot(one.limiter, one.admission, one.proofs) for one, _ in workers])
            yield open_one
        elif place == "local":
            folder.mkdir()
            limiter, proofs = LocalLimiter(clock), SqliteProofs(folder, clock)
            stack.callback(proofs.close)
            ready = itertools.repeat(Hot(limiter, OneByOne(proofs, limiter), proofs))
            yield open_one
        else:
            yield open_there
