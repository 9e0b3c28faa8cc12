"""What is usual for each key, as a worker asks its keeper."""

from collections.abc import Iterator, Mapping
from typing import Final

from tokenward.store.past_rows import check_fold
from tokenward.store.workers import messages
from tokenward.store.workers.line import Line

MESSAGE_BYTES_MAX: Final = 1_048_576
"""What one message carries: what others ask waits behind it."""


class RemotePasts:
    """Fulfils `detectors.interfaces.Pasts`. No word of it is urgent: a keeper that is late with a
    past is not a silent one."""

    def __init__(self, line: Line) -> None:
        self._line = line

    async def find(self, key_id: str) -> bytes | None:
        """The past as the keeper has it."""
        return await self._line.ask(messages.FIND_PAST, key_id)

    async def fold(self, mine: Mapping[str, bytes]) -> dict[str, bytes]:
        """Have the keeper fold them, a bounded message at a time."""
        check_fold(mine)
        merged: dict[str, bytes] = {}
        for part in _parts(mine):
            answer: dict[str, bytes] = await self._line.ask(messages.FOLD_PASTS, part)
            merged |= answer
        return merged


def _parts(mine: Mapping[str, bytes]) -> Iterator[dict[str, bytes]]:
    part: dict[str, bytes] = {}
    size = 0
    for key_id, blob in mine.items():
        if part and size + len(blob) > MESSAGE_BYTES_MAX:
            yield part
            part, size = {}, 0
        part[key_id] = blob
        size += len(blob)
    if part:
        yield part
