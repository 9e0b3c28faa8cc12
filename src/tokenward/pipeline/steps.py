"""The steps between the door and the provider; `flow.py` calls them in order."""

from collections.abc import Awaitable
from fnmatch import fnmatchcase
from typing import Final

from msgspec.structs import replace

from tokenward.kernel.refusals import Refusal
from tokenward.keys import access_tokens
from tokenward.keys import authenticate as keys
from tokenward.keys.access_tokens import binding_of, is_token
from tokenward.keys.caveats import allows_any_model, allows_model, allows_route
from tokenward.keys.format import read_key_id
from tokenward.ledger.records import Charge, Settlement
from tokenward.limits.networks import allows_network
from tokenward.pipeline import holding
from tokenward.pipeline.forward import CREDENTIALS_IN_QUERY, let_go
from tokenward.pipeline.guard import Guard
from tokenward.pipeline.interfaces import Provider, Reply
from tokenward.pipeline.looking import STALE_VIEW, still_good
from tokenward.pipeline.notes import Notes
from tokenward.pipeline.proving import enter, use_up_even_so
from tokenward.pipeline.relay import stream_error
from tokenward.pipeline.stages import (
    Answered,
    Arrived,
    Bound,
    Cleared,
    Held,
    Known,
    Metered,
    Outcome,
    Read,
    Scored,
    Settled,
)
from tokenward.policy.verdict import Verdict
from tokenward.providers.ask import Ask, Meter, Request

IN_QUERY: Final = Refusal(
    "key:in_query",
    401,
    "The key came in the address, where logs and histories keep it. Send it in a header "
    "(Authorization: Bearer …, x-api-key or x-goog-api-key), and rotate it.",
)
NOT_SHARED: Final = Refusal(
    "route:closed",
    403,
    "What is kept at a provider belongs to its credential, which all keys of this guard share: who "
    "could reach it would read, change and delete what others left. So it is closed, and so are "
    "responses in the background. The operator opens it with stored_objects = true under the "
    "[[provider]].",
)


NOT_BILLED: Final = (Outcome.UNSENT, Outcome.WITHHELD, Outcome.REJECTED)


async def authenticate(guard: Guard, arrived: Arrived, notes: Notes) -> Known | Refusal:
    """Step 1: which key is it, and is it live? Raises `StoreError` (503, never 401; K-2).

    The record names the key as soon as its secret was shown, also when it opens nothing more:
    whoever still tries a frozen key is worth knowing.
    """
    if not guard.view.is_fresh():
        return STALE_VIEW
    headers = arrived.headers
    in_query = _credentials(arrived.query)
    if in_query and not guard.limits.keys_in_query:
        return IN_QUERY
    if in_query:
        also = {headers[b"api-key"]} if b"api-key" in headers else set()
        headers = {**headers, b"api-key": b", ".join(also.union(in_query))}
    presented = keys.presented_key(headers)
    if isinstance(presented, Refusal):
        return presented
    if presented is not None and is_token(presented):
        return await _know_token(guard, arrived, presented, notes)
    key_id = read_key_id(presented) if presented is not None else None
    record = await guard.keys.find(key_id) if key_id is not None else None
    key = keys.authenticate(presented, record, guard.pepper, guard.clock.now_ms())
    if isinstance(key, Refusal):
        if record is not None and key.code in keys.PROVEN:
            notes.know(record)
        return key
    assert presented is not None, "nobody is known without a key"
    notes.know(key)
    return Known(
        arrived=arrived,
        key=key,
        presented=presented,
        is_dpop=keys.is_dpop(headers),
        bind=key.caveats.bind,
        holder=key.holder,
    )


