"""What the binding room needs from outside."""

from dataclasses import dataclass, field
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Epoch:
    """A stretch of time within which no use of a proof was forgotten.

    `secret` makes its nonces. What was made before `since_ms` (Unix ms) and carries no nonce of
    this epoch may have been used in an earlier one, and is not taken.
    """

    secret: bytes = field(repr=False)
    since_ms: int


class ReplayStore(Protocol):
    """Remembers which proofs were used, for every process that takes them."""

    @property
    def epoch(self) -> Epoch:
        """The epoch of now. Another one begins, also while the guard runs, when uses may have been
        forgotten: so it is read anew for every proof. Never waits, never raises."""
        ...

    async def claim(self, key: bytes, until_ms: int, since_ms: int) -> bool:
        """Use a proof up: True for the first caller, False for every other one until `until_ms`.

        One atomic step, in all processes. `since_ms` is that of the epoch in which the proof was
        judged to be good; in a later one it must be judged again. Raises `StoreError` then, and
        whenever it cannot know.
        """
        ...
