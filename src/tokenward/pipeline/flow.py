"""One request, top to bottom: read this file first.

Ten steps (docs/request-flow.md), each taking what the step before made. Rooms compute; all the
branching of a request stands here. What happens when a step itself breaks:

    1-4  a store that cannot answer → 503 `store:unavailable`; nothing was sent, nothing is held
    5    the detector says "unknown"          6    the strict verdict: refuse
    7    nothing sent → void; anything sent and unanswered → charged in full
    8    usage unreadable → the whole hold    9    the hold stays and is closed later, in full
    10   dropped and counted
"""

from functools import partial

from tokenward.kernel.errors import StoreError
from tokenward.kernel.refusals import Refusal
from tokenward.pipeline import scoring, steps
from tokenward.pipeline.forward import forward
from tokenward.pipeline.guard import Guard
from tokenward.pipeline.interfaces import Reply
from tokenward.pipeline.looking import look_again
from tokenward.pipeline.notes import Notes
from tokenward.pipeline.proving import prove, use_up_even_so
from tokenward.pipeline.refusing import BUG, STORE_DOWN, refuse
from tokenward.pipeline.remembering import Remembered
from tokenward.pipeline.responding import STEP_UP
from tokenward.pipeline.stages import Arrived, Cleared, Held, Settled
from tokenward.policy.verdict import Verdict


async def guard_call(guard: Guard, arrived: Arrived, reply: Reply) -> None:
    """Take one request through the ten steps and answer it. Never raises; always records."""
    notes = Notes(arrived, guard.clock)
    try:
        refusal = await _walk(guard, arrived, reply, notes)
    except StoreError as fault:
        refusal, notes.fault = STORE_DOWN, type(fault).__name__
    except Exception as bug:  # noqa: BLE001 - our own bug must refuse this call, not the others
        refusal, notes.fault = BUG, notes.describe(bug)
    if refusal is not None:
        await refuse(arrived, refusal, reply, notes)
    guard.record(notes.record(guard.clock))


async def _walk(guard: Guard, arrived: Arrived, reply: Reply, notes: Notes) -> Refusal | None:
    known = await steps.authenticate(guard, arrived, notes)  # 1
    if isinstance(known, Refusal):
        return known

    bound = await prove(guard, known, reply, notes)  # 2
    if isinstance(bound, Refusal):
        return bound

    read = await steps.inspect(guard, bound, notes)  # 3
    if isinstance(read, Refusal):
        refusal = await use_up_even_so(guard, bound, read, notes)
        return await scoring.score_refused(guard, bound, refusal, notes)
    notes.read(read)
    remembered = await guard.ward.memory.recall(known.key.id, arrived.at_ms)

    held = await steps.limit_and_hold(guard, read, reply, notes)  # 4
    if isinstance(held, Refusal):
        return held
    notes.hold(held)
    try:
        return await _spend(guard, held, remembered, reply, notes)
    finally:
        held.place.leave()


async def _spend(
    guard: Guard, held: Held, remembered: Remembered, reply: Reply, notes: Notes
) -> Refusal | None:
    """Steps 5-10. From here on a hold is open, and every way out ends it."""
    try:
        scored = scoring.score(guard, held, remembered, notes)  # 5
    except Exception:
        await steps.void(guard, held, BUG.code)
        raise
    look = partial(look_again, guard, scored)
    with guard.running.enter(held.read.bound.known.names, look) as running:
        cleared = steps.decide(scored, look())  # 6
        if isinstance(cleared, Cleared):
            answered = await forward(guard, cleared, reply, running, notes)  # 7
    if isinstance(cleared, Refusal):
        await steps.void(guard, held, cleared.code)
        return cleared
    if isinstance(cleared, Verdict):
        await steps.void(guard, held, STEP_UP)
        return await scoring.answer_verdict(guard, scored)
    metered = steps.meter(answered)  # 8
    notes.meter(metered)
    settling = steps.settle(guard, metered)  # 9: in effect now, durable when awaited
    await steps.finish(answered, reply)
    try:
        settled = Settled(metered=metered, settlement=await settling)
    except StoreError as fault:  # it was sent: nobody is told that it was not, and to call again
        notes.fault = type(fault).__name__
        return answered.refusal
    notes.settle(settled)
    steps.count_tokens(guard, settled)
    scoring.learn_from(guard, settled, notes)  # 10
    return answered.refusal
