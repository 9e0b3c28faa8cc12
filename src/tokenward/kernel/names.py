"""May it be called that? Names of accounts, projects and keys."""

import re
from typing import Final

NAME_CHARS_MAX: Final = 64
_NAME: Final = re.compile(r"(?!\.+\Z)[A-Za-z0-9._-]{1,64}")


def valid_name(text: str) -> bool:
    """1 to 64 characters of A-Z a-z 0-9 . _ - and not only dots: safe in paths, subjects, metrics
    and shells."""
    return _NAME.fullmatch(text) is not None


def check_name(text: str, what: str) -> str:
    """`text` itself; ValueError says which name (`what`) is wrong and what is allowed."""
    if not valid_name(text):
        raise ValueError(
            f"{text[:NAME_CHARS_MAX]!r} cannot be {what}; "
            "use 1 to 64 characters of A-Z a-z 0-9 . _ -, not only dots"
        )
    return text
