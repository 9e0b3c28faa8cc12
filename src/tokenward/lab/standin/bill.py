"""What is owed: one line a charged call, kept in memory and in a file."""

from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import msgspec

from tokenward.lab.standin.tariff import Model, Used, cost_nusd

LINES_MAX: Final = 200_000
"""Lines kept in memory; the totals and the file hold them all."""


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One charged call. `input` is what was neither cached nor written to a cache; `output` holds
    `reasoning`. `end` says how it ended: complete, cut (the client left), reset, close, hang,
    error, garbage."""

    request_id: str
    dialect: str
    operation: str
    model: str
    stream: bool
    input: int
    cached: int
    cache_write: int
    cache_write_1h: int
    input_audio: int
    output: int
    reasoning: int
    output_image: int
    searches: int
    characters: int
    audio_ms: int
    tier: str
    region: str
    speed: str
    cost_nusd: int
    status: int
    end: str
    cut: bool
    tag: str
    arrived_ms: int = 0
    """When the call's head was read, Unix ms."""


@dataclass(slots=True)
class Totals:
    """Sums over every line since the start or the last reset."""

    calls: int = 0
    cut: int = 0
    input: int = 0
    cached: int = 0
    cache_write: int = 0
    output: int = 0
    reasoning: int = 0
    cost_nusd: int = 0
    cost_by_model_nusd: dict[str, int] = field(default_factory=dict)


class Bill:
    """Writes lines. With a path, each line is with the operating system before `charge` ends."""

    def __init__(self, path: Path | None = None) -> None:
        self._file: BinaryIO | None = path.open("ab", buffering=0) if path else None
        self._encoder = msgspec.json.Encoder()
        self._lines: deque[bytes] = deque(maxlen=LINES_MAX)
        self._totals = Totals()

    def charge(self, model: Model, used: Used, **about: Any) -> None:
        """Add a line for `used`; `about` are the fields of `Line` that are not counts."""
        counts = msgspec.structs.asdict(used)
        line = Line(model=model.name, cost_nusd=cost_nusd(model, used), **counts, **about)
        text = self._encoder.encode(line)
        if self._file is not None:
            self._file.write(text + b"\n")
        self._lines.append(text)
        sums = self._totals
        sums.calls += 1
        sums.cut += line.cut
        sums.input += used.input + used.input_audio
        sums.cached += used.cached
        sums.cache_write += used.cache_write + used.cache_write_1h
        sums.output += used.output + used.output_image
        sums.reasoning += used.reasoning
        sums.cost_nusd += line.cost_nusd
        by_model = sums.cost_by_model_nusd
        by_model[model.name] = by_model.get(model.name, 0) + line.cost_nusd

    def report(self, last: int = LINES_MAX) -> bytes:
        """`{"totals": {…}, "lines": […]}` as JSON, with the last lines, oldest first."""
        lines = list(self._lines)[-last:] if last else []
        return b'{"totals":%b,"lines":[%b]}' % (
            self._encoder.encode(self._totals),
            b",".join(lines),
        )

    def reset(self) -> None:
        """Forget everything, in the file too."""
        self._lines.clear()
        self._totals = Totals()
        if self._file is not None:
            self._file.truncate(0)

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None
