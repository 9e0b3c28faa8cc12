"""Many keys, caps and accounts at once, as rows: written straight into the books of a test, without
the entries that would tell of each, so that no audit of them is right."""

from ledger_world import NOON_MS
from tokenward.store.sqlite import SqliteStore

SQLITE_BYTE = "x'00'"
_NUMBERS = (
    "WITH RECURSIVE numbers (i) AS "
    "(SELECT 1000001 UNION ALL SELECT i + 1 FROM numbers WHERE i < 1000000 + {count}) "
)
_AGE = f"{NOON_MS - 10_000_000} + (i - 1000000) / 7"
"""Some came into being in the same millisecond."""
_KEYS = (
    "INSERT INTO keys (id, digest, account, project, name, state, caveats, created_ms, frozen_why, "
    "revoked_why, old_secrets) SELECT 'crowd' || i, {byte}, 'a1', 'p1', '', 'live', '{{ }}', "
    + _AGE
    + ", '', '', '[]' FROM numbers"
)
_CAPS = (
    'INSERT INTO caps (id, subject, model, "window", unit, "limit", zone, throttles, created_ms, '
    "since_ms, is_credit) SELECT 'cap:crowd' || i, 'key:crowd' || i, '', 'day', 'nusd', 9, 'UTC', "
    f"false, {_AGE}, 0, false FROM numbers"
)
_ACCOUNTS = f"INSERT INTO accounts (name, created_ms) SELECT 'crowd' || i, {_AGE} FROM numbers"
_ENTRIES = (
    "INSERT INTO entries (seq, ts, kind, hold, at_ms, account, project, key, model, nusd, tokens, "
    "calls, input_tokens, output_tokens, cached_tokens, estimate, detail, hash) "
    f"SELECT i, {NOON_MS}, 'settle', i, {NOON_MS}, 'a1', 'p1', 'crowd' || i, 'm' || i, 3, 2, 1, "
    "1, 1, 0, 0, '', {byte} FROM numbers"
)


def names(count: int) -> list[str]:
    """Of the keys, and of the accounts, oldest first."""
    return [f"crowd{1_000_001 + number}" for number in range(count)]


def keys(count: int, byte: str = SQLITE_BYTE) -> str:
    """So many keys of project `p1` and account `a1`, which must be there, older than any other."""
    return (_NUMBERS + _KEYS).format(count=count, byte=byte)


def caps(count: int) -> str:
    """A cap on each of these keys."""
    return (_NUMBERS + _CAPS).format(count=count)


def accounts(count: int) -> str:
    """So many accounts."""
    return (_NUMBERS + _ACCOUNTS).format(count=count)


def entries(count: int, byte: str = SQLITE_BYTE) -> str:
    """A call of each of these keys, to a model of its own, taken on at noon, that cost 3 nusd."""
    return (_NUMBERS + _ENTRIES).format(count=count, byte=byte)


def write(store: SqliteStore, *statements: str) -> None:
    """Into a store that is open here."""
    for statement in statements:
        store.database.connection.execute(statement)
