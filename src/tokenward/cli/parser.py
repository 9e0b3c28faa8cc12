"""What was typed: argparse with `--config` and `--json` anywhere, and friendlier errors."""

import argparse
import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any, Final, NoReturn

_THUMBPRINT: Final = re.compile(r"[A-Za-z0-9_-]{43}")


class UsageError(Exception):
    """Raised when the command line cannot be understood; exit status 2."""


class Parser(argparse.ArgumentParser):
    """Raises `UsageError` instead of leaving the process, and suggests the nearest word.

    Every parser takes `--config` and `--json`, so they may stand before and after the verb; the
    defaults are suppressed, because a verb's default would hide what stood before it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            allow_abbrev=False,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            **options,
        )
        self.add_argument(
            "--config",
            metavar="FILE",
            default=argparse.SUPPRESS,
            help="settings; default ./tokenward.toml or $TOKENWARD_CONFIG",
        )
        self.add_argument(
            "--json",
            action="store_true",
            default=argparse.SUPPRESS,
            help="print one JSON value and nothing else",
        )

    def error(self, message: str) -> NoReturn:
        """Wrong usage, in one line."""
        raise UsageError(f"{message} (see: {self.prog} --help)")

    def _parse_optional(self, arg_string: str) -> Any:
        """None for what is a value."""
        if _THUMBPRINT.fullmatch(arg_string):  # one in 64 begins with a dash
            return None
        return super()._parse_optional(arg_string)

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is not None and value not in action.choices:
            choices = [str(choice) for choice in action.choices]
            what = "verb" if isinstance(action, argparse._SubParsersAction) else "value"
            raise argparse.ArgumentError(None, unknown(what, str(value), choices))


def unknown(what: str, given: str, known: Iterable[str]) -> str:
    """`no verb 'kye'; did you mean 'key'?`, or the whole list when nothing is near."""
    choices = list(known)
    near = get_close_matches(given, choices, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"choose from {', '.join(choices)}"
    return f"there is no {what} {given[:40]!r}; {hint}"


def add_verbs(parser: argparse.ArgumentParser) -> "Verbs":
    """Room for the verbs of a command, one of which must be given."""
    return Verbs(parser.add_subparsers(metavar="VERB", required=True))


class Verbs:
    """Adds verbs with the summary that stands in the list and on top of their own help."""

    def __init__(self, action: "argparse._SubParsersAction[Any]") -> None:
        self._action = action

    def add(self, name: str, summary: str, more: str = "") -> argparse.ArgumentParser:
        """A verb's own parser."""
        about = f"{summary[0].upper()}{summary[1:]}." + (f"\n\n{more}" if more else "")
        made: argparse.ArgumentParser = self._action.add_parser(
            name, help=summary, description=about
        )
        return made
