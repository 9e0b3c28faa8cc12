"""What the machine gives: its clocks and its randomness. Everything pure gets them from `app`."""

import gc
import os
import secrets
import sys
import time
from typing import Final

from tokenward.kernel.ids import BASE62

SWITCH_S: Final = 0.0005
"""How long a thread keeps the interpreter from others. The event loop asks for it many times a
call, so with Python's 5 ms calls beside an audit of 100,000 keys took up to 0.7 s."""
_AWAKE_OR_NOT: Final = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)
"""Linux's monotonic clock stands still in suspend; elsewhere it does not."""
# 248 is four times 62: a larger byte would make some characters likelier than others.
_UNEVEN: Final = bytes(range(248, 256))
_ID_CHARS: Final = 20
_IN_BASE62: Final = bytes(ord(BASE62[byte % 62]) for byte in range(256))


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


class RequestIds:
    """`req_` and 20 base62 characters, each uniform; unique, and no secret. Drawn some thousand
    characters at a time: a system call costs more than the rest of an id."""

    def __init__(self) -> None:
        self._text = ""
        self._used = 0

    def draw(self) -> str:
        """The next one."""
        if self._used + _ID_CHARS > len(self._text):
            self._text = os.urandom(4096).translate(_IN_BASE62, _UNEVEN).decode("ascii")
            self._used = 0
        start, self._used = self._used, self._used + _ID_CHARS
        return "req_" + self._text[start : self._used]


def tune_interpreter() -> None:
    """For a process that serves.

    What was loaded lives as long as the process: the garbage collector need not walk it for every
    few hundred objects of a request, most of which die without its help. And a thread that counts
    (an audit) soon lets the event loop have its turn.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)
    sys.setswitchinterval(SWITCH_S)
