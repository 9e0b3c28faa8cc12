"""`tokenward serve --workers N`: the keeper's process, and its workers' lives.

The keeper binds the sockets, one for each worker and address, and keeps them: connections that the
kernel gave to a worker that just died wait for the next one in its place.
"""

import asyncio
import logging
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from typing import Any, Final

import uvloop

from tokenward.cli.worker import WorkOrder
from tokenward.kernel.errors import SettingsError, WorkersError
from tokenward.settings import Settings

AGAIN_S: Final = 0.1
AGAIN_MAX_S: Final = 5.0
FAILED_MAX: Final = 5
"""So many workers in a row that never took a call: the next one will not either."""
STOP_WAIT_S: Final = 15.0
"""For a worker to end beyond the time its calls have; then it is killed."""
SILENT_S: Final = 15.0
"""A worker that says nothing for so long hangs, and holds connections that nobody answers."""
LOOK_EVERY_S: Final = 1.0

log = logging.getLogger("tokenward.workers")


def supervise(
    settings: Settings,
    environ: Mapping[str, str],
    count: int,
    on_ready: Callable[[str, int], None],
) -> None:
    """Run a guard of `count` workers until SIGTERM. Raises SettingsError or StoreError instead of
    starting badly, `WorkersError` when workers die again and again."""
    uvloop.run(_supervise(settings, environ, count, on_ready))


async def _supervise(
    settings: Settings,
    environ: Mapping[str, str],
    count: int,
    on_ready: Callable[[str, int], None],
) -> None:
    from tokenward.app.crew import keeping
    from tokenward.http.server import bind

    async with keeping(settings, environ) as keeper:
        server = settings.server
        places = [
            _Place(number, sockets)
            for number, sockets in enumerate(bind(server.host, server.port, count))
        ]
        crew = _Crew(settings, environ, keeper, places, on_ready)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, crew.stop)
        await crew.run()


class _Place:
    """Where one worker after the other works."""

    def __init__(self, number: int, sockets: tuple[socket.socket, ...]) -> None:
        self.number = number
        self.sockets = sockets
        self.instance = ""
        self.process: asyncio.subprocess.Process | None = None
        self.is_ready = False

    @property
    def is_alive(self) -> bool:
        """Whether its worker has not ended."""
        return self.process is not None and self.process.returncode is None

    def kill(self) -> None:
        """End its worker at once."""
        if self.process is not None and self.is_alive:
            self.process.kill()

    def close(self) -> None:
        """Take no more connections here."""
        for each in self.sockets:
            each.close()


