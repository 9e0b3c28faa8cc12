"""`tokenward restore`: accept records that were put back from a backup."""

import asyncio
from argparse import Namespace
from functools import partial
from typing import Any

import msgspec

from tokenward.cli.desk import CommandError, Desk
from tokenward.cli.parser import Verbs
from tokenward.cli.screen import plural


def add(verbs: Verbs) -> None:
    """The verb."""
    restore = verbs.add(
        "restore",
        "accept records that were put back from a backup",
        "A guard refuses to start on records older than it has seen: keys revoked since then would "
        "work again. This freezes every live key and accepts them; no guard may run meanwhile.",
    )
    restore.add_argument(
        "--keep-live", action="store_true", help="freeze no key: none was stopped since the backup"
    )
    restore.set_defaults(run=_restore)


def _restore(args: Namespace, desk: Desk) -> None:
    from tokenward.app import restore

    settings = desk.settings()
    restored = asyncio.run(restore(settings, desk.environ, keep_live=args.keep_live))
    if restored is None:
        raise CommandError(
            "There is nothing to accept: the records hold everything this data folder has seen. "
            "A guard starts on them.",
            "records:whole",
        )
    is_shared = settings.store.records is not None
    desk.tell(msgspec.to_builtins(restored), partial(_screen, is_shared=is_shared))


def _screen(value: dict[str, Any], is_shared: bool) -> str:
    seen, last = value["seen_entry"], value["last_entry"]
    lost = "" if seen is None else f", where entry {seen} had been seen"
    lines = [f"Accepted: the records end at entry {last}{lost}."]
    if value["keys_frozen"]:
        frozen = plural(len(value["keys_frozen"]), "key")
        lines += [
            f"Frozen: {frozen}. Let those work again that nobody stopped since the backup:",
            "  tokenward key list",
            "  tokenward key unfreeze ID",
        ]
    if is_shared:
        lines += [
            "On every other machine of these records, before its guard starts:",
            "  tokenward restore --keep-live",
        ]
    lines += [
        "What was spent since the backup is not counted. Where that matters, lower the caps of the",
        "window that runs; the providers' own usage pages say how much it was.",
    ]
    return "\n".join(lines)
