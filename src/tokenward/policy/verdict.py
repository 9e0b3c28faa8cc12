"""What happens to this call, and to its key?

already barred           the call is challenged again, under the incident that barred it
cleared by its owner     allowed, whatever the evidence
a dearer model at first  held, until somebody says that it is meant (K-8); from an origin that
                         is no old friend, the origin is held with it
e-value over challenge   the origin is challenged: this call and its next ones are refused
over freeze, and again   the key is frozen: a second origin, or a second class of evidence
twenty to one            a suspect: let through, but only some calls a minute
"""

from math import log
from typing import Final, Literal

from msgspec import Struct

from tokenward.kernel.incidents import PACE
from tokenward.policy.rules import Rules, Standing

Action = Literal["allow", "throttle", "hold", "challenge", "freeze"]
CLASS_COUNTS_FROM: Final = log(20)
"""A class of evidence counts as a second one when it alone speaks twenty to one for theft."""
TOLD_MAX: Final = 8
WARNED_AT: Final = log(20)
"""What is enough for a second stranger while the first is unexplained: twenty to one."""
SUSPECT_AT: Final = log(20)
"""From when on a stranger is slowed: far below a challenge, because it costs an owner little."""
THING_CHARS_MAX: Final = 240


class Finding(Struct, frozen=True, kw_only=True, gc=False):
    """One sign as policy sees it: its class, detector, reason and weight (a logarithm)."""

    kind: str
    detector: str
    reason: str
    weight: float


class Case(Struct, frozen=True, kw_only=True, gc=False):
    """What is to be decided. `total` is the logarithm of the e-value of the key's whole story with
    this call. `is_cold`: the key has no history; `is_usual_place`: the network is one that it is
    used from. `dearer` says why the model is a dearer one, "" if it is not, and `is_declared` that
    the key's owner named that very model."""

    origin: str
    model: str = ""
    is_cold: bool = False
    is_familiar: bool = False
    is_usual_place: bool = False
    total: float = 0.0
    findings: tuple[Finding, ...] = ()
    against: tuple[str, ...] = ()
    dearer: str = ""
    is_declared: bool = False


class Verdict(Struct, frozen=True, kw_only=True, gc=False):
    """`action` is what is done, or in observe mode would be done (`acts` is False). `things` are
    barred by it; `incident` is set where they were barred before. `why` is one sentence; `undo`
    says what would lift it. `total` passed the `threshold`, both logarithms; 0.0 where a rule
    decided and not the evidence. `is_suspect`: if the call passes, it counts as one of a suspect;
    `is_slowed`: and suspects of this key have been too fast."""

    action: Action = "allow"
    acts: bool = False
    things: tuple[str, ...] = ()
    incident: str = ""
    why: str = ""
    findings: tuple[Finding, ...] = ()
    against: tuple[str, ...] = ()
    undo: str = ""
    total: float = 0.0
    threshold: float = 0.0
    is_suspect: bool = False
    is_slowed: bool = False

    @property
    def is_refused(self) -> bool:
        """The call is not sent."""
        return self.acts and self.action != "allow"

    @property
    def opens(self) -> bool:
        """It is news: an incident is opened."""
        return self.is_refused and not self.incident


UNDO: Final = (
    "If it was you or yours: tokenward incident undo, and the same is allowed from then on."
)


