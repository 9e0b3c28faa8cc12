"""What does a key look like? Prefix + 12 id + 32 secret + 6 checksum, all base62.

`tw_sk_` is a key, `tw_ec_` a code that enrols a key's holder once, `tw_rt_` a refresh token. The
checksum is the CRC-32 (zlib's) of everything before it, prefix included. It authenticates
nothing: it lets scanners and the gateway tell a typo from a key without a look-up.
"""

import re
import zlib
from typing import Final

from tokenward.kernel.ids import Dice, base62_number, base62_text
from tokenward.kernel.secret import Secret

PREFIX: Final = "tw_sk_"
ENROLMENT_PREFIX: Final = "tw_ec_"
REFRESH_PREFIX: Final = "tw_rt_"
PREFIX_CHARS: Final = 6
ID_CHARS: Final = 12
SECRET_CHARS: Final = 32
CHECKSUM_CHARS: Final = 6
KEY_CHARS: Final = PREFIX_CHARS + ID_CHARS + SECRET_CHARS + CHECKSUM_CHARS

_ID_END: Final = PREFIX_CHARS + ID_CHARS
_SHAPE: Final = re.compile(rb"tw_(?:sk|ec|rt)_[0-9A-Za-z]{50}")


def draw_key(dice: Dice) -> tuple[str, Secret]:
    """A new id and a new key that carries it: 71 bits of id, 190 bits of secret."""
    key_id = draw_id(dice)
    return key_id, draw_secret(key_id, dice)


def draw_id(dice: Dice) -> str:
    """A new id."""
    return base62_text(dice, ID_CHARS)


def draw_secret(its_id: str, dice: Dice, prefix: str = PREFIX) -> Secret:
    """A new key for an id that exists already, as a rotation needs it; or a code or a refresh
    token for it."""
    return write_secret(prefix, its_id, base62_text(dice, SECRET_CHARS))


def write_secret(prefix: str, its_id: str, secret: str) -> Secret:
    """The text that carries an id and 32 characters of secret, with its checksum."""
    assert len(its_id) == ID_CHARS, "an id has 12 characters"
    assert len(secret) == SECRET_CHARS, "a secret has 32 characters"
    text = prefix + its_id + secret
    return Secret(text + _checksum(text.encode("ascii")), f"{prefix}{its_id}…")


def read_key_id(text: str | bytes, prefix: str = PREFIX) -> str | None:
    """The id inside a well-formed key; None if length, alphabet, prefix or checksum is wrong."""
    if len(text) != KEY_CHARS:
        return None
    try:
        key = text.encode("ascii") if isinstance(text, str) else text
    except UnicodeEncodeError:
        return None
    if _SHAPE.fullmatch(key) is None:
        return None
    shown = key.decode("ascii")
    if not shown.startswith(prefix) or shown[-CHECKSUM_CHARS:] != _checksum(key[:-CHECKSUM_CHARS]):
        return None
    return shown[PREFIX_CHARS:_ID_END]


def digest(text: str, pepper: Secret) -> bytes:
    """What is stored of a key: HMAC-SHA-256 of its whole text under the server's pepper."""
    return pepper.mac(text.encode("ascii"))


def mask(key_id: str) -> str:
    """The only way a key is named in logs, messages and pages."""
    return f"{PREFIX}{key_id}…"


def _checksum(body: bytes) -> str:
    return base62_number(zlib.crc32(body), CHECKSUM_CHARS)
