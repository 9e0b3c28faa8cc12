"""Holds and settlements: the path of a request through the ledger."""

import asyncio
from collections.abc import Awaitable
from functools import partial
from typing import Any, Final

from msgspec.structs import replace

from tokenward.kernel.refusals import Refusal
from tokenward.kernel.usage import COUNTS
from tokenward.ledger.chain import Entry
from tokenward.ledger.granting import CALL_MAX, Denial, decide
from tokenward.ledger.records import Cap, CapStatus, Charge, Hold, HoldAsk, Settlement, Unit
from tokenward.ledger.recount import counted
from tokenward.ledger.repeats import REPEAT_WINDOW_MS, refuse_repeat
from tokenward.store.sqlite.alarms import Alarms
from tokenward.store.sqlite.cap_desk import CapDesk
from tokenward.store.sqlite.counters import Counter, Counters
from tokenward.store.sqlite.database import Database
from tokenward.store.sqlite.journal import Journal, to_json
from tokenward.store.sqlite.open_holds import ENTRY_ROWS, OpenHolds

TTL_MS_MAX: Final = 12 * 3_600_000
"""A hold lives at most half a day: the counters of windows long gone are then not needed."""
SWEEP_BATCH: Final = 128
_END: Final = (
    "SELECT kind, nusd, tokens FROM entries WHERE hold = ? AND kind IN ('settle', 'void', 'expire')"
)
_OVERRUNS: Final = (
    "SELECT coalesce(sum(nusd), 0), coalesce(sum(tokens), 0) FROM entries "
    "WHERE hold = ? AND kind = 'overrun'"
)
_ENTRY: Final = ENTRY_ROWS + "WHERE seq = ?"
_REPEAT: Final = "SELECT hold FROM idempotency WHERE key = ? AND digest = ? AND at_ms > ?"
_REMEMBER: Final = (
    "INSERT OR REPLACE INTO idempotency (key, digest, hold, at_ms) VALUES (?, ?, ?, ?)"
)
_FORGET_REPEATS: Final = (
    "DELETE FROM idempotency WHERE rowid IN "
    "(SELECT rowid FROM idempotency WHERE at_ms <= ? LIMIT 1000)"
)
_STATES: Final = {"settle": "settled", "void": "voided", "expire": "expired"}


