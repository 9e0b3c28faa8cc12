"""Accounts come into being on first use, or when somebody makes them."""

from typing import Final

from tokenward.store.postgres.transaction import Transaction

_ADD: Final = "INSERT INTO accounts (name, created_ms) VALUES (%s, %s) ON CONFLICT DO NOTHING"


async def add_account(name: str, at_ms: int, transaction: Transaction) -> bool:
    """Create the account, with its entry; False if it is there."""
    cursor = await transaction.connection.execute(_ADD, (name, at_ms))
    if cursor.rowcount != 1:
        return False
    transaction.journal.note("account_created", at_ms, account=name)
    return True
