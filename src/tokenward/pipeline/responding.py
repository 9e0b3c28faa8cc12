"""Verdict → what is done: an incident, a bar, a freeze, and what the caller is told.

The incident is durable, and barred or frozen is whatever it says, before the caller hears of it;
every other gateway knows within the time that revocations take (R1).
"""

from math import exp, log
from typing import Final

from tokenward.kernel.incidents import Evidence, Incident
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.signals import Signals
from tokenward.keys.authenticate import frozen_by, way_out
from tokenward.keys.records import KeyRecord
from tokenward.pipeline.guard import Guard
from tokenward.pipeline.judging import Judged
from tokenward.pipeline.notes import without_keys
from tokenward.pipeline.remembering import Remembered
from tokenward.pipeline.stages import Scored
from tokenward.policy.rules import Standing
from tokenward.policy.verdict import Verdict, model_thing, origin_thing

TOLD_EXACTLY: Final = log(1e8)
STEP_UP: Final = "stepup:required"
MODEL: Final = "Other models go on."
PROGRAM: Final = "All of this program in this network waits; other programs of the key go on."


def standing_of(key: KeyRecord, suspect_calls: int = 0) -> Standing:
    """What is decided about the key."""
    return Standing(
        cleared=key.cleared,
        barred=tuple((bar.thing, bar.incident) for bar in key.barred),
        suspect_calls=suspect_calls,
    )


def look_at_bars(guard: Guard, scored: Scored, key: KeyRecord) -> Refusal | None:
    """Whether an incident has barred what this call is since it was judged: then it is not sent,
    and cut if it runs (R2, R5)."""
    if not key.barred or guard.ward.rules(key.project).mode != "enforce":
        return None
    standing = standing_of(key)
    incident = standing.incident_of(origin_thing(scored.judged.opinion.origin))
    incident = incident or standing.incident_of(model_thing(scored.call.asked.model))
    return step_up(incident, "it was stopped while the call was on its way") if incident else None


async def respond(
    guard: Guard,
    key: KeyRecord,
    call: Signals,
    judged: Judged,
    remembered: Remembered,
    address: str,
) -> Refusal:
    """Do what the verdict says, once, and say it. Raises `StoreError`: the call is refused anyway,
    and the next one of the same kind is judged alike."""
    verdict, calls = judged.verdict, guard.ward.rules(key.project).suspect_calls
    if verdict.incident:
        return _tell(verdict, verdict.incident, calls, call.at_ms)
    incident = _incident(guard, key, call, judged, remembered, address)
    freeze = verdict.action == "freeze"
    is_news = await guard.keys.accuse(key.id, incident, verdict.things, freeze=freeze)
    now = await guard.keys.find(key.id) or key
    if is_news:
        guard.opened(verdict.action if now.state == "live" else "freeze")
    told = next((bar.incident for bar in now.barred if bar.thing in verdict.things), "")
    if not told:  # it froze, or there was no room for a bar
        told = now.barred[-1].incident if now.barred and not is_news else incident.id
    if now.state != "live":
        return frozen_by(told)
    return _tell(verdict, told, calls, call.at_ms)


def _tell(verdict: Verdict, incident: str, calls: int, at_ms: int) -> Refusal:
    if verdict.action == "throttle":
        return slow_down(incident, verdict.why, calls, at_ms)
    return step_up(incident, verdict.why, _scope(verdict))


def step_up(incident: str, why: str, scope: str = PROGRAM) -> Refusal:
    """What a challenged caller is told, and in `facts` what a program can act on."""
    return Refusal(
        "stepup:required",
        403,
        f"This call was held back and not sent, and nothing is charged: {why[:300]}. {scope} If it "
        f"is meant, whoever runs this guard allows it with: tokenward incident undo {incident}",
        facts=way_out(incident),
    )


