"""May this program use the agent? It may if it shows the local token, wherever SDKs put a key.

The token opens the agent on this machine and nothing else: it is taken out of every request.
"""

import hmac
import re
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from tokenward.client import private_file
from tokenward.client.errors import KeepingError
from tokenward.kernel.ids import BASE62
from tokenward.kernel.secret import Secret

PREFIX: Final = "tw_la_"
SECRET_CHARS: Final = 43
"""256 bits."""
HEADERS: Final = frozenset((b"authorization", b"x-api-key", b"x-goog-api-key", b"api-key"))
_SHAPE: Final = re.compile(rb"tw_la_[0-9A-Za-z]{43}")
_BYTES_MAX: Final = 1024


def token_path(holder_path: Path) -> Path:
    """The token's file, beside the holder's."""
    return holder_path.with_suffix(".token")


def keep_token(path: Path) -> Secret:
    """The token in the file; a new one is put there, for its owner alone, if there is none.

    The same after every start, because it stands in the settings of other programs. Raises
    KeepingError when others can read it or it is no token.
    """
    _check_closed(path)
    text = private_file.read(path, _BYTES_MAX)
    if text is None:
        text = (PREFIX + "".join(secrets.choice(BASE62) for _ in range(SECRET_CHARS))).encode()
        private_file.write(path, text + b"\n")
    token = text.strip()
    if _SHAPE.fullmatch(token) is None:
        raise KeepingError(
            f"{path} does not hold a local token. Delete it: the next start makes a new one"
        )
    return Secret(token.decode("ascii"), "local token")


def is_shown(token: Secret, headers: Iterable[tuple[bytes, bytes]]) -> bool:
    """Whether a header in which a key is sent holds the token. Takes the same time for any key.

    Names are lower case. Authorization may be `Bearer TOKEN`, in any case of the scheme.
    """
    known = token.reveal().encode("ascii")
    found = False
    for name, value in headers:
        if name in HEADERS:
            found |= hmac.compare_digest(_credential(name, value), known)
    return found


def _credential(name: bytes, value: bytes) -> bytes:
    if name != b"authorization":
        return value.strip()
    scheme, _, credential = value.strip().partition(b" ")
    return credential.strip() if scheme.lower() == b"bearer" else b""


def _check_closed(path: Path) -> None:
    """As `private_file` does, but what helps here is another thing."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return  # not there, or reading it says why not
    if stat.S_IMODE(mode) & 0o077:
        raise KeepingError(
            f"Others on this machine may read {path}, the local token of the agent. Delete it: the "
            "next start makes a new one, which your programs then need"
        )
