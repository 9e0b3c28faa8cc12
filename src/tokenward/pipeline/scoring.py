"""Step 5, step 10 and the signs in what was refused: who is this, and is it the same as before?

Nothing here raises for what a caller sends: what breaks is *unknown* and noted in the record.
"""

from typing import Final

from tokenward.detectors.doubts import suspect
from tokenward.detectors.fusion import Opinion, learn
from tokenward.detectors.past import short
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.signals import Signals
from tokenward.pipeline.guard import Guard
from tokenward.pipeline.judging import Judged, form_opinion, rule_on
from tokenward.pipeline.notes import Notes
from tokenward.pipeline.remembering import Remembered
from tokenward.pipeline.responding import respond, standing_of
from tokenward.pipeline.sensing import TRIED_OUT, sense, sense_refused
from tokenward.pipeline.stages import Bound, Held, Known, Outcome, Scored, Settled
from tokenward.signals.content import hash_answer

TELLING: Final = frozenset(("request:invalid", "route:unknown", "model:unknown",
                            "model:not_allowed", "route:not_allowed"))  # fmt: skip
"""Refusals by which somebody may be finding out what a key can do."""


def score(guard: Guard, held: Held, remembered: Remembered, notes: Notes) -> Scored:
    """Step 5: the evidence of theft, and what policy makes of it. Nothing is learned yet."""
    known = held.read.bound.known
    call = sense(guard.ward.senses, held.read, notes.said)
    judged = _judge(guard, call, remembered, known, notes)
    notes.score(call, judged)
    if judged.verdict.is_suspect and not judged.verdict.is_refused:
        remembered.suspects.let_through(call.at_ms)
    if not judged.opinion.is_familiar and not judged.verdict.is_refused and held.hold is not None:
        remembered.spend(judged.opinion.origin, call.at_ms, held.hold.amount_nusd)
    return Scored(held=held, call=call, judged=judged, remembered=remembered)


def _judge(
    guard: Guard, call: Signals, remembered: Remembered, known: Known, notes: Notes
) -> Judged:
    """Detectors that break say *unknown*, and what is barred stays barred; a policy that breaks is
    our bug and refuses the call."""
    rules = guard.ward.rules(known.key.project)
    try:
        opinion = form_opinion(call, remembered.past, remembered.recent, rules)
    except Exception as bug:  # noqa: BLE001 - a detector that breaks says "unknown"
        notes.fault = notes.describe(bug)
        opinion = Opinion(origin=short(call.origin), is_cold=True)
    suspect_calls = remembered.suspects.count(call.at_ms)
    return rule_on(call, opinion, standing_of(known.key, suspect_calls), rules)


def learn_from(guard: Guard, settled: Settled, notes: Notes) -> None:
    """Step 10. What breaks here is dropped and noted: the call is answered and paid for."""
    try:
        _learn_from(guard, settled)
    except Exception as bug:  # noqa: BLE001 - a lesson is lost, nothing else
        notes.fault = notes.describe(bug)


def _learn_from(guard: Guard, settled: Settled) -> None:
    """A clean call that came to its end teaches what is usual; any call is remembered for some
    minutes. Flagged and refused ones teach nothing (D1), also where nothing acts."""
    answered = settled.metered.answered
    scored = answered.cleared.scored
    remembered, opinion = scored.remembered, scored.judged.opinion
    is_clean = scored.judged.is_clean and not scored.call.unknown
    is_error = answered.outcome is Outcome.REJECTED
    remembered.recent.note(scored.call, is_clean=is_clean, is_error=is_error)
    if not opinion.is_familiar and settled.settlement is not None and scored.held.hold is not None:
        unspent_nusd = scored.held.hold.amount_nusd - settled.settlement.cost_nusd
        remembered.give_back(opinion.origin, unspent_nusd)
    if not remembered.is_known or answered.outcome is not Outcome.COMPLETE or not is_clean:
        return
    answer = hash_answer(answered.said, guard.ward.senses.hash_text)
    if answer:  # to know it again in the key's later calls
        remembered.recent.serve(answer, scored.call.at_ms)
    if learn(scored.call, remembered.past, opinion):
        guard.ward.memory.learned(scored.key.id, remembered)


async def score_refused(guard: Guard, bound: Bound, refusal: Refusal, notes: Notes) -> Refusal:
    """What a call has shown that was refused before it was scored: the refusal to tell. Whoever
    is caught at finding out what a key can do is challenged from then on."""
    known = bound.known
    is_trial = known.arrived.route.operation == TRIED_OUT
    if not (is_trial or refusal.code in TELLING):
        return refusal
    remembered = await guard.ward.memory.recall(known.key.id, known.arrived.at_ms)
    call = sense_refused(guard.ward.senses, bound, notes.body)
    judged = _judge(guard, call, remembered, known, notes)
    notes.score(call, judged)
    remembered.recent.note(call, is_clean=False, is_error=True)
    if call.content.probe and remembered.is_known:
        suspect(call, remembered.past)
        guard.ward.memory.learned(known.key.id, remembered)
    if judged.verdict.opens:
        await respond(guard, known.key, call, judged, remembered, known.arrived.client_ip)
    return refusal


async def answer_verdict(guard: Guard, scored: Scored) -> Refusal:
    """What the caller of a call is told that the verdict refuses; the incident is durable first."""
    # No error of the caller's: suspicion must not feed on itself.
    scored.remembered.recent.note(scored.call, is_clean=False, is_error=False)
    if scored.remembered.is_known:
        suspect(scored.call, scored.remembered.past)
        guard.ward.memory.learned(scored.key.id, scored.remembered)
    address = scored.held.read.bound.known.arrived.client_ip
    judged, remembered = scored.judged, scored.remembered
    return await respond(guard, scored.key, scored.call, judged, remembered, address)
