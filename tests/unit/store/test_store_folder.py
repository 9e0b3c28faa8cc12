"""Who may write to a data folder, and what is in it."""

import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from ledger_world import MovingClock, ask, open_sqlite, taken
from tokenward.kernel.errors import StoreError
from tokenward.store.sqlite import SqliteStore, audit_folder
from tokenward.store.sqlite.folder import FILE_NAME, FolderLock

HOLDER = """
import sys, pathlib
from tokenward.store.sqlite.folder import FolderLock
lock = FolderLock(pathlib.Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


async def test_a_second_process_is_told_who_uses_the_folder(
    tmp_path: Path, clock: MovingClock
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(StoreError, match=rf"another tokenward \(pid {other.pid}\)"):
            await open_sqlite(tmp_path, clock)
        other.kill()
        other.wait()
    store = await open_sqlite(tmp_path, clock)
    await store.close()
    FolderLock(tmp_path).release()


async def test_only_the_owner_can_read_the_file(store: SqliteStore, tmp_path: Path) -> None:
    taken(await store.ledger.hold(ask(1)))
    files = sorted((tmp_path / "data").iterdir())
    assert {path.name for path in files} >= {FILE_NAME, f"{FILE_NAME}-wal", "guard.lock"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


async def test_a_file_of_a_newer_tokenward_is_left_alone(
    tmp_path: Path, clock: MovingClock
) -> None:
    await (await open_sqlite(tmp_path, clock)).close()
    connection = sqlite3.connect(tmp_path / FILE_NAME)
    connection.execute("PRAGMA user_version = 999")
    connection.close()
    for _ in range(2):
        with pytest.raises(StoreError, match="newer tokenward"):
            await open_sqlite(tmp_path, clock)


async def test_a_file_that_is_no_database_is_a_plain_error(
    tmp_path: Path, clock: MovingClock
) -> None:
    (tmp_path / FILE_NAME).write_bytes(b"not a database" * 1000)
    with pytest.raises(StoreError, match="cannot be opened"):
        await open_sqlite(tmp_path, clock)
    (tmp_path / "file").write_text("", "utf-8")
    with pytest.raises(StoreError, match="cannot be used"):
        await open_sqlite(tmp_path / "file", clock)


async def test_commits_are_on_the_disk_and_rules_are_on(store: SqliteStore) -> None:
    def pragma(name: str) -> object:
        return store.database.connection.execute(f"PRAGMA {name}").fetchone()[0]

    assert pragma("journal_mode") == "wal"
    assert pragma("synchronous") == 2
    assert pragma("foreign_keys") == 1
    assert pragma("user_version") >= 1  # type: ignore[operator]  # this pragma is a number


async def test_a_reader_cannot_write(store: SqliteStore) -> None:
    with pytest.raises(StoreError, match="readonly"):
        await store.books._reader.read(lambda reading: reading.execute("DELETE FROM events"))


def test_the_audit_of_an_empty_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="right data folder"):
        audit_folder(tmp_path, 0)
    assert list(tmp_path.iterdir()) == []
