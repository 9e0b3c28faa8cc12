"""What the machine gives: its clocks and its randomness. Everything pure gets them from `app`."""

import gc
import os
import secrets
import time
from typing import Final

_AWAKE_OR_NOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's monotonic clock stands still in suspend; elsewhere it does not."""


class RealClock:
    """The machine's clocks."""

    def now_ms(self) -> int:
        """Wall time, Unix ms."""
        return time.time_ns() // 1_000_000

    def monotonic_s(self) -> float:
        """Seconds that never go back, and go on while the machine sleeps: a lease must not outlive
        a night in suspend."""
        return time.clock_gettime(_AWAKE_OR_NOT)


class RealDice:
    """The system's randomness."""

    def below(self, limit: int) -> int:
        """A uniform integer in [0, limit)."""
        return secrets.randbelow(limit)


class IdDice:
    """Randomness for what must be unique and is no secret. It is fetched some thousand bytes at a
    time: a system call costs more than the rest of drawing an id."""

    def __init__(self) -> None:
        self._bytes = b""
        self._used = 0

    def below(self, limit: int) -> int:
        """A uniform integer in [0, limit)."""
        bits = (limit - 1).bit_length()
        size = (bits + 7) // 8
        while True:
            if self._used + size > len(self._bytes):
                self._bytes, self._used = os.urandom(max(4096, size)), 0
            drawn = self._bytes[self._used : self._used + size]
            self._used += size
            number = int.from_bytes(drawn) >> (size * 8 - bits)
            if number < limit:
                return number


def quiet_collector() -> None:
    """What was loaded lives as long as the process: the garbage collector need not walk it for
    every few hundred objects of a request, most of which die without its help."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
