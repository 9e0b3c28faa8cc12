"""The entries of the ledger and the hash chain that ties them together (L7).

Entry n carries SHA-256(hash of entry n-1 || its own fields as a JSON array). So whoever knows one
head (number and hash) can prove that nothing up to it was changed, inserted or taken away.
"""

import hashlib
from typing import Final, NamedTuple

import msgspec

GENESIS: Final = bytes(32)
"""What the first entry follows."""
POSTING_KINDS: Final = frozenset({"settle", "expire", "overrun"})
"""The kinds whose amounts are spent money."""
ENDING_KINDS: Final = frozenset({"settle", "void", "expire"})
"""The kinds that end a hold."""


class Entry(NamedTuple):
    """One line of the ledger; never changed, a correction is a new one.

    `ts` is when it was written, `at_ms` when the call it belongs to was taken on: that moment
    decides its windows. `hold` is the number of the hold's own entry, 0 for what is not about a
    hold. For a `hold`, `nusd` and `tokens` are what was reserved; for a posting, what was spent.
    `detail` is JSON.
    """

    seq: int
    ts: int
    kind: str
    hold: int
    at_ms: int
    account: str
    project: str
    key: str
    model: str
    nusd: int
    tokens: int
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    estimate: int
    detail: str


_encode = msgspec.json.Encoder().encode


def chain_hash(before: bytes, entry: Entry) -> bytes:
    """The hash of `entry` after an entry with the hash `before`: 32 bytes."""
    return hashlib.sha256(before + _encode(entry)).digest()
