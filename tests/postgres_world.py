"""What tests of many gateways on one PostgreSQL share: their stores, and a wire that can break."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg

from engines import fresh_database
from ledger_world import MovingClock
from postgres_server import PostgresServer
from tokenward.kernel.secret import Secret
from tokenward.store.postgres.store import PostgresStore

PATIENCE_S = 20.0
"""How long tests wait for a server: a busy machine is no fault."""


class Town:
    """Gateways on one database. Opened stores are closed at the end."""

    def __init__(self, server: PostgresServer, database: str, folder: Path) -> None:
        self.server = server
        self.database = database
        self.clock = MovingClock()
        self.stores: list[PostgresStore] = []
        self._folder = folder
        self._folders = 0

    async def gateway(self, port: int | None = None, **changes: Any) -> PostgresStore:
        """One more, through a wire where its port is given."""
        self._folders += 1
        folder = self._folder / f"{self._folders}"
        folder.mkdir()
        values = {"clock": self.clock, "commit_limit_s": PATIENCE_S, **changes}
        url = Secret(self.server.url(self.database, port), "url")
        store = await PostgresStore.open(url, folder, **values)
        self.stores.append(store)
        return store

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        """Look at the database behind everybody's back."""
        return self.server.execute(statement, self.database)

    async def connect(self) -> psycopg.AsyncConnection[Any]:
        """A connection of somebody else's; begins and commits when it is told to."""
        url = self.server.url(self.database)
        return await psycopg.AsyncConnection.connect(url, autocommit=True)

    async def until(self, statement: str, expected: object) -> None:
        """Wait until the database says so."""
        async with asyncio.timeout(PATIENCE_S):
            while (found := self.ask(statement)) != [(expected,)]:
                await asyncio.sleep(0.02)
        assert found == [(expected,)]


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""
    async with asyncio.timeout(PATIENCE_S):
        while not is_so():
            await asyncio.sleep(0.005)


@asynccontextmanager
async def town(server: PostgresServer, folder: Path) -> AsyncIterator[Town]:
    """A fresh database with gateways; its books must be provably right at the end."""
    place = Town(server, await fresh_database(server), folder)
    try:
        yield place
        auditor = await place.gateway()
        assert await auditor.books.audit() == []
    finally:
        for store in place.stores:
            await store.close()
        server.drop(place.database)


class Wire:
    """A proxy in front of the server. `is_hushed`: what the server says is not passed on."""

    def __init__(self, port: int) -> None:
        self._to_port = port
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._pipes: set[asyncio.Task[None]] = set()
        self._is_closed = False
        self.port = 0
        self.connections = 0
        self.is_hushed = False
        self.hush_at = b""
        """When this goes to the server, it goes, and the answer does not come back."""
        self.lose_at = b""
        """When this goes to the server, it gets lost, and all that follows."""
        self.fired = asyncio.Event()

    async def open(self) -> None:
        self._server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def heal(self) -> None:
        """From now on all is passed on; what was broken stays broken."""
        self.is_hushed, self.hush_at, self.lose_at = False, b"", b""

    def cut(self) -> None:
        """End every connection."""
        for writer in self._writers:
            writer.transport.abort()

    async def close(self) -> None:
        assert self._server is not None, "opened before"
        self._is_closed = True
        self._server.close()
        self.cut()
        for pipe in self._pipes:
            pipe.cancel()
        await asyncio.gather(*self._pipes, return_exceptions=True)
        for writer in self._writers:
            with suppress(OSError):
                await writer.wait_closed()

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self._writers.add(writer)
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._to_port)
        self._writers.add(far_writer)
        if self._is_closed:
            self.cut()
        state = {"hushed": False, "lost": False}
        for one, other, is_up in ((reader, far_writer, True), (far_reader, writer, False)):
            pipe = asyncio.create_task(self._pass_on(one, other, is_up, state))
            self._pipes.add(pipe)
            pipe.add_done_callback(self._pipes.discard)

    async def _pass_on(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        is_up: bool,
        state: dict[str, bool],
    ) -> None:
        with suppress(OSError):
            while data := await reader.read(65_536):
                if is_up and self.lose_at and self.lose_at in data:
                    state["lost"] = True
                    self.fired.set()
                if is_up and self.hush_at and self.hush_at in data:
                    state["hushed"] = True
                    self.fired.set()
                if state["lost"] or (not is_up and (self.is_hushed or state["hushed"])):
                    continue
                writer.write(data)
                await writer.drain()
        writer.close()


@asynccontextmanager
async def wire(server: PostgresServer) -> AsyncIterator[Wire]:
    """A wire that is there for one test."""
    one = Wire(server.port)
    await one.open()
    try:
        yield one
    finally:
        await one.close()
