"""When the records cannot be kept the guard says 503, never 401, never lets a call pass; and it
goes on by itself when they can be kept again."""

import asyncio
import os
import resource
import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, closing, contextmanager
from pathlib import Path

import pytest

from books import billed, ended, underpaid
from caller import Caller, admin, calling, chat, claude, gemini, new_key
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess

Harm = Callable[[GuardProcess], AbstractContextManager[None]]
QUICK = "output_tokens=5"
SHAPES = (chat(), claude(stream=False), gemini())


def once_only(guard: GuardProcess) -> AbstractAsyncContextManager[Caller]:
    """A caller that repeats nothing."""
    return calling(guard.base_url, tries_again=False)


@pytest.fixture
def own(standin: StandinProcess, tmp_path: Path) -> Iterator[GuardProcess]:
    """A guard whose records may be harmed."""
    settings = provider_settings(standin.base_url)
    settings += "\n[server]\ncall_limit_s = 7\nhangup_drain_s = 0.5\ndrain_s = 0.5\n"
    settings += "\n[ledger]\nhold_ttl_s = 9\n"
    environ = {"PROVIDER_KEY": standin.credential, "TOKENWARD_LEDGER__COMMIT_LIMIT_S": "0.75"}
    with running_guard(tmp_path / "own", settings, environ) as guard:
        yield guard


