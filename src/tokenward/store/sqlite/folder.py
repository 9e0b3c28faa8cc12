"""The data folder: who may write to it, and connections to the file in it."""

import fcntl
import os
import sqlite3
from importlib import resources
from pathlib import Path
from typing import Final

from tokenward.kernel.errors import StoreError, StoreHeldError

FILE_NAME: Final = "tokenward.db"
LOCK_NAME: Final = "guard.lock"
_PACKAGE: Final = "tokenward.store.sqlite"
_SETTINGS: Final = """
PRAGMA auto_vacuum = NONE;
PRAGMA secure_delete = OFF;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA foreign_keys = ON;
PRAGMA trusted_schema = OFF;
PRAGMA temp_store = MEMORY;
PRAGMA cache_size = -32000;
PRAGMA journal_size_limit = 67108864;
"""


class FolderLock:
    """Held by the one process that writes to a data folder; the system frees it when it dies."""

    def __init__(self, folder: Path) -> None:
        """Raises `StoreHeldError` if another process holds it, `StoreError` if the folder cannot
        be written."""
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(folder / LOCK_NAME, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise StoreError(
                f"the data folder {folder} cannot be used: {error.strerror} ({error.filename}). "
                "It must belong to the user who runs tokenward, on a disk that can be written"
            ) from error
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            owner = os.read(self._file, 20).decode("ascii", "replace").strip() or "unknown"
            os.close(self._file)
            raise StoreHeldError(
                f"another tokenward (pid {owner}) uses the data folder {folder}; "
                "stop it, or give this one another folder"
            ) from None
        os.ftruncate(self._file, 0)
        os.pwrite(self._file, f"{os.getpid()}\n".encode("ascii"), 0)

    def release(self) -> None:
        """Let another process write."""
        os.close(self._file)


class Place:
    """Where a file was when it was opened. SQLite goes on writing to a file that was deleted: what
    it acknowledges then is gone at the next start."""

    def __init__(self, path: Path) -> None:
        """Remembers the file that is at `path` now."""
        self._path = path
        self._identity = self._look()

    def check(self) -> None:
        """Raises `StoreError` if the file was deleted or another one took its place."""
        if self._look() != self._identity:
            raise StoreError(
                f"{self._path} was deleted or replaced while in use; nothing more is kept in it. "
                "Stop this guard, bring the file back, and start again"
            )

    def _look(self) -> tuple[int, int] | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_dev, status.st_ino


def open_writer(folder: Path) -> sqlite3.Connection:
    """The connection that writes, on a file of the newest layout. Raises `StoreError`."""
    path = folder / FILE_NAME
    connection: sqlite3.Connection | None = None
    try:
        # Only the owner may read it; SQLite gives its -wal and -shm files the same mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
        connection = sqlite3.connect(
            path, isolation_level=None, check_same_thread=False, timeout=0.1, cached_statements=256
        )
        connection.executescript(_SETTINGS)
        _migrate(connection, path)
    except (sqlite3.Error, OSError) as error:
        if connection is not None:
            connection.close()
        raise StoreError(f"{path} cannot be opened: {error}") from error
    except StoreError:
        if connection is not None:
            connection.close()
        raise
    return connection


def open_reader(folder: Path) -> sqlite3.Connection:
    """A connection that cannot write; works beside the guard that does. Raises `StoreError`."""
    path = folder / FILE_NAME
    if not path.is_file():
        raise StoreError(f"there is no {path}; is this the right data folder?")
    try:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=rw",
            uri=True,
            isolation_level=None,
            check_same_thread=False,
            timeout=1.0,
        )
        connection.execute("PRAGMA query_only = ON")
    except sqlite3.Error as error:
        raise StoreError(f"{path} cannot be opened: {error}") from error
    return connection


def _migrate(connection: sqlite3.Connection, path: Path) -> None:
    """Bring the file's layout forward, a step at a time, each whole or not at all."""
    steps = sorted(
        (
            step
            for step in resources.files(_PACKAGE).joinpath("migrations").iterdir()
            if step.name.endswith(".sql")
        ),
        key=lambda step: step.name,
    )
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(steps):
        raise StoreError(
            f"{path} was written by a newer tokenward (layout {version}, this one knows up to "
            f"{len(steps)}); update tokenward"
        )
    for number, step in enumerate(steps[version:], start=version + 1):
        script = (
            f"BEGIN IMMEDIATE;\n{step.read_text('utf-8')}\nPRAGMA user_version = {number};\nCOMMIT;"
        )
        connection.executescript(script)
