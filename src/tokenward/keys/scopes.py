"""What may a token be used for? Scopes (RFC 6749 section 3.3) only take away from its key's rights.

`model:GLOB` narrows a token to models, `offline_access` asks for a refresh token.
"""

import re
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from tokenward.keys.caveats import read_caveats
from tokenward.keys.records import Caveats

SCOPE_CHARS_MAX: Final = 512
"""A token carries its scope in a header of every call."""
OFFLINE: Final = "offline_access"
MODEL: Final = "model:"
_WILD: Final = re.compile(r"[*?\[]")
_TEXT: Final = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+(?: [\x21\x23-\x5b\x5d-\x7e]+)*")


@dataclass(frozen=True, slots=True)
class Scope:
    """`models` are globs; none means that the key's own caveats say all."""

    is_offline: bool = False
    models: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """As it stands in tokens and answers."""
        names = [OFFLINE] if self.is_offline else []
        return " ".join(names + [MODEL + glob for glob in self.models])

    @property
    def caveats(self) -> Caveats:
        """What it takes away."""
        return Caveats(models=self.models)


def read_scope(text: str) -> Scope:
    """The scope a client asks for; ValueError for one that is unknown here."""
    if not text:
        return Scope()
    if len(text) > SCOPE_CHARS_MAX or _TEXT.fullmatch(text) is None:
        raise ValueError(f"a scope is a list of words, at most {SCOPE_CHARS_MAX} characters long")
    words = list(dict.fromkeys(text.split(" ")))
    globs = [word.removeprefix(MODEL) for word in words if word.startswith(MODEL)]
    if unknown := [word for word in words if not word.startswith(MODEL) and word != OFFLINE]:
        raise ValueError(f"the scope {unknown[0][:40]} is unknown; use {OFFLINE} and {MODEL}GLOB")
    return Scope(OFFLINE in words, read_caveats(models=globs).models)


def narrowed(granted: Scope, asked: Scope) -> Scope | None:
    """What `asked` leaves of `granted`; None if it asks for more. Naming no model asks for those
    that were granted."""
    if asked.is_offline and not granted.is_offline:
        return None
    if not granted.models:
        return asked
    if not all(_is_within(granted.models, glob) for glob in asked.models):
        return None
    return Scope(asked.is_offline, asked.models or granted.models)


def _is_within(globs: tuple[str, ...], asked: str) -> bool:
    if asked in globs:
        return True
    return _WILD.search(asked) is None and any(fnmatchcase(asked, glob) for glob in globs)
