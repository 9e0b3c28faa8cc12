"""What went wrong, as the guard tells it apart: the store is away, too slow, or said no."""

from typing import Final

import psycopg
from psycopg import errors

from tokenward.kernel.errors import StoreBusyError, StoreError

AGAIN: Final = (errors.SerializationFailure, errors.DeadlockDetected)
"""Nothing was kept, and the same asked again may go through."""
SLOW: Final = (errors.LockNotAvailable, errors.QueryCanceled)
"""The server itself ended a statement that took too long."""
_ENDED: Final = ("08", "57P", "25P03")
"""How SQLSTATEs begin where the session is over: connection, shutdown or crash, idle too long."""


def is_lost(error: BaseException) -> bool:
    """Whether the connection is gone: what was sent last may have been done or not."""
    if not isinstance(error, psycopg.Error):
        return isinstance(error, OSError)
    if error.sqlstate is None:
        return isinstance(error, psycopg.OperationalError | psycopg.InterfaceError)
    return error.sqlstate.startswith(_ENDED)


def as_fault(error: BaseException, doing: str) -> StoreError:
    """The fault that a caller is told of. Never holds the address: a password may be in it."""
    if isinstance(error, StoreError):
        return error
    if isinstance(error, SLOW):
        fault: StoreError = StoreBusyError(f"the database takes too long to {doing}")
    else:
        text = str(error).strip().partition("\n")[0]
        fault = StoreError(f"the database cannot {doing}: {text}")
    fault.__cause__ = error
    return fault
