"""The keeper's process when the machine has no process, memory or file for another worker."""

import asyncio
import errno
import logging
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from ledger_world import MovingClock
from tokenward.cli import supervise
from tokenward.cli.supervise import FAILED_MAX, _Crew, _Place
from tokenward.kernel.errors import WorkersError
from tokenward.settings import load
from tokenward.store.workers import Keeper
from unit.cli.test_cli_worker import SETTINGS
from workers_world import running_crew

HALTS = ("exec", "socketpair", "link")
WANTING = {"exec": errno.EAGAIN, "socketpair": errno.EMFILE, "link": errno.ENOMEM}


class Machine:
    """Starts processes that only wait; of some it has too little while `wanting` says so."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.wanting = ""
        self.halts = 0
        self.ends: list[socket.socket] = []
        self.processes: list[asyncio.subprocess.Process] = []
        self._exec, self._pair = asyncio.create_subprocess_exec, socket.socketpair
        loop = asyncio.get_running_loop()
        self._connect: Callable[..., Any] = loop.create_unix_connection
        monkeypatch.setattr(asyncio, "create_subprocess_exec", self.start)
        monkeypatch.setattr(socket, "socketpair", self.pair)
        monkeypatch.setattr(loop, "create_unix_connection", self.connect)

    def _halt(self, what: str) -> None:
        if self.wanting == what:
            self.halts += 1
            raise OSError(WANTING[what], os.strerror(WANTING[what]))

    async def start(self, *_: str, **how: Any) -> asyncio.subprocess.Process:
        self._halt("exec")
        waiting = "import time; time.sleep(600)"
        process = await self._exec(sys.executable, "-S", "-c", waiting, **how)
        self.processes.append(process)
        return process

    def pair(self) -> tuple[socket.socket, socket.socket]:
        self._halt("socketpair")
        pair = self._pair()
        self.ends += pair
        return pair

    async def connect(self, *args: Any, **how: Any) -> Any:
        self._halt("link")
        return await self._connect(*args, **how)


@pytest.fixture
async def keeper(tmp_path: Path) -> AsyncIterator[Keeper]:
    async with running_crew(tmp_path / "data", MovingClock(), count=0) as (_, keeper, _):
        yield keeper


@pytest.fixture
async def machine(keeper: Keeper, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Machine]:
    monkeypatch.setattr(supervise, "AGAIN_S", 0.001)
    made = Machine(monkeypatch)
    yield made
    for process in made.processes:
        if process.returncode is None:
            process.kill()
            await process.wait()
    await keeper.close()
    for end in made.ends:
        end.close()


def crew_of(
    keeper: Keeper, machine: Machine, tmp_path: Path, count: int
) -> tuple[_Crew, list[_Place]]:
    path = tmp_path / "tokenward.toml"
    path.write_text(SETTINGS, "utf-8")
    places = [_Place(number, (socket.create_server(("127.0.0.1", 0)),)) for number in range(count)]
    machine.ends += [each for place in places for each in place.sockets]
    settings = load(path, {"TOKENWARD_SERVER__DRAIN_S": "0"})
    environ = {"PROVIDER_KEY": "s3cret"}
    return _Crew(settings, environ, keeper, places, lambda host, port: None), places


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.005)


async def be_ready(keeper: Keeper, places: list[_Place]) -> None:
    await until(lambda: all(place.is_alive for place in places))
    for place in places:
        keeper.on_ready(place.instance)


@pytest.mark.parametrize("halt", HALTS)
async def test_a_worker_that_cannot_be_started_again_leaves_the_others_at_work_and_is_tried_on(
    keeper: Keeper, machine: Machine, tmp_path: Path, caplog: pytest.LogCaptureFixture, halt: str
) -> None:
    crew, places = crew_of(keeper, machine, tmp_path, 2)
    running = asyncio.create_task(crew.run())
    await be_ready(keeper, places)
    other, ends = places[1].process, len(machine.ends)
    machine.wanting = halt
    with caplog.at_level(logging.ERROR, "tokenward.workers"):
        places[0].kill()
        await until(lambda: machine.halts > 2 * FAILED_MAX or running.done())
    assert not running.done()
    assert places[1].process is other
    assert places[1].is_alive
    said = [record.getMessage() for record in caplog.records]
    why = os.strerror(WANTING[halt])
    assert sum("worker 0 cannot be started" in line and why in line for line in said) > FAILED_MAX
    assert not any("\n" in line or "s3cret" in line for line in said)
    machine.wanting = ""
    await until(lambda: places[0].is_alive)
    left_open = [end for end in machine.ends[ends:] if end.fileno() >= 0]
    assert len(left_open) <= 1, "one end, that of the worker that started at last"
    alive = [process for process in machine.processes if process.returncode is None]
    assert len(alive) == 2
    crew.stop()
    for place in places:
        place.kill()
    await asyncio.wait_for(running, 30)


@pytest.mark.parametrize("was_ready", [True, False], ids=["nobody else works", "at the start"])
async def test_where_no_worker_works_and_none_can_be_started_the_guard_ends_and_says_why(
    keeper: Keeper, machine: Machine, tmp_path: Path, was_ready: bool
) -> None:
    crew, places = crew_of(keeper, machine, tmp_path, 1)
    machine.wanting = "" if was_ready else "exec"
    running = asyncio.create_task(crew.run())
    if was_ready:
        await be_ready(keeper, places)
        machine.wanting = "exec"
        places[0].kill()
    with pytest.raises(WorkersError, match="workers cannot be started"):
        await asyncio.wait_for(running, 30)
    assert machine.halts == FAILED_MAX
    assert len(machine.processes) == was_ready


async def test_a_guard_that_is_told_to_stop_does_not_start_what_could_not_be_started(
    keeper: Keeper, machine: Machine, tmp_path: Path
) -> None:
    crew, places = crew_of(keeper, machine, tmp_path, 2)
    running = asyncio.create_task(crew.run())
    await be_ready(keeper, places)
    machine.wanting = "exec"
    os.kill(places[0].process.pid, signal.SIGKILL)
    await until(lambda: machine.halts > 1)
    machine.wanting = ""
    started = len(machine.processes)
    crew.stop()
    places[1].kill()
    await asyncio.wait_for(running, 30)
    assert len(machine.processes) == started
