"""A value that cannot be printed by accident."""

import hmac
from typing import NoReturn, final


@final
class Secret:
    """Holds a secret string; `repr`, `str`, `format` and pickling show only its label.

    `reveal()` is the one way to the value, so that every use can be found by searching for it.
    """

    __slots__ = ("_keyed", "_value", "label")

    def __init__(self, value: str, label: str) -> None:
        self._value = value
        self._keyed: hmac.HMAC | None = None  # half of the work of every MAC, done once
        self.label = label

    def reveal(self) -> str:
        """The secret itself. Only for comparing, hashing and sending where it belongs."""
        return self._value

    def mac(self, message: bytes) -> bytes:
        """HMAC-SHA-256 (RFC 2104) of a message under this secret: 32 bytes."""
        if self._keyed is None:
            self._keyed = hmac.new(self._value.encode("utf-8"), digestmod="sha256")
        mac = self._keyed.copy()
        mac.update(message)
        return mac.digest()

    def __repr__(self) -> str:
        return f"<secret {self.label}>"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return format(repr(self), spec)

    def __eq__(self, other: object) -> NoReturn:
        raise TypeError("compare secrets with hmac.compare_digest, never with ==")

    __hash__ = None  # type: ignore[assignment]  # a secret is never a dictionary key

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{self!r} cannot be pickled")
