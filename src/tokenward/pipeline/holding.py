"""Step 4, the money: from what is asked to the most it can cost, and a hold of that."""

from typing import Final

from msgspec.structs import replace

from tokenward.kernel.bound import CostBound
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.usage import Usage
from tokenward.ledger.records import Hold, HoldAsk, Waitable
from tokenward.limits.interfaces import Place
from tokenward.pipeline.guard import FlowLimits, Guard
from tokenward.pipeline.interfaces import Reply
from tokenward.pipeline.stages import Held, Read
from tokenward.prices.book import ModelPrice
from tokenward.providers.ask import Ask

LEFT_WAITING: Final = Refusal(
    "request:abandoned",
    499,
    "The caller hung up while its call waited for room under a cap. Nothing was sent.",
)
NO_MONEY: Final = ("cap:reached", "cap:held", "cap:max_call")


async def hold(guard: Guard, read: Read, place: Place, reply: Reply) -> Held | Refusal:
    """Reserve the most this call can cost on every cap that applies, or say why not."""
    ask = read.ask
    unbounded = ask.unbounded or unknown_window(ask, read.price)
    bound = None if unbounded else cost_bound(read, ask.most, guard.limits)
    if bound is None and not unbounded:
        unbounded = "a part of it has no price in the price book"
    wish = _wish(guard, read, bound or _free_bound(ask, guard.limits))
    held = await guard.ledger.hold(wish)
    if isinstance(held, Refusal) and held.code in NO_MONEY and bound is not None:
        exact = _counted(guard, ask)
        if exact is not None:
            bound = cost_bound(read, exact, guard.limits)
            assert bound is not None, "fewer tokens of the same buckets have a price too"
            wish = replace(wish, bound=bound)
            held = await guard.ledger.hold(wish)
    if isinstance(held, Waitable):
        held = await _wait_for_room(guard, wish, held, reply)
    if isinstance(held, Refusal):
        return held
    if unbounded and held.is_capped:
        await guard.ledger.void(held, "request:unbounded", guard.clock.now_ms())
        return _cannot_bound(unbounded)
    may_limit = ask.has_output and ask.output_asked is None and not ask.output_open
    is_limited = held.is_capped and may_limit
    output_limit = held.output_tokens if is_limited else None
    return Held(read=read, place=place, hold=held, output_limit=output_limit)


async def _wait_for_room(
    guard: Guard, wish: HoldAsk, held: Hold | Refusal, reply: Reply
) -> Hold | Refusal:
    """Caps that throttle make the call wait, bounded in time and in how many wait, instead of
    refusing it at once (B-9). What is held in the end is held under the same rules. For a caller
    that hangs up meanwhile nothing is held and nothing sent."""
    if guard.waiting.locked():
        return held
    reply.watch(lambda: None)  # only so that `is_gone` is known
    async with guard.waiting:
        give_up_s = guard.clock.monotonic_s() + guard.limits.throttle_wait_s
        while isinstance(held, Waitable):
            wait_s = give_up_s - guard.clock.monotonic_s()
            if wait_s <= 0:
                return held
            now_ms = guard.clock.now_ms()
            if held.resets_ms is not None:
                wait_s = min(wait_s, max(0.0, (held.resets_ms - now_ms) / 1000) + 0.001)
            await guard.ledger.wait_for_room(wait_s)
            if reply.is_gone:
                return LEFT_WAITING
            held = await guard.ledger.hold(replace(wish, at_ms=guard.clock.now_ms()))
    return held


