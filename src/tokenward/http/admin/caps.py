"""Caps: hard limits on accounts, projects, keys and models."""

from typing import Final, cast

from tokenward.http.admin.office import Office
from tokenward.http.admin.pages import SomeOf, page_of
from tokenward.http.admin.route import Ask, Nothing, Page
from tokenward.http.admin.shapes import CapShape, ReconciledShape, RemovedShape
from tokenward.http.admin.targets import subject_named
from tokenward.kernel.errors import StoreBusyError
from tokenward.kernel.ids import base62_text
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.refusals import Refusal
from tokenward.ledger.cap_text import parse_cap
from tokenward.ledger.present import show_cap
from tokenward.ledger.records import Cap, Unit, Window
from tokenward.ledger.windows import find_zone

CAP_ID_CHARS: Final = 12
MODEL_CHARS_MAX: Final = 128


class NewCap(Ask):
    """A cap to set: `cap` as in `20.00/day`, `1000tok/hour`, `500req/minute`, `100.00/total`.

    `zone` is the IANA time zone its windows start in, by default the guard's; `throttle` lets
    calls over the cap wait a while for room instead of being refused at once.
    """

    subject: str
    cap: str
    model: str = ""
    zone: str = ""
    throttle: bool = False


class OneCap(Ask):
    """The cap of this subject, model glob, window and unit."""

    subject: str
    window: Window
    unit: Unit = Unit.NUSD
    model: str = ""


class SomeCaps(SomeOf):
    """A page of the caps of one subject, or of all."""

    subject: str = ""


async def set_cap(office: Office, ask: NewCap) -> CapShape | Refusal:
    """Create a cap, or change the limit of the one that counts the same."""
    cap = read_cap(
        office, ask.subject, ask.cap, model=ask.model, zone=ask.zone, throttles=ask.throttle
    )
    if not await _exists(office, cap.subject):
        return Refusal(
            "cap:nobody",
            404,
            f"There is no {cap.subject}, so the cap would hold nobody. See what there is: "
            "tokenward key list, tokenward account list; or first: tokenward account create NAME",
        )
    kept = await office.ledger.set_cap(cap)
    since = (kept.created_ms, "")
    for status in await office.ledger.caps(office.clock.now_ms(), kept.subject, since):
        if status.cap.id == kept.id:
            return cast(CapShape, show_cap(status))
    raise StoreBusyError(f"the caps of {kept.subject} are being changed by others; try again")


async def remove(office: Office, ask: OneCap) -> RemovedShape:
    """Remove a cap; `removed` is false if there was none."""
    subject = subject_named(ask.subject)
    return {"removed": await office.ledger.remove_cap(subject, ask.model, ask.window, ask.unit)}


async def index(office: Office, ask: SomeCaps) -> Page[list[CapShape]]:
    """Caps and where they stand now, oldest first, prepaid credit included."""
    subject = subject_named(ask.subject) if ask.subject else ""
    now_ms = office.clock.now_ms()
    statuses = await office.ledger.caps(now_ms, subject, ask.seen(), ask.limit)
    shown = [cast(CapShape, show_cap(status)) for status in statuses]
    return page_of(shown, ask, [status.cap for status in statuses])


async def reconcile(office: Office, ask: Nothing) -> ReconciledShape:
    """Rebuild every counter from the ledger's entries."""
    return {"corrected": await office.books.reconcile(office.clock.now_ms())}


def read_cap(
    office: Office,
    subject: str,
    text: str,
    *,
    model: str = "",
    zone: str = "",
    throttles: bool = False,
) -> Cap:
    """The cap that somebody wrote; ValueError says plainly what is wrong with it."""
    limit, unit, window = parse_cap(text)
    if len(model) > MODEL_CHARS_MAX or not model.isprintable() or " " in model:
        raise ValueError(f"a model pattern has at most {MODEL_CHARS_MAX} characters and no spaces")
    find_zone(zone or office.zone)
    return Cap(
        id=base62_text(office.dice, CAP_ID_CHARS),
        subject=subject_named(subject),
        model=model,
        window=window,
        unit=unit,
        limit=limit,
        zone=zone or office.zone,
        throttles=throttles,
        created_ms=office.clock.now_ms(),
    )


async def _exists(office: Office, subject: str) -> bool:
    """Projects and the account `default` come with their first key: they may be capped before."""
    kind, _, name = subject.partition(":")
    if kind == "key":
        return await office.keys.find(name) is not None
    if kind == "account" and name != "default":
        return await office.books.find_account(name) is not None
    return True


async def caps_of(office: Office, subject: str) -> list[JsonObject]:
    """The caps of a subject, as shown; a page of them."""
    statuses = await office.ledger.caps(office.clock.now_ms(), subject)
    return [show_cap(status) for status in statuses]