class SqliteLedger:
    """Fulfils `ledger.interfaces.Ledger`."""

    def __init__(
        self,
        database: Database,
        journal: Journal,
        counters: Counters,
        holds: OpenHolds,
        alarms: Alarms,
        desk: CapDesk,
    ) -> None:
        self._database = database
        self._connection = database.connection
        self._journal = journal
        self._counters = counters
        self._holds = holds
        self._alarms = alarms
        self._desk = desk
        self._room = asyncio.Event()
        self._has_room = False
        database.after_commit.append(self._tell_room)

    async def hold(self, ask: HoldAsk) -> Hold | Refusal:
        """Reserve on all caps that apply, durably, or refuse without moving any.

        A caller that is cancelled, or told that the disk is slow, leaves no hold behind.
        """
        assert 0 < ask.ttl_ms <= TTL_MS_MAX, "a hold lives, and at most half a day"
        future = self._database.submit(partial(self._hold, ask), abandoned=self._give_up)
        try:
            return await future
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._give_up(future.result())
            raise

    def settle(self, hold: Hold, charge: Charge, at_ms: int) -> Awaitable[Settlement]:
        """End the hold with the real cost; what it held beyond is free again."""
        if charge.is_estimate:
            charge = replace(charge, cost_nusd=hold.amount_nusd, tokens=hold.tokens)
        assert 0 <= charge.cost_nusd <= CALL_MAX, "a cost is what a call can cost"
        assert 0 <= charge.tokens <= CALL_MAX, "tokens are what a call can use"
        return self._database.submit(
            partial(self._settle, hold.id, charge, at_ms), must_run=True, may_share=True
        )

    def void(self, hold: Hold, why: str, at_ms: int) -> Awaitable[Settlement]:
        """End the hold at no cost."""
        return self._database.submit(partial(self._void, hold.id, why, at_ms), must_run=True)

    async def sweep(self, now_ms: int) -> int:
        """Close every hold past its time at full price, and forget what is too old to matter."""
        closed = await self._close(now_ms, now_ms, "its time to live is over")
        await self._database.submit(partial(self._desk.forget_windows, now_ms))
        await self._database.submit(partial(self._forget_repeats, now_ms))
        return closed

    async def close_orphans(self, now_ms: int) -> int:
        """Close every open hold at full price: at a start they belong to a dead process."""
        return await self._close(None, now_ms, "the guard that took it stopped")

    async def set_cap(self, cap: Cap) -> Cap:
        """Create or change a cap; its `id` and `created_ms` are given by the ledger."""
        changed = await self._desk.set_cap(cap)
        self._free_room()
        return changed

    async def remove_cap(self, subject: str, model: str, window: str, unit: str) -> bool:
        """False if there is none."""
        changed = await self._desk.remove_cap(subject, model, window, unit)
        self._free_room()
        return changed

    async def caps(self, now_ms: int, subject: str = "") -> list[CapStatus]:
        """Every cap and where it stands, as enforced (F-5), credit included."""
        return await self._desk.caps(now_ms, subject)

    async def add_credit(self, account: str, amount_nusd: int, at_ms: int, why: str) -> int:
        """Prepaid money; the account's new sum of credit. ValueError if there is no account."""
        credit_nusd = await self._desk.add_credit(account, amount_nusd, at_ms, why)
        self._free_room()
        return credit_nusd

    async def wait_for_room(self, wait_s: float) -> bool:
        """Wait until a hold ended or a cap was changed; False if none did within `wait_s`."""
        try:
            await asyncio.wait_for(self._room.wait(), wait_s)
        except TimeoutError:
            return False
        return True

    # -- inside a transaction -------------------------------------------------------------------

    def _hold(self, ask: HoldAsk) -> Hold | Refusal:
        if ask.idempotency:
            repeat = self._repeat(ask)
            if repeat is not None:
                return repeat
        legs = self._counters.legs(ask.account, ask.project, ask.key, ask.model, ask.at_ms)
        grant = decide(legs, ask)
        if isinstance(grant, Denial):
            for counter in grant.reached:
                assert isinstance(counter, Counter), "the ledger decides on its own counters"
                self._alarms.reached(counter, ask.at_ms)
            return grant.refusal
        seq = self._journal.next_seq()
        expires_ms = ask.at_ms + ask.ttl_ms
        detail = to_json(
            {"request": ask.request_id, "output": grant.output_tokens, "expires_ms": expires_ms}
        ).decode("utf-8")
        entry = Entry(
            seq, ask.at_ms, "hold", seq, ask.at_ms, ask.account, ask.project, ask.key, ask.model,
            grant.amount_nusd, grant.tokens, 1, 0, 0, 0, 0, detail,
        )  # fmt: skip
        self._journal.write(entry)
        self._holds.take(entry, expires_ms, legs)
        if ask.idempotency:
            self._connection.execute(_REMEMBER, (ask.key, ask.idempotency, seq, ask.at_ms))
        return Hold(
            id=seq,
            request_id=ask.request_id,
            amount_nusd=grant.amount_nusd,
            tokens=grant.tokens,
            output_tokens=grant.output_tokens,
            is_capped=grant.is_capped,
            expires_ms=expires_ms,
        )

    def _repeat(self, ask: HoldAsk) -> Refusal | None:
        """L8: the first hold under this key runs or was paid; one that was voided cost nothing."""
        since_ms = ask.at_ms - REPEAT_WINDOW_MS
        row = self._connection.execute(_REPEAT, (ask.key, ask.idempotency, since_ms)).fetchone()
        if row is None:
            return None
        if self._holds.is_open(row[0]):
            return refuse_repeat(is_running=True)
        end = self._connection.execute(_END, row).fetchone()
        assert end is not None, "a hold that is not open has ended"
        return None if end[0] == "void" else refuse_repeat(is_running=False)

    def _settle(self, seq: int, charge: Charge, at_ms: int) -> Settlement:
        ended = self._holds.end(seq)
        if ended is None:
            return self._settle_late(seq, charge, at_ms)
        hold, legs = ended
        self._has_room = True
        usage = charge.usage
        over = max(0, charge.cost_nusd - hold.nusd), max(0, charge.tokens - hold.tokens)
        entry = hold._replace(
            seq=self._journal.next_seq(),
            ts=at_ms,
            kind="settle",
            nusd=charge.cost_nusd - over[0],
            tokens=charge.tokens - over[1],
            input_tokens=usage.input_tokens,
            output_tokens=usage.output_tokens,
            cached_tokens=usage.cached_tokens,
            estimate=int(charge.is_estimate),
            detail=_detail(charge),
        )
        self._journal.write(entry)
        self._post(entry, legs)
        if over != (0, 0):
            self._overrun(hold, legs, over, at_ms)
        if usage.doubts:
            self._alarms.doubted(hold, usage.doubts, at_ms)
        return Settlement(state="settled", cost_nusd=charge.cost_nusd, overrun_nusd=over[0])

    def _settle_late(self, seq: int, charge: Charge, at_ms: int) -> Settlement:
        """The hold ended before and stays as it ended (L3); a cost above what was posted is
        added, so that the ledger is never below the bill."""
        kind, nusd, tokens = self._connection.execute(_END, (seq,)).fetchone()
        over_nusd, over_tokens = self._connection.execute(_OVERRUNS, (seq,)).fetchone()
        more = (
            max(0, charge.cost_nusd - nusd - over_nusd),
            max(0, charge.tokens - tokens - over_tokens),
        )
        if more != (0, 0) and not charge.is_estimate:
            hold = Entry(*self._connection.execute(_ENTRY, (seq,)).fetchone()[:-1])
            legs = self._counters.legs(hold.account, hold.project, hold.key, hold.model, hold.at_ms)
            self._overrun(hold, legs, more, at_ms)
            over_nusd += more[0]
        return Settlement(state=_STATES[kind], cost_nusd=nusd + over_nusd, overrun_nusd=over_nusd)

    def _void(self, seq: int, why: str, at_ms: int) -> Settlement:
        ended = self._holds.end(seq)
        if ended is None:
            kind, nusd, _ = self._connection.execute(_END, (seq,)).fetchone()
            over_nusd, _ = self._connection.execute(_OVERRUNS, (seq,)).fetchone()
            return Settlement(
                state=_STATES[kind], cost_nusd=nusd + over_nusd, overrun_nusd=over_nusd
            )
        self._has_room = True
        entry = ended[0]._replace(
            seq=self._journal.next_seq(),
            ts=at_ms,
            kind="void",
            nusd=0,
            tokens=0,
            calls=0,
            detail=to_json({"why": why}).decode("utf-8"),
        )
        self._journal.write(entry)
        return Settlement(state="voided", cost_nusd=0, overrun_nusd=0)

    def _expire(self, seqs: list[int], at_ms: int, why: str) -> None:
        """L4: what may have been used is charged as if all of it was."""
        detail = to_json({"why": why}).decode("utf-8")
        for seq in seqs:
            ended = self._holds.end(seq)
            assert ended is not None, "only open holds expire"
            hold, legs = ended
            self._has_room = True
            entry = hold._replace(
                seq=self._journal.next_seq(), ts=at_ms, kind="expire", estimate=1, detail=detail
            )
            self._journal.write(entry)
            self._post(entry, legs)
            self._alarms.expired(hold, at_ms, why)

    def _overrun(
        self, hold: Entry, legs: tuple[Counter, ...], over: tuple[int, int], at_ms: int
    ) -> None:
        """L2: billed above the bound. It is posted like any cost, and somebody hears of it unless
        nothing bounded the call."""
        entry = hold._replace(
            seq=self._journal.next_seq(),
            ts=at_ms, kind="overrun", nusd=over[0], tokens=over[1], calls=0, detail="{}",
        )  # fmt: skip
        self._journal.write(entry)
        self._post(entry, legs)
        units = {counter.unit for counter in legs}
        if (over[0] and (hold.nusd or Unit.NUSD in units)) or (over[1] and Unit.TOKENS in units):
            self._alarms.overran(hold, over, at_ms)

    def _post(self, entry: Entry, legs: tuple[Counter, ...]) -> None:
        """Spend on every counter of the hold's own windows (Z-2)."""
        for counter in legs:
            counter.spent += counted(counter.unit, entry.nusd, entry.tokens, entry.calls)
            self._counters.touch(counter)
            self._alarms.spent(counter, entry.ts)

    async def _close(self, past_ms: int | None, at_ms: int, why: str) -> int:
        closed = 0

        def close_some() -> int:
            seqs = self._holds.expired(past_ms, SWEEP_BATCH)
            self._expire(seqs, at_ms, why)
            return len(seqs)

        while count := await self._database.submit(close_some):
            closed += count
        return closed

    def _forget_repeats(self, now_ms: int) -> None:
        self._connection.execute(_FORGET_REPEATS, (now_ms - REPEAT_WINDOW_MS,))

    def _give_up(self, answer: Hold | Refusal) -> None:
        """The hold was taken and nobody waits for it: nothing was sent, so it costs nothing."""
        if isinstance(answer, Hold):
            now_ms = self._desk.now_ms()
            self._database.push(partial(self._void, answer.id, "the caller gave up", now_ms))

    def _tell_room(self) -> None:
        if self._has_room:
            self._free_room()

    def _free_room(self) -> None:
        self._has_room = False
        self._room.set()
        self._room = asyncio.Event()


def _detail(charge: Charge) -> str:
    """What was used, bucket by bucket, for whoever checks a bill; only what is not empty."""
    usage = charge.usage
    detail: dict[str, Any] = {n: v for n in COUNTS if (v := getattr(usage, n))}
    for name in ("service_tier", "region", "speed", "doubts"):
        if value := getattr(usage, name):
            detail[name] = value
    if charge.why:
        detail["why"] = charge.why
    return to_json(detail).decode("utf-8")
