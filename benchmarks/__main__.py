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

from benchmarks.rig import busy_share, machine

BUSY_SHARE_MAX: Final = 0.15
PROGRAMS: Final = {
    "overhead": (),
    "saturation": (),
    "streams": (),
    "proofs": (),
    "memory": (),
    "ledger": (),
    "hot_state": (),
    "upstream_clients": ("cost",),
}


def main() -> int:
    """0 when all ran."""
    if sys.argv[1:2] == ["storms"]:
        command = [sys.executable, "-m", "benchmarks.storms", *sys.argv[2:]]
        return subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=", ".join(PROGRAMS))
    parser.add_argument("--busy", action="store_true", help="measure on a busy machine too")
    args = parser.parse_args()
    unknown = set(args.names) - PROGRAMS.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    share = busy_share()
    if share > BUSY_SHARE_MAX and not args.busy:
        print(f"{share:.0%} of this machine is in use; its numbers would mean nothing (--busy)")
        return 1
    print(json.dumps(machine(), indent=2), flush=True)
    failed = 0
    for name in args.names or PROGRAMS:
        print(f"\n== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *PROGRAMS[name]]
        failed += (
            subprocess.run(command, cwd=Path(__file__).parents[1], check=False).returncode != 0
        )
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
