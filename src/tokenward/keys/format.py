"""What does a key look like? `tw_sk_` + 12 id + 32 secret + 6 checksum, all base62.

The checksum is the CRC-32 (zlib's) of everything before it, prefix included. It authenticates
nothing: it lets scanners and the gateway tell a typo from a key without a look-up.
"""

import hmac
import re
import zlib
from typing import Final

from tokenward.kernel.ids import Dice, base62_number, base62_text
from tokenward.kernel.secret import Secret

PREFIX: Final = "tw_sk_"
ID_CHARS: Final = 12
SECRET_CHARS: Final = 32
CHECKSUM_CHARS: Final = 6
KEY_CHARS: Final = len(PREFIX) + ID_CHARS + SECRET_CHARS + CHECKSUM_CHARS

_ID_END: Final = len(PREFIX) + ID_CHARS
_SHAPE: Final = re.compile(rb"tw_sk_[0-9A-Za-z]{50}")


def draw_key(dice: Dice) -> tuple[str, Secret]:
    """A new id and a new key that carries it: 71 bits of id, 190 bits of secret."""
    key_id = base62_text(dice, ID_CHARS)
    return key_id, draw_secret(key_id, dice)


def draw_secret(key_id: str, dice: Dice) -> Secret:
    """A new key for an id that exists already, as a rotation needs it."""
    assert len(key_id) == ID_CHARS, "an id has 12 characters"
    text = PREFIX + key_id + base62_text(dice, SECRET_CHARS)
    return Secret(text + _checksum(text.encode("ascii")), mask(key_id))


def read_key_id(text: str | bytes) -> str | None:
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
    if shown[-CHECKSUM_CHARS:] != _checksum(key[:-CHECKSUM_CHARS]):
        return None
    return shown[len(PREFIX) : _ID_END]


def digest(text: str, pepper: Secret) -> bytes:
    """What is stored of a key: HMAC-SHA-256 of its whole text under the server's pepper."""
    return hmac.digest(pepper.reveal().encode("utf-8"), text.encode("ascii"), "sha256")


def mask(key_id: str) -> str:
    """The only way a key is named in logs, messages and pages."""
    return f"{PREFIX}{key_id}…"


def _checksum(body: bytes) -> str:
    return base62_number(zlib.crc32(body), CHECKSUM_CHARS)
