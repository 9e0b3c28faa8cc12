"""Refresh tokens: each is good once, and a copy that is used betrays itself (RFC 9700 2.2.2, 4.14).

A family is all refresh tokens that follow from one grant. Its tokens are numbered; each is made
from the family's id, its number and the guard's pepper, so none is stored and any can be made
again. Whoever brings a number that was used, or any of them with another private key, ends the
family: one of two had a copy, and nobody can tell which.
"""

import hmac
from dataclasses import dataclass, replace
from typing import Final, Literal

from tokenward.kernel.ids import BASE62, base62_number
from tokenward.kernel.secret import Secret
from tokenward.keys.access_tokens import Kind
from tokenward.keys.format import (
    ID_CHARS,
    PREFIX_CHARS,
    REFRESH_PREFIX,
    read_key_id,
    write_secret,
)

NUMBER_CHARS: Final = 6
_MAC_CHARS: Final = 26
_LABEL: Final = b"tokenward refresh token"
_BASE: Final = 62

REUSED: Final = "refresh:reused"
OTHER_HOLDER: Final = "refresh:other_holder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """All refresh tokens of one grant. `number` is the one that is good now; `used_ms` when it
    came to be. `ends_ms` is the hard end. `got_by`, `kind` and `thumbprint` as in `AccessToken`;
    `ended_why` "" while it lives, and then `ended_ms` says when it ended."""

    id: str
    key_id: str
    kind: Kind
    thumbprint: str
    got_by: str
    scope: str
    number: int
    created_ms: int
    used_ms: int
    ends_ms: int
    ended_ms: int | None = None
    ended_why: str = ""


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """How long things are good, in ms. `grace_ms` 0: a token that was used is never taken again."""

    access_ms: int
    idle_ms: int
    family_ms: int
    grace_ms: int


@dataclass(frozen=True, slots=True)
class Presented:
    """A refresh token that the guard made."""

    family_id: str
    number: int


@dataclass(frozen=True, slots=True)
class Turn:
    """What a refresh token does to its family: the family from then on, and what to answer.

    `rotated`: the next token; `again`: the same next token as before; `ended`: somebody has a
    copy (`family.ended_why`); `refused`: nothing changes.
    """

    did: Literal["rotated", "again", "ended", "refused"]
    family: Family


def refresh_token(family_id: str, number: int, pepper: Secret) -> Secret:
    """The token of a family with this number."""
    return write_secret(REFRESH_PREFIX, family_id, _secret(family_id, number, pepper))


def read_refresh_token(text: str, pepper: Secret) -> Presented | None:
    """Which token of which family this is; None if the guard never made it."""
    family_id = read_key_id(text, REFRESH_PREFIX)
    if family_id is None:
        return None
    start = PREFIX_CHARS + ID_CHARS
    secret = text[start : start + NUMBER_CHARS + _MAC_CHARS]
    number = _number(secret[:NUMBER_CHARS])
    if not hmac.compare_digest(secret, _secret(family_id, number, pepper)):
        return None
    return Presented(family_id, number)


def redeem(
    family: Family, number: int, kind: Kind, thumbprint: str, now_ms: int, lifetimes: Lifetimes
) -> Turn:
    """Use a token up, as the holder named by `kind` and `thumbprint`. The store keeps the turn
    only if the family is still the same: of two at once, the second finds the token used."""
    is_over = now_ms >= family.ends_ms or now_ms - family.used_ms >= lifetimes.idle_ms
    if family.ended_why or is_over or number > family.number:
        return Turn("refused", family)
    is_holder = kind == family.kind and hmac.compare_digest(
        thumbprint.encode(), family.thumbprint.encode()
    )
    if not is_holder:
        return Turn("ended", end(family, OTHER_HOLDER, now_ms))
    if number == family.number:
        return Turn("rotated", replace(family, number=number + 1, used_ms=now_ms))
    if number == family.number - 1 and now_ms - family.used_ms < lifetimes.grace_ms:
        return Turn("again", family)
    return Turn("ended", end(family, REUSED, now_ms))


def end(family: Family, why: str, now_ms: int) -> Family:
    """The family from now on: dead, and it stays so."""
    assert why, "the reason marks the end"
    return family if family.ended_why else replace(family, ended_ms=now_ms, ended_why=why)


def _secret(family_id: str, number: int, pepper: Secret) -> str:
    shown = base62_number(number, NUMBER_CHARS)
    key = pepper.mac(_LABEL)
    mac = hmac.digest(key, f"{family_id}.{shown}".encode("ascii"), "sha256")
    return shown + base62_number(int.from_bytes(mac) % _BASE**_MAC_CHARS, _MAC_CHARS)


def _number(shown: str) -> int:
    number = 0
    for sign in shown:
        number = number * _BASE + BASE62.index(sign)
    return number
