"""The rules of accounting: what a hold, a settlement, a void and an expiry write and move.

The same for every store. Pure: each is called inside a transaction of the book's.
"""

from collections.abc import Iterable
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from tokenward.kernel.refusals import Refusal
from tokenward.kernel.usage import COUNTS
from tokenward.ledger.alarms import Alarms
from tokenward.ledger.book import Book
from tokenward.ledger.chain import Entry
from tokenward.ledger.counter import Counter
from tokenward.ledger.granting import CALL_MAX, Denial, decide
from tokenward.ledger.records import Charge, Hold, HoldAsk, Settlement, Unit
from tokenward.ledger.recount import counted
from tokenward.ledger.repeats import REPEAT_WINDOW_MS, refuse_repeat

TTL_MS_MAX: Final = 12 * 3_600_000
"""A hold lives at most half a day: the counters of windows long gone are then not needed."""
_STATES: Final = {"settle": "settled", "void": "voided", "expire": "expired"}
_encode: Final = msgspec.json.Encoder().encode


def payable(hold: Hold, charge: Charge) -> Charge:
    """The charge as it is posted: where nobody knows the cost, all that was held."""
    if charge.is_estimate:
        charge = replace(charge, cost_nusd=hold.amount_nusd, tokens=hold.tokens)
    assert 0 <= charge.cost_nusd <= CALL_MAX, "a cost is what a call can cost"
    assert 0 <= charge.tokens <= CALL_MAX, "tokens are what a call can use"
    return charge