async def _know_token(
    guard: Guard, arrived: Arrived, presented: str, notes: Notes
) -> Known | Refusal:
    """An access token stands for its key, and asks for its own holder's proof."""
    token = guard.tokens.read(presented)
    if token is None:
        return access_tokens.INVALID
    record = await guard.keys.find(token.key_id)
    if record is not None:
        notes.know(record)
    key = still_good(guard, token, record)
    if isinstance(key, Refusal):
        return key
    return Known(
        arrived=arrived,
        key=key,
        presented=presented,
        is_dpop=keys.is_dpop(arrived.headers),
        bind=binding_of(token, key),
        holder=token.thumbprint,
        token=token,
    )


def _credentials(query: bytes) -> list[bytes]:
    """Values of the query's credentials; more than one distinct value opens nothing."""
    parts = (part.partition(b"=") for part in query.split(b"&")) if query else ()
    return [value for name, _, value in parts if name.lower() in CREDENTIALS_IN_QUERY]


async def inspect(guard: Guard, bound: Bound, notes: Notes) -> Read | Refusal:
    """Step 3: what is asked, may this key ask it, who serves it, and at which price?"""
    arrived, key = bound.known.arrived, bound.known.key
    not_allowed = allows_route(key.caveats, arrived.path)
    if not_allowed is not None:
        return not_allowed
    body = await arrived.read_body() if bound.body is None else bound.body
    if isinstance(body, Refusal):
        return body
    notes.body = body
    request = Request(
        route=arrived.route,
        model_in_path=arrived.model_in_path,
        default_model=guard.default_models.get(arrived.route.dialect, ""),
        query=arrived.query,
        headers=arrived.headers,
        body=body,
    )
    ask = arrived.dialect.inspect(request)
    if isinstance(ask, Refusal):
        return ask
    notes.said, ask = ask.said, replace(ask, said=None)  # texts must not live as long as the call
    not_allowed = _may_ask(bound.known, ask)
    if not_allowed is not None:
        return not_allowed
    provider = choose_provider(guard.providers, ask)
    if isinstance(provider, Refusal):
        return provider
    price = None
    if arrived.route.meter is not Meter.FREE:
        price = guard.prices.find(provider.prices_from, ask.model, guard.clock.now_ms())
    return Read(bound=bound, request=request, ask=ask, provider=provider, price=price)


def _may_ask(known: Known, ask: Ask) -> Refusal | None:
    """None if the key may ask for this model, and its access token's scope takes nothing away."""
    scope = None if known.token is None else known.token.scope.caveats
    for caveats in (known.key.caveats, scope):
        refusal = None
        if caveats is not None and ask.model:
            refusal = allows_model(caveats, ask.model)
        elif caveats is not None and ask.stored:
            refusal = allows_any_model(caveats)
        if refusal is not None:
            return refusal
    return None


def choose_provider(providers: tuple[Provider, ...], ask: Ask) -> Provider | Refusal:
    """The first configured provider of the dialect that names the model; without a model (a list
    of models, say) the first of the dialect. What is stored is passed only to a provider that is
    set to share it, and without a model to the one that is."""
    dialect, model = ask.route.dialect, ask.model
    for provider in providers:
        if provider.dialect != dialect:
            continue
        if not model and ask.stored and not provider.stored_objects:
            continue
        if not model or any(fnmatchcase(model, glob) for glob in provider.models):
            return NOT_SHARED if ask.stored and not provider.stored_objects else provider
    if not model and ask.stored:
        return NOT_SHARED
    return Refusal(
        "model:unknown",
        404,
        f"No provider of this guard serves the model {model[:80]!r} in the {dialect} dialect. "
        "The operator names models under [[provider]] models.",
    )


async def limit_and_hold(guard: Guard, read: Read, reply: Reply, notes: Notes) -> Held | Refusal:
    """Step 4: is it within the key's limits, and is there money? The hold is durable here."""
    known = read.bound.known
    refusal = allows_network(known.key.caveats.cidrs, known.arrived.client_ip)
    if refusal is not None:
        return await use_up_even_so(guard, read.bound, refusal, notes)
    place = await enter(guard, read.bound, notes)
    if isinstance(place, Refusal):
        return place
    if known.arrived.route.meter is Meter.FREE:
        return Held(read=read, place=place, hold=None, output_limit=None)
    try:
        held = await holding.hold(guard, read, place, reply)
    except BaseException:
        place.leave()
        raise
    if isinstance(held, Refusal):
        place.leave()
    return held


