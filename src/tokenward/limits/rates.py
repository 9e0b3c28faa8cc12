"""Is this key too fast? Requests and tokens of the last minute, counted by the second.

A minute is the 60 whole seconds before the second that runs, and that one: never more than the
limit passes in any 60 s, and what was used comes free after 60 to 61 s.

Memory: about 850 bytes a key and kind of limit, only for keys used within the last minute, and
for `KEYS_MAX` of them at most (about 42 MB a kind). Cost: a few additions a call.
"""

from array import array
from collections import OrderedDict
from math import ceil
from typing import Final

from tokenward.kernel.refusals import Refusal
from tokenward.limits import wording

SLOTS: Final = 61
KEYS_MAX: Final = 50_000


class _Minute:
    """What one key used in each of the last 61 seconds, as a ring."""

    __slots__ = ("_ring", "last_s", "used")

    def __init__(self, second: int) -> None:
        self._ring = array("q", bytes(8 * SLOTS))
        self.last_s = second
        self.used = 0

    def advance(self, second: int) -> None:
        """Forget the seconds that have left the window."""
        for passed in range(self.last_s + 1, min(second, self.last_s + SLOTS) + 1):
            self.used -= self._ring[passed % SLOTS]
            self._ring[passed % SLOTS] = 0
        self.last_s = max(self.last_s, second)

    def add(self, amount: int) -> None:
        """Count `amount` in the second that runs."""
        self._ring[self.last_s % SLOTS] += amount
        self.used += amount

    def frees_at_s(self, limit: int) -> int:
        """The second in which `used` falls below `limit`, if nothing is added."""
        left = self.used
        for second in range(self.last_s - SLOTS + 1, self.last_s + 1):
            left -= self._ring[second % SLOTS]
            if left < limit:
                return second + SLOTS
        raise AssertionError("an empty minute is below every limit")


class _Counts:
    """The minutes of many keys, the longest unused first."""

    def __init__(self, keys_max: int) -> None:
        self._minutes: OrderedDict[str, _Minute] = OrderedDict()
        self._keys_max = keys_max

    def __len__(self) -> int:
        return len(self._minutes)

    def minute(self, key_id: str, now_s: float) -> _Minute:
        """The key's minute, brought up to now."""
        second = int(now_s)
        minute = self._minutes.get(key_id)
        if minute is None:
            minute = self._minutes[key_id] = _Minute(second)
        else:
            minute.advance(second)
            self._minutes.move_to_end(key_id)
        return minute

    def has_room(self, key_id: str, now_s: float) -> bool:
        """Whether the key can be counted. Drops up to two keys whose minute has run out, so that
        memory shrinks and no single call pays for it."""
        for _ in range(min(2, len(self._minutes))):
            oldest = next(iter(self._minutes))
            if self._minutes[oldest].last_s + SLOTS > int(now_s):
                break
            del self._minutes[oldest]
        return key_id in self._minutes or len(self._minutes) < self._keys_max


class Rates:
    """Requests and tokens a minute of every key. One event loop, no locks.

    `now_s` is monotonic time in seconds. Where more than `keys_max` limited keys are busy within
    one minute, a further one is refused: what cannot be counted cannot be limited.
    """

    def __init__(self, keys_max: int = KEYS_MAX) -> None:
        self._requests = _Counts(keys_max)
        self._tokens = _Counts(keys_max)

    def __len__(self) -> int:
        """Minutes kept in memory now."""
        return len(self._requests) + len(self._tokens)

    def may_request(self, key_id: str, rpm: int | None, now_s: float) -> Refusal | None:
        """None while fewer than `rpm` requests were made in the last minute. Counts nothing."""
        return _check(self._requests, key_id, rpm, now_s, "requests")

    def take_request(self, key_id: str, rpm: int | None, now_s: float) -> Refusal | None:
        """Count one request, unless `rpm` were made in the last minute. A refused one is not
        counted, so a caller that hammers is let in again as soon as one that waits."""
        refusal = _check(self._requests, key_id, rpm, now_s, "requests")
        if refusal is None and rpm is not None:
            self._requests.minute(key_id, now_s).add(1)
        return refusal

    def may_use_tokens(self, key_id: str, tpm: int | None, now_s: float) -> Refusal | None:
        """None while fewer than `tpm` tokens were used in the last minute. Nothing is reserved:
        calls that run at the same time can pass the limit together."""
        return _check(self._tokens, key_id, tpm, now_s, "tokens")

    def add_tokens(self, key_id: str, tokens: int, now_s: float) -> None:
        """Count what a call has used; only for keys that have a limit. Calls that run can bring
        the number of keys above `keys_max`, by as many as there are such calls."""
        if tokens > 0:
            self._tokens.minute(key_id, now_s).add(tokens)


def _check(
    counts: _Counts, key_id: str, limit: int | None, now_s: float, unit: wording.Unit
) -> Refusal | None:
    if limit is None:
        return None
    if not counts.has_room(key_id, now_s):
        return wording.TOO_MANY_KEYS
    minute = counts.minute(key_id, now_s)
    if minute.used < limit:
        return None
    wait_s = max(1, ceil(minute.frees_at_s(limit) - now_s))
    return wording.too_fast(unit, limit=limit, used=minute.used, wait_s=wait_s)
