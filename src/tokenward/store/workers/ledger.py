"""Money, as a worker asks for it."""

import asyncio
from contextvars import ContextVar
from typing import Final

from tokenward.kernel.errors import StoreBusyError
from tokenward.kernel.events import Event
from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.kernel.refusals import Refusal
from tokenward.ledger.granting import Denial, decide
from tokenward.ledger.keeping import payable
from tokenward.ledger.records import (
    Account,
    Cap,
    CapStatus,
    Charge,
    Finding,
    Hold,
    HoldAsk,
    Project,
    Settlement,
    UsageRow,
)
from tokenward.ledger.statement import Head
from tokenward.store.workers import messages
from tokenward.store.workers.line import Line

FROM_NOW_ON: Final = -1
_refused_at: ContextVar[int] = ContextVar("refused_at", default=FROM_NOW_ON)
"""How much had been freed when this task's last hold was refused: it waits for what comes after."""


class RemoteLedger:
    """Fulfils `ledger.interfaces.Ledger`. What a worker settles is in effect before anything that
    its callers ask afterwards, of whichever worker: it is on its way before they hear of the end
    of their call."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._room = asyncio.Event()

    async def hold(self, ask: HoldAsk) -> Hold | Refusal:
        """Reserve, durably, or refuse. What nobody heard of is voided."""
        try:
            begged = await self._line.beg(messages.HOLD, ask)
        except ValueError:
            return _impossible(ask)
        refused = begged.refused
        _refused_at.set(FROM_NOW_ON if refused is None else refused.room)
        return begged.answer if refused is None else refused.refusal()

    def settle(self, hold: Hold, charge: Charge, at_ms: int) -> "asyncio.Future[Settlement]":
        """End the hold with the real cost."""
        return self._line.owe(messages.SETTLE, hold, payable(hold, charge), at_ms)

    def void(self, hold: Hold, why: str, at_ms: int) -> "asyncio.Future[Settlement]":
        """End the hold at no cost."""
        return self._line.owe(messages.VOID, hold, why, at_ms)

    async def wait_for_room(self, wait_s: float) -> bool:
        """Wait until a hold ended, in any worker, or a cap was changed, since this task was
        refused."""
        room = self._room
        self._line.tell(messages.WantRoom(_refused_at.get()))
        _refused_at.set(FROM_NOW_ON)
        try:
            async with asyncio.timeout(wait_s):
                await room.wait()
        except TimeoutError:
            return False
        return True

    def free_room(self) -> None:
        """The keeper says that there may be room."""
        self._room.set()
        self._room = asyncio.Event()

    async def sweep(self, now_ms: int) -> int:
        """Close every hold past its time at full price; how many there were."""
        return await self._line.ask(messages.SWEEP, now_ms)

    async def set_cap(self, cap: Cap) -> Cap:
        """Create or change a cap."""
        return await self._line.ask(messages.SET_CAP, cap)

    async def remove_cap(self, subject: str, model: str, window: str, unit: str) -> bool:
        """False if there is none."""
        return await self._line.ask(messages.REMOVE_CAP, subject, model, window, unit)

    async def caps(
        self, now_ms: int, subject: str = "", after: Seen = BEGINNING, limit: int = PAGE_MAX
    ) -> list[CapStatus]:
        """A page of caps and where each stands."""
        return await self._line.ask(messages.CAPS, now_ms, subject, after, limit)

    async def add_credit(self, account: str, amount_nusd: int, at_ms: int, why: str) -> int:
        """Prepaid money; the account's new sum of credit."""
        return await self._line.ask(messages.ADD_CREDIT, account, amount_nusd, at_ms, why)


class RemoteBooks:
    """Fulfils `ledger.interfaces.Books`."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def create_account(self, name: str, at_ms: int) -> bool:
        """False if it exists already."""
        return await self._line.ask(messages.CREATE_ACCOUNT, name, at_ms)

    async def accounts(self, after: Seen = BEGINNING, limit: int = PAGE_MAX) -> list[Account]:
        """The oldest accounts after that one, each with its credit."""
        return await self._line.ask(messages.ACCOUNTS, after, limit)

    async def find_account(self, name: str) -> Account | None:
        """The account with this name."""
        return await self._line.ask(messages.FIND_ACCOUNT, name)

    async def find_project(self, name: str) -> Project | None:
        """The project with this name."""
        return await self._line.ask(messages.FIND_PROJECT, name)

    async def usage(
        self,
        by: str,
        since_ms: int,
        until_ms: int,
        after: str | None = None,
        limit: int = PAGE_MAX,
    ) -> list[UsageRow]:
        """What calls cost."""
        return await self._line.ask(messages.USAGE, by, since_ms, until_ms, after, limit)

    async def spent(self, since_ms: int, until_ms: int) -> UsageRow:
        """What all calls cost."""
        return await self._line.ask(messages.SPENT, since_ms, until_ms)

    async def events(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """Events with their numbers, oldest first."""
        return await self._line.ask(messages.EVENTS, after, limit)

    async def last_event(self) -> int:
        """The number of the newest event."""
        return await self._line.ask(messages.LAST_EVENT)

    async def head(self) -> Head:
        """Number and hash of the last entry."""
        return await self._line.ask(messages.HEAD)

    async def hash_of(self, seq: int) -> bytes | None:
        """The hash that the entry carries."""
        return await self._line.ask(messages.HASH_OF, seq)

    async def audit(self, known: tuple[Head, ...] = ()) -> list[Finding]:
        """Prove the chain, the holds and every balance."""
        return await self._line.ask(messages.AUDIT, known)

    async def reconcile(self, now_ms: int) -> int:
        """Rebuild every counter from the entries."""
        return await self._line.ask(messages.RECONCILE, now_ms)


def _impossible(ask: HoldAsk) -> Refusal:
    """The wish cannot even be said, so it is refused as any ledger would, whatever stands in it."""
    denial = decide((), ask)
    if not isinstance(denial, Denial):
        raise StoreBusyError("the wish is too large to be asked")
    return denial.refusal
