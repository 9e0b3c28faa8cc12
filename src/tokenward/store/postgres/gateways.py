"""Which gateways run, by the database's clock.

A gateway writes down that it is there, and goes on saying so (`changes.ChangeFeed`). One that was
not seen for 15 s is dead: whoever does the chores takes it out, and then closes its holds. If it
was only asleep it writes itself down anew before it acts again.
"""

from dataclasses import dataclass
from typing import Any, Final

from psycopg import AsyncConnection

from tokenward.kernel.errors import StoreError
from tokenward.store.postgres.transaction import Transaction

DEAD_S: Final = 15
_REGISTER: Final = (
    "INSERT INTO gateways (id, host, version, alone) VALUES (%s, %s, %s, %s) "
    "ON CONFLICT (id) DO UPDATE SET seen = clock_timestamp()"
)
_ELSEWHERE: Final = (
    "SELECT host FROM gateways WHERE id <> %s AND host <> %s AND (alone OR %s) "
    "AND seen > clock_timestamp() - make_interval(secs => %s) ORDER BY started DESC LIMIT 1"
)
_FORGET_DEAD: Final = (
    "DELETE FROM gateways WHERE seen <= clock_timestamp() - make_interval(secs => %s) RETURNING id"
)
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


async def forget_dead(connection: AsyncConnection[Any]) -> list[str]:
    """Take out the gateways that stopped saying that they are there; which ones. From then on
    they can take no holds, and the next sweep closes those they have."""
    cursor = await connection.execute(_FORGET_DEAD, (DEAD_S,))
    return [row[0] for row in await cursor.fetchall()]


async def leave(connection: AsyncConnection[Any], gateway_id: str) -> None:
    """A gateway stops in good order."""
    await connection.execute(_LEAVE, (gateway_id,))
