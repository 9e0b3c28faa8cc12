"""Which of all gateways does what only one does: whoever holds a lock of the database's."""

import asyncio
from contextlib import suppress
from typing import Final

import psycopg

from tokenward.kernel.errors import StoreError
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.line import Line

LEADER_LOCK: Final = 0x746F6B03
_TRY: Final = f"SELECT pg_try_advisory_lock({LEADER_LOCK})"
_STILL: Final = "SELECT true"


class Leadership:
    """Asks for the lock and, where it has it, whether the connection that holds it still lives:
    the lock goes with the connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._line: Line | None = None
        self._has_lock = False
        self._turn = asyncio.Lock()

    async def ask(self) -> bool:
        """Whether this gateway is the one. False also while the database is away."""
        async with self._turn:
            if self._database.why_not_ready or self._database.is_closed:
                return False
            try:
                return await self._ask()
            except (psycopg.Error, OSError, StoreError):
                self._let_go()
                return False

    def close(self) -> None:
        """Let another one be it."""
        self._let_go()

    async def _ask(self) -> bool:
        if self._line is None:
            limit_s = self._database.commit_limit_s
            self._line = await Line.open(self._database.url, "leader", limit_s)
        line = self._line
        timer = asyncio.get_running_loop().call_later(self._database.commit_limit_s, line.cut)
        try:
            cursor = await line.connection.execute(_STILL if self._has_lock else _TRY)
            row = await cursor.fetchone()
        finally:
            timer.cancel()
        self._has_lock = row == (True,)
        return self._has_lock

    def _let_go(self) -> None:
        self._has_lock = False
        if self._line is not None:
            with suppress(psycopg.Error, OSError):
                self._line.close()
            self._line = None
