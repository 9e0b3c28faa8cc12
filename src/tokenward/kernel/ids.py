"""Which one? Base62 ids from dice that the caller brings."""

from typing import Final, Protocol

BASE62: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

_PAIRS: Final = tuple(high + low for high in BASE62 for low in BASE62)


class Dice(Protocol):
    """Randomness fit for secrets. The real one is `secrets.randbelow`, built in `app.py`."""

    def below(self, limit: int) -> int:
        """A uniform integer in [0, limit)."""
        ...


def base62_text(dice: Dice, length: int) -> str:
    """`length` characters drawn uniformly: 5.95 bits each."""
    return "".join(BASE62[dice.below(62)] for _ in range(length))


def base62_number(number: int, width: int) -> str:
    """`number` in base62, left-padded with `0` to `width`. Raises ValueError if it does not fit."""
    digits = ""
    for _ in range(0, width, 2):
        number, pair = divmod(number, 3844)
        digits = _PAIRS[pair] + digits
    if number or (width % 2 and digits[0] != "0"):
        raise ValueError("number does not fit the width")
    return digits[-width:]
