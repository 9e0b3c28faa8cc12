"""Everything a batch needs of the books, brought under their lock, nearly always in one round
trip. More are made only where caps were changed, or a hold is not as this gateway remembers it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg import AsyncConnection, AsyncCursor

from tokenward.kernel.errors import StoreError
from tokenward.ledger.book import Ended
from tokenward.ledger.chain import Entry
from tokenward.store.cap_rows import CAP_COLUMNS
from tokenward.store.entry_rows import ENTRY_ROWS, read_entry
from tokenward.store.postgres.known_caps import KnownCaps, Owner
from tokenward.store.postgres.layout import LAYOUT
from tokenward.store.postgres.wants import Wants
from tokenward.store.postgres.writing import LOCK, integers

SWEEP_BATCH: Final = 128
_BOOK: Final = (
    "SELECT seq, hash, caps, (SELECT needs FROM layout), "
    "EXISTS (SELECT FROM gateways WHERE id = %s) FROM book"
)
_COUNTERS: Final = (
    "SELECT c.cap, c.start_ms, c.spent, c.held, c.running, c.told "
    "FROM unnest(%s::text[], %s::bigint[]) AS wanted (cap, start_ms) "
    "JOIN counters c USING (cap, start_ms)"
)
_CAPS: Final = CAP_COLUMNS + "WHERE subject = ANY(%s::text[]) ORDER BY created_ms, id"
_OPEN: Final = "SELECT id, request_id FROM holds WHERE id = ANY(%s::bigint[])"
_TAKEN: Final = ENTRY_ROWS + "WHERE seq = ANY(%s::bigint[])"
_ENDED: Final = (
    "SELECT hold, kind, nusd, tokens, coalesce(over_nusd, 0)::bigint, "
    "coalesce(over_tokens, 0)::bigint FROM entries e LEFT JOIN LATERAL "
    "(SELECT sum(nusd) AS over_nusd, sum(tokens) AS over_tokens FROM entries "
    "WHERE hold = e.hold AND kind = 'overrun') overruns ON true "
    "WHERE hold = ANY(%s::bigint[]) AND kind IN ('settle', 'void', 'expire')"
)
_REPEATS: Final = (
    "SELECT i.key, i.digest, i.hold, i.at_ms, h.id IS NOT NULL "
    "FROM unnest(%s::text[], %s::text[]) AS wanted (key, digest) "
    "JOIN idempotency i USING (key, digest) LEFT JOIN holds h ON h.id = i.hold"
)
_SWEPT: Final = (
    "SELECT id, request_id, expires_ms, is_orphan FROM holds h, LATERAL (SELECT NOT EXISTS "
    "(SELECT FROM gateways g WHERE g.id = h.gateway)) AS its (is_orphan) "
    "WHERE expires_ms <= %s OR is_orphan ORDER BY id LIMIT %s"
)


@dataclass(slots=True)
class Facts:
    """The books as they are while the lock is held.

    `open`: entries of holds that are. `running`: holds of repeated idempotency keys that are open.
    `swept`: holds that nobody will end: the end of their time, and whether their gateway is gone.
    `is_registered`: the others count this gateway as alive.
    """

    caps: KnownCaps
    seq: int = 0
    hash: bytes = b""
    is_registered: bool = False
    counters: dict[tuple[str, int], tuple[int, int, int, int]] = field(default_factory=dict)
    open: dict[int, Entry] = field(default_factory=dict)
    ended: dict[int, Ended] = field(default_factory=dict)
    taken: dict[int, Entry] = field(default_factory=dict)
    repeats: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    running: set[int] = field(default_factory=set)
    swept: dict[int, tuple[int, bool]] = field(default_factory=dict)


class Loader:
    """Brings the facts for one batch. `remembered`: entries of holds that this gateway took."""

    def __init__(
        self,
        connection: AsyncConnection[Any],
        wants: Wants,
        caps: KnownCaps,
        remembered: dict[int, Entry],
    ) -> None:
        self._connection = connection
        self._wants = wants
        self._facts = Facts(caps)
        self._entries = {seq: remembered[seq] for seq in wants.holds if seq in remembered}
        self._calls = set(wants.calls)
        for entry in self._entries.values():
            self._calls.add(_call(entry))
        self._counted: set[tuple[str, int]] = set()

    async def load(self, gateway: str) -> Facts:
        """Begin a transaction, take the lock, look. Raises `StoreError` where the layout is too
        new for this code."""
        facts, wants = self._facts, self._wants
        is_open = await self._first(gateway)
        absent = [seq for seq in wants.holds if seq not in is_open]
        for seq in absent:  # whatever is remembered of them, the books know better
            self._entries.pop(seq, None)
        repeated = [hold for hold, _ in facts.repeats.values() if hold not in facts.running]
        await self._entries_of([*wants.holds, *is_open], [*absent, *repeated])
        for seq, request_id in is_open.items():
            if wants.holds.get(seq, request_id) == request_id:
                facts.open[seq] = self._entries[seq]
        facts.taken = {seq: self._entries[seq] for seq in absent if seq in self._entries}
        await self._caps_and_counters()
        return facts

    async def _first(self, gateway: str) -> dict[int, str]:
        """The round trip that is nearly always enough; which holds are open, and for whom."""
        facts, wants = self._facts, self._wants
        unknown = self._unknown()
        wanted = self._wanted_counters()
        async with self._connection.pipeline():
            await self._connection.execute("BEGIN")
            await self._connection.execute(LOCK)
            book = await self._ask(_BOOK, gateway)
            counters = await self._ask_counters(wanted)
            caps = await self._ask(_CAPS, unknown) if unknown else None
            opened = await self._ask(_OPEN, integers(wants.holds)) if wants.holds else None
            repeats = await self._ask_repeats()
            swept = (
                await self._ask(_SWEPT, wants.past_ms, SWEEP_BATCH)
                if wants.past_ms is not None
                else None
            )
        ((facts.seq, facts.hash, version, needs, facts.is_registered),) = await _rows(book)
        if needs > LAYOUT:
            raise StoreError(
                f"the database was laid out by a newer tokenward (it needs at least {needs}, this "
                f"one knows up to {LAYOUT}); update tokenward"
            )
        if version != facts.caps.version:
            facts.caps.forget(version)
            self._counted.clear()
        else:
            self._keep_counters(wanted, await _rows(counters))
        if caps is not None:
            facts.caps.learn(unknown, await _rows(caps))
        for key, digest, hold, at_ms, is_running in await _rows(repeats):
            facts.repeats[key, digest] = hold, at_ms
            if is_running:
                facts.running.add(hold)
        is_open = dict(await _rows(opened))
        for seq, request_id, expires_ms, is_orphan in await _rows(swept):
            facts.swept[seq] = expires_ms, is_orphan
            is_open[seq] = request_id
        return is_open

    async def _entries_of(self, seqs: Iterable[int], ended: list[int]) -> None:
        """What this gateway does not remember, and how holds that are not open ended."""
        absent = sorted({seq for seq in seqs if seq not in self._entries})
        if not absent and not ended:
            return
        async with self._connection.pipeline():
            taken = await self._ask(_TAKEN, integers(absent)) if absent else None
            ends = await self._ask(_ENDED, integers(ended)) if ended else None
        for row in await _rows(taken):
            entry = read_entry(row)
            self._entries[entry.seq] = entry
            self._calls.add(_call(entry))
        for hold, *end in await _rows(ends):
            self._facts.ended[hold] = Ended(*end)

    async def _caps_and_counters(self) -> None:
        unknown = self._unknown()
        if unknown:
            self._facts.caps.learn(unknown, await _rows(await self._ask(_CAPS, unknown)))
        wanted = self._wanted_counters()
        if wanted:
            self._keep_counters(wanted, await _rows(await self._ask_counters(wanted)))

    def _unknown(self) -> list[str]:
        return self._facts.caps.unknown(owner for owner, _ in self._calls)

    def _wanted_counters(self) -> list[tuple[str, int]]:
        """Counters of caps that are known, as far as they were not brought yet."""
        wanted = {
            (known.cap.id, known.window(at_ms)[0])
            for owner, at_ms in self._calls
            for known in self._facts.caps.of(owner) or ()
            if at_ms >= known.since_ms
        }
        return sorted(wanted - self._counted)

    def _keep_counters(
        self, wanted: list[tuple[str, int]], rows: Iterable[tuple[Any, ...]]
    ) -> None:
        self._counted.update(wanted)
        for cap, start_ms, *sums in rows:
            self._facts.counters[cap, start_ms] = tuple(sums)

    async def _ask_counters(self, wanted: list[tuple[str, int]]) -> AsyncCursor[Any] | None:
        if not wanted:
            return None
        caps, starts = zip(*wanted, strict=True)
        return await self._ask(_COUNTERS, list(caps), integers(starts))

    async def _ask_repeats(self) -> AsyncCursor[Any] | None:
        if not self._wants.repeats:
            return None
        keys, digests = zip(*self._wants.repeats, strict=True)
        return await self._ask(_REPEATS, list(keys), list(digests))

    async def _ask(self, question: Any, *values: object) -> AsyncCursor[Any]:
        return await self._connection.execute(question, values, prepare=True)


async def _rows(cursor: AsyncCursor[Any] | None) -> list[tuple[Any, ...]]:
    return [] if cursor is None else await cursor.fetchall()


def _call(entry: Entry) -> tuple[Owner, int]:
    return (entry.account, entry.project, entry.key, entry.model), entry.at_ms
