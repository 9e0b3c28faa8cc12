"""From a call's signals to a verdict: the same for the guard and for the lab's virtual time."""

from msgspec import Struct

from tokenward.detectors.fusion import Opinion, look
from tokenward.detectors.past import Past
from tokenward.detectors.recent import Recent
from tokenward.kernel.signals import Signals
from tokenward.policy.rules import Rules, Standing
from tokenward.policy.verdict import Case, Finding, Verdict, decide


class Judged(Struct, frozen=True, gc=False):
    """What the detectors made of a call, and what is to be done."""

    opinion: Opinion
    verdict: Verdict

    @property
    def is_clean(self) -> bool:
        """What is usual may be learned from the call. A suspect is only a stranger of its day, but
        on a key's first day everybody who is learned from is an old friend: so there is no joining
        those who were there before. Nor does patience end a throttle; somebody must."""
        opinion, verdict = self.opinion, self.verdict
        is_late = opinion.is_first_day and not opinion.is_cold
        is_flagged = verdict.is_slowed or (verdict.is_suspect and is_late)
        return verdict.action == "allow" and not is_flagged


_NOTHING = Verdict()


def judge(call: Signals, past: Past, recent: Recent, standing: Standing, rules: Rules) -> Judged:
    """Pure: neither the past nor what was seen lately changes."""
    return rule_on(call, form_opinion(call, past, recent, rules), standing, rules)


def form_opinion(call: Signals, past: Past, recent: Recent, rules: Rules) -> Opinion:
    """What all detectors together make of the call."""
    return look(call, past, rules.key_kind, recent.signs(call, past, rules.key_kind))


def rule_on(call: Signals, opinion: Opinion, standing: Standing, rules: Rules) -> Judged:
    """What is to be done, by the rules and by what is already decided about the key."""
    if opinion.is_usual and not standing.barred:
        return Judged(opinion, _NOTHING)
    case = Case(
        origin=opinion.origin,
        model=call.asked.model,
        is_cold=opinion.is_cold,
        is_familiar=opinion.is_familiar,
        is_usual_place=opinion.is_usual_place,
        total=opinion.total,
        findings=tuple(
            Finding(kind=sign.kind, detector=sign.detector, reason=sign.reason, weight=sign.weight)
            for sign in opinion.signs
        ),
        against=opinion.against,
        dearer=opinion.dearer,
        is_declared=call.asked.is_declared,
    )
    return Judged(opinion, decide(case, standing, rules))
