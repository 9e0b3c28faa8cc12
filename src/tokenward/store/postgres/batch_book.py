"""The books as one batch sees and changes them, in memory between its two round trips."""

from typing import Any, Final

import msgspec
from psycopg import AsyncConnection

from tokenward.kernel.errors import StoreError
from tokenward.ledger.book import Ended
from tokenward.ledger.chain import ENDING_KINDS, Entry
from tokenward.ledger.counter import Counter
from tokenward.store.postgres.facts import Facts
from tokenward.store.postgres.journal import Journal
from tokenward.store.postgres.writing import commit, execute, integers, write_journal

_TAKE: Final = (
    "INSERT INTO holds (id, gateway, request_id, expires_ms) SELECT id, %s, request_id, expires_ms "
    "FROM unnest(%s::bigint[], %s::text[], %s::bigint[]) AS taken (id, request_id, expires_ms)"
)
_FREE: Final = "DELETE FROM holds WHERE id = ANY(%s::bigint[])"
_COUNT: Final = (
    "INSERT INTO counters (cap, start_ms, resets_ms, spent, held, running, told) "
    "SELECT * FROM unnest(%s::text[], %s::bigint[], %s::bigint[], %s::bigint[], %s::bigint[], "
    "%s::bigint[], %s::bigint[]) ON CONFLICT (cap, start_ms) DO UPDATE SET "
    "spent = excluded.spent, held = excluded.held, running = excluded.running, "
    "told = excluded.told"
)
_REMEMBER: Final = (
    "INSERT INTO idempotency (key, digest, hold, at_ms) "
    "SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[], %s::bigint[]) "
    "ON CONFLICT (key, digest) DO UPDATE SET hold = excluded.hold, at_ms = excluded.at_ms"
)


class _TakenFor(msgspec.Struct):
    request: str = ""


_taken_for: Final = msgspec.json.Decoder(_TakenFor).decode


