"""Which proofs were used? A small file of its own beside the records, shared by every process.

It need not outlive the machine's memory, only a process: commits are not waited for on the disk.
When the machine was started anew its last lines may be missing, so then it forgets everything, and
says so: the nonce secret changes, and proofs made before `since_ms` are not taken.
"""

import asyncio
import os
import secrets
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from typing import Final

from tokenward.binding.interfaces import Epoch
from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError
from tokenward.store.sqlite.folder import Place

FILE_NAME: Final = "proofs.db"
SECRET_BYTES: Final = 32
OPEN_WAIT_S: Final = 5.0
_OPEN_PAUSE_S: Final = 0.01
WAIT_S: Final = 1.0
_PAGES_MAX: Final = 16_384
"""64 MiB: a million proofs, of which each is kept for little more than a minute."""
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")
_LAYOUT: Final = f"""
PRAGMA journal_mode = WAL;
PRAGMA synchronous = OFF;
PRAGMA trusted_schema = OFF;
PRAGMA max_page_count = {_PAGES_MAX};
PRAGMA journal_size_limit = 16777216;
CREATE TABLE IF NOT EXISTS epoch (
    one      INTEGER PRIMARY KEY CHECK (one = 1),
    boot     TEXT    NOT NULL,
    secret   BLOB    NOT NULL,
    since_ms INTEGER NOT NULL
) STRICT;
CREATE TABLE IF NOT EXISTS proofs (
    key      BLOB PRIMARY KEY,
    until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS proofs_age ON proofs (until_ms);
"""
_CLAIM: Final = "INSERT INTO proofs VALUES (?, ?) ON CONFLICT DO NOTHING"
_SWEEP: Final = """
DELETE FROM proofs WHERE key IN
    (SELECT key FROM proofs WHERE until_ms < ? ORDER BY until_ms LIMIT ?)
"""
_SWEPT_AT_ONCE: Final = 500
"""Less than a millisecond; calls wait meanwhile."""


class SqliteProofs:
    """Fulfils `binding.interfaces.ReplayStore`; several processes may have the folder open."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        """Raises `StoreError`."""
        path = folder / FILE_NAME
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=WAIT_S)
        except (sqlite3.Error, OSError) as error:
            raise StoreError(f"{path} cannot be opened: {error}") from error
        try:
            self._lay_out()
            self._epoch = self._begin(clock.now_ms())
        except sqlite3.Error as error:
            self._connection.close()
            raise StoreError(f"{path} cannot be opened: {error}") from error
        self._place = Place(path)
        self._claims: list[tuple[bytes, int, asyncio.Future[bool]]] = []

    @property
    def epoch(self) -> Epoch:
        """The epoch; it does not change while the file is open."""
        return self._epoch

    async def claim(self, key: bytes, until_ms: int, since_ms: int) -> bool:
        """Use a proof up: True for the first caller in any process, False for every other one.

        Claims of one turn of the loop share a commit, which is most of what one costs. A caller
        that leaves in between has used its proof up.
        """
        if since_ms != self._epoch.since_ms:
            raise StoreError("the proof was judged in another epoch; it must be judged again")
        loop = asyncio.get_running_loop()
        if not self._claims:
            loop.call_soon(self._answer_claims)
        is_first: asyncio.Future[bool] = loop.create_future()
        self._claims.append((key, until_ms, is_first))
        return await is_first

    def _answer_claims(self) -> None:
        claims, self._claims = self._claims, []
        try:
            answers = self._insert([(key, until_ms) for key, until_ms, _ in claims])
        except StoreError as error:
            for _, _, is_first in claims:
                if not is_first.done():
                    is_first.set_exception(StoreError(str(error)))
            return
        for (_, _, is_first), answer in zip(claims, answers, strict=True):
            if not is_first.done():
                is_first.set_result(answer)

    async def sweep(self, now_ms: int) -> int:
        """Forget proofs whose time is over; how many. They are refused for their age."""
        swept = 0
        while True:
            count = self._execute(_SWEEP, (now_ms, _SWEPT_AT_ONCE))
            swept += count
            if count < _SWEPT_AT_ONCE:
                return swept
            await asyncio.sleep(0)

    def close(self) -> None:
        """Let go of the file; claims fail from now on."""
        self._connection.close()

    def _lay_out(self) -> None:
        """Others may open the folder at the same moment, and for a change of the journal's mode
        SQLite does not wait for them."""
        give_up_s = time.monotonic() + OPEN_WAIT_S
        while True:
            try:
                self._connection.executescript(_LAYOUT)
                return
            except sqlite3.OperationalError as error:
                if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= give_up_s:
                    raise
            time.sleep(_OPEN_PAUSE_S)

    def _begin(self, now_ms: int) -> Epoch:
        """The epoch that runs; a new one after a start of the machine, and where that cannot be
        told, at every opening."""
        boot = _BOOT.read_text("ascii").strip() if _BOOT.exists() else secrets.token_hex(16)
        execute = self._connection.execute
        execute("BEGIN IMMEDIATE")
        row = execute("SELECT boot, secret, since_ms FROM epoch").fetchone()
        if row is None or row[0] != boot:
            row = (boot, secrets.token_bytes(SECRET_BYTES), now_ms)
            execute("INSERT OR REPLACE INTO epoch VALUES (1, ?, ?, ?)", row)
        execute("COMMIT")
        return Epoch(row[1], row[2])

    def _insert(self, proofs: list[tuple[bytes, int]]) -> list[bool]:
        """Which of them were new; all or none are kept."""
        execute = self._connection.execute
        self._place.check()
        try:
            execute("BEGIN IMMEDIATE")
            answers = [execute(_CLAIM, proof).rowcount == 1 for proof in proofs]
            execute("COMMIT")
        except sqlite3.Error as error:
            self._roll_back()
            raise StoreError(f"used proofs cannot be kept: {error}") from error
        return answers

    def _roll_back(self) -> None:
        with suppress(sqlite3.Error):  # closed, or too broken for that
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _execute(self, statement: str, values: tuple[object, ...]) -> int:
        self._place.check()
        try:
            return self._connection.execute(statement, values).rowcount
        except sqlite3.Error as error:
            raise StoreError(f"used proofs cannot be kept: {error}") from error
