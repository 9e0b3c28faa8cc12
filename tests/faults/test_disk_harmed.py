"""A disk that is full and one that gives errors, under load, in one process and in several: what is
not on the disk is not sent, and the guard goes on by itself when the disk does."""

import asyncio
import errno
import resource
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from books import booked, ended
from caller import NOT_NOW, admin, calling, cap_of, claude, new_key
from crew_guard import until_so
from guard import GuardProcess, provider_settings
from pressing import Press
from standin import StandinProcess

CAP_NUSD = 90_000_000_000
CALLERS = 12
DISK = "24m"
FIU = Path("/usr/lib/fiu")
ANY_WRITE, ANY_READ, ANY_SYNC = "posix/io/rw/pwrite", "posix/io/rw/pread", "posix/io/sync/*"
SHORT = """
[server]
workers = {workers}
call_limit_s = 3
hangup_drain_s = 0.5
drain_s = 0.5
[ledger]
hold_ttl_s = 5
"""
"""What cannot be settled is charged in full within seconds."""

in_one_and_in_several = pytest.mark.parametrize("workers", [1, 2])


def make_guard(
    folder: Path, standin: StandinProcess, workers: int, environ: dict[str, str] | None = None
) -> GuardProcess:
    """A guard that was not started yet."""
    settings = provider_settings(standin.base_url) + SHORT.format(workers=workers)
    own = {"PROVIDER_KEY": standin.credential, "TOKENWARD_LEDGER__COMMIT_LIMIT_S": "0.75"}
    return GuardProcess(folder, settings, {**own, **(environ or {})})


@contextmanager
def started(guard: GuardProcess) -> Iterator[None]:
    guard.start()
    try:
        yield
    finally:
        if guard.is_running:
            assert guard.stop() == 0, guard.log()


async def prove(guard: GuardProcess, standin: StandinProcess, key_id: str, press: Press) -> None:
    """The disk is well again: so is everything else, without a restart."""
    data = guard.folder / "data"
    ledger = await ended(data, *(press.told.keys() & booked(data).keys()), wait_s=60)
    guard.wait_until_settled()
    cap = await cap_of(guard, f"key:{key_id}")
    assert cap["held"] == 0
    press.check(standin.bill(), ledger, CAP_NUSD, cap["spent"])
    assert (await admin(guard, "GET", "/doctor?audit=true"))["ok"]
    fitting = f"{(cap['spent'] + 40_000_000) / 1e9:.9f}/total"
    await admin(guard, "PUT", "/caps", subject=f"key:{key_id}", cap=fitting)
    async with calling(guard.base_url) as caller:
        _, key = await new_key(guard, "5.00/day")
        assert (await caller.call(key, claude(), "output_tokens=5")).status == 200
    assert press.hangups > 0
    print(press)


