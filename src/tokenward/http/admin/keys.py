"""A key's life, as an admin asks for it. What stops a key also cuts its running calls."""

from collections.abc import Callable
from typing import Final, cast

from tokenward.http.admin.caps import caps_of, read_cap
from tokenward.http.admin.office import Office
from tokenward.http.admin.pages import SomeOf, page_of
from tokenward.http.admin.route import Ask, Page
from tokenward.http.admin.shapes import CreatedShape, KeyShape, StoppedShape
from tokenward.http.admin.targets import key_named
from tokenward.kernel.errors import StoreBusyError
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys import life
from tokenward.keys.caveats import parse_duration_ms, read_caveats
from tokenward.keys.format import mask
from tokenward.keys.present import show_created, show_key
from tokenward.keys.records import BINDINGS, KeyRecord
from tokenward.pipeline.cutting import FROZEN, REVOKED, ROTATED
from tokenward.pipeline.running import RunningCall

TRIES_MAX: Final = 5
CAPS_MAX: Final = 16
BOUND: Final = tuple(bind for bind in BINDINGS if bind != "none")


class NewKey(Ask):
    """A key to create. `caps` as in `5.00/day`, `1000tok/hour`, or `none` alone; `expires` as in
    `30d`; `max_call` in dollars as text; `models` and `routes` are globs. `thumbprint` is its
    holder's: without it, a key that is bound comes with a code to enrol the holder."""

    project: str
    account: str = "default"
    name: str = ""
    models: list[str] = []
    routes: list[str] = []
    cidrs: list[str] = []
    expires: str | None = None
    caps: list[str] = []
    max_call: str | None = None
    rpm: int | None = None
    tpm: int | None = None
    concurrency: int | None = None
    bind: str = "none"
    thumbprint: str = ""


class OneKey(Ask):
    """One key: by its id, its masked form or, in a hurry, its whole text."""

    id: str


class StopKey(Ask):
    """A key to stop, and why."""

    id: str
    why: str = ""


class RotateKey(Ask):
    """A key whose secret is replaced; the old one works for `grace` more, as in `1h`."""

    id: str
    grace: str = "0s"


class EnrolKey(Ask):
    """A key that gets another holder; `bind` as in `key create`, "" leaves it as it is (and makes
    a key that was bound to nobody `dpop`)."""

    id: str
    bind: str = ""


async def create(office: Office, ask: NewKey) -> CreatedShape | Refusal:
    """A new key with all of its caps, or no key.

    A key that is bound to nobody and names no cap gets the guard's own small one (K-9): whoever
    copies it can spend, so it must be said (`none`) that it may do so without limit.
    The caps are set before the key is kept: at no instant can it spend without them. If the store
    breaks in between, nobody was told the key, so nobody can use what is left of it.
    """
    created = life.create(_draft(ask), office.dice, office.pepper, office.clock.now_ms())
    record = created.record
    subject = f"key:{record.id}"
    caps = [read_cap(office, subject, text) for text in _cap_texts(office, ask)]
    if len({(cap.window, cap.unit) for cap in caps}) != len(caps) or len(caps) > CAPS_MAX:
        raise ValueError(f"give at most {CAPS_MAX} caps, one for each window and unit")
    try:
        for cap in caps:
            await office.ledger.set_cap(cap)
        await office.keys.add(record)
    except ValueError as error:
        for cap in caps:
            await office.ledger.remove_cap(subject, cap.model, cap.window, cap.unit)
        return Refusal("key:not_created", 409, f"No key was created: {error}.")
    shown = await caps_of(office, subject) if caps else []
    return cast(CreatedShape, show_created(created, shown))


def _cap_texts(office: Office, ask: NewKey) -> list[str]:
    if ask.caps == ["none"]:
        return []
    if not ask.caps and ask.bind == "none" and office.bearer_cap:
        return [office.bearer_cap]
    return ask.caps


async def index(office: Office, ask: SomeOf) -> Page[list[KeyShape]]:
    """Keys, oldest first, without their secrets."""
    records = await office.keys.page(ask.seen(), ask.limit)
    return page_of([_show(office, record) for record in records], ask, records)


async def show(office: Office, ask: OneKey) -> KeyShape | Refusal:
    """One key, without its secret. As it is kept: what is in memory knows no last use."""
    record = await office.keys.read(key_named(ask.id))
    return _unknown(ask.id) if record is None else _show(office, record)


async def freeze(office: Office, ask: StopKey) -> StoppedShape | Refusal:
    """Stop the key until it is unfrozen; its running calls are cut."""
    running = office.running.of(key_named(ask.id))
    done = await _step(office, ask.id, lambda old: life.freeze(old, ask.why), "frozen", ask.why)
    return done if isinstance(done, Refusal) else _stopped(office, done, FROZEN, running)


