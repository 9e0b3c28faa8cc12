"""Caps as people write them: `20.00/day` on `project:support`, `1000tok/day`, `500req/hour`."""

import re
from typing import Final, NamedTuple

from tokenward.kernel.money import NUSD_MAX, NUSD_PER_USD, format_usd, parse_usd
from tokenward.kernel.names import valid_name
from tokenward.ledger.records import Unit, Window

_COUNTED: Final = re.compile(r"([0-9]{1,19})(tok|req)", re.ASCII)
_UNITS: Final = {"tok": Unit.TOKENS, "req": Unit.REQUESTS}
_ENDINGS: Final = {Unit.TOKENS: "tok", Unit.REQUESTS: "req"}
_NOUNS: Final = {Unit.TOKENS: "tokens", Unit.REQUESTS: "requests"}
SUBJECT_KINDS: Final = ("account", "project", "key")


class CapText(NamedTuple):
    """What a cap's text says. `limit` in nano-dollars, tokens or requests."""

    limit: int
    unit: Unit
    window: Window


def parse_cap(text: str) -> CapText:
    """`AMOUNT/WINDOW`, the amount in dollars or with `tok` or `req`; ValueError says what fits."""
    amount, slash, window_name = text.strip().partition("/")
    try:
        window = Window(window_name.strip())
    except ValueError:
        shown = ", ".join(window.value for window in Window)
        raise ValueError(
            f"{text[:40]!r} is not a cap: write 20.00/day, 1000tok/day or 500req/day "
            f"(windows: {shown})"
        ) from None
    assert slash, "a window was found behind the slash"
    counted = _COUNTED.fullmatch(amount.strip())
    if counted is None:
        return CapText(parse_usd(amount), Unit.NUSD, window)
    limit = int(counted.group(1))
    if limit > NUSD_MAX:
        raise ValueError(f"{amount[:40]!r} is more than a cap can count")
    return CapText(limit, _UNITS[counted.group(2)], window)


def format_cap(limit: int, unit: Unit, window: Window) -> str:
    """The text that `parse_cap` reads back to the same cap: `25.00/day`."""
    if unit is not Unit.NUSD:
        return f"{limit}{_ENDINGS[unit]}/{window.value}"
    dollars, nusd = divmod(limit, NUSD_PER_USD)
    digits = f"{nusd:09d}".rstrip("0").ljust(2, "0")
    return f"{dollars}.{digits}/{window.value}"


def format_amount(amount: int, unit: Unit) -> str:
    """As sentences say it: `$20.00`, `1,000 tokens`, `1 request`."""
    if unit is Unit.NUSD:
        return format_usd(amount)
    noun = _NOUNS[unit]
    return f"{amount:,} {noun.removesuffix('s') if amount == 1 else noun}"


def parse_subject(text: str) -> str:
    """The subject itself, whose name somebody can have; ValueError says what one looks like.

    The message does not repeat the text: somebody may have pasted a whole key.
    """
    kind, colon, name = text.partition(":")
    if not colon or kind not in SUBJECT_KINDS:
        raise ValueError("a subject is account:NAME, project:NAME or key:ID")
    if not valid_name(name):
        raise ValueError(
            f"the name after {kind}: must be 1 to 64 characters of A-Z a-z 0-9 . _ -, not only dots"
        )
    return text


def show_subject(subject: str) -> str:
    """As a sentence starts: `Key tw_sk_4Fq…`, `Project support`, `Account acme`."""
    kind, _, name = subject.partition(":")
    return f"Key tw_sk_{name}…" if kind == "key" else f"{kind.capitalize()} {name}"
