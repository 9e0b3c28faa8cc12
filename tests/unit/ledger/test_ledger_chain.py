"""The chain: one hash follows from everything before it."""

import hashlib

from tokenward.ledger.chain import GENESIS, Entry, chain_hash

ENTRY = Entry(1, 2, "hold", 1, 2, "a", "p", "k", 'm"é', 5, 6, 1, 0, 0, 0, 0, "{}")


def test_an_entry_is_hashed_as_a_json_array_behind_the_hash_before() -> None:
    """So that anybody can check a chain with other tools."""
    text = '[1,2,"hold",1,2,"a","p","k","m\\"é",5,6,1,0,0,0,0,"{}"]'.encode()
    assert chain_hash(GENESIS, ENTRY) == hashlib.sha256(bytes(32) + text).digest()


def test_every_field_and_the_past_matter() -> None:
    seen = {chain_hash(GENESIS, ENTRY), chain_hash(b"\x01" * 32, ENTRY)}
    for field, value in zip(Entry._fields, ENTRY, strict=True):
        changed = value + 1 if isinstance(value, int) else f"{value}x"
        seen.add(chain_hash(GENESIS, ENTRY._replace(**{field: changed})))
    assert len(seen) == 2 + len(Entry._fields)
