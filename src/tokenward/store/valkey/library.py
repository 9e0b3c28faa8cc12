"""The server-side code (`library.lua`), by names that change with its text.

Loaded as a function library; where the server knows none (Redis before 7), as a script. Two
versions of the guard that run side by side each have their own.
"""

import hashlib
from importlib.resources import files
from typing import Final

from tokenward.store.valkey.resp import pack, pack_parts

_TEXT: Final = files(__package__).joinpath("library.lua").read_text("utf-8")
VERSION: Final = hashlib.sha256(_TEXT.encode()).hexdigest()[:8]
NAME: Final = f"tokenward_{VERSION}"
CALLS: Final = ("look", "mark", "claim", "enter", "admit", "use", "renew")
_REGISTERED: Final = "\n".join(
    f"redis.register_function('{call}_{VERSION}', {call})" for call in CALLS
)
FUNCTIONS: Final = f"#!lua name={NAME}\n{_TEXT}\n{_REGISTERED}\n"
_CALLS: Final = ", ".join(f"{call} = {call}" for call in CALLS)
SCRIPT: Final = f"{_TEXT}\nreturn ({{{_CALLS}}})[table.remove(ARGV, 1)](KEYS, ARGV)\n"
LOAD_FUNCTIONS: Final = pack(b"FUNCTION", b"LOAD", FUNCTIONS.encode())
LOAD_SCRIPT: Final = pack(b"SCRIPT", b"LOAD", SCRIPT.encode())


class Calls:
    """Packs calls of the library. `script` is what the server calls the script; "": functions."""

    def __init__(self, script: str = "") -> None:
        self._script = script.encode("ascii")
        self._heads: dict[tuple[str, int, int], bytes] = {}

    def pack(self, name: str, keys: tuple[bytes, ...], args: tuple[bytes, ...]) -> bytes:
        """The command that calls the function `name`."""
        shape = (name, len(keys), len(args))
        head = self._heads.get(shape) or self._head(shape)
        if self._script:
            return head + pack_parts((*keys, name.encode("ascii"), *args))
        return head + pack_parts((*keys, *args))

    def _head(self, shape: tuple[str, int, int]) -> bytes:
        """The same for all calls of one shape. Those of `renew` are as many as its places."""
        name, keys, args = shape
        words = (b"FCALL", f"{name}_{VERSION}".encode("ascii"))
        if self._script:
            words, args = (b"EVALSHA", self._script), args + 1
        head = b"*%d\r\n" % (3 + keys + args) + pack_parts((*words, b"%d" % keys))
        return self._heads.setdefault(shape, head)
