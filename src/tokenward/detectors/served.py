"""Was this answer served to this key? Two Bloom filters that take turns.

A plain list of so many hashes would take four times the bytes. Now and then (about one in twenty
when both are full) an answer is taken for served that never was; a served one is never missed
while the filters reach back to it.
"""

from typing import Final

ANSWERS_MAX: Final = 1_024
"""Of a filter; the newest 1,024 answers are remembered, and up to twice as many."""
BYTES: Final = 1_024
_BITS: Final = BYTES * 8
_SHIFTS: Final = (0, 13, 26)
"""An answer sets three bits, told by three parts of its hash: about 3 % taken for served by
chance in a full filter."""


class Served:
    """What a key was given: at most 2 kB, none before the first answer. `reaches_ms` is the time
    since when nothing is forgotten, `count` the number of answers, up to a filter's worth."""

    __slots__ = ("_began_ms", "_new", "_new_count", "_old", "count", "reaches_ms")

    def __init__(self, since_ms: int) -> None:
        self._new, self._old = bytearray(), bytearray()
        self._new_count, self.count = 0, 0
        self._began_ms = self.reaches_ms = since_ms

    def add(self, answer: int, now: int) -> None:
        """The key was given this answer."""
        if not self._new:
            self._new = bytearray(BYTES)
        elif self._new_count >= ANSWERS_MAX:
            self._old, self._new = self._new, bytearray(BYTES)
            self.reaches_ms, self._began_ms = self._began_ms, now
            self._new_count = 0
        self._new_count += 1
        self.count = min(self.count + 1, ANSWERS_MAX)
        for bit in _bits(answer):
            self._new[bit >> 3] |= 1 << (bit & 7)

    def has(self, answer: int) -> bool:
        """It was given, as far as is remembered."""
        return any(
            all(bits[bit >> 3] & 1 << (bit & 7) for bit in _bits(answer))
            for bits in (self._new, self._old)
            if bits
        )


def _bits(answer: int) -> tuple[int, ...]:
    return tuple((answer >> shift) % _BITS for shift in _SHIFTS)