async def unfreeze(office: Office, ask: OneKey) -> KeyShape | Refusal:
    """Let a frozen key work again."""
    done = await _step(office, ask.id, life.unfreeze, "unfrozen", "")
    return done if isinstance(done, Refusal) else _show(office, done)


async def revoke(office: Office, ask: StopKey) -> StoppedShape | Refusal:
    """Stop the key for ever; its running calls are cut."""
    running = office.running.of(key_named(ask.id))
    done = await _step(office, ask.id, lambda old: life.revoke(old, ask.why), "revoked", ask.why)
    return done if isinstance(done, Refusal) else _stopped(office, done, REVOKED, running)


async def rotate(office: Office, ask: RotateKey) -> CreatedShape | Refusal:
    """A new secret under the same id, with its caps and history."""
    grace_ms = parse_duration_ms(ask.grace)
    drawn: list[Secret] = []

    def turn(old: KeyRecord) -> KeyRecord | Refusal:
        turned = life.rotate(old, office.dice, office.pepper, grace_ms, office.clock.now_ms())
        if isinstance(turned, Refusal):
            return turned
        record, key = turned
        drawn.append(key)
        return record

    done = await _step(office, ask.id, turn, "rotated", f"grace {ask.grace}")
    if isinstance(done, Refusal):
        return done
    if grace_ms == 0:  # what runs may run on the secret that leaked
        office.running.cut_key(done.id, ROTATED)
    shown = await caps_of(office, f"key:{done.id}")
    return cast(CreatedShape, show_created(life.Created(done, drawn[-1]), shown))


async def enrol(office: Office, ask: EnrolKey) -> CreatedShape | Refusal:
    """A new secret and a code for another holder; the one before is out at once."""
    if ask.bind and ask.bind not in BOUND:
        raise ValueError(f"bind must be one of {', '.join(BOUND)}")
    drawn: list[life.Created] = []

    def turn(old: KeyRecord) -> KeyRecord | Refusal:
        now_ms = office.clock.now_ms()
        turned = life.enrol_anew(old, ask.bind, office.dice, office.pepper, now_ms)
        if isinstance(turned, Refusal):
            return turned
        drawn.append(turned)
        return turned.record

    done = await _step(office, ask.id, turn, "offered", "another holder")
    if isinstance(done, Refusal):
        return done
    office.running.cut_key(done.id, ROTATED)
    shown = await caps_of(office, f"key:{done.id}")
    return cast(CreatedShape, show_created(drawn[-1], shown))


def _draft(ask: NewKey) -> life.KeyDraft:
    return life.KeyDraft(
        project=ask.project,
        account=ask.account,
        name=ask.name,
        caveats=read_caveats(
            models=ask.models,
            routes=ask.routes,
            cidrs=ask.cidrs,
            max_call=ask.max_call,
            rpm=ask.rpm,
            tpm=ask.tpm,
            concurrency=ask.concurrency,
            bind=ask.bind,
        ),
        lifetime_ms=None if ask.expires is None else parse_duration_ms(ask.expires),
        holder=ask.thumbprint,
    )


async def _step(
    office: Office,
    named: str,
    step: Callable[[KeyRecord], KeyRecord | Refusal],
    action: str,
    why: str,
) -> KeyRecord | Refusal:
    """Take one step of the key's life, again from the start when somebody else was faster. From
    what is kept, not from memory: where there is nothing to do, that is the acknowledgement."""
    key_id = key_named(named)
    for _ in range(TRIES_MAX):
        old = await office.keys.read(key_id)
        if old is None:
            return _unknown(key_id)
        new = step(old)
        if isinstance(new, Refusal) or new is old:
            return new
        if await office.keys.replace(old, new, f"key:{action}", why):
            return new
    raise StoreBusyError(f"key {mask(key_id)} is being changed by others; try again")


def _show(office: Office, record: KeyRecord) -> KeyShape:
    return cast(KeyShape, show_key(record, office.clock.now_ms()))


def _stopped(
    office: Office, record: KeyRecord, reason: Refusal, running: frozenset[RunningCall]
) -> StoppedShape:
    """Cuts also when the key was stopped before: calls that slipped in must end too. Counts those
    of this process; elsewhere they are cut as soon as the change is heard of."""
    running |= office.running.of(record.id)
    office.running.cut_key(record.id, reason)
    cut = sum(call.reason is reason for call in running)
    return {**_show(office, record), "calls_cut": cut}


def _unknown(named: str) -> Refusal:
    key_id = key_named(named)
    return Refusal(
        "key:unknown", 404, f"There is no key {mask(key_id)}. All keys: tokenward key list"
    )
