"""`tokenward demo`: a guarded provider, honest calls, and four keys that leak."""

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
        "show it all on this machine: real SDK calls, then keys that leak",
        "Starts a stand-in provider and a guard on loopback, in a folder that is gone afterwards.",
    )
    demo.add_argument("--port", metavar="P", type=int, default=0, help="the guard's; default: any")
    demo.add_argument(
        "--seconds", metavar="N", type=float, default=SECONDS, help="length of the theft"
    )
    demo.add_argument("--headless", action="store_true", help="no progress line on the terminal")
    demo.set_defaults(run=_demo)


def _demo(args: Namespace, desk: Desk) -> None:
    from tokenward.lab.demo.world import DemoError, built_world

    if not 1 <= args.seconds <= 600:
        raise CommandError("--seconds takes a number from 1 to 600", "usage:wrong", 2)
    progress = _Progress(desk, is_shown=not args.headless and not desk.as_json)
    try:
        with built_world(args.port) as world:
            story = _Story(world, desk, progress, args.seconds)
            story.say(f"A guard on {world.guard_url} in front of a stand-in provider.\n")
            key = story.honest()
            watched, guarded = story.watched(key), story.capped()
            bound, unguarded = story.bound(), story.unguarded()
            audit = world.ask("doctor", "--audit")
    except DemoError as error:
        raise CommandError(f"{error}", "demo:failed") from None
    if max(watched["bill_nusd"], guarded["bill_nusd"]) > guarded["cap_nusd"] or bound["calls"]:
        raise CommandError(
            "The provider billed more than the cap, or a copy of a bound key was of use: this is "
            "a bug.",
            "demo:overspent",
        )
    value = {
        "watched": watched,
        "guarded": guarded,
        "bound": bound,
        "unguarded": unguarded,
        "audit_ok": audit["ok"],
    }
    desk.tell(value, _report)


class _Story:
    """The chapters, in the order they are told."""

    def __init__(self, world: Any, desk: Desk, progress: "_Progress", seconds: float) -> None:
        self._world = world
        self._desk = desk
        self._progress = progress
        self._seconds = seconds

    def say(self, text: str) -> None:
        """A line for people."""
        if not self._desk.as_json:
            self._desk.out.write(text + "\n")
            self._desk.out.flush()

    def honest(self) -> dict[str, Any]:
        """A key with a cap, and calls that are meant."""
        from tokenward.lab.demo.traffic import honest_calls

        key: dict[str, Any] = self._world.ask("key", "create", "--project", "demo", "--cap", CAP)
        self.say(f"1. A key with a cap of $1.00 a day: tw_sk_{key['id']}…")
        self.say("   Real SDKs call through the guard, unchanged but for base URL and key:")
        seen = honest_calls(self._world.guard_url, key["key"])
        self.say(_indented(table(("CALL", "ANSWER"), seen)))
        return key

    def watched(self, key: dict[str, Any]) -> dict[str, Any]:
        """The key is copied, and the copy does what the key never did."""
        from tokenward.lab.demo.traffic import THIEVES

        world = self._world
        self.say(f"\n2. The key leaks. A thief runs {THIEVES} calls at once on a dear model:")
        world.forget_bill()
        told = self._loot(key)
        self.say(f"   the guard held it back. What the thief read:\n   {told.pop('message')}")
        for incident in world.ask("incident", "list")[:1]:
            self.say(f"   Incident {incident['id']} ({', '.join(incident['actions'])}):")
            self.say("\n".join(f"   - {each['reason']}" for each in incident["evidence"][:3]))
            told["incident"] = incident["id"]
        return told

    def capped(self) -> dict[str, Any]:
        """A key whose project is only observed is copied: its cap is what is left."""
        world = self._world
        key = world.ask("key", "create", "--project", "observed", "--cap", CAP)
        self.say("\n3. The same with signs of theft only observed: the cap is what is left.")
        world.forget_bill()
        told = self._loot(key)
        self.say(f"   stopped by the cap. The last thing the thief read:\n   {told.pop('message')}")
        return told

    def _loot(self, key: dict[str, Any]) -> dict[str, Any]:
        """What a thief with this key gets."""
        loot = self._drain(self._world.guard_url, key["key"])
        (cap,) = self._world.ask("cap", "list", f"key:{key['id']}")
        return {
            **_taken(loot, self._world),
            "refused": sum(loot.refusals.values()),
            "cap_nusd": cap["limit"],
            "ledger_nusd": cap["spent"],
            "held_nusd": cap["held"],
            "stopped_after_s": None if loot.stopped_s is None else round(loot.stopped_s, 2),
            "message": loot.first_refusal,
        }

    def bound(self) -> dict[str, Any]:
        """A key that is bound to its holder is copied: the copy opens nothing."""
        from tokenward.lab.demo.traffic import bound_call

        world = self._world
        made = world.ask("key", "create", "--project", "demo", "--bind", "dpop+body")
        self.say(
            "\n4. A key that is bound to its holder: openai signs each call, in one line more:"
        )
        words, key = bound_call(world.guard_url, made["enrolment_code"], world.folder)
        self.say(f"   {words}")
        self.say("   It leaks too. The same thief:")
        world.forget_bill()
        loot = self._drain(world.guard_url, key)
        self.say(f"   got nothing, and read:\n   {loot.first_refusal}")
        return {
            **_taken(loot, world),
            "refused": sum(loot.refusals.values()),
            "stopped_after_s": None if loot.stopped_s is None else round(loot.stopped_s, 2),
        }

    def unguarded(self) -> dict[str, Any]:
        """The provider's own key is copied."""
        from tokenward.lab.demo.world import PROVIDER_KEY

        self.say(f"\n5. The same thief with a bare provider key, for {self._seconds:g} s:")
        self._world.forget_bill()
        return _taken(self._drain(self._world.provider_url, PROVIDER_KEY), self._world)

    def _drain(self, url: str, key: str) -> Any:
        from tokenward.lab.demo.traffic import drain

        loot = asyncio.run(drain(url, key, self._seconds, self._progress.tell))
        self._progress.clear()
        return loot


def _taken(loot: Any, world: Any) -> dict[str, Any]:
    return {
        "calls": loot.calls,
        "bill_nusd": world.bill()["cost_nusd"],
        "seconds": round(loot.seconds, 1),
    }


def _report(value: dict[str, Any]) -> str:
    bound, watched, capped, bare = (
        value[name] for name in ("bound", "watched", "guarded", "unguarded")
    )
    every = (bound, watched, capped, bare)
    rows = [
        ("calls the thief got", *(f"{each['calls']}" for each in every)),
        ("the provider's bill", *(format_usd(each["bill_nusd"]) for each in every)),
        ("stopped after", "at once", _stopped(watched), _stopped(capped), "never"),
        ("still held", "-", *(format_usd(each["held_nusd"]) for each in (watched, capped)), "-"),
        ("a minute of it costs", *("nothing",) * 2, "at most the cap", format_usd(_a_minute(bare))),
    ]
    audit = "proven" if value["audit_ok"] else "NOT clean"
    return (
        "\n"
        + table(("", ">BOUND KEY", ">BEARER KEY", ">CAP ALONE, $1.00", ">BARE PROVIDER KEY"), rows)
        + f"\n\nThe bill is the stand-in provider's own count, in its own code; the ledger is "
        f"{audit} (tokenward doctor --audit)."
    )


def _stopped(guarded: dict[str, Any]) -> str:
    stopped = guarded["stopped_after_s"]
    return "-" if stopped is None else f"{stopped:g} s"


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
