"""What the clocks of one machine say: two that run at its own pace, one of which is stepped."""

from sim.loop import SimLoop

START_MS = 1_768_521_580_000
"""2026-01-15 23:59:40 UTC: minutes, an hour, a day and nothing larger end soon."""


class SimClock:
    """Fulfils `kernel.clock.Clock`. `pace` 1.0: as true time."""

    def __init__(self, loop: SimLoop, pace: float = 1.0, off_ms: int = 0, since_s: float = 0.0):
        self._loop = loop
        self.pace = pace
        self.off_ms = off_ms
        self.ahead_ms = 0
        """The most it was wrong by."""
        self._since_s = since_s

    def monotonic_s(self) -> float:
        """Seconds since some moment that only this machine knows."""
        return self._since_s + self._loop.time() * self.pace

    def now_ms(self) -> int:
        """Wall time, wrong by what it was stepped and by its pace."""
        return START_MS + self.off_ms + round(self._loop.time() * self.pace * 1000)

    def step(self, by_ms: int) -> None:
        """As an administrator or a time service does."""
        self.off_ms += by_ms
        self.ahead_ms = max(self.ahead_ms, self.off_ms)

    def correct(self) -> None:
        """Wall time is right again, and so is the pace."""
        self.off_ms, self.pace = 0, 1.0
