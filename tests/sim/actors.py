"""People: callers, a thief, an admin; and in the end somebody who demands that all works again."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any

from sim.calls import PATIENCE_S, Call, Order, SimReply, draw_order, stolen
from sim.gateway import Gateway
from tokenward.http.admin import keys as desk
from tokenward.http.admin.office import Office
from tokenward.kernel.errors import StoreError
from tokenward.kernel.refusals import Refusal

if TYPE_CHECKING:
    from sim.world import World

ADMIN_PATIENCE_S = 5.0
Work = Callable[[], Awaitable[Any]]


def people(world: "World") -> "list[asyncio.Task[None]]":
    """Everybody the plan has, already acting."""
    plan = world.plan
    acting = [
        world.actor(f"caller{number}").spawn(_call(world, plan.rng(f"caller {number}")))
        for number in range(plan.callers)
    ]
    if plan.has("copied_key"):
        acting.append(world.actor("thief").spawn(_steal(world, plan.rng("thief"))))
    if any(plan.has(feature) for feature in ("freezes", "revokes", "caps", "credit")):
        acting.append(world.actor("admin").spawn(_administrate(world, plan.rng("admin"))))
    return acting


async def _call(world: "World", rng: Random) -> None:
    plan = world.plan
    while not world.is_healing:
        await asyncio.sleep(rng.expovariate(2.0))
        order = draw_order(
            rng,
            rng.choice(world.keys),
            may_stream=plan.has("stream"),
            reads_slowly=plan.has("slow_reader"),
        )
        _count(world, order)
        for _ in range(4 if plan.has("retry") else 1):
            call = await _try(world, rng, order)
            if call is not None and not _may_try_again(call):
                break
            if plan.has("retry"):
                world.history.fire("retry")
            await asyncio.sleep(rng.uniform(0.05, 0.8))


def _count(world: "World", order: Order) -> None:
    is_on = {"stream": order.stream, "slow_reader": order.reads_slowly, "bound": order.key.holder}
    for feature, is_it in is_on.items():
        if is_it:
            world.history.fire(feature)


async def _try(world: "World", rng: Random, order: Order) -> Call | None:
    """One call, until its end or as long as the caller stays."""
    gateways = world.site.gateways
    if not gateways:
        return None
    call, reply = world.send(order, rng.choice(gateways))
    if call.proof and world.plan.has("replay") and rng.random() < 0.5:
        world.actor("replayer").spawn(_replay(world, rng.choice((0.0, 0.01, 0.4)), call, rng))
    patience_s = PATIENCE_S
    if world.plan.has("hang_up") and rng.random() < 0.35:
        patience_s = rng.choice((0.001, 0.05, 0.3, 1.0))
    await _stay(world, call, reply, patience_s)
    return call


async def _stay(world: "World", call: Call, reply: SimReply, patience_s: float) -> None:
    await asyncio.wait([call.done], timeout=patience_s)
    if not call.outcome:
        if patience_s < PATIENCE_S:
            world.history.fire("hang_up")
        reply.hang_up()


def _may_try_again(call: Call) -> bool:
    return call.outcome in ("lost", "broken") or call.status in (429, 502, 503)


async def _steal(world: "World", rng: Random) -> None:
    """Uses a copy of a key as fast as it can, wherever it is let in."""
    key = rng.choice(world.keys)
    while not world.is_healing:
        await asyncio.sleep(rng.uniform(0.02, 0.25))
        gateways = world.site.gateways
        if not gateways:
            continue
        order = replace(
            stolen(draw_order(rng, key, may_stream=False, reads_slowly=False)), idempotency=""
        )
        world.history.fire("copied_key")
        call, reply = world.send(order, rng.choice(gateways))
        await _stay(world, call, reply, PATIENCE_S)


async def _replay(world: "World", wait_s: float, call: Call, rng: Random) -> None:
    """Sends what was captured once more."""
    await asyncio.sleep(wait_s)
    gateways = world.site.gateways
    if gateways:
        world.history.fire("replay")
        again, reply = world.send(
            stolen(call.order), rng.choice(gateways), call.headers, call.proof
        )
        await _stay(world, again, reply, PATIENCE_S)


# -- the admin ---------------------------------------------------------------------------------


async def _administrate(world: "World", rng: Random) -> None:
    plan = world.plan
    able = [name for name in ("freezes", "revokes", "caps", "credit") if plan.has(name)]
    while not world.is_healing:
        await asyncio.sleep(rng.expovariate(1.0))
        gateways = world.site.gateways
        if gateways:
            feature = rng.choice(able)
            world.history.fire(feature)
            await _decree(world, rng, rng.choice(gateways), feature)


async def _decree(world: "World", rng: Random, gateway: Gateway, feature: str) -> None:
    """One command through one gateway; who does not hear of it in time knows nothing."""
    key = rng.choice(world.keys)
    office, ledger = gateway.office(), gateway.store.ledger
    if feature == "freezes":
        verb = rng.choice(("freeze", "freeze", "unfreeze"))
        work = _stop_or_go(office, verb, key.id)
    elif feature == "revokes":
        if rng.random() < 0.6:
            return
        verb, work = "revoke", _stop_or_go(office, "revoke", key.id)
    elif feature == "caps":
        verb, cap = "cap", world.draw_cap(rng)
        if rng.random() < 0.2:
            counts = cap.subject, cap.model, cap.window.value, cap.unit.value
            work = partial(ledger.remove_cap, *counts)
        else:
            work = partial(ledger.set_cap, cap)
    else:
        verb, amount = "credit", rng.randint(1, 4) * 1_000_000
        work = partial(ledger.add_credit, "acme", amount, gateway.clock.now_ms(), "more")
    await decree(world, gateway, verb, key.id, work)


def _stop_or_go(office: Office, verb: str, key_id: str) -> Work:
    if verb == "unfreeze":
        return partial(desk.unfreeze, office, desk.OneKey(id=key_id))
    return partial(getattr(desk, verb), office, desk.StopKey(id=key_id, why="odd"))


async def decree(world: "World", gateway: Gateway, verb: str, key_id: str, work: Work) -> bool:
    """Have a gateway do an admin's command; whether it was acknowledged."""
    where, number = gateway.process.name, len(world.history.events)
    answered: asyncio.Future[bool] = world.loop.create_future()
    world.note(where, "ordered", verb=verb, key=key_id, number=number)

    async def run() -> None:
        try:
            done = await work()
        except StoreError:
            said = "unknown"
        else:
            said = "refused" if isinstance(done, Refusal) else "acknowledged"
        world.note(where, said, verb=verb, key=key_id, number=number)
        if not answered.done():
            answered.set_result(said == "acknowledged")

    gateway.process.spawn(run(), verb)
    await asyncio.wait([answered], timeout=ADMIN_PATIENCE_S)
    return answered.done() and answered.result()


