"""Entries of the ledger as every engine stores them."""

from typing import Any, Final

from tokenward.ledger.chain import Entry

ENTRY_COLUMNS: Final = (
    "SELECT seq, ts, kind, hold, at_ms, account, project, key, model, nusd, tokens, calls, "
    "input_tokens, output_tokens, cached_tokens, estimate, detail"
)
"""An `Entry`, as it is; other columns and the table are still to be said."""
ENTRY_ROWS: Final = ENTRY_COLUMNS + ", hash FROM entries "
"""An `Entry` and, last, the hash it carries."""


def read_entry(row: tuple[Any, ...]) -> Entry:
    """The entry that `ENTRY_ROWS` say."""
    return Entry(*row[:-1])
