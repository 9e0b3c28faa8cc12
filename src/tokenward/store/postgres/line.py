"""One connection to PostgreSQL, which can be cut at any moment without asking the server.

A statement on a machine that went silent would wait for minutes, and cancelling it politely waits
for the same machine. Shutting the socket down ends the wait here at once: whoever waits sees a
lost connection. The server notices the same, or its own limits end the session there.
"""

import asyncio
import os
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Final, Self

import psycopg
from psycopg import AsyncConnection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.postgres.faults import as_fault

CONNECT_LIMIT_S: Final = 2.0
NONE: Final[Mapping[str, str]] = {}
BY_INDEX: Final = {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
"""For questions about few rows. A plan that was made while a table was small would go on reading
all of it."""
VERSION_MIN: Final = 170_000
"""The first that knows `transaction_timeout`."""
IDLE_SHARE: Final = 2 / 3
"""A session that stops inside a transaction is ended before the others' patience is."""


class Line:
    """A connection in autocommit mode. `is_cut`: it was ended from here."""

    def __init__(self, connection: AsyncConnection[Any]) -> None:
        self.connection = connection
        self.is_cut = False

    @classmethod
    async def open(
        cls, url: str, role: str, statement_limit_s: float, settings: Mapping[str, str] = NONE
    ) -> Self:
        """Connect within 2 s. `role` is shown in the server's list of sessions; `settings` are
        for this session. Raises `StoreError`."""
        try:
            async with asyncio.timeout(CONNECT_LIMIT_S):
                connection = await AsyncConnection.connect(
                    _conninfo(url, role, statement_limit_s, settings), autocommit=True
                )
        except TimeoutError:
            raise StoreBusyError("the database does not answer") from None
        except (psycopg.Error, OSError) as error:
            raise as_fault(error, "be reached") from error
        if connection.info.server_version < VERSION_MIN:
            await connection.close()
            raise StoreError(
                "the database is older than PostgreSQL 17: nothing there ends a transaction of a "
                "gateway that stopped in the middle of it; use a newer one"
            )
        connection.prepare_threshold = 2
        return cls(connection)

    @property
    def is_fit(self) -> bool:
        """Can another transaction start on it?"""
        status = self.connection.pgconn.transaction_status
        return not self.is_cut and status == psycopg.pq.TransactionStatus.IDLE

    def cut(self) -> None:
        """End every wait on it, now."""
        self.is_cut = True
        if self.connection.closed:
            return
        with suppress(OSError), socket.socket(fileno=os.dup(self.connection.fileno())) as line:
            line.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of it, without a word to the server. Nobody may be waiting on it."""
        self.cut()
        self.connection.pgconn.finish()


def _conninfo(url: str, role: str, statement_limit_s: float, settings: Mapping[str, str]) -> str:
    try:
        given = conninfo_to_dict(url)
    except psycopg.ProgrammingError:
        raise StoreError("the address of the database cannot be read") from None
    limit_ms = round(statement_limit_s * 1000)
    limits = {
        "statement_timeout": limit_ms,
        "lock_timeout": limit_ms,
        "idle_in_transaction_session_timeout": round(limit_ms * IDLE_SHARE),
        "tokenward.lock_ms": round(limit_ms * IDLE_SHARE),
        "synchronous_commit": "on",
        # For the server's side: what a gateway that went silent holds is free soon.
        "tcp_keepalives_idle": 5,
        "tcp_keepalives_interval": 1,
        "tcp_keepalives_count": 3,
        "tcp_user_timeout": 3000,
        **settings,
    }
    options = " ".join(f"-c {name}={value}" for name, value in limits.items())
    ours = {
        "application_name": f"tokenward {role}",
        "client_encoding": "utf8",
        "keepalives": 1,
        "keepalives_idle": 5,
        "keepalives_interval": 1,
        "keepalives_count": 3,
        "tcp_user_timeout": 3000,
        "options": f"{options} {given.get('options') or ''}".strip(),
    }
    return make_conninfo(**{name: str(value) for name, value in {**given, **ours}.items()})
