"""Do the conversations go on from answers that this key was never given?

Class E3, of the detector "sharing": a pool of N keys that takes them in turn shows each key
histories of which (N-1)/N were spoken elsewhere. Cold start: unknown until this memory reaches far
enough back, and always where several gateways serve the key. What is not known, or happens to be
the same in several conversations (examples in the prompt), is not counted.
"""

from typing import Final

from tokenward.detectors.odds import Odds, of_kind, weighed
from tokenward.detectors.past import Past
from tokenward.detectors.rows import Rows, is_within, number
from tokenward.detectors.served import Served
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import Content, Signals

NAME: Final = "sharing"
WINDOW_MS: Final = 3_600_000
TALKS_MAX: Final = 32
TURNS_MAX: Final = 8
CONSTANTS_MAX: Final = 64
FOREIGN_LEAST: Final = 3
FOREIGN_SHARE: Final = 0.5
REACH_MS: Final = 3_600_000
BUSY_REACH_MS: Final = 900_000
BUSY_ANSWERS: Final = 20
"""A busy key is judged sooner, but not at once: of the conversations that were going on when this
process began, nine in ten take their next turn within eight minutes (Mooncake's
conversation trace, FAST 2025)."""
OWN: Final = 0
UNSURE: Final = 1

# Some answers of this key did come back as they were served, so its programs do not rewrite
# histories: what is left are provider switches and recorded conversations, a few days in a
# hundred. A relay that keeps a conversation on one key shows nothing.
TOLD: Final = {
    "": Odds(ordinary=0.01, moved=0.02, thief=0.5),
    "developer": Odds(ordinary=0.02, moved=0.03, thief=0.5),
}
# No answer ever came back as it was served. Perhaps a program shortens or decorates what it puts
# into a history: then its owner shows this every day, and after a move as well.
UNTOLD: Final = {
    "": Odds(ordinary=0.05, moved=0.1, thief=0.6),
    "developer": Odds(ordinary=0.06, moved=0.1, thief=0.6),
}


class Turns:
    """The last 32 conversations that had a history, and what was served: at most 4 kB."""

    __slots__ = ("_constants", "_foreign", "_is_shared", "_served", "_talks")

    def __init__(self, since_ms: int, *, is_shared: bool) -> None:
        self._is_shared = is_shared
        self._served = Served(since_ms)
        self._talks = Rows(TALKS_MAX, 4)  # root, program, ms, what was foreign in it
        self._constants = Rows(CONSTANTS_MAX, 1)
        self._foreign = 0

    def serve(self, answer: str, now: int) -> None:
        """The key was given this answer."""
        if answer and not self._is_shared:
            self._served.add(number(answer), now)

    def note(self, call: Signals, now: int) -> None:
        """A call is over."""
        content = call.content
        if not content.answers or not content.root or not self._can_judge(now):
            return
        root = number(content.root)
        self._learn_constants(content, root)
        foreign = self._foreign_of(content, root)
        if foreign != UNSURE:
            at = self._talks.find(root)
            before = self._talks.row(at)[3] if at >= 0 else OWN
            kept = before if before > UNSURE else foreign
            self._talks.put(root, number(call.client.fingerprint), now, kept)
        self._foreign = sum(row[3] > UNSURE for row in self._talks)

    def signs(self, call: Signals, past: Past, key_kind: str, now: int) -> tuple[Sign, ...]:
        """One sign at most, and none for a conversation that is known to have begun here."""
        if self._foreign < FOREIGN_LEAST - 1 or not call.content.answers or not call.content.root:
            return ()
        root = number(call.content.root)
        if not self._can_judge(now) or self._foreign_of(call.content, root) <= UNSURE:
            return ()
        program = number(call.client.fingerprint)
        foreign, talks = 1, 1
        for other, whose, then, what in self._talks:
            if other != root and whose == program and is_within(then, now, WINDOW_MS):
                talks += what != UNSURE
                foreign += what > UNSURE
        if foreign < FOREIGN_LEAST or foreign < FOREIGN_SHARE * talks:
            return ()
        is_told = any(row[3] == OWN for row in self._talks)
        reason = (
            f"{foreign} of {talks} conversations of this program within the hour go on from "
            "answers that this key was never given"
        )
        odds = of_kind(TOLD if is_told else UNTOLD, key_kind)
        return (weighed("E3", NAME, "sharing:foreign", reason, odds),)

    def _can_judge(self, now: int) -> bool:
        reach = now - self._served.reaches_ms
        is_busy = self._served.count >= BUSY_ANSWERS
        return not self._is_shared and reach >= (BUSY_REACH_MS if is_busy else REACH_MS)

    def _foreign_of(self, content: Content, root: int) -> int:
        """The newest turn that tells: `OWN` if it was served to this key, the turn if it was not,
        `UNSURE` if all are the same as in other conversations."""
        for answer in content.answers[:TURNS_MAX]:
            turn = _turn(answer)
            if self._served.has(number(answer)):
                return OWN
            if self._constants.find(turn) < 0 and not self._is_elsewhere(turn, root):
                return turn
        return UNSURE

    def _learn_constants(self, content: Content, root: int) -> None:
        for answer in content.answers[:TURNS_MAX]:
            turn = _turn(answer)
            if not self._is_elsewhere(turn, root):
                continue
            self._constants.put(turn)
            for row in [row for row in self._talks if row[3] == turn]:
                self._talks.put(*row[:3], UNSURE)

    def _is_elsewhere(self, turn: int, root: int) -> bool:
        """Another conversation has it too."""
        if not self._talks.columns or turn not in self._talks.columns[3]:
            return False
        return any(row[3] == turn and row[0] != root for row in self._talks)


def _turn(answer: str) -> int:
    return max(number(answer), UNSURE + 1)
