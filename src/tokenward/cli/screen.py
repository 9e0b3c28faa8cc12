"""Screens for people: quiet, aligned tables of what the admin API answered."""

from collections.abc import Sequence
from typing import Any, Final

from tokenward.kernel.money import format_usd

CELL_CHARS_MAX: Final = 100
_GAP: Final = "   "


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows under their heads; columns whose head starts with `>` are aligned to the right."""
    shown = [[clean(cell) for cell in row] for row in rows]
    names = [head.removeprefix(">") for head in heads]
    widths = [max(map(len, column)) for column in zip(names, *shown, strict=True)]
    lines = [
        _GAP.join(
            cell.rjust(width) if head.startswith(">") else cell.ljust(width)
            for cell, width, head in zip(row, widths, heads, strict=True)
        ).rstrip()
        for row in [names, *shown]
    ]
    return "\n".join(lines)


def clean(text: str) -> str:
    """One short printable line."""
    line = printable(text)
    return line if len(line) <= CELL_CHARS_MAX else line[: CELL_CHARS_MAX - 1] + "…"


def printable(text: str) -> str:
    """One line, however long: names and reasons must not steer a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def moment(text: str | None, never: str = "-") -> str:
    """RFC 3339 to the second; `never` where there is no moment."""
    return never if text is None else text.split(".")[0].removesuffix("Z") + "Z"


def plural(number: int, one: str, many: str = "") -> str:
    """`1 key`, `2 keys`."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def facts(values: dict[str, Any]) -> str:
    """`name value` pairs in one line, amounts as dollars; what is empty is left out."""
    return ", ".join(
        f"{name.removesuffix('_nusd')} {_fact(name, value)}"
        for name, value in values.items()
        if value not in (None, "", [])
    )


def _fact(name: str, value: Any) -> str:
    if name.endswith("_nusd"):
        return format_usd(value)
    return " ".join(value) if isinstance(value, list) else str(value)
