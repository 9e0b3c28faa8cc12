"""What the binding room needs from outside."""

from typing import Protocol


class ReplayStore(Protocol):
    """Remembers which proofs were used, for every process that takes them."""

    since_ms: int
    """Unix ms. What was used before is forgotten, so proofs made before are not taken."""

    async def claim(self, key: bytes, until_ms: int) -> bool:
        """Use a proof up: True for the first caller, False for every other one until `until_ms`.

        One atomic step, in all processes. Raises `StoreError` when it cannot know.
        """
        ...
