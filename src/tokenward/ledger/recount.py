"""Rebuild every counter from the entries alone (F-3)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final, Self

from tokenward.ledger.chain import ENDING_KINDS, POSTING_KINDS, Entry
from tokenward.ledger.records import Cap, Unit
from tokenward.ledger.windows import window_bounds

PIECE_MAX: Final = 500
CAUGHT_UP: Final = 1_000
"""So few entries may be left to be counted under a lock."""
CounterName = tuple[str, int]
"""Which counter: the id of its cap, and the start of the window."""
Amounts = tuple[int, int, int]
"""What a counter says: spent, held, and by how many running calls."""
CounterRow = tuple[str, int, int | None, int, int, int]
"""A counter as it must be: cap, start and end of the window (None: never, or unknown), amounts."""


@dataclass(slots=True)
class Sums:
    """What one cap counts in one window. `resets_ms` None: never."""

    resets_ms: int | None
    spent: int = 0
    held: int = 0
    running: int = 0

    @property
    def amounts(self) -> Amounts:
        """As a counter says them."""
        return self.spent, self.held, self.running


def counted(unit: Unit, nusd: int, tokens: int, calls: int) -> int:
    """Which of the three amounts a cap of this unit counts."""
    if unit is Unit.NUSD:
        return nusd
    return tokens if unit is Unit.TOKENS else calls


class Recount:
    """Feed it every entry in order; `sums` is then what the counters must say.

    `caps` come with the start of the first window each counts (`since_ms`). Memory: one sum a
    cap and window, and the holds that are open.
    """

    def __init__(self, caps: Iterable[tuple[Cap, int]]) -> None:
        self.sums: dict[CounterName, Sums] = {}
        self._open: dict[int, Entry] = {}
        self.caps = {cap.id: (cap, since_ms) for cap, since_ms in caps}
        self._of_subject: dict[str, list[tuple[Cap, int]]] = {}
        for cap, since_ms in self.caps.values():
            self._of_subject.setdefault(cap.subject, []).append((cap, since_ms))

    def feed(self, entry: Entry) -> None:
        """Count one entry."""
        if entry.kind == "hold":
            self._open[entry.seq] = entry
            self._move(entry, held=1)
        elif entry.kind in ENDING_KINDS:
            self._move(self._open.pop(entry.hold), held=-1)
        if entry.kind in POSTING_KINDS:
            self._move(entry, spent=1)

    def wrong(self, stated: Mapping[CounterName, Amounts]) -> frozenset[CounterName]:
        """Counters that do not say what they must; one that is not stated says 0."""
        no_amounts = (0, 0, 0)
        wrong = {
            name for name, sums in self.sums.items() if stated.get(name, no_amounts) != sums.amounts
        }
        wrong |= {name for name, said in stated.items() if name not in self.sums and any(said)}
        return frozenset(wrong)

    def part(self, names: Iterable[CounterName]) -> Self:
        """Another one that counts on for these counters alone (and begins anew for others)."""
        caps = {cap_id: self.caps[cap_id] for cap_id, _ in names if cap_id in self.caps}
        other = type(self)(caps.values())
        other.sums = {name: replace(self.sums[name]) for name in names if name in self.sums}
        other._open = dict(self._open)
        return other

    def rows(self, names: Iterable[CounterName]) -> list[CounterRow]:
        """These counters as they must be; what nothing was counted for is zero."""
        return [
            (*name, sums.resets_ms, *sums.amounts)
            for name in sorted(names)
            for sums in (self.sums.get(name, Sums(None)),)
        ]

    def _move(self, entry: Entry, spent: int = 0, held: int = 0) -> None:
        for sums, amount in self._touched(entry):
            sums.spent += spent * amount
            sums.held += held * amount
            sums.running += held

    def _touched(self, entry: Entry) -> Iterable[tuple[Sums, int]]:
        for subject in (f"key:{entry.key}", f"project:{entry.project}", f"account:{entry.account}"):
            for cap, since_ms in self._of_subject.get(subject, ()):
                if entry.at_ms < since_ms or not covers(cap, entry.model):
                    continue
                start_ms, resets_ms = window_bounds(cap.window, cap.zone, entry.at_ms)
                sums = self.sums.setdefault((cap.id, start_ms), Sums(resets_ms))
                yield sums, counted(cap.unit, entry.nusd, entry.tokens, entry.calls)


def covers(cap: Cap, model: str) -> bool:
    """Does the cap count calls to this model?"""
    return not cap.model or fnmatchcase(model, cap.model)


class Miscount:
    """Counters that were found wrong, and the entries' own count of their caps up to the entry
    `upto`: fed on (`feed`) until little is left to be counted under a lock."""

    def __init__(self, names: Iterable[CounterName], upto: int, recount: Recount) -> None:
        self.names = sorted(names)
        self.upto = upto
        self._recount = recount.part(self.names)

    def feed(self, entry: Entry) -> None:
        """Count the next entry."""
        self._recount.feed(entry)
        self.upto = entry.seq

    def pieces(self) -> Iterator[list[CounterName]]:
        """A few counters at a time: each piece is corrected under a lock of its own."""
        return (
            self.names[start : start + PIECE_MAX] for start in range(0, len(self.names), PIECE_MAX)
        )

    def corrections(
        self,
        names: Sequence[CounterName],
        stored: Iterable[tuple[Cap, int]],
        since: Iterable[Entry],
    ) -> list[CounterRow] | None:
        """Rows of these counters as they must be after the entries `since` the last that was fed;
        None if their caps, as `stored` now, were changed meanwhile. May be asked more than once."""
        recount = self._recount.part(names)
        if {cap.id: (cap, since_ms) for cap, since_ms in stored} != recount.caps:
            return None
        for entry in since:
            recount.feed(entry)
        return recount.rows(names)


def find_miscount(
    recount: Recount, upto: int, stated: Iterable[tuple[str, int, int, int, int]]
) -> Miscount | None:
    """What of the counters (`stated`: cap, start, spent, held, running) is not as counted up to an
    entry; None if nothing is."""
    names = recount.wrong({row[:2]: row[2:] for row in stated})
    return Miscount(names, upto, recount) if names else None


def caps_of(names: Iterable[CounterName]) -> list[str]:
    """The ids of the caps that these counters are of."""
    return sorted({cap_id for cap_id, _ in names})
