"""A few numbers about the last minutes, in few bytes: what the memory of a key is made of."""

from array import array
from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from tokenward.detectors.past import TEXT_MAX

HASH_CHARS: Final = 16
TIME_MAX: Final = 2**62


def number(text: str) -> int:
    """`text` as 64 bits, the same in every process: of a hash its value, else a hash of it."""
    if len(text) == HASH_CHARS:
        try:
            return int(text, 16) % 2**64
        except ValueError:
            pass
    raw = text[:TEXT_MAX].encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(raw, digest_size=8).digest(), "big")


def moment(at_ms: int) -> int:
    """The time of a call as the rows can hold it."""
    return at_ms if 0 <= at_ms <= TIME_MAX else min(max(at_ms, 0), TIME_MAX)


def is_within(then: int, now: int, window_ms: int) -> bool:
    """Less than a window apart. Calls are noted when they end, so `then` may be the later one."""
    return -window_ms <= now - then <= window_ms


class Rows:
    """The newest `most` rows of `width` numbers of 64 bits, found by their first. A row takes
    eight bytes a number; nothing is kept before the first row. `count`: how many there are."""

    __slots__ = ("_next", "columns", "count", "most", "width")

    def __init__(self, most: int, width: int) -> None:
        self.most, self.width = most, width
        self.columns: tuple[array[int], ...] = ()
        self.count = self._next = 0

    def __iter__(self) -> Iterator[tuple[int, ...]]:
        return zip(*self.columns, strict=True)

    def find(self, key: int) -> int:
        """Where the row of `key` is, or -1."""
        if not self.columns:
            return -1
        try:
            return self.columns[0].index(key)
        except ValueError:
            return -1

    def row(self, at: int) -> tuple[int, ...]:
        """The row at a place that `find` told."""
        return tuple(column[at] for column in self.columns)

    def put(self, *row: int) -> None:
        """Instead of the row of the same key, else of the oldest one when all places are taken."""
        if not self.columns:
            self.columns = tuple(array("Q") for _ in range(self.width))
        at = self.find(row[0])
        if at < 0 and self.count < self.most:
            self.count += 1
            for column, value in zip(self.columns, row, strict=True):
                column.append(value)
            return
        if at < 0:
            at, self._next = self._next, (self._next + 1) % self.most
        for column, value in zip(self.columns, row, strict=True):
            column[at] = value
