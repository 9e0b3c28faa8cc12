"""A guard of several processes on one machine: one keeps the records, the others take calls."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Final

import tokenward
from tokenward.app.house import House
from tokenward.app.stores import open_store
from tokenward.app.tending import Tending
from tokenward.http.alerts import Alerts
from tokenward.http.metrics import Metrics
from tokenward.http.protocol import ConnectionLimits
from tokenward.http.server import Stopping, serve
from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import Fault, SettingsError
from tokenward.keys.lease import Sight
from tokenward.machine import RealClock, tune_interpreter
from tokenward.settings import Settings
from tokenward.settings.own_secrets import read_admin_token, read_pepper
from tokenward.settings.tls import tls_context
from tokenward.store.high_water import HighWater, check_not_past
from tokenward.store.sqlite import SqliteStore
from tokenward.store.sqlite.proofs import SqliteProofs
from tokenward.store.workers import Keeper, Link, RemoteStore, UnixLink
from tokenward.store.workers.line import OverError

ORPHAN_DRAIN_S: Final = 1.0
"""Without a keeper a worker hears of no revocation and settles nothing: its streams end soon."""


@asynccontextmanager
async def keeping(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Keeper]:
    """The records, kept for workers, with everything that one of all processes does. Raises
    StoreError, SettingsError."""
    read_pepper(settings)
    read_admin_token(settings, environ)
    tls_context(settings)
    if settings.store.records:
        raise SettingsError(
            "server.workers is for records on this machine; with store.records start a guard for "
            "each process, each on a port of its own"
        )
    clock, mark = RealClock(), HighWater(settings.data_dir)
    store = await open_store(settings, environ)
    try:
        assert isinstance(store, SqliteStore), "the embedded store"
        await check_not_past(store.books, mark.read())
        sight = Sight(store.view)
        keeper = Keeper(store, clock, tokenward.__version__, grace_s=0.0, sight=sight)
        keep_ms = settings.records.keep_days * 86_400_000
        tending = Tending(store, clock, mark, sight, keep_ms)
        out = HttpUpstream(head_timeout_s=10.0, max_connections=4)
        metrics = Metrics()
        metrics.watch("waiting_writes", "Writes that wait for the disk.", lambda: store.waiting)
        keeper.shows = metrics.shown
        tending.start(_alerts(settings, store, metrics, out))
        tune_interpreter()
        try:
            yield keeper
        finally:
            await keeper.close()
            await tending.stop()
            await out.close()
    finally:
        await store.close()


def _alerts(
    settings: Settings, store: SqliteStore, metrics: Metrics, out: HttpUpstream
) -> Alerts | None:
    if settings.alerts.webhook is None:
        return None
    alerts = Alerts(store.books, out, settings.alerts.webhook)
    metrics.watch("alerts_sent", "Events that the webhook took.", lambda: alerts.sent)
    metrics.watch("alerts_given_up", "Events it did not take.", lambda: alerts.given_up)
    return alerts


async def give_link(keeper: Keeper, end: socket.socket) -> None:
    """Serve the worker that has the other end of this socket pair."""
    keeper.serve(await UnixLink.over(end))


async def work(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    instance: str,
    end: socket.socket,
    sockets: Sequence[socket.socket],
) -> bool:
    """Take calls on these sockets until the keeper at the other `end` says to stop; whether it
    did. When it is gone instead, what runs has a moment left."""
    clock, stopping, line = RealClock(), Stopping(), _OnlyLink(end)
    store = RemoteStore(
        line,
        clock,
        instance=instance,
        version=tokenward.__version__,
        limit_s=settings.ledger.commit_limit_s,
        proofs=SqliteProofs(settings.data_dir, clock),
    )
    line.on_gone = stopping.ask
    store.on_stop = stopping.ask
    await store.open()
    try:
        house = House(settings, environ, store)
        house.pid = os.getppid()
        house.metrics.others, store.shows = store.shown, house.metrics.shown
        door = house.door(read_admin_token(settings, environ))

        def be_ready(host: str, port: int) -> None:
            house.listen_on(host, port)
            tune_interpreter()
            store.be_ready()

        await serve(
            door,
            settings.server.host,
            settings.server.port,
            drain_s=settings.server.drain_s,
            limits=ConnectionLimits(),
            on_ready=be_ready,
            stopping=stopping,
            tls=tls_context(settings),
            sockets=sockets,
        )
    except Fault as fault:
        store.fail(f"{fault}")
        raise
    finally:
        await store.close()
    return not line.is_gone


class _OnlyLink:
    """A worker has one link for life: it came with it, and ends with the keeper."""

    def __init__(self, end: socket.socket) -> None:
        self.is_gone = False
        self.on_gone: Callable[[], None] = lambda: None
        self._end: socket.socket | None = end

    async def __call__(self) -> Link:
        end, self._end = self._end, None
        if end is not None:
            return await UnixLink.over(end)
        self.is_gone = True
        self.on_gone()
        asyncio.get_running_loop().call_later(ORPHAN_DRAIN_S, self.on_gone)
        raise OverError("the process that keeps the records is gone")
