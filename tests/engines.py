"""The engines that keep the books: opened, and looked at behind the guard's back."""

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final, Protocol

import psycopg

from ledger_world import MovingClock, open_sqlite
from postgres_server import PostgresServer
from tokenward.kernel.secret import Secret
from tokenward.store.postgres.layout import bring_forward
from tokenward.store.postgres.store import PostgresStore
from tokenward.store.sqlite import SqliteStore
from tokenward.store.workers.keys import REVOKED_MS
from workers_world import Crew

ENGINES: Final = ("sqlite", "workers", "postgres")
PATIENCE_S: Final = 20.0
"""How long tests wait for a server: a busy machine is no fault."""
TEMPLATE: Final = "tokenward_template"
_EMPTIED_MAX: Final = 1_000_000
_EMPTY: Final = """
DO $$
DECLARE each text;
BEGIN
    SET LOCAL session_replication_role = replica;
    FOR each IN SELECT quote_ident(tablename) FROM pg_tables
        WHERE schemaname = 'public' AND tablename <> 'layout'
    LOOP EXECUTE 'DELETE FROM ' || each; END LOOP;
    FOR each IN SELECT quote_ident(sequencename) FROM pg_sequences WHERE schemaname = 'public'
    LOOP EXECUTE 'ALTER SEQUENCE ' || each || ' RESTART'; END LOOP;
    INSERT INTO book SELECT * FROM jsonb_populate_record(NULL::book, $book::jsonb);
END $$
"""

AnyStore = SqliteStore | Crew | PostgresStore
Opener = Callable[[], Awaitable[AnyStore]]
"""Opens the store of a test; again after it was closed, with what it kept."""


class Engine(Protocol):
    """One engine and the one place where it keeps the books of one test."""

    name: str
    words: dict[str, str]
    """What is written differently: `zeros` is 32 bytes of zero, `byte` one."""
    says_no: type[Exception]
    """What the database itself raises where it forbids something."""
    forgets_late_ms: int
    """How much longer than it must it remembers that a token is revoked: workers are told of
    names without the ends of their tokens."""

    async def open(self) -> AnyStore:
        """The store, with everything kept before. One at a time."""
        ...

    def ask(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement on the books as they are on the disk; `{}` stands for each value."""
        ...

    def tamper(self, statement: str) -> int:
        """What somebody with the file, or the database's password, and without scruples does; how
        many rows it changed."""
        ...

    def set_head(self, seq: int, digest: bytes) -> None:
        """Write another last entry beside the entries, without scruples."""
        ...


class SqliteEngine:
    """A file in a folder."""

    name = "sqlite"
    words: Final = {"zeros": "zeroblob(32)", "byte": "x'00'"}
    says_no = sqlite3.IntegrityError
    forgets_late_ms = 0

    def __init__(self, folder: Path, clock: MovingClock) -> None:
        self.folder = folder
        self._clock = clock
        self._store: SqliteStore | None = None

    async def open(self) -> AnyStore:
        self._store = await open_sqlite(self.folder, self._clock)
        return self._store

    def ask(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        filled = statement.replace("{}", "?")
        return self._connection.execute(filled, tuple(values)).fetchall()

    def tamper(self, statement: str) -> int:
        connection = self._connection
        connection.execute("DROP TRIGGER IF EXISTS entries_never_change")
        connection.execute("DROP TRIGGER IF EXISTS entries_never_go")
        connection.execute("PRAGMA foreign_keys = OFF")
        return connection.execute(statement).rowcount

    def set_head(self, seq: int, digest: bytes) -> None:
        head = b"%d:" % seq + digest
        self.ask("UPDATE meta SET value = {} WHERE name = 'head'", (head,))

    @property
    def _connection(self) -> sqlite3.Connection:
        assert self._store is not None, "opened before"
        return self._store.database.connection


class WorkersEngine(SqliteEngine):
    """The same file, kept by a keeper; what is opened is a worker that asks it for everything."""

    name = "workers"
    forgets_late_ms = REVOKED_MS

    async def open(self) -> Crew:
        crew = await Crew.with_keeper(self.folder, self._clock, PATIENCE_S)
        self._store = crew.kept
        return crew


class PostgresEngine:
    """A database of its own on the server of this test run."""

    name = "postgres"
    words: Final = {"zeros": "decode(repeat('00', 32), 'hex')", "byte": "decode('00', 'hex')"}
    says_no = psycopg.errors.RaiseException
    forgets_late_ms = 0

    def __init__(self, server: PostgresServer, folder: Path, clock: MovingClock) -> None:
        self.server = server
        self.database = ""
        self._folder = folder
        self._clock = clock

    @property
    def url(self) -> str:
        """The address of the database."""
        return self.server.url(self.database)

    async def open(self, **changes: Any) -> PostgresStore:
        if not self.database:
            self.database = await fresh_database(self.server)
        self._folder.mkdir(exist_ok=True)
        values = {"clock": self._clock, "commit_limit_s": PATIENCE_S, **changes}
        return await PostgresStore.open(Secret(self.url, "url"), self._folder, **values)

    def ask(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        return self._run(statement, values)[0]

    def tamper(self, statement: str) -> int:
        return self._run(statement, before="SET session_replication_role = replica")[1]

    def set_head(self, seq: int, digest: bytes) -> None:
        self.ask("UPDATE book SET seq = {}, hash = {}", (seq, digest))

    def _run(
        self, statement: str, values: Sequence[Any] = (), before: str = "SELECT"
    ) -> tuple[list[tuple[Any, ...]], int]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            connection.execute(before.encode())
            if values:
                cursor = connection.execute(statement.replace("{}", "%s").encode(), values)
            else:
                cursor = connection.execute(statement.encode())
            return (cursor.fetchall() if cursor.description else []), cursor.rowcount


async def fresh_database(server: PostgresServer) -> str:
    """A database with today's tables and nothing in them; its name. `give_back` it."""
    if not server.has_template(TEMPLATE):
        await bring_forward(server.url(TEMPLATE))
    return server.spare.pop() if server.spare else server.create(TEMPLATE)


def give_back(server: PostgresServer, name: str) -> None:
    """Empty it for the next test, which is several times cheaper than a new one; drop it where
    there was too much in it."""
    others = f"pid <> pg_backend_pid() AND datname = '{name}'"
    server.execute(f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE {others}")
    ((size,),) = server.execute("SELECT pg_relation_size('entries')", name)
    if size > _EMPTIED_MAX:
        server.drop(name)
        return
    ((book,),) = server.execute("SELECT to_jsonb(book)::text FROM book", TEMPLATE)
    server.execute(_EMPTY.replace("$book", f"'{book}'"), name)
    server.spare.append(name)
