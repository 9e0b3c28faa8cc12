"""What time is it? Only through this protocol; the real clock is built in `app.py`."""

from typing import Protocol


class Clock(Protocol):
    """Two clocks, because wall time steps and monotonic time does not say what day it is."""

    def now_ms(self) -> int:
        """Wall time as Unix milliseconds, for records, windows and expiry."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never go back, for durations, rates and waits."""
        ...
