"""Links between processes: frames arrive in order, late, not at all for a while, or never."""

import asyncio
from collections.abc import Callable
from random import Random

from sim.history import History
from sim.loop import Process, SimLoop

PONG_BYTES = 16
LOST = None
"""Stands in a link for its end."""


class SimLink:
    """One end. Fulfils `store.workers.link.Link`."""

    def __init__(self, wire: "Wire", process: Process) -> None:
        self.process = process
        self.is_lost = False
        self._wire = wire
        self._early: list[bytes] = []
        self._on_frame: Callable[[bytes], None] | None = None
        self._on_lost: Callable[[], None] | None = None

    def start(self, on_frame: Callable[[bytes], None], on_lost: Callable[[], None]) -> None:
        """From now on hear of frames, of those that came before too."""
        self._on_frame, self._on_lost = on_frame, on_lost
        early, self._early = self._early, []
        for frame in early:
            self.hear(frame)
        if self.is_lost:
            self._tell_lost()

    def send(self, frame: bytes) -> None:
        """At once: nothing else happens within a turn."""
        if not self.is_lost:
            self._wire.carry(self, frame)

    def flush(self) -> None:
        """Nothing waits."""

    async def drain(self) -> None:
        """There is always room."""
        await asyncio.sleep(0)

    def close(self) -> None:
        """Let go; the other end hears of it after what was sent before."""
        self._on_frame = self._on_lost = None
        if not self.is_lost:
            self.is_lost = True
            self._wire.carry(self, LOST)

    def hear(self, frame: bytes | None) -> None:
        """As the wire brings it."""
        if self.is_lost:
            return
        if frame is LOST:
            self.is_lost = True
            self._tell_lost()
        elif self._on_frame is not None:
            self._on_frame(frame)
        else:
            self._early.append(frame)

    def _tell_lost(self) -> None:
        on_lost, self._on_lost = self._on_lost, None
        if on_lost is not None:
            on_lost()


class Wire:
    """What is between two ends. `name` is the gateway's: faults strike all its wires."""

    def __init__(self, network: "Network", name: str, one: Process, other: Process) -> None:
        self.name = name
        self.ends = (SimLink(self, one), SimLink(self, other))
        self._network = network
        self._due_s = [0.0, 0.0]
        self._kept: list[tuple[int, bytes | None]] = []
        self._breaks = 0

    def carry(self, sender: SimLink, frame: bytes | None) -> None:
        """Bring a frame to the other end, behind those before."""
        to = 1 - self.ends.index(sender)
        if self.name in self._network.cut:
            self._kept.append((to, frame))
        else:
            self._send(to, frame)

    def _send(self, to: int, frame: bytes | None) -> None:
        loop, end = self._network.loop, self.ends[to]
        late_s = self._network.lateness_s(self.name, to)
        self._due_s[to] = max(self._due_s[to], loop.time() + late_s)
        context = end.process.context
        loop.call_at(self._due_s[to], self._arrive, self._breaks, end, frame, context=context)

    def _arrive(self, breaks: int, end: SimLink, frame: bytes | None) -> None:
        if breaks != self._breaks:
            return
        to = self.ends.index(end)
        if self._network.doomed.get(self.name) == to and len(frame or b"") > PONG_BYTES:
            del self._network.doomed[self.name]
            self._network.break_off(self.name)
        else:
            end.hear(frame)

    def go_on(self) -> None:
        """It was cut; what was sent meanwhile goes on its way."""
        kept, self._kept = self._kept, []
        for to, frame in kept:
            self._send(to, frame)

    def break_off(self) -> None:
        """Whatever is on its way is lost, and both ends hear that the link is."""
        self._breaks += 1
        self._kept.clear()
        self._due_s = [0.0, 0.0]
        for to in (0, 1):
            if not self.ends[to].is_lost:
                self._send(to, LOST)


class Network:
    """All wires of a world."""

    def __init__(self, loop: SimLoop, rng: Random, history: History) -> None:
        self.loop = loop
        self.cut: set[str] = set()
        self.lags: dict[tuple[str, int], float] = {}
        """By gateway and direction: 0 is towards it."""
        self.doomed: dict[str, int] = {}
        """Wires that break under the next frame in this direction that says something."""
        self._rng = rng
        self._history = history
        self._wires: list[Wire] = []

    def connect(self, name: str, one: Process, other: Process) -> tuple[SimLink, SimLink]:
        """A new wire of the gateway `name`."""
        wire = Wire(self, name, one, other)
        self._wires.append(wire)
        return wire.ends

    def lateness_s(self, name: str, to: int) -> float:
        """Of the next frame on its wires."""
        lag_s = self.lags.get((name, to), 0.0)
        if lag_s:
            self._history.fire("lag")
        return self._rng.uniform(0.00005, 0.001) + self._rng.uniform(0.5, 1.0) * lag_s

    def join(self, name: str) -> None:
        """Its wires are whole again."""
        self.cut.discard(name)
        for wire in self._of(name):
            wire.go_on()

    def break_off(self, name: str) -> None:
        """Its wires break."""
        self._history.fire("loss")
        self._history.note(self.loop.time(), name, "link_broken")
        for wire in self._of(name):
            wire.break_off()

    def bury(self, process: Process) -> None:
        """The system closes what a dead process had open."""
        for wire in self._wires:
            for end in wire.ends:
                if end.process is process:
                    end.close()
        self._wires = [w for w in self._wires if not all(end.is_lost for end in w.ends)]

    def _of(self, name: str) -> list[Wire]:
        return [wire for wire in self._wires if wire.name == name]
