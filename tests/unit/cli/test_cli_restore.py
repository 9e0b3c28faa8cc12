"""A backup that is put back is noticed, and accepted only on purpose."""

import asyncio
import io
import json
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ledger_world import PATIENCE_S
from tokenward.cli.main import run
from tokenward.cli.restore import _screen
from tokenward.machine import RealClock
from tokenward.store.high_water import HighWater
from tokenward.store.sqlite import SqliteStore


def command(folder: Path, *words: str) -> tuple[int, Any, str]:
    """Exit status, the JSON it printed, and what went to stderr."""
    out, err = io.StringIO(), io.StringIO()
    config = ("--config", str(folder / "tokenward.toml"))
    status = run([*words, *config, "--json"], {}, out, err)
    return status, json.loads(out.getvalue() or "null"), err.getvalue()


def mark(folder: Path) -> int:
    """What a guard does every few seconds."""

    async def see() -> int:
        store = await SqliteStore.open(
            folder / "data", clock=RealClock(), commit_limit_s=PATIENCE_S
        )
        head = await store.books.head()
        HighWater(folder / "data").keep(head)
        await store.close()
        return head.seq

    return asyncio.run(see())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A guard's folder with two keys, of which the second was revoked after the backup."""
    out = io.StringIO()
    assert run(["init", str(tmp_path / "guard")], {}, out, out) == 0
    folder = tmp_path / "guard"
    for name in ("stays", "stolen"):
        assert command(folder, "key", "create", "--project", "p", "--name", name)[0] == 0
    with closing(sqlite3.connect(folder / "data" / "tokenward.db")) as connection:
        connection.execute("VACUUM INTO ?", (str(tmp_path / "backup.db"),))
    (stolen,) = [key["id"] for key in command(folder, "key", "list")[1] if key["name"] == "stolen"]
    assert command(folder, "key", "revoke", stolen)[0] == 0
    mark(folder)
    for path in (folder / "data").glob("tokenward.db*"):
        path.unlink()
    shutil.copy(tmp_path / "backup.db", folder / "data" / "tokenward.db")
    return folder


def states(folder: Path) -> dict[str, str]:
    return {key["name"]: key["state"] for key in command(folder, "key", "list")[1]}


def past(folder: Path) -> bool:
    checks = command(folder, "doctor")[1]["checks"]
    (check,) = [check for check in checks if check["name"] == "past"]
    return not check["ok"]


@pytest.mark.req("O-3")
def test_a_guard_does_not_start_on_records_that_are_older_than_it_has_seen(folder: Path) -> None:
    assert states(folder) == {"stays": "live", "stolen": "live"}, "the past is back"
    assert past(folder)
    status, _, said = command(folder, "serve", "--port", "0")
    assert status == 1
    assert "they are from the past" in said
    assert "tokenward restore" in said


def test_accepting_them_freezes_every_key(folder: Path) -> None:
    status, value, _ = command(folder, "restore")
    assert status == 0
    assert value["seen_entry"] > 0
    assert len(value["keys_frozen"]) == 2
    assert states(folder) == {"stays": "frozen", "stolen": "frozen"}
    assert not past(folder)
    kinds = [event["kind"] for event in command(folder, "events")[1]]
    assert "records:restored" in kinds


def test_keys_stay_as_they_are_only_on_request(folder: Path) -> None:
    status, value, _ = command(folder, "restore", "--keep-live")
    assert (status, value["keys_frozen"]) == (0, [])
    assert states(folder) == {"stays": "live", "stolen": "live"}
    assert not past(folder)


def test_there_is_nothing_to_accept_where_nothing_is_lost(folder: Path) -> None:
    assert command(folder, "restore")[0] == 0
    status, _, said = command(folder, "restore")
    assert status == 1
    assert "records:whole" in said
    assert states(folder)["stays"] == "frozen"


def test_a_mark_that_says_nothing_is_accepted_too(folder: Path) -> None:
    (folder / "data" / "ledger.head").write_text("torn")
    assert past(folder)
    status, value, _ = command(folder, "restore")
    assert (status, value["seen_entry"]) == (0, None)
    assert not past(folder)


def test_records_that_begin_anew_are_accepted_too(folder: Path) -> None:
    """Another database, or another file: it has no entry at all."""
    for path in (folder / "data").glob("tokenward.db*"):
        path.unlink()
    assert past(folder)
    status, value, _ = command(folder, "restore")
    assert (status, value["last_entry"]) == (0, 0)
    assert not past(folder)
    assert not (folder / "data" / "ledger.head").exists()


def test_who_shares_the_records_is_told_of_the_other_machines() -> None:
    value = {"seen_entry": 5, "last_entry": 3, "keys_frozen": ["a"]}
    assert "restore --keep-live" in _screen(value, is_shared=True)
    assert "machine" not in _screen(value, is_shared=False)
