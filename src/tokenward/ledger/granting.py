"""May this call reserve its money? The only place that refuses for a cap (F-4).

Pure: from the caps that apply and where they stand to a grant or a refusal. Every cap is asked
before any is moved, so a hold is on all of them or on none (B-2).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

from tokenward.kernel.bound import CostBound
from tokenward.kernel.moments import rfc3339
from tokenward.kernel.refusals import Refusal
from tokenward.ledger import wording
from tokenward.ledger.records import HoldAsk, Standing, Unit, Waitable

HELD_RETRY_S: Final = 5
"""When to ask again where running calls hold what is missing: about the length of a call."""
CALL_MAX: Final = 2**53
"""The most nano-dollars ($9 million) or tokens one call may reserve or cost: sums stay exact."""
MODEL_CHARS_MAX: Final = 256


class Grant(NamedTuple):
    """What may be reserved: the most the call can cost at an output limit of `output_tokens` a
    choice. `is_capped`: a cap of money or tokens, or a limit for one call, applied."""

    amount_nusd: int
    tokens: int
    output_tokens: int
    is_capped: bool


class Denial(NamedTuple):
    """A refusal, and the caps that stay in the way when every running call has ended."""

    refusal: Refusal
    reached: Sequence[Standing] = ()


def decide(standings: Sequence[Standing], ask: HoldAsk) -> Grant | Denial:
    """The largest output limit that every cap affords, or why there is none."""
    bound = ask.bound
    output: int | None = _most_of_all(bound)
    if output is None or not _is_storable(ask.model):
        return Denial(_impossible(output is None))
    is_capped = ask.max_call_nusd is not None
    if ask.max_call_nusd is not None and ask.is_priced:
        afforded = bound.output_for_nusd(ask.max_call_nusd)
        if afforded is None:
            return Denial(_too_dear(ask, ask.max_call_nusd))
        output = min(output, afforded)
    failing: list[Standing] | None = None
    for standing in standings:
        cap = standing.cap
        is_capped = is_capped or cap.unit is not Unit.REQUESTS
        afforded = _afforded(bound, cap.unit, cap.limit - standing.spent - standing.held)
        if afforded is None:
            failing = [*(failing or ()), standing]
        elif afforded < output:
            output = afforded
    if not ask.is_priced:
        unpriced = _unpriced(standings, ask)
        if unpriced is not None:
            return Denial(unpriced)
    if failing is not None:
        return _deny(failing, ask)
    amount_nusd = bound.cost_nusd(output) if ask.is_priced else 0
    return Grant(amount_nusd, bound.tokens(output), output, is_capped)


def _most_of_all(bound: CostBound) -> int | None:
    """The largest output limit whose sums can be kept exactly; None if even the least cannot."""
    by_nusd, by_tokens = bound.output_for_nusd(CALL_MAX), bound.output_for_tokens(CALL_MAX)
    return None if by_nusd is None or by_tokens is None else min(by_nusd, by_tokens)


def _afforded(bound: CostBound, unit: Unit, left: int) -> int | None:
    if unit is Unit.NUSD:
        return bound.output_for_nusd(left)
    if unit is Unit.TOKENS:
        return bound.output_for_tokens(left)
    return bound.output_max if left >= 1 else None


def _needed(bound: CostBound, unit: Unit) -> int:
    """The least this call can reserve."""
    if unit is Unit.NUSD:
        return bound.cost_nusd(bound.output_min)
    return bound.tokens(bound.output_min) if unit is Unit.TOKENS else 1


def _deny(failing: Sequence[Standing], ask: HoldAsk) -> Denial:
    bound = ask.bound
    reached = [s for s in failing if _afforded(bound, s.cap.unit, s.cap.limit - s.spent) is None]
    named = max(reached or failing, key=_blocks_until)
    needed = _needed(bound, named.cap.unit)
    if reached:
        message = wording.say_reached(named, needed)
        refusal = _refusal("cap:reached", message, named, needed, None)
    else:
        message = wording.say_held(named, needed)
        refusal = _refusal("cap:held", message, named, needed, HELD_RETRY_S)
    if all(standing.cap.throttles for standing in failing):
        refusal = _waitable(refusal, failing)
    return Denial(refusal, reached)


def _blocks_until(standing: Standing) -> tuple[bool, int]:
    return standing.resets_ms is None, standing.resets_ms or 0


def _refusal(
    code: str, message: str, named: Standing, needed: int, retry_after_s: int | None
) -> Refusal:
    """A plain 429 is retried blindly by SDKs: only where waiting for running calls can help."""
    cap = named.cap
    return Refusal(
        code,
        429,
        message,
        should_retry=retry_after_s is not None,
        retry_after_s=retry_after_s,
        facts=(
            ("subject", cap.subject),
            ("model", cap.model),
            ("window", cap.window.value),
            ("unit", cap.unit.value),
            ("limit", cap.limit),
            ("spent", named.spent),
            ("held", named.held),
            ("needed", needed),
            ("resets_at", rfc3339(named.resets_ms)),
        ),
    )


def _waitable(refusal: Refusal, failing: Sequence[Standing]) -> Waitable:
    ends_ms = [s.resets_ms for s in failing if s.resets_ms is not None]
    return Waitable(
        refusal.code,
        refusal.status,
        refusal.message,
        should_retry=refusal.should_retry,
        retry_after_s=refusal.retry_after_s,
        facts=refusal.facts,
        resets_ms=min(ends_ms, default=None),
    )


def _too_dear(ask: HoldAsk, limit_nusd: int) -> Refusal:
    needed_nusd = _needed(ask.bound, Unit.NUSD)
    return Refusal(
        "cap:max_call",
        403,
        wording.say_max_call(ask.key, limit_nusd, needed_nusd),
        facts=(
            ("subject", f"key:{ask.key}"),
            ("unit", Unit.NUSD.value),
            ("limit", limit_nusd),
            ("needed", needed_nusd),
        ),
    )


def _unpriced(standings: Sequence[Standing], ask: HoldAsk) -> Refusal | None:
    """B-6: what cannot be priced cannot be held to a cap in money."""
    named = next((s.cap.subject for s in standings if s.cap.unit is Unit.NUSD), None)
    if named is None and ask.max_call_nusd is None:
        return None
    return Refusal(
        "model:unpriced",
        400,
        wording.say_unpriced(ask.model, named or f"key:{ask.key}"),
        facts=(("model", ask.model), ("subject", named or f"key:{ask.key}")),
    )


def _is_storable(model: str) -> bool:
    if len(model) > MODEL_CHARS_MAX or "\0" in model:
        return False
    return model.isascii() or not any("\ud800" <= sign <= "\udfff" for sign in model)


def _impossible(is_too_large: bool) -> Refusal:
    why = (
        "the call could cost more than any ledger keeps; ask for fewer output tokens"
        if is_too_large
        else f"the model's name is not text of at most {MODEL_CHARS_MAX} characters"
    )
    return Refusal("request:invalid", 400, f"This request cannot be held to a cap: {why}.")