class _Crew:
    """All workers: started, started again, stopped."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str],
        keeper: Any,
        places: list[_Place],
        on_ready: Callable[[str, int], None],
    ) -> None:
        self._settings = settings
        self._environ = environ
        self._keeper = keeper
        self._places = places
        self._on_ready = on_ready
        self._was_ready = False
        self._is_stopping = asyncio.Event()
        self._failure: Exception | None = None
        self._killing: asyncio.TimerHandle | None = None
        keeper.on_ready = self._be_ready
        keeper.on_failed = self._fail

    async def run(self) -> None:
        """Until stopped. Raises why it cannot go on."""
        lives = [asyncio.create_task(self._live(place)) for place in self._places]
        looking = asyncio.create_task(self._look())
        await asyncio.gather(*lives)
        looking.cancel()
        for place in self._places:
            place.close()
        if self._killing is not None:
            self._killing.cancel()
        if self._failure is not None:
            raise self._failure

    def stop(self) -> None:
        """Take no more calls and let the running ones end; called again, end them now."""
        drain_s = 0.0 if self._is_stopping.is_set() else self._settings.server.drain_s
        self._is_stopping.set()
        for place in self._places:
            place.close()
        self._keeper.stop()
        if self._killing is not None:
            self._killing.cancel()
        self._killing = asyncio.get_running_loop().call_later(drain_s + STOP_WAIT_S, self._kill)

    def _kill(self) -> None:
        for place in self._places:
            if place.is_alive:
                log.error("worker %d did not end in time and is killed", place.number)
                place.kill()

    async def _live(self, place: _Place) -> None:
        """One worker after the other, until the crew stops."""
        failed = 0
        while not self._is_stopping.is_set():
            place.is_ready, is_started = False, True
            try:
                process = await self._start(place)
            except OSError as error:  # the machine is short of processes, memory or files
                how, is_started = f"cannot be started ({error})", False
            else:
                status = await process.wait()
                how = (
                    f"(pid {process.pid}) ended with status {status}; what it held and did not "
                    "settle is charged in full"
                )
            if self._is_stopping.is_set():
                return
            # One that was killed at work, however early, is no reason to stop the others.
            failed = 0 if place.is_ready else min(failed + 1, FAILED_MAX)
            pause_s = min(AGAIN_S * 2**failed, AGAIN_MAX_S)
            log.error("worker %d %s; another one starts in %.1f s", place.number, how, pause_s)
            # What the machine is short of may be back; as long as others work, they go on.
            if failed >= FAILED_MAX and (is_started or not self._work_others(place)):
                what = "end as soon as they start" if is_started else "cannot be started"
                self._give_up(WorkersError(f"workers {what}; see the log above"))
                return
            await self._pause(pause_s)

    def _work_others(self, place: _Place) -> bool:
        """Once all were ready, whether another worker takes calls now."""
        return self._was_ready and any(
            each.is_ready and each.is_alive for each in self._places if each is not place
        )

    async def _pause(self, wait_s: float) -> None:
        try:
            async with asyncio.timeout(wait_s):
                await self._is_stopping.wait()
        except TimeoutError:
            return

    async def _start(self, place: _Place) -> asyncio.subprocess.Process:
        """A worker that has its orders. Raises OSError, and then leaves nothing behind."""
        from tokenward.app.crew import give_link

        mine, its = socket.socketpair()
        place.instance = secrets.token_hex(16)
        listening = tuple(each.fileno() for each in place.sockets)
        order = WorkOrder(
            settings=self._settings,
            instance=place.instance,
            link=its.fileno(),
            listening=listening,
        )
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "tokenward.cli.worker",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=(its.fileno(), *listening),
                env=dict(self._environ),
                start_new_session=True,  # a terminal's signals are for the keeper
            )  # fmt: skip
        except BaseException:
            mine.close()
            raise
        finally:
            its.close()
        place.process = process
        assert process.stdin is not None, "it was asked for"
        try:
            await give_link(self._keeper, mine)
        except BaseException:
            mine.close()
            process.stdin.close()
            place.kill()
            await process.wait()
            raise
        process.stdin.write(order.written())
        process.stdin.close()
        return process

    def _be_ready(self, instance: str) -> None:
        for place in self._places:
            if place.instance == instance:
                place.is_ready = True
        if not self._was_ready and all(place.is_ready for place in self._places):
            self._was_ready = True
            host, port = self._places[0].sockets[0].getsockname()[:2]
            self._on_ready(host, port)

    def _fail(self, instance: str, why: str) -> None:
        """Before all were ready nothing starts; later, others may still work."""
        if not self._was_ready:
            self._give_up(SettingsError(why))
        else:
            log.error("a worker cannot start: %s", why)

    def _give_up(self, failure: Exception) -> None:
        if self._failure is None:
            self._failure = failure
        if not self._is_stopping.is_set():
            self.stop()

    async def _look(self) -> None:
        """Kill workers that hang. Not when this process was stopped itself: it has not read yet
        what they said meanwhile."""
        loop = asyncio.get_running_loop()
        while True:
            began_s = loop.time()
            await asyncio.sleep(LOOK_EVERY_S)
            if loop.time() - began_s > 2 * LOOK_EVERY_S:
                continue
            silent = self._keeper.silent(SILENT_S)
            for place in self._places:
                if place.instance in silent:
                    log.error("worker %d says nothing any more and is killed", place.number)
                    place.kill()