@contextmanager
def no_room(guard: GuardProcess) -> Iterator[None]:
    """No file of the guard can grow."""
    limits = resource.prlimit(guard.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(guard.pid, resource.RLIMIT_FSIZE, (1, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(guard.pid, resource.RLIMIT_FSIZE, limits)


@pytest.mark.req("M-7")
@in_one_and_in_several
async def test_nobody_is_told_to_repeat_a_call_that_was_sent_when_its_end_cannot_be_kept(
    standin: StandinProcess, tmp_path: Path, workers: int
) -> None:
    """An SDK would, and the caller would pay twice."""
    guard = make_guard(tmp_path / "guard", standin, workers)
    name = f"unkept-{workers}"
    with started(guard):
        _, key = await new_key(guard, "5.00/day")
        async with calling(guard.base_url, tries_again=False) as caller:
            script = f"first_ms=1500; fail=reset@0; tag={name}"
            ids = {"x-request-id": name}
            call = asyncio.create_task(caller.call(key, claude(), script, headers=ids))
            await until_so(lambda: name in booked(guard.folder / "data"))
            with no_room(guard):
                told = await call
        assert (told.status, told.code) == (502, "provider:no_answer")
        assert told.headers["x-should-retry"] == "false"
        ledger = (await ended(guard.folder / "data", name))[name]
        assert standin.line(name)["cost_nusd"] <= ledger.cost_nusd == ledger.held_nusd


# -- a disk that is full ---------------------------------------------------------------------------


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """What is in the folder, on a disk of its own that is soon full."""
    kept = folder.with_name("kept")
    folder.rename(kept)
    folder.mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=0700", "tmpfs", str(folder)]
    try:
        done = subprocess.run(mount, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no mount here")
    if done.returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")  # needs root
    try:
        shutil.copytree(kept, folder, dirs_exist_ok=True)
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """A file that takes all that is left of a disk."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    return ballast


@pytest.mark.slow
@pytest.mark.req("K-2", "O-4", "F-1", "M-7")
@in_one_and_in_several
async def test_a_full_disk_stops_every_call_and_room_on_it_lets_them_pass_again(
    standin: StandinProcess, tmp_path: Path, workers: int
) -> None:
    guard = make_guard(tmp_path / "guard", standin, workers)
    data = guard.folder / "data"
    with small_disk(data), started(guard):
        key_id, key = await new_key(guard, "90.00/total")
        async with Press(f"full-{workers}", [key], CALLERS, lambda: guard.base_url) as press:
            await press.passes(30)
            files, pid = {path.name for path in data.iterdir()}, guard.pid
            for _ in range(2):
                ballast = await asyncio.to_thread(fill, data)
                # The rest of pages that are there already may take a few more calls.
                await press.is_refused(in_a_row=150)
                ballast.unlink()
                await press.passes(30)
        await prove(guard, standin, key_id, press)
        assert guard.pid == pid
        assert guard.is_running
        left = {path.name for path in data.iterdir()} - files
        assert left <= {"ledger.head", "ledger.head.new"}, "nothing piles up"


# -- a disk that gives errors ----------------------------------------------------------------------


class Errors:
    """libfiu: calls of the C library fail when it is told so. Skips where it is not installed."""

    def __init__(self, folder: Path) -> None:
        if shutil.which("fiu-ctrl") is None or not (FIU / "fiu_posix_preload.so").is_file():
            pytest.skip("libfiu is not installed; on Debian: apt-get install fiu-utils")
        self._pipes = folder / "fiu"
        self.environ = {
            "LD_PRELOAD": f"{FIU / 'fiu_run_preload.so'} {FIU / 'fiu_posix_preload.so'}",
            "FIU_CTRL_FIFO": str(self._pipes),
        }

    async def begin(self, guard: GuardProcess, number: int, chance: float, *calls: str) -> None:
        """From now on these calls of the process that has the disk fail with this `errno`."""
        for call in calls:
            how = f"enable_random probability={chance}," if chance < 1 else "enable "
            await self._tell(guard, f"{how}name={call},failinfo={number}")

    async def end(self, guard: GuardProcess, *calls: str) -> None:
        """They work again."""
        for call in calls:
            await self._tell(guard, f"disable name={call}")

    async def _tell(self, guard: GuardProcess, command: str) -> None:
        tool = ["fiu-ctrl", "-f", str(self._pipes), "-c", command, str(guard.pid)]
        await asyncio.to_thread(subprocess.run, tool, check=True, timeout=30)


@pytest.mark.slow
@pytest.mark.req("K-2", "O-4", "F-1", "M-7")
@in_one_and_in_several
@pytest.mark.parametrize(
    ("number", "calls"),
    [
        pytest.param(errno.EIO, [ANY_WRITE], id="no write works"),
        pytest.param(errno.ENOSPC, [ANY_WRITE], id="no room for any write"),
        pytest.param(errno.EIO, [ANY_SYNC], id="no sync works"),
    ],
)
async def test_a_disk_that_gives_errors_stops_every_call_at_once(
    standin: StandinProcess, tmp_path: Path, workers: int, number: int, calls: list[str]
) -> None:
    errors = Errors(tmp_path)
    guard = make_guard(tmp_path / "guard", standin, workers, errors.environ)
    with started(guard):
        key_id, key = await new_key(guard, "90.00/total")
        name = f"{errno.errorcode[number]}-{len(calls[0])}-{workers}"  # its own on the bill
        async with Press(name, [key], CALLERS, lambda: guard.base_url) as press:
            for _ in range(2):
                await press.passes(30)
                await errors.begin(guard, number, 1, *calls)
                first = press.begun
                await press.until(lambda first=first: press.begun >= first + 100)
                since = [press.told[f"{name}-{n}"] for n in range(first + 1, first + 80)]
                answers = {(told.status, told.code) for told in since if told.status}
                assert answers <= {(503, code) for code in NOT_NOW}
                await errors.end(guard, *calls)
            await press.passes(30)
        await prove(guard, standin, key_id, press)


@pytest.mark.slow
@pytest.mark.req("K-2", "O-4", "F-1", "M-7")
@in_one_and_in_several
async def test_a_disk_that_fails_now_and_then_loses_no_call(
    standin: StandinProcess, tmp_path: Path, workers: int
) -> None:
    errors, calls = Errors(tmp_path), (ANY_WRITE, ANY_READ, ANY_SYNC)
    guard = make_guard(tmp_path / "guard", standin, workers, errors.environ)
    with started(guard):
        key_id, key = await new_key(guard, "90.00/total")
        async with Press(f"flaky-{workers}", [key], CALLERS, lambda: guard.base_url) as press:
            await press.passes(30)
            await errors.begin(guard, errno.EIO, 0.15, *calls)
            await press.refuses(100)
            await errors.end(guard, *calls)
            await press.passes(30)
        await prove(guard, standin, key_id, press)
