"""What the pipeline may ask of a ledger; `store/` fulfils it."""

from collections.abc import Awaitable
from typing import Protocol

from tokenward.kernel.events import Event
from tokenward.kernel.pages import BEGINNING, PAGE_MAX, Seen
from tokenward.kernel.refusals import Refusal
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


class Ledger(Protocol):
    """Holds and settles. Every method raises `StoreError` when it cannot know or not keep.

    `settle` and `void` take effect in call order before anything asked later, already when they
    return; awaiting what they return waits until it is durable. So a caller that answers its
    client after calling `settle` never makes the client's next call wait for money that is free.
    """

    async def hold(self, ask: HoldAsk) -> Hold | Refusal:
        """Reserve on all caps that apply, durably, or refuse without moving any."""
        ...

    def settle(self, hold: Hold, charge: Charge, at_ms: int) -> Awaitable[Settlement]:
        """End the hold with the real cost. A hold that ended before stays as it ended (L3)."""
        ...

    def void(self, hold: Hold, why: str, at_ms: int) -> Awaitable[Settlement]:
        """End the hold at no cost: nothing was sent, or the provider does not bill the failure."""
        ...

    async def wait_for_room(self, wait_s: float) -> bool:
        """Wait until a hold ended or a cap was changed, for a call that was refused with a
        `Waitable`; False if neither happened within `wait_s` seconds."""
        ...

    async def sweep(self, now_ms: int) -> int:
        """Close every hold past its time at full price; how many there were (L4)."""
        ...

    async def set_cap(self, cap: Cap) -> Cap:
        """Create the cap, or change the limit of the one with the same subject, model, window and
        unit. What was already spent in the running window counts. The ledger gives `id` and
        `created_ms`. ValueError if the subject, zone, model or limit cannot be."""
        ...

    async def remove_cap(self, subject: str, model: str, window: str, unit: str) -> bool:
        """False if there is none."""
        ...

    async def caps(
        self, now_ms: int, subject: str = "", after: Seen = BEGINNING, limit: int = PAGE_MAX
    ) -> list[CapStatus]:
        """The oldest caps (of the subject, if one is given) after that one, by creation and then
        id, and where each stands after what was asked before, credit included. The last page is
        shorter than `limit`; reads no more than it gives."""
        ...

    async def add_credit(self, account: str, amount_nusd: int, at_ms: int, why: str) -> int:
        """Prepaid money; the account's new sum of credit. The account must exist (ValueError)."""
        ...


class Books(Protocol):
    """What people ask of the ledger, beside the path of a request. Raises `StoreError`."""

    async def create_account(self, name: str, at_ms: int) -> bool:
        """False if it exists already."""
        ...

    async def accounts(self, after: Seen = BEGINNING, limit: int = PAGE_MAX) -> list[Account]:
        """The oldest accounts after that one, by creation and then name, each with its credit
        (None: never had any, so credit does not limit it). The last page is shorter."""
        ...

    async def find_account(self, name: str) -> Account | None:
        """The account with this name."""
        ...

    async def find_project(self, name: str) -> Project | None:
        """The project with this name: it has, or had, a key."""
        ...

    async def usage(
        self,
        by: str,
        since_ms: int,
        until_ms: int,
        after: str | None = None,
        limit: int = PAGE_MAX,
    ) -> list[UsageRow]:
        """What calls taken on in [since, until) cost, by `key`, `project`, `account`, `model` or
        `day` (UTC): the first rows after that one, by name; the last page is shorter than `limit`.
        A call counts when it was taken on, as it does for caps (L9)."""
        ...

    async def spent(self, since_ms: int, until_ms: int) -> UsageRow:
        """The same in all, by nothing ("")."""
        ...

    async def events(self, after: int, limit: int) -> list[tuple[int, Event]]:
        """Events with their numbers, oldest first, after the given number."""
        ...

    async def last_event(self) -> int:
        """The number of the newest event, 0 if there is none."""
        ...

    async def head(self) -> Head:
        """Number and hash of the last entry, number 0 without any; kept elsewhere it proves
        everything up to it."""
        ...

    async def hash_of(self, seq: int) -> bytes | None:
        """The hash that entry `seq` carries; None if there is no such entry."""
        ...

    async def audit(self, known: tuple[Head, ...] = ()) -> list[Finding]:
        """Prove the hash chain, the holds and every balance from the entries alone (L6, L7), and
        that every `known` head is still in the chain; an empty list is the proof. Independent of
        the code that keeps the balances."""
        ...

    async def reconcile(self, now_ms: int) -> int:
        """Rebuild every counter from the entries; how many were wrong (F-3)."""
        ...
