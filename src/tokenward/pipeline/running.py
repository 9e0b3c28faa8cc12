"""Which calls are under way, so that a revoked key's streams can be cut (R5)."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from types import TracebackType
from typing import Final, Self

from tokenward.kernel.refusals import Refusal

STOPPING: Final = Refusal(
    "guard:stopping",
    503,
    "This guard is stopping; the call was ended before its answer was complete. Call again.",
)
TOO_LONG: Final = Refusal(
    "call:too_long",
    504,
    "The call ran longer than server.call_limit_s and was ended. What it had held was charged.",
)
HUNG_UP: Final = Refusal(
    "call:hung_up",
    499,
    "The caller left and the rest of the answer took longer than server.hangup_drain_s.",
)


Look = Callable[[], Refusal | None]
"""Why a call's credential is no longer good; None while it is."""


def _is_fit() -> Refusal | None:
    return None


def _stopped(refusal: Refusal) -> Refusal:
    """The same, said of a call that was on its way."""
    return replace(
        refusal,
        message="This call was stopped while its answer ran, because where it came from, or its "
        "model, is held back now. What was used is charged. If it is meant, whoever runs this "
        f"guard allows it with: {dict(refusal.facts).get('way_out', 'tokenward incident undo')}",
    )


def _is_over(refusal: Refusal | None) -> bool:
    """A view that is not fresh says nothing about a key: what runs may run on."""
    return refusal is not None and not refusal.should_retry


class RunningCall:
    """One call between its second look at the key and its end; used with `with`.

    `cut` interrupts whatever the call waits for: the awaiting task is cancelled once, and
    `reason` says why, so that a cut is told apart from the task's own cancellation.
    """

    __slots__ = ("_calls", "_cut_at_s", "_names", "_task", "_timer", "look", "reason")

    def __init__(self, calls: "RunningCalls", names: tuple[str, ...], look: Look) -> None:
        self._calls = calls
        self._names = names
        self.look = look
        self._task: asyncio.Task[object] | None = None
        self._timer: asyncio.Handle | None = None
        self._cut_at_s = 0.0
        self.reason: Refusal | None = None

    def __enter__(self) -> Self:
        self._task = asyncio.current_task()
        assert self._task is not None, "calls run in tasks"
        self._calls.add(self._names, self)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
        self._calls.drop(self._names, self)

    def cut(self, reason: Refusal) -> None:
        """End the call as soon as the loop runs it; the first reason stays."""
        if self._task is not None and self.reason is None:
            self.reason = reason
            self._task.cancel()

    def cut_after(self, wait_s: float, reason: Refusal) -> None:
        """Cut unless the call ends before; a sooner time replaces a later one."""
        loop = asyncio.get_running_loop()
        at_s = loop.time() + wait_s
        if self._timer is not None:
            if self._cut_at_s <= at_s:
                return
            self._timer.cancel()
        self._timer, self._cut_at_s = loop.call_later(wait_s, self.cut, reason), at_s

    def was_cut(self) -> Refusal:
        """Called where the cancellation arrives: takes it back and says why it came.

        A cancellation that nobody asked for through `cut` is the server ending its tasks.
        """
        if self._task is not None:
            self._task.uncancel()
        return self.reason or STOPPING


class RunningCalls:
    """All calls under way, by what they can be cut by: their key, their access token, its family.
    Bounded by the server's limit on connections."""

    def __init__(self) -> None:
        self._by_name: defaultdict[str, set[RunningCall]] = defaultdict(set)
        self._count = 0

    def enter(self, names: tuple[str, ...], look: Look = _is_fit) -> RunningCall:
        """A call, to be used with `with`; `names` as `Known.names`, `look` says whether its
        credential is still good."""
        return RunningCall(self, names, look)

    def add(self, names: tuple[str, ...], call: RunningCall) -> None:
        """Only for `RunningCall`."""
        self._count += 1
        for name in names:
            self._by_name[name].add(call)

    def drop(self, names: tuple[str, ...], call: RunningCall) -> None:
        """Only for `RunningCall`."""
        self._count -= 1
        for name in names:
            calls = self._by_name[name]
            calls.discard(call)
            if not calls:
                del self._by_name[name]

    def cut_key(self, key_id: str, reason: Refusal) -> int:
        """Cut every running call of the key, or of whatever else has this name; how many there
        were."""
        calls = tuple(self._by_name.get(key_id, ()))
        for call in calls:
            call.cut(reason)
        return len(calls)

    def of(self, key_id: str) -> frozenset[RunningCall]:
        """The key's running calls; `reason` of each tells later whether it was cut."""
        return frozenset(self._by_name.get(key_id, ()))

    def cut_unfit(self, key_id: str, reason: Refusal) -> int:
        """Cut the key's running calls that may no longer go on; how many. What is over for another
        reason than its credential (an incident barred it) is told that one."""
        count = 0
        for call in tuple(self._by_name.get(key_id, ())):
            refusal = call.look()
            if refusal is not None and _is_over(refusal):
                call.cut(_stopped(refusal) if refusal.code.startswith("stepup:") else reason)
                count += 1
        return count

    def count(self) -> int:
        """Calls under way now."""
        return self._count