class Keeping:
    """Applies the rules to a book. `has_freed`: a hold ended, so there may be room for others."""

    def __init__(self, book: Book, thresholds: tuple[int, ...]) -> None:
        """`thresholds` of alarms in per mille of a cap's limit, ascending."""
        self._book = book
        self._alarms = Alarms(book, thresholds)
        self.has_freed = False

    def hold(self, ask: HoldAsk) -> Hold | Refusal:
        """Reserve on all caps that apply, or refuse without moving any."""
        book = self._book
        if ask.idempotency:
            repeat = self._repeat(ask)
            if repeat is not None:
                return repeat
        legs = book.legs(ask.account, ask.project, ask.key, ask.model, ask.at_ms)
        grant = decide(legs, ask)
        if isinstance(grant, Denial):
            for counter in grant.reached:
                assert isinstance(counter, Counter), "the ledger decides on its own counters"
                self._alarms.reached(counter, ask.at_ms)
            return grant.refusal
        seq = book.next_seq()
        expires_ms = ask.at_ms + ask.ttl_ms
        detail = _text(
            {"request": ask.request_id, "output": grant.output_tokens, "expires_ms": expires_ms}
        )
        entry = Entry(
            seq, ask.at_ms, "hold", seq, ask.at_ms, ask.account, ask.project, ask.key, ask.model,
            grant.amount_nusd, grant.tokens, 1, 0, 0, 0, 0, detail,
        )  # fmt: skip
        book.write(entry)
        book.open(entry, legs, ask.request_id, expires_ms)
        for counter in legs:
            counter.held += counted(counter.unit, entry.nusd, entry.tokens, 1)
            counter.running += 1
            book.touch(counter)
        if ask.idempotency:
            book.remember(ask.key, ask.idempotency, seq, ask.at_ms)
        return Hold(
            id=seq,
            request_id=ask.request_id,
            amount_nusd=grant.amount_nusd,
            tokens=grant.tokens,
            output_tokens=grant.output_tokens,
            is_capped=grant.is_capped,
            expires_ms=expires_ms,
        )

    def settle(self, seq: int, charge: Charge, at_ms: int) -> Settlement:
        """End the hold with its real cost. One that ended before stays as it ended (L3)."""
        ended = self._end(seq)
        if ended is None:
            return self._settle_late(seq, charge, at_ms)
        hold, legs = ended
        usage = charge.usage
        over = max(0, charge.cost_nusd - hold.nusd), max(0, charge.tokens - hold.tokens)
        entry = hold._replace(
            seq=self._book.next_seq(),
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
        self._book.write(entry)
        self._post(entry, legs)
        if over != (0, 0):
            self._overrun(hold, legs, over, at_ms)
        if usage.doubts:
            self._alarms.doubted(hold, usage.doubts, at_ms)
        return Settlement(state="settled", cost_nusd=charge.cost_nusd, overrun_nusd=over[0])

    def void(self, seq: int, why: str, at_ms: int) -> Settlement:
        """End the hold at no cost. One that ended before stays as it ended."""
        ended = self._end(seq)
        if ended is None:
            kind, nusd, _, over_nusd, _ = self._book.ended(seq)
            return Settlement(
                state=_STATES[kind], cost_nusd=nusd + over_nusd, overrun_nusd=over_nusd
            )
        entry = ended[0]._replace(
            seq=self._book.next_seq(),
            ts=at_ms,
            kind="void",
            nusd=0,
            tokens=0,
            calls=0,
            detail=_text({"why": why}),
        )
        self._book.write(entry)
        return Settlement(state="voided", cost_nusd=0, overrun_nusd=0)

    def expire(self, seqs: Iterable[int], at_ms: int, why: str) -> None:
        """L4: what may have been used is charged as if all of it was. Only for open holds."""
        detail = _text({"why": why})
        for seq in seqs:
            ended = self._end(seq)
            assert ended is not None, "only open holds expire"
            hold, legs = ended
            entry = hold._replace(
                seq=self._book.next_seq(), ts=at_ms, kind="expire", estimate=1, detail=detail
            )
            self._book.write(entry)
            self._post(entry, legs)
            self._alarms.expired(hold, at_ms, why)

    def _repeat(self, ask: HoldAsk) -> Refusal | None:
        """L8: the first hold under this key runs or was paid; one that was voided cost nothing."""
        since_ms = ask.at_ms - REPEAT_WINDOW_MS
        seq = self._book.remembered(ask.key, ask.idempotency, since_ms)
        if seq is None:
            return None
        if self._book.is_open(seq):
            return refuse_repeat(is_running=True)
        return None if self._book.ended(seq).kind == "void" else refuse_repeat(is_running=False)

    def _end(self, seq: int) -> tuple[Entry, tuple[Counter, ...]] | None:
        """The hold reserves nothing any more. None if it is not open."""
        ended = self._book.close(seq)
        if ended is None:
            return None
        self.has_freed = True
        entry, legs = ended
        for counter in legs:
            counter.held -= counted(counter.unit, entry.nusd, entry.tokens, 1)
            counter.running -= 1
            self._book.touch(counter)
        return ended

    def _settle_late(self, seq: int, charge: Charge, at_ms: int) -> Settlement:
        """The hold ended before and stays as it ended (L3); a cost above what was posted is
        added, so that the ledger is never below the bill."""
        kind, nusd, tokens, over_nusd, over_tokens = self._book.ended(seq)
        more = (
            max(0, charge.cost_nusd - nusd - over_nusd),
            max(0, charge.tokens - tokens - over_tokens),
        )
        if more != (0, 0) and not charge.is_estimate:
            hold = self._book.taken(seq)
            legs = self._book.legs(hold.account, hold.project, hold.key, hold.model, hold.at_ms)
            self._overrun(hold, legs, more, at_ms)
            over_nusd += more[0]
        return Settlement(state=_STATES[kind], cost_nusd=nusd + over_nusd, overrun_nusd=over_nusd)

    def _overrun(
        self, hold: Entry, legs: tuple[Counter, ...], over: tuple[int, int], at_ms: int
    ) -> None:
        """L2: billed above the bound. It is posted like any cost, and somebody hears of it unless
        nothing bounded the call."""
        entry = hold._replace(
            seq=self._book.next_seq(),
            ts=at_ms, kind="overrun", nusd=over[0], tokens=over[1], calls=0, detail="{}",
        )  # fmt: skip
        self._book.write(entry)
        self._post(entry, legs)
        units = {counter.unit for counter in legs}
        if (over[0] and (hold.nusd or Unit.NUSD in units)) or (over[1] and Unit.TOKENS in units):
            self._alarms.overran(hold, over, at_ms)

    def _post(self, entry: Entry, legs: tuple[Counter, ...]) -> None:
        """Spend on every counter of the hold's own windows (Z-2)."""
        for counter in legs:
            counter.spent += counted(counter.unit, entry.nusd, entry.tokens, entry.calls)
            self._book.touch(counter)
            self._alarms.spent(counter, entry.ts)


def _detail(charge: Charge) -> str:
    """What was used, bucket by bucket, for whoever checks a bill; only what is not empty."""
    usage = charge.usage
    detail: dict[str, Any] = {n: v for n in COUNTS if (v := getattr(usage, n))}
    for name in ("service_tier", "region", "speed", "doubts"):
        if value := getattr(usage, name):
            detail[name] = value
    if charge.why:
        detail["why"] = charge.why
    return _text(detail)


def _text(value: object) -> str:
    return _encode(value).decode("utf-8")
