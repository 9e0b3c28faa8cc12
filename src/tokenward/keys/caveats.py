"""What may this key do? Caveats read from people's input, and checked on every call."""

import re
from collections.abc import Sequence
from fnmatch import translate
from functools import lru_cache
from ipaddress import ip_network
from typing import Final

from tokenward.kernel.money import parse_usd
from tokenward.kernel.refusals import Refusal
from tokenward.keys.records import BINDINGS, Caveats

LIST_MAX: Final = 64
GLOB_CHARS_MAX: Final = 128
SUBJECT_CHARS_MAX: Final = 512
"""Longest model name or path that is held against globs; a longer one is not allowed."""
COUNT_MAX: Final = 1_000_000_000

_PRINTABLE: Final = re.compile(r"[\x21-\x7e]+")
_DURATION: Final = re.compile(r"([0-9]{1,12})([smhdw])")
_UNIT_MS: Final = {
    "s": 1_000,
    "m": 60_000,
    "h": 3_600_000,
    "d": 86_400_000,
    "w": 604_800_000,
}
DURATION_MS_MAX: Final = 100 * 366 * _UNIT_MS["d"]


def read_caveats(
    *,
    models: Sequence[str] = (),
    routes: Sequence[str] = (),
    cidrs: Sequence[str] = (),
    max_call: str | None = None,
    rpm: int | None = None,
    tpm: int | None = None,
    concurrency: int | None = None,
    bind: str = "none",
) -> Caveats:
    """Caveats from what somebody typed or sent; ValueError says plainly what is wrong.

    `max_call` is dollars as text, e.g. "0.50". Networks are kept in their canonical form.
    """
    if bind not in BINDINGS:
        raise ValueError(f"bind {bind[:20]!r} is unknown; use {', '.join(BINDINGS)}")
    return Caveats(
        models=_globs(models, "model"),
        routes=_globs(routes, "route"),
        cidrs=_networks(cidrs),
        max_call_nusd=None if max_call is None else _positive(parse_usd(max_call), "max-call"),
        rpm=_count(rpm, "rpm"),
        tpm=_count(tpm, "tpm"),
        concurrency=_count(concurrency, "concurrency"),
        bind=bind,
    )


def parse_duration_ms(text: str) -> int:
    """`"45s"`, `"90m"`, `"12h"`, `"30d"`, `"2w"` → milliseconds; ValueError for anything else."""
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"{text[:40]!r} is not a duration; write 45s, 90m, 12h, 30d or 2w")
    duration_ms = int(match[1]) * _UNIT_MS[match[2]]
    if duration_ms > DURATION_MS_MAX:
        raise ValueError(f"{text!r} is longer than a hundred years")
    return duration_ms


def allows_model(caveats: Caveats, model: str) -> Refusal | None:
    """None if the key may use the model. Case counts, as it does for providers."""
    if _matches(caveats.models, model):
        return None
    return Refusal(
        "model:not_allowed",
        403,
        f"This key may not use the model {model[:80]!r}; it may use: {', '.join(caveats.models)}. "
        "Use one of those, or ask for a key that allows this one: tokenward key create --model …",
    )


def names_model(caveats: Caveats, model: str) -> bool:
    """Whether the key's owner wrote this very model down. A pattern is no such word: `*`, or one
    that a dearer model of tomorrow fits too, decides nothing about it."""
    return model in caveats.models and not any(sign in model for sign in "*?[")


def allows_any_model(caveats: Caveats) -> Refusal | None:
    """None if the key may use whatever model a call turns out to be about."""
    if not caveats.models:
        return None
    return Refusal(
        "model:not_allowed",
        403,
        "This key may only use some models, and what is kept at a provider does not tell which "
        f"model it is of; it may use: {', '.join(caveats.models)}. Use a key without --model.",
    )


def allows_route(caveats: Caveats, path: str) -> Refusal | None:
    """None if the key may use the path, as routed: one with empty or dot segments never may."""
    segments = path.split("/")[1:]
    is_plain = not any(segment in ("", ".", "..") for segment in segments)
    if not caveats.routes or (is_plain and _matches(caveats.routes, path)):
        return None
    return Refusal(
        "route:not_allowed",
        403,
        f"This key may not use the route {path[:80]!r}; it may use: {', '.join(caveats.routes)}. "
        "Use one of those, or ask for a key that allows this one: tokenward key create --route …",
    )


def _matches(globs: tuple[str, ...], subject: str) -> bool:
    """No globs, no restriction. What is not plain printable text matches nothing: NUL bytes and
    look-alike characters could mean one name to the guard and another to the provider."""
    if not globs:
        return True
    if len(subject) > SUBJECT_CHARS_MAX or _PRINTABLE.fullmatch(subject) is None:
        return False
    return any(pattern.fullmatch(subject) is not None for pattern in _compiled(globs))


@lru_cache(maxsize=2048)
def _compiled(globs: tuple[str, ...]) -> tuple[re.Pattern[str], ...]:
    """`fnmatchcase` without its small cache, which many keys with globs would thrash."""
    return tuple(re.compile(translate(glob)) for glob in globs)


def _globs(globs: Sequence[str], what: str) -> tuple[str, ...]:
    _check_length(globs, what)
    for glob in globs:
        if len(glob) > GLOB_CHARS_MAX or _PRINTABLE.fullmatch(glob) is None:
            raise ValueError(
                f"{what} {glob[:40]!r} is not a pattern; use 1 to {GLOB_CHARS_MAX} printable "
                "ASCII characters without spaces, * for any text"
            )
    return tuple(globs)


def _networks(cidrs: Sequence[str]) -> tuple[str, ...]:
    _check_length(cidrs, "cidr")
    try:
        return tuple(str(ip_network(cidr.strip(), strict=False)) for cidr in cidrs)
    except ValueError as error:
        raise ValueError(f"{error}; write networks like 10.0.0.0/8 or 2001:db8::/32") from None


def _check_length(items: Sequence[str], what: str) -> None:
    if isinstance(items, str):
        raise ValueError(f"{what} must be a list")
    if len(items) > LIST_MAX:
        raise ValueError(f"{len(items)} {what} patterns are too many; at most {LIST_MAX}")


def _count(number: int | None, what: str) -> int | None:
    return None if number is None else _positive(number, what, COUNT_MAX)


def _positive(number: int, what: str, most: int | None = None) -> int:
    if number < 1 or (most is not None and number > most):
        raise ValueError(f"{what} must be above zero" + (f", at most {most}" if most else ""))
    return number
