"""Does every counter equal its entries, and was every hold inside its caps when it was taken?"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

import msgspec

from tokenward.ledger.chain import Entry
from tokenward.ledger.notes import CapNote, note_cap
from tokenward.ledger.records import Cap, Finding, Unit
from tokenward.ledger.statement import StatedCounter
from tokenward.ledger.windows import window_bounds


class _Balance:
    """A cap in one window, added up from the entries."""

    __slots__ = ("held", "running", "spent")

    def __init__(self) -> None:
        self.spent = self.held = self.running = 0


class _Watched:
    """A cap as the store states it, replayed. `limit` None: not set yet at this entry."""

    __slots__ = ("balances", "bounds", "cap", "limit", "note", "since_ms")

    def __init__(self, cap: Cap, since_ms: int) -> None:
        self.cap = cap
        self.since_ms = since_ms
        self.limit: int | None = None
        self.note: CapNote | None = None
        self.bounds: tuple[int, int | None] = (0, 0)
        self.balances: defaultdict[int, _Balance] = defaultdict(_Balance)

    def balance(self, entry: Entry) -> _Balance | None:
        cap = self.cap
        if entry.at_ms < self.since_ms or (cap.model and not fnmatchcase(entry.model, cap.model)):
            return None
        start_ms, end_ms = self.bounds
        if not start_ms <= entry.at_ms or (end_ms is not None and entry.at_ms >= end_ms):
            self.bounds = window_bounds(cap.window, cap.zone, entry.at_ms)
        return self.balances[self.bounds[0]]

    def amount(self, entry: Entry) -> int:
        return {
            Unit.NUSD: entry.nusd,
            Unit.TOKENS: entry.tokens,
            Unit.REQUESTS: entry.calls,
        }[self.cap.unit]


class CapAudit:
    """Replays every hold and posting on every cap that stands today."""

    def __init__(self, caps: Sequence[tuple[Cap, int]]) -> None:
        self._by_id = {cap.id: _Watched(cap, since_ms) for cap, since_ms in caps}
        self._by_subject: defaultdict[str, list[_Watched]] = defaultdict(list)
        for watched in self._by_id.values():
            self._by_subject[watched.cap.subject].append(watched)
        self._open: dict[int, Entry] = {}
        self._set: set[str] = set()

    def see(self, entry: Entry) -> Iterable[Finding]:
        """Count one entry; a hold that did not fit its caps is a finding (L1)."""
        if entry.kind == "hold":
            self._open[entry.seq] = entry
            yield from self._take(entry)
        elif entry.kind in ("settle", "void", "expire", "overrun"):
            self._post(entry)
        elif entry.kind in ("cap_set", "credit"):
            self._change(msgspec.json.decode(entry.detail, type=CapNote))
        elif entry.kind == "cap_removed":
            self._set.discard(msgspec.json.decode(entry.detail, type=CapNote).cap)

    def _watching(self, entry: Entry) -> Iterable[tuple[_Watched, _Balance]]:
        for subject in (f"key:{entry.key}", f"project:{entry.project}", f"account:{entry.account}"):
            for watched in self._by_subject.get(subject, ()):
                balance = watched.balance(entry)
                if balance is not None:
                    yield watched, balance

    def _take(self, entry: Entry) -> Iterable[Finding]:
        for watched, balance in self._watching(entry):
            balance.held += watched.amount(entry)
            balance.running += 1
            reserved = balance.spent + balance.held
            if watched.limit is not None and reserved > watched.limit:
                yield _finding(
                    watched.cap, f"hold {entry.seq} made it {reserved} of {watched.limit}"
                )

    def _post(self, entry: Entry) -> None:
        hold = self._open.pop(entry.hold, None) if entry.kind != "overrun" else None
        if hold is not None:
            for watched, balance in self._watching(hold):
                balance.held -= watched.amount(hold)
                balance.running -= 1
        for watched, balance in self._watching(entry):
            balance.spent += watched.amount(entry)

    def _change(self, note: CapNote) -> None:
        self._set.add(note.cap)
        watched = self._by_id.get(note.cap)
        if watched is not None:
            watched.note = note
            # Before a change of zone its windows were others: no limit to hold the past against.
            watched.limit = note.limit if note.zone == watched.cap.zone else None

    def conclude(self, counters: Sequence[StatedCounter], now_ms: int) -> Iterable[Finding]:
        """Hold the counters and the caps themselves against what was added up."""
        for watched in self._by_id.values():
            if watched.note is None or not _agrees(watched, now_ms):
                yield _finding(watched.cap, "it is not what was last set, by the entries")
        for cap_id in sorted(self._set - self._by_id.keys()):
            yield Finding(check="caps", subject=cap_id, why="it was set and is gone")
        for counter in counters:
            found = self._by_id.get(counter.cap_id)
            if found is None:
                yield Finding(check="counters", subject=counter.cap_id, why="it has no cap")
                continue
            balance = found.balances.pop(counter.start_ms, None) or _Balance()
            summed = (balance.spent, balance.held, balance.running)
            if (counter.spent, counter.held, counter.running) != summed:
                yield _finding(
                    found.cap,
                    f"in the window from {counter.start_ms} it says spent {counter.spent}, held "
                    f"{counter.held} by {counter.running}; the entries say {summed[0]}, "
                    f"{summed[1]} by {summed[2]} (tokenward cap reconcile)",
                )
        for watched in self._by_id.values():
            for start_ms, rest in watched.balances.items():
                if rest.spent or rest.held or rest.running:
                    yield _finding(watched.cap, f"its counter from {start_ms} is missing")


def _agrees(watched: _Watched, now_ms: int) -> bool:
    """The cap is as it was set; windows long gone may be forgotten, coming ones may not."""
    note = watched.note
    assert note is not None, "asked only of caps that were set"
    is_same = note_cap(watched.cap, note.since_ms, note.why) == note
    return is_same and note.since_ms <= watched.since_ms <= max(note.since_ms, now_ms)


def _finding(cap: Cap, why: str) -> Finding:
    return Finding(check="counters", subject=f"{cap.subject} ({cap.id})", why=why)
