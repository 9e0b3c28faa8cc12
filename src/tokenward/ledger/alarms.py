"""What the ledger tells people: thresholds, overruns, holds that were never ended, doubts."""

from tokenward.kernel.events import Event
from tokenward.kernel.moments import rfc3339
from tokenward.ledger.book import Book
from tokenward.ledger.chain import Entry
from tokenward.ledger.counter import Counter
from tokenward.ledger.thresholds import WHOLE, crossed


class Alarms:
    """Writes events in the same transaction as what they are about."""

    def __init__(self, book: Book, thresholds: tuple[int, ...]) -> None:
        """`thresholds` in per mille of a cap's limit, ascending."""
        self._book = book
        self._thresholds = thresholds

    def spent(self, counter: Counter, at_ms: int) -> None:
        """Tell each threshold once a window, when the spent money reaches it."""
        for threshold in crossed(counter.spent, counter.cap.limit, counter.told, self._thresholds):
            self._tell_threshold(counter, threshold, at_ms)

    def reached(self, counter: Counter, at_ms: int) -> None:
        """The first refusal in a window tells that the whole of the cap is used."""
        if counter.told < WHOLE and WHOLE in self._thresholds:
            self._tell_threshold(counter, WHOLE, at_ms)

    def overran(self, hold: Entry, over: tuple[int, int], at_ms: int) -> None:
        """A provider billed more than the bound of the call."""
        self._tell_call(
            "ledger:overrun", hold, at_ms, {"overrun_nusd": over[0], "overrun_tokens": over[1]}
        )

    def expired(self, hold: Entry, at_ms: int, why: str) -> None:
        """A hold was closed at full price because nobody ended it."""
        self._tell_call("hold:expired", hold, at_ms, {"cost_nusd": hold.nusd, "why": why})

    def doubted(self, hold: Entry, doubts: tuple[str, ...], at_ms: int) -> None:
        """A provider's usage did not add up; the larger reading was charged."""
        self._tell_call("usage:doubt", hold, at_ms, {"doubts": "; ".join(doubts)[:500]})

    def _tell_threshold(self, counter: Counter, threshold: int, at_ms: int) -> None:
        cap = counter.cap
        counter.told = threshold
        self._book.touch(counter)
        self._book.tell(
            Event(
                ts=at_ms,
                kind="cap:threshold",
                subject=cap.subject,
                facts={
                    "cap": cap.id,
                    "model": cap.model,
                    "window": cap.window.value,
                    "unit": cap.unit.value,
                    "limit": cap.limit,
                    "spent": counter.spent,
                    "held": counter.held,
                    "per_mille": threshold,
                    "resets_at": rfc3339(counter.resets_ms),
                },
            )
        )

    def _tell_call(
        self, kind: str, hold: Entry, at_ms: int, facts: dict[str, str | int | None]
    ) -> None:
        facts = {"hold": hold.seq, "model": hold.model, "project": hold.project, **facts}
        self._book.tell(Event(ts=at_ms, kind=kind, subject=f"key:{hold.key}", facts=facts))
