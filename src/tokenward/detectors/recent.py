"""What did this key do in the last minutes? One process's short memory of one key.

It takes 3.5 kB for a key that did little (4 kB where positions are known), 6 kB for a busy one and
never more than 14 kB, of which 2 kB say what was served to it, 4 kB where it was used, and most of
the rest are rows of numbers; no list grows beyond its limit. No text of a call is in it but names
of countries and networks. A process that starts anew, or a key that was long silent, begins
without: what needs a history then says nothing. Calls are known when they end, so those still
running are not.
"""

from tokenward.detectors.limits import Pace
from tokenward.detectors.past import Past
from tokenward.detectors.rows import moment
from tokenward.detectors.sharing import Sharing
from tokenward.detectors.signs import Sign
from tokenward.detectors.sweep import Trials
from tokenward.detectors.travel import Journey
from tokenward.detectors.turns import Turns
from tokenward.kernel.signals import Signals


class Recent:
    """The short memory of one key. `is_shared`: other gateways serve the key too, so that what was
    served to it is not known here. `since_ms`: this process has seen all that the key did since
    then; without it, since the first call or answer that is noted."""

    __slots__ = ("_is_shared", "_journey", "_pace", "_sharing", "_since", "_trials", "_turns")

    def __init__(self, *, is_shared: bool = False, since_ms: int | None = None) -> None:
        self._is_shared = is_shared
        self._since = 0
        self._turns: Turns | None = None
        self._trials, self._sharing = Trials(), Sharing()
        self._journey, self._pace = Journey(), Pace()
        if since_ms is not None:
            self._begin(moment(since_ms))

    def _begin(self, since: int) -> Turns:
        self._since, self._turns = since, Turns(since, is_shared=self._is_shared)
        return self._turns

    def signs(self, call: Signals, past: Past, key_kind: str) -> tuple[Sign, ...]:
        """What this call shows together with those before it. Pure, and quick when there is
        nothing to say."""
        if self._turns is None:
            return ()
        now = moment(call.at_ms)
        return (
            self._trials.signs(call, past, key_kind, self._sharing.programs, now)
            + self._sharing.signs(call, past, key_kind, now)
            + self._turns.signs(call, past, key_kind, now)
            + self._journey.signs(call, past, key_kind, now)
            + self._pace.signs(now, self._since)
        )

    def note(self, call: Signals, *, is_clean: bool, is_error: bool) -> None:
        """The call is over. `is_error`: the provider refused or failed, or the call asked for what
        it cannot have (an unknown model, more than its cap); a call that was refused out of
        suspicion is none, or suspicion would feed on itself. `is_clean`: nothing was held against
        it."""
        now = moment(call.at_ms)
        turns = self._turns or self._begin(now)
        self._trials.note(call, self._sharing.programs, now, is_clean=is_clean, is_error=is_error)
        self._sharing.note(call, now)
        turns.note(call, now)
        self._journey.note(call, now, is_clean=is_clean)
        if is_clean:
            self._pace.note(now, self._since)

    def serve(self, answer: str, at_ms: int) -> None:
        """The key was given this answer (`Content.answers`' kind of hash)."""
        now = moment(at_ms)
        (self._turns or self._begin(now)).serve(answer, now)
