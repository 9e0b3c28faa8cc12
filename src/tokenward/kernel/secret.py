"""A value that cannot be printed by accident."""

from typing import NoReturn, final


@final
class Secret:
    """Holds a secret string; `repr`, `str`, `format` and pickling show only its label.

    `reveal()` is the one way to the value, so that every use can be found by searching for it.
    """

    __slots__ = ("_value", "label")

    def __init__(self, value: str, label: str) -> None:
        self._value = value
        self.label = label

    def reveal(self) -> str:
        """The secret itself. Only for comparing, hashing and sending where it belongs."""
        return self._value

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
