"""An event loop on virtual time: no threads, no sockets, no waiting, and chance only from a seed.

Real `asyncio` code runs on it unchanged. What it runs belongs to a `Process`, found by a context
variable that tasks and timers inherit: so a process can be killed (nothing of it ever runs again,
not even a `finally`), stopped for a while (time goes on for it), and started anew. Callbacks of one
process run in the order asked for; whose turn it is among processes at one instant, the seed says.
"""

import asyncio
import contextvars
import heapq
import warnings
from asyncio import events
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

T = TypeVar("T")
STEPS_MAX = 2_000_000
"""Of one world: a thousand times what any takes."""
READ_S = 0.001
"""How long what runs in a thread elsewhere takes here."""


class DeadlockError(Exception):
    """Nothing is left that could wake who still waits; the message says who that is."""


class Process:
    """What lives and dies together. `is_stopped`: as by SIGSTOP."""

    def __init__(self, loop: "SimLoop", name: str) -> None:
        self.name = name
        self.is_dead = False
        self.is_stopped = False
        self.ready: deque[asyncio.Handle] = deque()
        self.context = contextvars.Context()
        self.context.run(_PROCESS.set, self)
        self._loop = loop
        loop.processes.append(self)

    def spawn(self, work: Coroutine[Any, Any, T], name: str = "") -> "asyncio.Task[T]":
        """Run it as a task of this process."""
        return self._loop.create_task(
            work, name=f"{self.name}: {name or work.__qualname__}", context=self.context.copy()
        )

    def call(self, wait_s: float, callback: Callable[..., object], *args: Any) -> None:
        """Have the process called after a while, unless it is dead by then."""
        self._loop.call_later(wait_s, callback, *args, context=self.context)

    def kill(self) -> None:
        """As by SIGKILL."""
        self.is_dead = True
        self.ready.clear()

    def __repr__(self) -> str:
        return self.name


_PROCESS: contextvars.ContextVar[Process] = contextvars.ContextVar("process")


def current_process() -> Process:
    """Whose code runs now."""
    return _PROCESS.get()


class SimLoop(asyncio.AbstractEventLoop):
    """Use it with `run`; what is left is thrown away by `close`."""

    def __init__(self, rng: Random) -> None:
        self.processes: list[Process] = []
        self.failures: list[str] = []
        """What tasks raised and nobody took, in words."""
        self.steps = 0
        self._rng = rng
        self._now_s = 0.0
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._asked = 0
        self._tasks: list[asyncio.Task[Any]] = []
        self._is_closed = False
        self.world = Process(self, "world")

    # -- running -------------------------------------------------------------------------------

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Run until `work`, a task of the process `world`, has ended. Raises what it raises."""
        before = events._get_running_loop()
        events._set_running_loop(self)
        try:
            task = self.world.spawn(work)
            while not task.done():
                self._step()
            return task.result()
        finally:
            events._set_running_loop(before)

    def _step(self) -> None:
        able = [p for p in self.processes if p.ready and not p.is_stopped]
        if not able:
            self._jump()
            return
        process = able[0] if len(able) == 1 else self._rng.choice(able)
        handle = process.ready.popleft()
        if handle.cancelled():
            return
        self.steps += 1
        if self.steps > STEPS_MAX:
            raise DeadlockError(f"{STEPS_MAX} steps and no end: {self._who_waits()}")
        handle._run()

    def _jump(self) -> None:
        """To the next timer, and to everything else that is due at that instant."""
        timers = self._timers
        while timers and timers[0][2].cancelled():
            heapq.heappop(timers)
        if not timers:
            raise DeadlockError(f"nothing will ever happen again: {self._who_waits()}")
        self._now_s = timers[0][0]
        while timers and timers[0][0] <= self._now_s:
            handle = heapq.heappop(timers)[2]
            if not handle.cancelled():
                self._enqueue(handle)

    def _enqueue(self, handle: asyncio.Handle) -> None:
        process = handle._context.get(_PROCESS)
        if not process.is_dead:
            process.ready.append(handle)

    def _who_waits(self) -> str:
        waiting = [
            f"{task.get_name()} at {_place(task)}" for task in self._tasks if not task.done()
        ]
        return "; ".join(waiting[-20:]) or "no task waits"

    # -- as asyncio asks -----------------------------------------------------------------------

    def time(self) -> float:
        return self._now_s

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        if not self._is_closed:
            self._enqueue(handle)
        return handle

    def call_later(
        self, delay: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s + max(0.0, delay), callback, *args, context=context)

    def call_at(
        self, when: float, callback: Callable[..., object], *args: Any, context: Any = None
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        self._asked += 1
        heapq.heappush(self._timers, (when, self._asked, handle))
        return handle

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        pass  # it is passed over when its time comes

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(
        self, coro: Any, *, name: Any = None, context: Any = None
    ) -> "asyncio.Task[Any]":
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        task.add_done_callback(self._look_at, context=self.world.context)
        if len(self._tasks) > 4_096:
            self._tasks = [task for task in self._tasks if not task.done()]
        return task

    def _look_at(self, task: "asyncio.Task[Any]") -> None:
        """What nobody waits for must not fail unseen; that a waiter takes it too does no harm."""
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            if isinstance(error, AssertionError | TypeError | AttributeError | LookupError):
                self.failures.append(f"{task.get_name()}: {error!r}{_where(error)}")

    def run_in_executor(
        self, executor: Any, func: Callable[..., T], *args: Any
    ) -> "asyncio.Future[T]":
        future = self.create_future()

        def work() -> None:
            if future.done():
                return
            try:
                future.set_result(func(*args))
            except Exception as error:
                future.set_exception(error)

        self.call_later(READ_S, work)
        return future

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return not self._is_closed

    def is_closed(self) -> bool:
        return self._is_closed

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._is_closed:
            error = context.get("exception")
            self.failures.append(f"{context.get('message')}: {error!r}{_where(error)}")

    def close(self) -> None:
        """Throw away whatever still waits, without letting it do anything."""
        self._is_closed = True
        self._timers.clear()
        for process in self.processes:
            process.kill()
        with warnings.catch_warnings():  # of coroutines that a killed process never came to await
            warnings.simplefilter("ignore", RuntimeWarning)
            for task in self._tasks:
                if not task.done():
                    _discard(task)
            self._tasks.clear()


def _discard(task: "asyncio.Task[Any]") -> None:
    task._log_destroy_pending = False  # a killed process does not complain of what it left
    with suppress(BaseException):  # its process is dead: what it would still do has no effect
        task.get_coro().close()


def _place(task: "asyncio.Task[Any]") -> str:
    frames = task.get_stack(limit=1)
    return f"{frames[0].f_code.co_filename}:{frames[0].f_lineno}" if frames else "?"


def _where(error: BaseException | None) -> str:
    trace = error.__traceback__ if error is not None else None
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    return f" at {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else ""