def decide(scored: Scored, refusal: Refusal | None) -> Cleared | Refusal | Verdict:
    """Step 6: may it be sent? `refusal` is what a second look at the key found (R2); else the
    verdict, where it refuses."""
    if refusal is not None:
        return refusal
    verdict = scored.judged.verdict
    return verdict if verdict.is_refused else Cleared(scored=scored)


async def void(guard: Guard, held: Held, why: str) -> None:
    """End the hold of a call that is refused before anything was sent."""
    if held.hold is not None:
        await guard.ledger.void(held.hold, why, guard.clock.now_ms())


def meter(answered: Answered) -> Metered:
    """Step 8: what is due? Usage that cannot be read costs the whole hold (M-5)."""
    read, reading = answered.cleared.read, answered.reading
    if answered.cleared.held.hold is None or answered.outcome in NOT_BILLED:
        return Metered(answered=answered, charge=None, usage=reading.usage)
    usage = reading.usage
    if usage is None:
        return Metered(answered=answered, charge=_whole_hold(read.ask, answered), usage=None)
    if read.price is None:
        doubts = (*usage.doubts, "the model has no price")
        charge = Charge(
            cost_nusd=0, tokens=usage.total_tokens, usage=usage, is_estimate=False, why=doubts[-1]
        )
    else:
        cost = read.price.cost(usage)
        doubts = (*usage.doubts, *cost.doubts)
        charge = Charge(
            cost_nusd=cost.nusd,
            tokens=usage.total_tokens,
            usage=usage,
            is_estimate=False,
            why="; ".join(doubts)[:500],
        )
    return Metered(answered=answered, charge=charge, usage=usage, doubts=doubts)


def _whole_hold(ask: Ask, answered: Answered) -> Charge:
    problem = answered.reading.problem or f"the answer ended {answered.outcome.value}"
    return Charge(cost_nusd=0, tokens=0, usage=ask.most, is_estimate=True, why=problem[:500])


def settle(guard: Guard, metered: Metered) -> Awaitable[Settlement | None]:
    """Step 9: end the hold, exactly once. In effect when this returns, durable when awaited.

    The place is given back first: the caller's next call may come before the record is written.
    """
    held, now_ms = metered.answered.cleared.held, guard.clock.now_ms()
    held.place.leave()
    if held.hold is None:
        return _nothing()
    if metered.charge is None:
        return guard.ledger.void(held.hold, _why_void(metered.answered), now_ms)
    return guard.ledger.settle(held.hold, metered.charge, now_ms)


def _why_void(answered: Answered) -> str:
    """What people read in the ledger: how the call ended, or why it was kept back."""
    if answered.outcome is Outcome.WITHHELD and answered.refusal is not None:
        return answered.refusal.code
    return answered.outcome.value


async def _nothing() -> None:
    return None


async def finish(answered: Answered, reply: Reply) -> None:
    """The last piece, now that the money is settled; an answer that broke off ends as broken."""
    if answered.refusal is None:
        if answered.interruption is None:
            await reply.end(answered.tail)
        elif answered.may_tell:
            arrived = answered.cleared.read.bound.known.arrived
            error = arrived.dialect.error(answered.interruption, arrived.request_id)
            await reply.end(answered.tail + stream_error(error))
        else:
            await reply.write(answered.tail)
            reply.abandon()
    if answered.rest is not None:
        await let_go(answered.rest)


def count_tokens(guard: Guard, settled: Settled) -> None:
    """What the key has used counts toward its tokens a minute."""
    key, usage = settled.metered.answered.cleared.read.bound.known.key, settled.metered.usage
    if usage is not None and key.caveats.tpm is not None:
        guard.limiter.use(key.id, usage.total_tokens)
