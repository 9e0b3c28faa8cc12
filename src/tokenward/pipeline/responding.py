"""Verdict → what is done: an incident, a bar, a freeze, and what the caller is told.

The incident is durable, and barred or frozen is whatever it says, before the caller hears of it;
every other gateway knows within the time that revocations take (R1).
"""

from typing import Final

from tokenward.kernel.incidents import Evidence, Incident
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.signals import Signals
from tokenward.keys.records import KeyRecord
from tokenward.pipeline.guard import Guard
from tokenward.pipeline.judging import Judged
from tokenward.pipeline.remembering import Remembered
from tokenward.pipeline.stages import Scored
from tokenward.policy.rules import Standing
from tokenward.policy.verdict import Verdict, model_thing, origin_thing

STEP_UP: Final = "stepup:required"


def standing_of(key: KeyRecord) -> Standing:
    """What is decided about the key."""
    return Standing(
        cleared=key.cleared, barred=tuple((bar.thing, bar.incident) for bar in key.barred)
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
    guard: Guard, key: KeyRecord, call: Signals, judged: Judged, remembered: Remembered
) -> Refusal:
    """Do what the verdict says, once, and say it. Raises `StoreError`: the call is refused anyway,
    and the next one of the same kind is judged alike."""
    verdict = judged.verdict
    if verdict.incident:
        return step_up(verdict.incident, verdict.why)
    incident = _incident(guard, key, call, judged, remembered)
    freeze = verdict.action == "freeze"
    await guard.keys.accuse(key.id, incident, verdict.things, freeze=freeze)
    now = await guard.keys.find(key.id) or key
    told = next((bar.incident for bar in now.barred if bar.thing in verdict.things), incident.id)
    return _frozen(told) if now.state != "live" else step_up(told, verdict.why)


def step_up(incident: str, why: str) -> Refusal:
    """What a challenged caller is told, and in `facts` what a program can act on."""
    return Refusal(
        STEP_UP,
        403,
        f"This call was held back and not sent, and nothing is charged: {why[:300]}. Other calls "
        f"of the key go on. If it is meant, whoever runs this guard allows it with: tokenward "
        f"incident undo {incident}",
        facts=(
            ("incident", incident),
            ("way_out", f"tokenward incident undo {incident}"),
            ("way_out_api", f"POST /admin/v1/incidents/{incident}/undo"),
        ),
    )


def _frozen(incident: str) -> Refusal:
    return Refusal(
        "key:frozen",
        403,
        "This key was frozen: it is used in a way that looks like theft. Nothing was sent and "
        f"nothing is charged. If it is no theft: tokenward incident undo {incident}",
        facts=(("incident", incident), ("way_out", f"tokenward incident undo {incident}")),
    )


def _incident(
    guard: Guard, key: KeyRecord, call: Signals, judged: Judged, remembered: Remembered
) -> Incident:
    verdict, now_ms = judged.verdict, guard.clock.now_ms()
    trail = remembered.trails.get(judged.opinion.origin)
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
    )


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
    if verdict.action == "hold" and verdict.why not in signs:
        held = Evidence(
            kind="E2",
            detector="novelty",
            reason=verdict.why,
            at_ms=call.at_ms,
            request_id=call.request_id,
        )
        return (held, *told)
    return told
