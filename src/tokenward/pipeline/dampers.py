"""What must not fill the disk: a stranger's refusals, and a thief's many tries."""

from collections import OrderedDict
from typing import Final

from tokenward.kernel.events import Event

STRANGER_RECORDS_A_MINUTE: Final = 1_000
TOLD_EVERY_MS: Final = 60_000
TOLD_MAX: Final = 10_000


class StrangerRecords:
    """Whoever has no key, or only a copy of one, must not fill the disk with records of its
    refusals: so many a minute are written, the rest only counted."""

    def __init__(self) -> None:
        self._minute = 0
        self._written = 0
        self.dropped = 0

    def may_write(self, at_ms: int) -> bool:
        """Whether there is room for one more in this minute."""
        minute = at_ms // 60_000
        if minute != self._minute:
            self._minute, self._written = minute, 0
        if self._written >= STRANGER_RECORDS_A_MINUTE:
            self.dropped += 1
            return False
        self._written += 1
        return True


class Repeats:
    """One event a minute of a kind, a subject and a reason is news; the rest are counted, and the
    record of each request says it anyway."""

    def __init__(self) -> None:
        self._told: OrderedDict[tuple[str, str, object], int] = OrderedDict()
        self.dropped = 0

    def is_news(self, event: Event) -> bool:
        """Whether to tell it."""
        what = (event.kind, event.subject, event.facts.get("reason"))
        told_ms = self._told.get(what)
        if told_ms is not None and event.ts - told_ms < TOLD_EVERY_MS:
            self.dropped += 1
            return False
        self._told[what] = event.ts
        self._told.move_to_end(what)
        if len(self._told) > TOLD_MAX:
            self._told.popitem(last=False)
        return True