def decide(case: Case, standing: Standing, rules: Rules) -> Verdict:
    """The verdict on one call."""
    acts = rules.mode == "enforce"
    origin, model = origin_thing(case.origin), model_thing(case.model)
    incident = standing.incident_of(origin) or standing.incident_of(model)
    if incident:
        is_origin = bool(standing.incident_of(origin))
        what = "this program in this network" if is_origin else f"the model {case.model[:40]!r}"
        return Verdict(
            action="challenge" if is_origin else "hold",
            acts=acts,
            things=(origin,) if is_origin else (model,),
            incident=incident,
            why=f"{what} waits since an earlier call until somebody says that it is meant",
            findings=case.findings[:TOLD_MAX],
            against=case.against[:TOLD_MAX],
            undo=UNDO,
        )
    is_meant = case.is_declared or not rules.holds_dearer_models or model in standing.cleared
    holds = bool(case.dearer) and not is_meant
    challenge_at = _challenge_at(case, standing, rules)
    if case.total >= challenge_at and origin not in standing.cleared:
        freezes = _freezes(case, standing, rules)
        return Verdict(
            action="freeze" if freezes else "challenge",
            acts=acts,
            total=case.total,
            threshold=rules.freeze_at if freezes else challenge_at,
            things=(origin, model) if holds else (origin,),  # one undo must be enough (D3)
            why=_why(case),
            findings=case.findings[:TOLD_MAX],
            against=case.against[:TOLD_MAX],
            undo=UNDO,
        )
    if holds:
        is_known = case.is_familiar or case.is_usual_place or origin in standing.cleared
        return Verdict(
            action="hold",
            acts=acts,
            things=(model,) if is_known else (origin, model),
            why=case.dearer,
            findings=case.findings[:TOLD_MAX],
            against=case.against[:TOLD_MAX],
            undo=UNDO,
        )
    return _slow_down(case, standing, rules)


def _slow_down(case: Case, standing: Standing, rules: Rules) -> Verdict:
    """Whoever may well be a thief, and may well not, goes on at a walk. The incident names the
    origin, so that an undo clears it, and bars only the pace."""
    findings, against, origin = case.findings[:TOLD_MAX], case.against[:TOLD_MAX], case.origin
    incident = standing.incident_of(PACE)
    is_free = case.is_familiar or case.is_cold or origin_thing(origin) in standing.cleared
    if is_free or case.total < SUSPECT_AT:
        return Verdict(findings=findings, against=against)
    if standing.suspect_calls < rules.suspect_calls:
        return Verdict(
            findings=findings, against=against, is_suspect=True, is_slowed=bool(incident)
        )
    return Verdict(
        action="throttle",
        acts=rules.mode == "enforce",
        total=case.total,
        threshold=SUSPECT_AT,
        things=(PACE, origin_thing(origin)),
        incident=incident,
        why=_why(case),
        findings=findings,
        against=against,
        undo=UNDO,
        is_suspect=True,
    )


def origin_thing(origin: str) -> str:
    """The name of a sub-stream among the things that can be barred and cleared."""
    return f"origin:{_plain(origin)}"


def model_thing(model: str) -> str:
    """The name of a model among them."""
    return f"model:{_plain(model)}"


def _plain(name: str) -> str:
    """What callers name can hold anything; what is kept can be read and typed."""
    cut = name[:THING_CHARS_MAX]
    return cut if cut.isprintable() else "".join(c if c.isprintable() else "?" for c in cut)


def _challenge_at(case: Case, standing: Standing, rules: Rules) -> float:
    """While a stranger is barred and nobody has said who it was, the next one needs less."""
    is_warned = any(thing.startswith("origin:") for thing, _ in standing.barred)
    if is_warned and not case.is_familiar:
        return min(WARNED_AT, rules.challenge_at)
    return rules.challenge_at


def _freezes(case: Case, standing: Standing, rules: Rules) -> bool:
    """Identity alone freezes when it repeats, or when another class agrees."""
    by_use = sum(finding.weight for finding in case.findings if finding.kind == "E4")
    if case.total - by_use < rules.freeze_at:  # use never helps to freeze
        return False
    repeats = any(thing.startswith("origin:") for thing, _ in standing.barred)
    weights: dict[str, float] = {}
    for finding in case.findings:
        weights[finding.kind] = max(weights.get(finding.kind, 0.0), finding.weight)
    classes = [kind for kind, each in weights.items() if each >= CLASS_COUNTS_FROM]
    return repeats or len([kind for kind in classes if kind != "E4"]) >= 2


def _why(case: Case) -> str:
    reasons = [finding.reason for finding in case.findings[:2]]
    return "; ".join(reasons) or "what this key has shown lately adds up to a stranger"