def cost_bound(read: Read, most: Usage, limits: FlowLimits) -> CostBound | None:
    """The most the call can cost; None where a part of it has no price. Tokens are bounded also
    for a model without a price: caps in tokens hold for it, caps in money refuse it."""
    ask, price = read.ask, read.price
    low, high = _output_range(ask, price, limits)
    if price is None:
        return CostBound(
            fixed_pico=0,
            output_pico=0,
            fixed_tokens=most.input_tokens,
            output_min=low,
            output_max=high,
            choices=ask.choices,
        )
    tiers = ask.service_tiers
    if tiers == ("auto",) and read.provider.service_tiers is not None:
        tiers = read.provider.service_tiers
    if ask.open_ended and price.context_tokens is not None:
        most = _filled(most, price.context_tokens * ask.rounds)
    return price.bound(
        most=most,
        has_output=ask.has_output,
        output_bucket=ask.output_bucket,
        output_min=low,
        output_max=high,
        choices=ask.choices,
        service_tiers=tiers,
        regions=ask.regions,
        speeds=ask.speeds,
    )


def _output_range(ask: Ask, price: ModelPrice | None, limits: FlowLimits) -> tuple[int, int]:
    if not ask.has_output:
        return 0, 0
    if ask.output_asked is not None:
        return ask.output_asked, ask.output_asked
    ceiling = price.max_output_tokens if price is not None else None
    if ask.output_open and price is not None and price.context_tokens is not None:
        return price.context_tokens, price.context_tokens
    return ask.output_min, max(ask.output_min, ceiling or limits.output_tokens_default)


def _filled(most: Usage, readable_tokens: int) -> Usage:
    """What cannot be known from the request is at most what still fits the context window, in
    every round. It is of the dearest kind that the dialect expects."""
    unknown = max(0, readable_tokens - most.input_tokens)
    if most.cache_write_1h:
        return replace(most, cache_write_1h=most.cache_write_1h + unknown)
    if most.cache_write_5m:
        return replace(most, cache_write_5m=most.cache_write_5m + unknown)
    if most.input_audio:
        return replace(most, input_audio=most.input_audio + unknown)
    return replace(most, input=most.input + unknown)


def unknown_window(ask: Ask, price: ModelPrice | None) -> str:
    """Why nothing bounds what only the model's context window could."""
    why = ask.open_ended or ask.output_open
    if why and (price is None or price.context_tokens is None):
        return f"{why}, and the model's context window is not known"
    return ""


def _free_bound(ask: Ask, limits: FlowLimits) -> CostBound:
    low, high = _output_range(ask, None, limits)
    return CostBound(0, 0, ask.most.input_tokens, low, high, ask.choices)


def _counted(guard: Guard, ask: Ask) -> Usage | None:
    """The same request with its text counted exactly instead of byte by byte, where the tokenizer
    of the model is installed; None where it is not, or counting gains nothing."""
    if not ask.counted_text:
        return None
    tokens = guard.count_tokens(ask.model, ask.counted_text)
    if tokens is None:
        return None
    gained = sum(len(text.encode("utf-8")) for text in ask.counted_text) - tokens
    for bucket in ("cache_write_1h", "cache_write_5m", "input"):
        bounded = getattr(ask.most, bucket)
        if bounded and gained > 0:
            return replace(ask.most, **{bucket: max(tokens, bounded - gained)})
    return None


def _wish(guard: Guard, read: Read, bound: CostBound) -> HoldAsk:
    known = read.bound.known
    key, arrived = known.key, known.arrived
    idempotency = arrived.headers.get(b"idempotency-key", b"")
    return HoldAsk(
        request_id=arrived.request_id,
        key=key.id,
        project=key.project,
        account=key.account,
        model=read.ask.model,
        bound=bound,
        is_priced=read.price is not None,
        max_call_nusd=key.caveats.max_call_nusd,
        idempotency=guard.fingerprint(idempotency) if idempotency else "",
        at_ms=guard.clock.now_ms(),
        ttl_ms=guard.limits.hold_ttl_ms,
    )


def _cannot_bound(why: str) -> Refusal:
    return Refusal(
        "request:unbounded",
        400,
        f"This key has a cap, and what the request can cost has no upper bound: {why}. "
        "Leave that part out, or use a key without a cap.",
    )