def slow_down(incident: str, why: str, calls: int, at_ms: int) -> Refusal:
    """What a caller is told who calls faster than a suspect may."""
    wait_s = 60 - at_ms // 1_000 % 60
    return Refusal(
        "rate:suspect",
        429,
        "This call was not sent, and nothing is charged: callers who may have stolen this key may "
        f"make {calls:,} calls a minute together, and they are used up. What speaks against this "
        f"one: {why[:300]}. Call again in {wait_s} s. If it is meant, whoever runs this guard lets "
        f"it go at full speed with: tokenward incident undo {incident}",
        should_retry=True,
        retry_after_s=wait_s,
        facts=way_out(incident),
    )


def _scope(verdict: Verdict) -> str:
    is_model = verdict.things[:1] and verdict.things[0].startswith("model:")
    return MODEL if is_model else PROGRAM


def _incident(
    guard: Guard,
    key: KeyRecord,
    call: Signals,
    judged: Judged,
    remembered: Remembered,
    address: str,
) -> Incident:
    verdict, now_ms = judged.verdict, guard.clock.now_ms()
    # Of an old friend only the time as a stranger was counted: that says nothing.
    is_friend = judged.opinion.is_familiar
    trail = None if is_friend else remembered.trails.get(judged.opinion.origin)
    return Incident(
        id=guard.ward.draw_incident(),
        subject=f"key:{key.id}",
        opened_ms=now_ms,
        first_sign_ms=trail.first_ms if trail is not None else call.at_ms,
        stopped_ms=now_ms,
        actions=(verdict.action,),
        evidence=_evidence(verdict, call, judged),
        cost_before_stop_nusd=trail.cost_nusd if trail is not None else 0,
        calls_before_stop=trail.calls if trail is not None else 0,
        against=verdict.against,
        undo=verdict.undo,
        who=_who(call, key, address),
    )


def _who(call: Signals, key: KeyRecord, address: str) -> str:
    """Program, address and network, and whose key: what its owner can be asked about."""
    client, network = call.client, call.network
    said = without_keys(f"{client.claimed} {client.version}".strip())
    program = client.family or "an unknown program"
    kind = f", {network.kind}" if network.kind else ""
    told = (
        f"{program} ({said or 'says nothing of itself'}) from {address or 'an unknown address'} "
        f"(network {network.place or 'unknown'}{kind}), project {key.project}"
    )
    return told if told.isprintable() else "".join(c if c.isprintable() else "?" for c in told)


def _together(verdict: Verdict, call: Signals) -> Evidence:
    """What the verdict rests on: no sign alone passes a threshold."""
    return Evidence(
        kind="E2",
        detector="fusion",
        reason=f"together, with what this key has shown before, {_odds(verdict.total)} to one for "
        f"theft; this is done from {_odds(verdict.threshold)} to one",
        value=round(verdict.total, 2),
        at_ms=call.at_ms,
        request_id=call.request_id,
    )


def _odds(logarithm: float) -> str:
    return f"{exp(logarithm):,.0f}" if logarithm < TOLD_EXACTLY else "more than 100 million"


def _evidence(verdict: Verdict, call: Signals, judged: Judged) -> tuple[Evidence, ...]:
    """Every sign with its own weight; first what the verdict rests on, if no sign says it."""
    signs = {sign.reason: sign for sign in judged.opinion.signs}
    told = tuple(
        Evidence(
            kind=signs[finding.reason].kind,
            detector=finding.detector,
            reason=finding.reason,
            value=round(finding.weight, 2),
            at_ms=call.at_ms,
            request_id=call.request_id,
        )
        for finding in verdict.findings
        if finding.reason in signs
    )
    if verdict.action != "hold":
        return (*told, _together(verdict, call))
    rest = tuple(each for each in told if each.reason != verdict.why)
    first = next((each for each in told if each.reason == verdict.why), None)
    held = Evidence(
        kind="E2",
        detector="first_use",
        reason=verdict.why,
        value=first.value if first is not None else None,
        at_ms=call.at_ms,
        request_id=call.request_id,
    )
    return (held, *rest)
