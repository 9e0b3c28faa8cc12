"""Storms against one gateway or another.

    python -m benchmarks storms [--peer NAME] [--storm NAME …] [--quick]
    python -m benchmarks storms --table

Everything runs on loopback and is bounded in count and time. One line of JSON a storm goes to
`benchmarks/results/storms-PEER.jsonl` and to stdout, with the settings first.
"""

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from benchmarks.peers.litellm import LiteLLM
from benchmarks.peers.tokenward import Tokenward
from benchmarks.rig import RESULTS, machine
from benchmarks.storms import outages, overspend, revocation
from benchmarks.storms.peer import Peer, Setting, World
from benchmarks.storms.provider import CREDENTIAL, running_provider
from benchmarks.storms.stores import running_stores
from benchmarks.storms.table import table

Storm = Callable[[World], Coroutine[Any, Any, dict[str, Any]]]
DOLLAR: Final = 10**9
PEERS: Final[dict[str, Callable[[Setting], Peer]]] = {
    "tokenward": partial(Tokenward, engine="postgres"),
    "tokenward-sqlite": partial(Tokenward, engine="sqlite"),
    "tokenward-workers": partial(Tokenward, engine="sqlite", workers=4),
    "litellm": partial(LiteLLM, is_strict=False),
    "litellm-strict": partial(LiteLLM, is_strict=True),
}
ALONE: Final = ("tokenward-sqlite", "tokenward-workers")
"""On one machine, behind one port: without stores that others could lose sight of."""
FOR_ALL: Final = ("burst", "kills", "freezes", "leaks", "revocation")


def storms(*, is_quick: bool, kill_every_s: float, trials: int) -> dict[str, Storm]:
    """All of them, at full size or so small that they only show that they run. Of `trials`
    revocations a fifth as many again find gateways frozen or cut off."""
    n = 10 if is_quick else 1
    burst = overspend.Plan(name="burst", calls=1_000 // n, budget_nusd=DOLLAR // n)
    kills = overspend.Plan(
        name="kills",
        calls=1_000 // n,
        budget_nusd=4 * DOLLAR // n,
        over_s=60 / n,
        harm_every_s=kill_every_s,
        gap_ms=100,
    )
    freezes = replace(
        kills,
        name="freezes",
        harm_every_s=2.0 if is_quick else 6.0,
        freeze_s=1.0 if is_quick else 4.0,
    )
    # All can be paid: what is then not free any more was leaked.
    enough = overspend.Plan(
        name="leaks",
        calls=300 // n,
        budget_nusd=4 * DOLLAR // n,
        over_s=30 / n,
        faults=0.3,
        hangups=0.5,
        gap_ms=50,
    )
    revoked = revocation.Plan(name="revocation", trials=trials // (n * n))
    away = revocation.Plan(name="revocation-away", trials=trials // (5 * n), frozen=0.5, cut=0.5)
    shorter = {"before_s": 3.0, "during_s": 5.0, "after_s": 5.0} if is_quick else {}

    def wrong(name: str) -> Storm:
        plan = outages.Plan(wrong=name, **shorter)
        return lambda world: outages.outage(world, plan)

    return {
        "burst": lambda world: overspend.overspend(world, burst),
        "kills": lambda world: overspend.overspend(world, kills),
        "freezes": lambda world: overspend.overspend(world, freezes),
        "leaks": lambda world: overspend.overspend(world, enough),
        "revocation": lambda world: revocation.revocation(world, revoked),
        "revocation-away": lambda world: revocation.revocation(world, away),
        **{name.replace(" ", "-"): wrong(name) for name in outages.WRONGS},
    }


def main() -> int:
    """0 when every storm came to its end, whatever it showed."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks storms",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--peer", choices=sorted(PEERS), default="tokenward")
    parser.add_argument("--storm", action="append", help="repeat for more; default: all that apply")
    parser.add_argument("--quick", action="store_true", help="small counts: shows that it runs")
    parser.add_argument("--gateways", type=int, default=4)
    parser.add_argument("--kill-every-s", type=float, default=1.0)
    parser.add_argument("--trials", type=int, default=200, help="revocations; default: 200")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only show the last results")
    args = parser.parse_args()
    if args.table:
        print(table(RESULTS))
        return 0
    known = storms(is_quick=args.quick, kill_every_s=args.kill_every_s, trials=args.trials)
    unknown = set(args.storm or ()) - known.keys()
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; known: {', '.join(known)}")
    wanted = args.storm or (FOR_ALL if args.peer in ALONE else known)
    chosen = {name: storm for name, storm in known.items() if name in wanted}
    RESULTS.mkdir(exist_ok=True)
    with (RESULTS / f"storms-{args.peer}.jsonl").open("a", encoding="utf-8") as file:

        def tell(found: dict[str, Any]) -> None:
            text = json.dumps(found)
            file.write(text + "\n")
            file.flush()
            print(text, flush=True)

        _rage(args, chosen, tell)
    print(table(RESULTS))
    return 0


def _rage(
    args: argparse.Namespace, chosen: dict[str, Storm], tell: Callable[[dict[str, Any]], None]
) -> None:
    with ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="tokenward-storms-"))
        stores = stack.enter_context(running_stores(Path(folder) / "stores", args.gateways))
        provider = stack.enter_context(running_provider())
        place = Path(folder) / "peer"
        place.mkdir()
        setting = Setting(
            folder=str(place),
            stores=stores,
            provider_url=provider.base_url,
            credential=CREDENTIAL,
            gateways=args.gateways,
            seed=args.seed,
        )
        peer = PEERS[args.peer](setting)
        stack.callback(peer.stop)
        began_s = time.monotonic()
        peer.start()
        about = {"peer": args.peer, **peer.about, "gateways": len(peer.gateways), "seed": args.seed}
        tell({**about, "machine": machine(), "start_s": round(time.monotonic() - began_s, 1)})
        world = World(peer=peer, provider=provider, stores=stores, seed=args.seed)
        for storm in chosen.values():
            tell(asyncio.run(storm(world)))


if __name__ == "__main__":
    sys.exit(main())
