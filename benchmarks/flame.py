"""Where does the time of a call go? A flame graph of the event loop's thread, as a plain SVG.

    py-spy record -p PID -d 20 -r 300 -f raw --threads -o stacks.txt     while `saturation` runs
    python -m benchmarks.flame stacks.txt 300 docs/explanation/hot-path.svg

Reads collapsed stacks (one a line, frames by `;`, then how often). 300 is what a call costs in µs:
widths are shares of it. Frames hang below the one that called them; alike ones are drawn as one.
Narrower than `LEAST_US` is left out.
"""

import argparse
import re
from html import escape
from pathlib import Path
from typing import Final

LEAST_US: Final = 1.0
WIDTH: Final = 1200
ROW: Final = 17
CHAR: Final = 6.2
THREAD: Final = "MainThread"
ROOT: Final = "Runner.run"
COLOURS: Final = {
    "http/": "#8fb7d9",
    "pipeline/": "#f2b880",
    "providers/": "#b5cf8f",
    "store/": "#d99a9a",
    "ledger/": "#e3b7c8",
    "keys/": "#cdb5e0",
    "prices/": "#e6d98a",
}
OTHER: Final = "#d4d4d4"
_LINE: Final = re.compile(r":\d+\)$")


class Frame:
    """A function, what called it, and how often it was seen."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.count = 0
        self.called: dict[str, Frame] = {}

    def add(self, frames: list[str], count: int) -> None:
        """One stack, from here on."""
        self.count += count
        if frames:
            self.called.setdefault(frames[0], Frame(frames[0])).add(frames[1:], count)


def read(text: str) -> Frame:
    """The tree of the loop's thread, without what stands below the loop."""
    root = Frame("the event loop")
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        if THREAD not in stack:
            continue
        frames = [_LINE.sub(")", frame).replace("tokenward/", "") for frame in stack.split(";")]
        at = next((i for i, frame in enumerate(frames) if frame.startswith(ROOT)), None)
        if at is not None:
            root.add(frames[at + 1 :], int(count))
    return root


def draw(root: Frame, call_us: float) -> str:
    """The picture."""
    boxes: list[str] = []
    deepest = _box(boxes, root, 0.0, 0, call_us / root.count, WIDTH / call_us)
    height = (deepest + 2) * ROW
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        f'font-family="monospace" font-size="10"><title>CPU of a guarded call, {call_us:g} µs'
        f"</title>{''.join(boxes)}</svg>\n"
    )


def _box(boxes: list[str], frame: Frame, x: float, depth: int, each_us: float, scale: float) -> int:
    """Draw a frame and what it called; the deepest row there is."""
    width = frame.count * each_us * scale
    colour = next((c for part, c in COLOURS.items() if f"({part}" in frame.name), OTHER)
    fits = int(width / CHAR)
    label = frame.name if len(frame.name) <= fits else frame.name[: max(0, fits - 1)] + "…"
    boxes.append(
        f'<g transform="translate({x:.1f} {depth * ROW})"><title>{escape(frame.name)} '
        f'{frame.count * each_us:.0f} µs</title><rect width="{width:.1f}" height="{ROW - 1}" '
        f'fill="{colour}"/>'
        + (f'<text x="2" y="12">{escape(label)}</text>' if fits > 3 else "")
        + "</g>"
    )
    deepest = depth
    for called in sorted(frame.called.values(), key=lambda each: -each.count):
        if called.count * each_us >= LEAST_US:
            deepest = max(deepest, _box(boxes, called, x, depth + 1, each_us, scale))
        x += called.count * each_us * scale
    return deepest


def main() -> None:
    """Read, draw, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stacks", type=Path)
    parser.add_argument("call_us", type=float)
    parser.add_argument("svg", type=Path)
    asked = parser.parse_args()
    asked.svg.write_text(draw(read(asked.stacks.read_text("utf-8")), asked.call_us), "utf-8")


if __name__ == "__main__":
    main()