class BatchBook:
    """Fulfils `ledger.book.Book`. Made anew from the same facts where a batch is done over."""

    def __init__(self, facts: Facts) -> None:
        self.journal: Final = Journal(facts.seq, facts.hash)
        self.next_seq = self.journal.next_seq
        self.tell = self.journal.tell
        self.opened: dict[int, tuple[Entry, str, int]] = {}
        self.closed: set[int] = set()
        self._facts = facts
        self._counters: dict[tuple[str, int], Counter] = {}
        self._touched: list[Counter] = []
        self._ended: dict[int, Ended] = {}
        self._remembered: dict[tuple[str, str], tuple[int, int]] = {}

    @property
    def has_changed(self) -> bool:
        """Is there anything to write?"""
        return bool(self.journal.entries or self.journal.events or self._touched)

    def swept(self, past_ms: int) -> tuple[list[int], list[int]]:
        """Open holds that nobody will end: those past their time, those of gateways that are
        gone."""
        found = [(seq, *each) for seq, each in self._facts.swept.items() if self.is_open(seq)]
        late = [seq for seq, expires_ms, _ in found if expires_ms <= past_ms]
        orphans = [
            seq for seq, expires_ms, is_orphan in found if is_orphan and expires_ms > past_ms
        ]
        return late, orphans

    def check(self, seq: int, request_id: str) -> None:
        """Raises `StoreError` where the books never had this hold: they are older than it, so
        what it was is lost, and its number may be another call's."""
        if self.is_open(seq) or seq in self._ended:
            return
        entry = self._facts.taken.get(seq)
        if (
            entry is None
            or seq not in self._facts.ended
            or _taken_for(entry.detail).request != request_id
        ):
            raise StoreError(
                f"the books do not have hold {seq} of {request_id}: the database was put back to "
                "an earlier state"
            )

    def legs(
        self, account: str, project: str, key: str, model: str, at_ms: int
    ) -> tuple[Counter, ...]:
        """Every counter that such a call moves."""
        known = self._facts.caps.of((account, project, key, model))
        assert known is not None, "the batch asked for what it needs"
        legs = []
        for each in known:
            if at_ms >= each.since_ms:
                start_ms, resets_ms = each.window(at_ms)
                place = (each.cap.id, start_ms)
                counter = self._counters.get(place)
                if counter is None:
                    counter = self._counters[place] = Counter(each.cap, start_ms, resets_ms)
                    sums = self._facts.counters.get(place)
                    if sums is not None:
                        counter.spent, counter.held, counter.running, counter.told = sums
                legs.append(counter)
        return tuple(legs)

    def touch(self, counter: Counter) -> None:
        """The counter was moved."""
        if not counter.is_dirty:
            counter.is_dirty = True
            self._touched.append(counter)

    def write(self, entry: Entry) -> None:
        """Append an entry."""
        self.journal.write(entry)
        if entry.kind in ENDING_KINDS:
            self._ended[entry.hold] = Ended(entry.kind, entry.nusd, entry.tokens, 0, 0)
        elif entry.kind == "overrun":
            end = self.ended(entry.hold)
            self._ended[entry.hold] = end._replace(
                over_nusd=end.over_nusd + entry.nusd, over_tokens=end.over_tokens + entry.tokens
            )

    def open(
        self, entry: Entry, legs: tuple[Counter, ...], request_id: str, expires_ms: int
    ) -> None:
        """The hold of this entry is open."""
        self.opened[entry.seq] = entry, request_id, expires_ms

    def close(self, seq: int) -> tuple[Entry, tuple[Counter, ...]] | None:
        """The hold is no longer open: its entry and counters. None if it is not open."""
        if seq in self.closed or seq not in self._facts.open:
            return None
        self.closed.add(seq)
        entry = self._facts.open[seq]
        legs = self.legs(entry.account, entry.project, entry.key, entry.model, entry.at_ms)
        return entry, legs

    def is_open(self, seq: int) -> bool:
        """Has the hold not ended yet?"""
        if seq in self.closed:
            return False
        return seq in self._facts.open or seq in self.opened or seq in self._facts.running

    def ended(self, seq: int) -> Ended:
        """How a hold that is not open ended."""
        return self._ended.get(seq) or self._facts.ended[seq]

    def taken(self, seq: int) -> Entry:
        """The entry of a hold that is not open."""
        return self._facts.taken.get(seq) or self._facts.open[seq]

    def remembered(self, key: str, digest: str, since_ms: int) -> int | None:
        """The hold that this idempotency key was last used for since then."""
        found = self._remembered.get((key, digest)) or self._facts.repeats.get((key, digest))
        return found[0] if found is not None and found[1] > since_ms else None

    def remember(self, key: str, digest: str, seq: int, at_ms: int) -> None:
        """This idempotency key was used for that hold."""
        self._remembered[key, digest] = seq, at_ms

    async def write_all(self, connection: AsyncConnection[Any], gateway: str) -> None:
        """Write what was changed and commit: one round trip."""
        async with connection.pipeline():
            await write_journal(connection, self.journal)
            if self.opened:
                await execute(connection, _TAKE, (gateway, *self._opened_columns()))
            if self.closed:
                await execute(connection, _FREE, (integers(self.closed),))
            if self._touched:
                caps, *numbers = zip(*(each.row() for each in self._touched), strict=True)
                await execute(connection, _COUNT, (list(caps), *map(integers, numbers)))
            if self._remembered:
                keys, digests = zip(*self._remembered, strict=True)
                seqs, moments = zip(*self._remembered.values(), strict=True)
                values = (list(keys), list(digests), integers(seqs), integers(moments))
                await execute(connection, _REMEMBER, values)
            committing = await commit(connection)
        committing.check()

    def _opened_columns(self) -> tuple[str, list[str], str]:
        rows = self.opened.values()
        return (
            integers(self.opened),
            [request_id for _, request_id, _ in rows],
            integers(expires_ms for _, _, expires_ms in rows),
        )