@contextmanager
def full_disk(guard: GuardProcess) -> Iterator[None]:
    """No file of the guard can be written beyond its first byte, as on a full disk."""
    limits = resource.prlimit(guard.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(guard.pid, resource.RLIMIT_FSIZE, (1, limits[1]))
    yield
    resource.prlimit(guard.pid, resource.RLIMIT_FSIZE, limits)


@contextmanager
def locked_file(guard: GuardProcess) -> Iterator[None]:
    """Another process has begun to write and does not end."""
    path = guard.folder / "data" / "tokenward.db"
    with closing(sqlite3.connect(path, isolation_level=None, timeout=30)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


@pytest.mark.req("K-2", "O-4")
@pytest.mark.parametrize("harm", [full_disk, locked_file])
async def test_without_its_records_the_guard_lets_nothing_pass_and_is_back_by_itself(
    own: GuardProcess, standin: StandinProcess, harm: Harm
) -> None:
    name = harm.__name__
    keys = [(await new_key(own, "5.00/day"))[1], (await new_key(own))[1]]
    async with calling(own.base_url) as caller, once_only(own) as strict:

        async def ask_all(caller: Caller) -> Counter[tuple[int, str]]:
            asked = [
                caller.call(key, shape, f"{QUICK}; tag={name}") for key in keys for shape in SHAPES
            ]
            return Counter((told.status, told.code) for told in await asyncio.gather(*asked))

        assert await ask_all(caller) == {(200, ""): 6}
        with harm(own):
            for _ in range(5):
                assert await ask_all(strict) == {(503, "store:unavailable"): 6}
            assert len(standin.lines(name)) == 6
        assert await ask_all(caller) == {(200, ""): 6}, "without a restart"
    assert len(standin.lines(name)) == 12
    assert (await admin(own, "GET", "/doctor?audit=true"))["ok"]


@pytest.mark.req("K-2")
@pytest.mark.parametrize("harm", [full_disk, locked_file])
async def test_a_key_that_is_not_in_memory_is_503_and_never_401(
    own: GuardProcess, standin: StandinProcess, harm: Harm
) -> None:
    _, key = await new_key(own)
    assert own.stop() == 0
    own.start()
    async with calling(own.base_url) as caller, once_only(own) as strict:
        with harm(own):
            told = await strict.call(key, claude(), QUICK)
            assert (told.status, told.code) == (503, "store:unavailable")
        assert (await caller.call(key, claude(), QUICK)).status == 200


@pytest.mark.slow
@pytest.mark.req("K-2", "M-7", "F-1")
@pytest.mark.parametrize("harm", [full_disk, locked_file])
async def test_calls_that_run_while_the_records_fail_are_charged_when_they_can_be(
    own: GuardProcess, standin: StandinProcess, harm: Harm
) -> None:
    """The answers pass; what they cost cannot be written, so their holds stay and expire."""
    names = [f"running-{harm.__name__}-{i}" for i in range(5)]
    _, key = await new_key(own, "5.00/day")
    async with calling(own.base_url) as caller:
        calls = [
            asyncio.create_task(
                caller.call(
                    key,
                    claude(),
                    f"chunks=8; gap_ms=100; tag={name}",
                    headers={"x-request-id": name},
                )
            )
            for name in names
        ]
        for name in names:
            await standin.has_seen(name)
        with harm(own):
            told = await asyncio.gather(*calls)
            assert {(each.status, each.is_whole) for each in told} == {(200, True)}
            await asyncio.sleep(0.3)
    ledger = await ended(own.folder / "data", *names, wait_s=60)
    bill = billed(line for line in standin.bill()["lines"] if line["tag"] in names)
    assert set(bill) == set(names)
    assert underpaid(bill, ledger) == {}
    assert (await admin(own, "GET", "/doctor?audit=true"))["ok"]


@pytest.mark.slow
@pytest.mark.req("K-2", "O-4")
async def test_a_store_that_fails_under_load_gives_no_401_and_loses_no_call(
    own: GuardProcess, standin: StandinProcess
) -> None:
    _, key = await new_key(own, "50.00/day")
    told: list[tuple[int, str]] = []
    asked: set[str] = set()
    async with once_only(own) as caller:
        is_over = False

        async def go_on(number: int) -> None:
            count = 0
            while not is_over:
                name = f"under-load-{number}-{count}"
                asked.add(name)
                count += 1
                each = await caller.call(
                    key,
                    claude(stream=False),
                    f"{QUICK}; tag={name}",
                    headers={"x-request-id": name},
                )
                told.append((each.status, each.code))

        async def until_more(answer: tuple[int, str]) -> None:
            before = told.count(answer)
            async with asyncio.timeout(30):
                while told.count(answer) < before + 20:
                    await asyncio.sleep(0.02)

        callers = [asyncio.create_task(go_on(i)) for i in range(20)]
        for harm in (full_disk, locked_file, full_disk):
            await until_more((200, ""))
            with harm(own):
                await until_more((503, "store:unavailable"))
        await until_more((200, ""))
        is_over = True
        await asyncio.gather(*callers)
    codes = Counter(told)
    # A failed commit makes the store forget what it had in memory: keys are not in sight then.
    assert codes.keys() - {(503, "key:stale_view")} == {
        (200, ""),
        (503, "store:unavailable"),
    }, codes
    bill = billed(line for line in standin.bill()["lines"] if line["tag"] in asked)
    ledger = await ended(own.folder / "data", *bill, wait_s=60)
    assert len(bill) == codes[(200, "")]
    assert underpaid(bill, ledger) == {}
    assert (await admin(own, "GET", "/doctor?audit=true"))["ok"]


def test_a_second_guard_on_the_same_folder_does_not_start_and_says_why(own: GuardProcess) -> None:
    done = own.run("serve", "--port", "0")
    assert done.returncode == 1
    assert "another tokenward" in done.stderr
    assert str(own.pid) in done.stderr
    assert "Traceback" not in done.stderr
    assert own.cli("key", "list") == [], "the first one is unharmed"


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_a_guard_whose_folder_is_read_only_does_not_start_and_says_why(own: GuardProcess) -> None:
    own.stop()
    data = own.folder / "data"
    data.chmod(0o500)
    done = own.run("serve", "--port", "0")
    data.chmod(0o700)
    assert done.returncode == 1
    assert "cannot be" in done.stderr


@pytest.mark.req("K-2")
@pytest.mark.parametrize("gone", ["data", "data/tokenward.db"])
async def test_a_guard_whose_records_were_deleted_lets_nothing_pass(
    own: GuardProcess, standin: StandinProcess, gone: str
) -> None:
    _, key = await new_key(own, "5.00/day")
    name = f"deleted-{len(gone)}"
    async with calling(own.base_url) as caller, once_only(own) as strict:
        told = await caller.call(key, claude(), f"{QUICK}; tag={name}")
        assert told.status == 200
        if gone == "data":
            shutil.rmtree(own.folder / gone)
        else:
            (own.folder / gone).unlink()
        told = await strict.call(key, claude(), f"{QUICK}; tag={name}")
    assert (told.status, told.code) == (503, "store:unavailable")
