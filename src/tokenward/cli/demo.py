"""`tokenward demo`: a guarded provider, honest calls, and a leaked key that is drained."""

import asyncio
import sys
from argparse import Namespace
from typing import Any, Final

from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.parser import Verbs
from tokenward.cli.screen import table
from tokenward.kernel.money import format_usd

CAP: Final = "1.00/day"
SECONDS: Final = 8.0


def add(verbs: Verbs) -> None:
    """The verb."""
    demo = verbs.add(
        "demo",
        "show it all on this machine: real SDK calls, then a leaked key",
        "Starts a stand-in provider and a guard on loopback, in a folder that is gone afterwards.",
    )
    demo.add_argument("--port", metavar="P", type=int, default=0, help="the guard's; default: any")
    demo.add_argument(
        "--seconds", metavar="N", type=float, default=SECONDS, help="length of the theft"
    )
    demo.add_argument("--headless", action="store_true", help="no progress line on the terminal")
    demo.set_defaults(run=_demo)


def _demo(args: Namespace, desk: Desk) -> None:
    from tokenward.lab.demo.traffic import THIEVES, drain, honest_calls
    from tokenward.lab.demo.world import PROVIDER_KEY, DemoError, built_world

    if not 1 <= args.seconds <= 600:
        raise CommandError("--seconds takes a number from 1 to 600", "usage:wrong", 2)

    def say(text: str) -> None:
        if not desk.as_json:
            desk.out.write(text + "\n")
            desk.out.flush()

    progress = _Progress(desk, is_shown=not args.headless and not desk.as_json)
    try:
        with built_world(args.port) as world:
            say(f"A guard on {world.guard_url} in front of a stand-in provider.\n")
            key = world.ask("key", "create", "--project", "demo", "--cap", CAP)
            say(f"1. A key with a cap of $1.00 a day: tw_sk_{key['id']}…")
            say("   Real SDKs call through the guard, unchanged but for base URL and key:")
            seen = honest_calls(world.guard_url, key["key"])
            say(_indented(table(("CALL", "ANSWER"), seen)))

            say(f"\n2. The key leaks. A thief runs {THIEVES} calls at once on a dear model:")
            loot = asyncio.run(drain(world.guard_url, key["key"], args.seconds, progress.tell))
            progress.clear()
            guarded = _guarded(world, key["id"], loot)
            say(f"   stopped by the cap. The last thing the thief read:\n   {loot.first_refusal}")

            say(f"\n3. The same thief with a bare provider key, for {args.seconds:g} s:")
            world.forget_bill()
            bare = asyncio.run(drain(world.provider_url, PROVIDER_KEY, args.seconds, progress.tell))
            progress.clear()
            unguarded = {
                "calls": bare.calls,
                "bill_nusd": world.bill()["cost_nusd"],
                "seconds": round(bare.seconds, 1),
            }
            audit = world.ask("doctor", "--audit")
    except DemoError as error:
        raise CommandError(f"{error}", "demo:failed") from None
    if guarded["bill_nusd"] > guarded["cap_nusd"]:
        raise CommandError(
            "The provider billed more than the cap: this is a bug.", "demo:overspent"
        )
    value = {"guarded": guarded, "unguarded": unguarded, "audit_ok": audit["ok"]}
    desk.tell(value, _report)


def _guarded(world: Any, key_id: str, loot: Any) -> dict[str, Any]:
    (cap,) = world.ask("cap", "list", f"key:{key_id}")
    return {
        "calls": loot.calls,
        "refused": sum(loot.refusals.values()),
        "cap_nusd": cap["limit"],
        "ledger_nusd": cap["spent"],
        "held_nusd": cap["held"],
        "bill_nusd": world.bill()["cost_nusd"],
        "stopped_after_s": None if loot.stopped_s is None else round(loot.stopped_s, 2),
    }


def _report(value: dict[str, Any]) -> str:
    guarded, bare = value["guarded"], value["unguarded"]
    stopped = guarded["stopped_after_s"]
    rows = [
        ("calls the thief got", f"{guarded['calls']}", f"{bare['calls']}"),
        ("the provider's bill", format_usd(guarded["bill_nusd"]), format_usd(bare["bill_nusd"])),
        ("the guard's ledger", format_usd(guarded["ledger_nusd"]), "-"),
        ("still held", format_usd(guarded["held_nusd"]), "-"),
        ("stopped after", "-" if stopped is None else f"{stopped:g} s", "never"),
        ("a minute of it costs", "at most the cap", format_usd(_a_minute(bare))),
    ]
    audit = "proven" if value["audit_ok"] else "NOT clean"
    return (
        "\n"
        + table(("", ">GUARDED", ">BARE KEY"), rows)
        + f"\n\nThe bill is the stand-in provider's own count, in its own code; the ledger is "
        f"{audit} (tokenward doctor --audit)."
    )


def _a_minute(bare: dict[str, Any]) -> int:
    return int(bare["bill_nusd"] * 60 / max(bare["seconds"], 0.1))


def _indented(text: str) -> str:
    return "\n".join(f"   {line}" for line in text.splitlines())


class _Progress:
    """One line that counts, on a terminal only."""

    def __init__(self, desk: Desk, *, is_shown: bool) -> None:
        self._err = desk.err
        self._is_shown = is_shown and desk.err is sys.stderr and sys.stderr.isatty()

    def tell(self, calls: int) -> None:
        """So many calls went through."""
        if self._is_shown:
            self._err.write(f"\r   {calls} calls went through ")
            self._err.flush()

    def clear(self) -> None:
        """The count is over."""
        if self._is_shown:
            self._err.write("\r" + " " * 40 + "\r")
