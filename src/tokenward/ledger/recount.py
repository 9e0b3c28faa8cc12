"""Rebuild every counter from the entries alone (F-3)."""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from tokenward.ledger.chain import ENDING_KINDS, POSTING_KINDS, Entry
from tokenward.ledger.records import Cap, Unit
from tokenward.ledger.windows import window_bounds


@dataclass(slots=True)
class Sums:
    """What one cap counts in one window. `resets_ms` None: never."""

    resets_ms: int | None
    spent: int = 0
    held: int = 0
    running: int = 0


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
        self.sums: dict[tuple[str, int], Sums] = {}
        self._open: dict[int, Entry] = {}
        self._caps: dict[str, list[tuple[Cap, int]]] = {}
        for cap, since_ms in caps:
            self._caps.setdefault(cap.subject, []).append((cap, since_ms))

    def feed(self, entry: Entry) -> None:
        """Count one entry."""
        if entry.kind == "hold":
            self._open[entry.seq] = entry
            self._move(entry, held=1)
        elif entry.kind in ENDING_KINDS:
            self._move(self._open.pop(entry.hold), held=-1)
        if entry.kind in POSTING_KINDS:
            self._move(entry, spent=1)

    def _move(self, entry: Entry, spent: int = 0, held: int = 0) -> None:
        for sums, amount in self._touched(entry):
            sums.spent += spent * amount
            sums.held += held * amount
            sums.running += held

    def _touched(self, entry: Entry) -> Iterable[tuple[Sums, int]]:
        for subject in (f"key:{entry.key}", f"project:{entry.project}", f"account:{entry.account}"):
            for cap, since_ms in self._caps.get(subject, ()):
                if entry.at_ms < since_ms or not covers(cap, entry.model):
                    continue
                start_ms, resets_ms = window_bounds(cap.window, cap.zone, entry.at_ms)
                sums = self.sums.setdefault((cap.id, start_ms), Sums(resets_ms))
                yield sums, counted(cap.unit, entry.nusd, entry.tokens, entry.calls)


def covers(cap: Cap, model: str) -> bool:
    """Does the cap count calls to this model?"""
    return not cap.model or fnmatchcase(model, cap.model)
