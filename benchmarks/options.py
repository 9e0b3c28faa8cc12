"""What every benchmark can be told, and its first question: is this machine free? (P-1)"""

import argparse
import sys
import time
from pathlib import Path
from typing import Final

BUSY_SHARE_MAX: Final = 0.15
LOOKS: Final = 3
"""What a benchmark before this one left behind is over in a moment."""


def parser_of(about: str | None) -> argparse.ArgumentParser:
    """`--quick` and `--busy`, to which a benchmark may add its own."""
    parser = argparse.ArgumentParser(
        description=about, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="tiny: shows only that it runs")
    parser.add_argument("--busy", action="store_true", help="measure on a busy machine too")
    return parser


def read_options(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """What was asked for. Ends the program on a machine that is busy with something else."""
    args = parser.parse_args()
    if not (args.quick or args.busy):
        refuse_busy()
    return args


def refuse_busy() -> None:
    """SystemExit unless the machine is free, looking a few times."""
    share = 1.0
    for _ in range(LOOKS):
        share = busy_share()
        if share <= BUSY_SHARE_MAX:
            return
    sys.exit(f"{share:.0%} of this machine is in use; its numbers would mean nothing (--busy)")


def busy_share(wait_s: float = 1.0) -> float:
    """How much of the machine is in use now, 0 to 1."""
    before = jiffies()
    time.sleep(wait_s)
    return used_share(before)


def used_share(since: list[int]) -> float:
    """How much of the machine was in use since `jiffies` were read, 0 to 1."""
    spent = [now - then for now, then in zip(jiffies(), since, strict=True)]
    return round(1 - (spent[3] + spent[4]) / max(1, sum(spent)), 3)


def jiffies() -> list[int]:
    """What all cores together have spent, by kind of time."""
    line = Path("/proc/stat").read_text("ascii").splitlines()[0]
    return [int(number) for number in line.split()[1:9]]
