"""Run the benchmarks one after another: `python -m benchmarks [name …]`.

`python -m benchmarks storms --help`: gateways, ours and others', in storms; not one of the above.

Results of this machine go to `benchmarks/results/`, one JSON file a question. A machine that is
busy with something else is refused (P-1); `--busy` measures all the same.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Final

from benchmarks.options import refuse_busy
from benchmarks.rig import machine

PROGRAMS: Final = {
    "overhead": ("--busy",),  # asked here, once for all
    "saturation": ("--busy",),
    "streams": ("--busy",),
    "proofs": (),
    "memory": ("--busy",),
    "ledger": (),
    "hot_state": (),
    "scoring": ("--busy",),
    "upstream_clients": ("cost",),
}
LONG: Final = {"scaling": ("--busy",), "soak": ("--busy",), "pasts": ("--busy",)}
"""Only by name: they take minutes, or from a quarter of an hour on."""


def main() -> int:
    """0 when all ran."""
    if sys.argv[1:2] == ["storms"]:
        command = [sys.executable, "-m", "benchmarks.storms", *sys.argv[2:]]
        return subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    programs = {**PROGRAMS, **LONG}
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(programs))
    parser.add_argument("--busy", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    unknown = set(args.names) - programs.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    if not args.busy:
        refuse_busy()
    print(json.dumps(machine(), indent=2), flush=True)
    failed = 0
    for name in args.names or PROGRAMS:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *programs[name]]
        failed += (
            subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode != 0
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
