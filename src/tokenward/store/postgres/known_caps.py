"""Caps as a gateway remembers them. They are good as long as the book's number for caps is the
same, which every batch reads under the lock."""

from collections.abc import Iterable
from typing import Any, Final

from tokenward.ledger.counter import NEVER_MS
from tokenward.ledger.records import Cap
from tokenward.ledger.recount import covers
from tokenward.ledger.windows import window_bounds
from tokenward.store.cap_rows import read_cap

SUBJECTS_MAX: Final = 50_000
SETS_MAX: Final = 20_000
Owner = tuple[str, str, str, str]
"""Account, project, key and model of a call."""


class KnownCap:
    """A cap as stored. `since_ms` is the start of the first window it counts."""

    __slots__ = ("_end_ms", "_resets_ms", "_start_ms", "cap", "since_ms")

    def __init__(self, cap: Cap, since_ms: int) -> None:
        self.cap = cap
        self.since_ms = since_ms
        self._start_ms = self._end_ms = 0
        self._resets_ms: int | None = None

    def window(self, at_ms: int) -> tuple[int, int | None]:
        """Start and end of the window that holds this moment."""
        if not self._start_ms <= at_ms < self._end_ms:
            start_ms, resets_ms = window_bounds(self.cap.window, self.cap.zone, at_ms)
            self._start_ms, self._resets_ms = start_ms, resets_ms
            self._end_ms = NEVER_MS if resets_ms is None else resets_ms
        return self._start_ms, self._resets_ms


class KnownCaps:
    """Bounded: where there are too many subjects all are forgotten and read anew as needed."""

    def __init__(self) -> None:
        self.version = -1
        self._by_subject: dict[str, tuple[KnownCap, ...]] = {}
        self._sets: dict[Owner, tuple[KnownCap, ...]] = {}

    def of(self, owner: Owner) -> tuple[KnownCap, ...] | None:
        """The caps that a call of this owner meets; None if one of its subjects is not known."""
        found = self._sets.get(owner)
        if found is None:
            account, project, key, model = owner
            known = [
                self._by_subject.get(subject)
                for subject in (f"key:{key}", f"project:{project}", f"account:{account}")
            ]
            if None in known:
                return None
            found = tuple(each for caps in known for each in caps or () if covers(each.cap, model))
            if len(self._sets) >= SETS_MAX:
                self._sets.clear()
            self._sets[owner] = found
        return found

    def unknown(self, owners: Iterable[Owner]) -> list[str]:
        """The subjects of these calls that are not known, and must be learnt before `of`."""
        if len(self._by_subject) >= SUBJECTS_MAX:
            self.forget(self.version)
        subjects = {
            subject
            for account, project, key, _ in owners
            for subject in (f"key:{key}", f"project:{project}", f"account:{account}")
        }
        return sorted(subjects - self._by_subject.keys())

    def learn(self, subjects: Iterable[str], rows: Iterable[tuple[Any, ...]]) -> None:
        """All caps of these subjects (`CAP_COLUMNS`, oldest first)."""
        found: dict[str, list[KnownCap]] = {subject: [] for subject in subjects}
        for row in rows:
            known = KnownCap(*read_cap(row))
            found[known.cap.subject].append(known)
        for subject, caps in found.items():
            self._by_subject[subject] = tuple(caps)

    def forget(self, version: int) -> None:
        """Caps were changed: from now on those of this version."""
        self.version = version
        self._by_subject.clear()
        self._sets.clear()
