"""Which gateways run, by the database's clock.

A gateway writes down that it is there, and goes on saying so (`changes.ChangeFeed`). One that was
not seen for 15 s, the last 5 s of them under the eyes of another (`DeathWatch`), is dead: whoever
does the chores takes it out, and then closes its holds. If it was only asleep it writes itself
down anew before it acts again.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, NamedTuple

from psycopg import AsyncConnection

from tokenward.kernel.clock import Clock
from tokenward.kernel.errors import StoreError
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.transaction import Transaction

DEAD_S: Final = 15
WATCHED_S: Final = 5.0
"""Enough for every gateway that lives to say so after the database was away."""
_REGISTER: Final = (
    "INSERT INTO gateways (id, host, version, alone) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (id) DO UPDATE SET seen = clock_timestamp()"
)
_ELSEWHERE: Final = (
    "SELECT host FROM gateways WHERE id <> %s AND host <> %s AND (alone OR %s) "
    "AND seen > clock_timestamp() - make_interval(secs => %s) ORDER BY started DESC LIMIT 1"
)
_RUNNING: Final = (
    "SELECT host FROM gateways WHERE seen > clock_timestamp() - make_interval(secs => %s) "
    "ORDER BY started LIMIT 1"
)
_SIGHTINGS: Final = (
    "SELECT id, (extract(epoch FROM seen) * 1000000)::bigint, "
    "seen <= clock_timestamp() - make_interval(secs => %s) FROM gateways"
)
_TAKE_OUT: Final = (
    "DELETE FROM gateways WHERE id = %s AND (extract(epoch FROM seen) * 1000000)::bigint = %s"
)
_SAY_HERE: Final = "UPDATE gateways SET seen = clock_timestamp() WHERE id = %s"
_LEAVE: Final = "DELETE FROM gateways WHERE id = %s"


@dataclass(frozen=True, slots=True, kw_only=True)
class Gateway:
    """One run of one gateway. `id` is random. `is_alone`: it keeps used proofs and rates to
    itself, so that one on another host would not know of them."""

    id: str
    host: str
    version: str
    is_alone: bool


async def register(me: Gateway, transaction: Transaction) -> None:
    """Write the gateway down. Under the lock of the books: of two that may not run beside each
    other the second finds the first. Raises `StoreError` then."""
    await write_down(transaction.connection, me)


async def write_down(connection: AsyncConnection[Any], me: Gateway) -> None:
    """Say that this gateway is there. Raises `StoreError` if it may not be."""
    cursor = await connection.execute(_ELSEWHERE, (me.id, me.host, me.is_alone, DEAD_S))
    other = await cursor.fetchone()
    if other is not None:
        raise StoreError(
            f"a gateway on {other[0]} uses the same database, and they share no Valkey: a proof "
            "used on one would be good once more on the other. Give store.hot of each the same "
            f"Valkey; or, if that gateway is gone, wait {DEAD_S} s and start again"
        )
    await connection.execute(_REGISTER, (me.id, me.host, me.version, me.is_alone))


async def refuse_running(connection: AsyncConnection[Any]) -> None:
    """Raises `StoreError` while a gateway runs on these records."""
    running = await (await connection.execute(_RUNNING, (DEAD_S,))).fetchone()
    if running is not None:
        raise StoreError(
            f"a gateway on {running[0]} uses these records, and none may meanwhile. Stop all of "
            f"them; one that was killed is forgotten after {DEAD_S} s"
        )


async def say_here(connection: AsyncConnection[Any], gateway_id: str) -> None:
    """Say that this gateway is there still, unless it was taken out."""
    await connection.execute(_SAY_HERE, (gateway_id,))


async def leave(connection: AsyncConnection[Any], gateway_id: str) -> None:
    """A gateway stops in good order."""
    await connection.execute(_LEAVE, (gateway_id,))


class _Sighting(NamedTuple):
    """What a gateway said last, by the database's clock, and since when that is all it said, by
    the clock of who watches."""

    said_us: int
    since_s: float


class DeathWatch:
    """Which gateways are dead, as one of them may judge.

    When the database was away nobody was seen for long, and whoever is back first is not the only
    one that lives. So a gateway counts as dead only if it was not seen for `DEAD_S`, and said
    nothing new for `WATCHED_S` through which the one that judges heard all that there was.

    `heard_since_s`: since when, by the clock, it hears all without a break; `inf` while it does
    not.
    """

    def __init__(self, clock: Clock, heard_since_s: Callable[[], float]) -> None:
        self._clock = clock
        self._heard_since_s = heard_since_s
        self._sightings: dict[str, _Sighting] = {}

    async def bury(self, database: Database) -> list[str]:
        """Look who is there, and take out who is dead; which ones. From then on they can take no
        holds, and the next sweep closes those they have. Raises `StoreError`."""
        asked_s = self._clock.monotonic_s()
        rows = await database.fetch(_SIGHTINGS, (DEAD_S,))
        now_s = self._clock.monotonic_s()
        before, self._sightings = self._sightings, {}
        dead: dict[str, _Sighting] = {}
        for name, said_us, is_late in rows:
            sighting = before.get(name)
            if sighting is None or sighting.said_us != said_us or not self._watched(sighting):
                sighting = _Sighting(said_us, now_s)
            self._sightings[name] = sighting
            if is_late and asked_s - sighting.since_s >= WATCHED_S:
                dead[name] = sighting
        return await database.change(partial(self._take_out, dead)) if dead else []

    async def _take_out(self, dead: dict[str, _Sighting], transaction: Transaction) -> list[str]:
        """Unless something was said, or not heard, since the look."""
        gone: list[str] = []
        for name, sighting in dead.items():
            if self._watched(sighting):
                values = (name, sighting.said_us)
                cursor = await transaction.connection.execute(_TAKE_OUT, values)
                gone += [name] * cursor.rowcount
        return gone

    def _watched(self, sighting: _Sighting) -> bool:
        return self._heard_since_s() <= sighting.since_s
