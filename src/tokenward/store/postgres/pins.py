"""What every gateway must have alike: keys hashed under one pepper are unknown under another."""

import hmac
from typing import Final

from tokenward.kernel.errors import StoreError
from tokenward.store.postgres.database import Database
from tokenward.store.postgres.transaction import Transaction

_PIN: Final = "INSERT INTO pins VALUES (%s, %s) ON CONFLICT DO NOTHING"
_PINNED: Final = "SELECT digest FROM pins WHERE name = %s"


async def agree(database: Database, name: str, digest: bytes) -> None:
    """The first gateway says what it has; every other one must have the same. Raises `StoreError`
    if this one does not. `digest` must not tell what it is of."""

    async def ask(transaction: Transaction) -> bytes:
        await transaction.connection.execute(_PIN, (name, digest))
        row = await (await transaction.connection.execute(_PINNED, (name,))).fetchone()
        assert row is not None, "it was pinned now or before"
        return bytes(row[0])

    rows = await database.fetch(_PINNED, (name,))
    pinned = bytes(rows[0][0]) if rows else await database.change(ask)
    if not hmac.compare_digest(pinned, digest):
        raise StoreError(
            f"the {name} of this gateway is not the one that the records were made with: copy "
            f"data/{name} from a gateway that works; or, if these are the wrong records, correct "
            "store.records"
        )
