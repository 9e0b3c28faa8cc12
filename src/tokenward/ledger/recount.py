"""Rebuild every counter from the entries alone (F-3)."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Self

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

    def copy(self) -> Self:
        """The same, fed on without changing this one; caps, which never change, are shared."""
        other = type(self)(())
        other.sums = {counted: replace(sums) for counted, sums in self.sums.items()}
        other._open = dict(self._open)
        other._caps = self._caps
        return other

    def corrections(
        self, stated: dict[tuple[str, int], tuple[int, int, int]]
    ) -> list[tuple[str, int, int | None, int, int, int]]:
        """Counters that are wrong, as they must be: cap, start and end of the window, spent, held
        and running. `stated` maps cap and start to what is said; what nothing was counted for is
        zero, and its end is not known."""
        left = dict(stated)
        wrong: list[tuple[str, int, int | None, int, int, int]] = []
        for (cap_id, start_ms), sums in self.sums.items():
            amounts = (sums.spent, sums.held, sums.running)
            if left.pop((cap_id, start_ms), (0, 0, 0)) != amounts:
                wrong.append((cap_id, start_ms, sums.resets_ms, *amounts))
        wrong += [(*counted, None, 0, 0, 0) for counted, said in left.items() if any(said)]
        return wrong

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