# -- after the healing -------------------------------------------------------------------------


async def demand_progress(world: "World") -> None:
    """Every gateway takes a call of every live key, and none of a revoked one."""
    for key in world.keys:
        record = await world.within(lambda store, key=key: store.keys.find(key.id))
        if record.state == "frozen":
            gateway = world.site.gateways[0]
            work = _stop_or_go(gateway.office(), "unfreeze", key.id)
            unfrozen = await decree(world, gateway, "unfreeze", key.id, work)
            assert unfrozen, "nothing is broken any more"
    await world.within(_make_room)
    for gateway in world.site.gateways:
        for key in world.keys:
            order = Order(key=key, text="hello", limit=3, stream=False, idempotency="")
            for _ in range(2):  # the first may only fetch a nonce
                call, reply = world.send(order, gateway)
                await _stay(world, call, reply, PATIENCE_S)
                if call.code != "proof:stale":
                    break
            world.note(
                gateway.process.name,
                "probed",
                key=key.id,
                request=call.request_id,
                status=call.status,
                code=call.code,
            )


async def _make_room(store: Any) -> None:
    """Caps that have room for a few calls, and no more: what is held by mistake would show."""
    now_ms = store._clock.now_ms()
    for status in await store.ledger.caps(now_ms):
        if not status.cap.id.startswith("credit:"):
            room = {"nusd": 2_000_000, "tokens": 800, "requests": 20}[status.cap.unit.value]
            await store.ledger.set_cap(replace(status.cap, limit=status.spent + room))
        else:
            await store.ledger.add_credit("acme", status.spent + 2_000_000, now_ms, "for probes")
