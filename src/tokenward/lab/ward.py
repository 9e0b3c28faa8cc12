"""One key under guard, in virtual time: the guard's own judge with its bookkeeping in memory.

What `pipeline/scoring.py` does with stores, in one place: who may be learned from, what a verdict
bars, and what an owner's undo clears.
"""

from collections.abc import Callable
from typing import Final

from tokenward.detectors.doubts import suspect
from tokenward.detectors.fusion import learn
from tokenward.detectors.past import Past
from tokenward.detectors.recent import Recent
from tokenward.kernel.incidents import PACE
from tokenward.kernel.signals import Signals
from tokenward.pipeline.judging import Judged, judge
from tokenward.pipeline.remembering import Suspects
from tokenward.policy.rules import Rules, Standing
from tokenward.policy.verdict import Verdict

BARRED_MAX: Final = 32
"""As many as a key's record has room for; one more freezes the key (`keys.records.BARRED_MAX`)."""
FROZEN: Final = Verdict(action="freeze", acts=True, incident="frozen", why="the key is frozen")
UNREADABLE: Final = frozenset(("no_output", "dead_route"))
"""Probes that the guard refuses before it scores them, as calls that cannot be sent on."""

Judge = Callable[[Signals, Past, Recent, Standing, Rules], Judged]


class Ward:
    """What the guard knows of a key and has decided about it. `judge` may be replaced, so that
    the evaluation itself can be tried with one that sees nothing."""

    def __init__(self, rules: Rules, judge: Judge = judge) -> None:
        self._rules = rules
        self._judge = judge
        self.past = Past()
        self.recent = Recent(is_shared=False)
        self.cleared: tuple[str, ...] = ()
        self.barred: tuple[tuple[str, str], ...] = ()
        self.is_frozen = False
        self._suspects = Suspects()
        self._incidents = 0

    def ask(self, call: Signals, answer: str = "", *, is_error: bool = False) -> Verdict:
        """Judge a call and remember what follows. `answer` is what the key is served if it passes;
        `is_error`: the provider refused it."""
        if self.is_frozen:
            return FROZEN
        suspect_calls = self._suspects.count(call.at_ms)
        standing = Standing(cleared=self.cleared, barred=self.barred, suspect_calls=suspect_calls)
        judged = self._judge(call, self.past, self.recent, standing, self._rules)
        verdict = judged.verdict
        is_unreadable = call.content.probe in UNREADABLE
        if verdict.is_refused or is_unreadable:
            self.recent.note(call, is_clean=False, is_error=is_unreadable)
            suspect(call, self.past)
            if verdict.opens:
                self._bar(verdict)
            return verdict
        if verdict.is_suspect:  # one that is refused has returned above
            self._suspects.let_through(call.at_ms)
        is_clean = judged.is_clean
        self.recent.note(call, is_clean=is_clean, is_error=is_error)
        if is_clean and not is_error:
            if answer:
                self.recent.serve(answer, call.at_ms)
            learn(call, self.past, judged.opinion)
        return verdict

    def undo(self, verdict: Verdict) -> None:
        """The owner says that it was meant: what it barred is free, and never barred again."""
        self.barred = tuple(each for each in self.barred if each[0] not in verdict.things)
        fresh = tuple(t for t in verdict.things if t not in self.cleared and t != PACE)
        self.cleared = (*self.cleared, *fresh)[-BARRED_MAX:]
        self.is_frozen = False

    def _bar(self, verdict: Verdict) -> None:
        self._incidents += 1
        known = {thing for thing, _ in self.barred}
        things = (PACE,) if PACE in verdict.things else verdict.things
        fresh = [thing for thing in things if thing not in known]
        room = BARRED_MAX - len(self.barred)
        self.barred += tuple((thing, f"incident-{self._incidents}") for thing in fresh[:room])
        self.is_frozen = verdict.action == "freeze" or len(fresh) > room
