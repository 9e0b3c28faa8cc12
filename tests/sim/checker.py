"""Was every promise kept? Judged from outside: events, the provider's bill, lines of the file.

Shares no code with the product: windows, sums and states are worked out here once more, the slow
and obvious way. A check is a generator of complaints, named by the promise it is about.
"""

import json
from collections import defaultdict
from collections.abc import Callable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from sim import auditor
from sim.world import Outcome

REACH_S = 1.0
"""R1: from the acknowledgement of a stop to the last call that any other gateway forwards."""
BACK_MS = 10_000
CUT_S = 2.0
"""R5: to the last byte of a running stream."""
SPAN_MS = {"minute": 60_000, "hour": 3_600_000, "day": 86_400_000, "total": 2**62}
POSTED = ("settle", "expire", "overrun")
ENDED = ("settle", "expire", "void")


def complaints(outcome: Outcome) -> list[str]:
    """Everything that is wrong; an empty list is a clean world."""
    found = [
        f"{name}: {complaint}" for name, check in CHECKS.items() for complaint in check(outcome)
    ]
    return [*found, *(f"bug: {failure}" for failure in outcome.failures)]


def _caps_hold(o: Outcome) -> Iterator[str]:
    """No hold is taken that does not fit, at any line of the book, with what is only held."""
    caps: dict[str, dict[str, Any]] = {}
    calls: dict[int, dict[str, Any]] = {}
    for e in o.entries:
        if e.kind in ("cap_set", "credit"):
            note = json.loads(e.detail)
            caps[note["cap"]] = note
        elif e.kind == "cap_removed":
            del caps[json.loads(e.detail)["cap"]]
        elif e.kind == "hold":
            held = {"nusd": e.nusd, "tokens": e.tokens, "requests": 1}
            calls[e.seq] = {"entry": e, "now": held}
            for cap in caps.values():
                if _covers(cap, e):
                    used = sum(
                        c["now"][cap["unit"]]
                        for c in calls.values()
                        if _covers(cap, c["entry"]) and _window(cap, c["entry"]) == _window(cap, e)
                    )
                    if used > cap["limit"]:
                        yield f"hold {e.seq} brings {cap['cap']} to {used} of {cap['limit']}"
        elif e.kind in ENDED:
            counts = e.kind != "void"
            calls[e.hold]["now"] = {"nusd": e.nusd, "tokens": e.tokens, "requests": int(counts)}
        elif e.kind == "overrun":
            calls[e.hold]["now"]["nusd"] += e.nusd
            calls[e.hold]["now"]["tokens"] += e.tokens


def _covers(cap: dict[str, Any], hold: Any) -> bool:
    kind, _, name = cap["subject"].partition(":")
    its = {"account": hold.account, "project": hold.project, "key": hold.key}[kind]
    is_meant = not cap["model"] or fnmatchcase(hold.model, cap["model"])
    return bool(its == name and is_meant and hold.at_ms >= cap["since_ms"])


def _window(cap: dict[str, Any], hold: Any) -> int:
    return int(hold.at_ms // SPAN_MS[cap["window"]])


def _bill_is_covered(o: Outcome) -> Iterator[str]:
    """The ledger is never below the provider's bill, call by call; above its hold only as a listed
    overrun, and only where the provider broke its word."""
    posted, overrun, held = _by_request(o)
    moods = {e.request: e.mood for e in o.history.of("billed")}
    told = {e.request for e in o.history.of("settled") if o.calls[e.request].outcome == "whole"}
    for request, nusd in o.bill.items():
        if moods[request] == "overbills" and request not in told:
            nusd = min(nusd, held[request])  # what no gateway lived to read, none can know
        if posted[request] < nusd:
            yield f"{request} was billed {nusd} and booked {posted[request]}"
    for request, nusd in overrun.items():
        if nusd and moods.get(request) != "overbills":
            yield f"{request} overran by {nusd}, and the provider kept its word"
        if posted[request] - nusd > held[request]:
            yield f"{request} posted {posted[request]} of {held[request]} held, {nusd} as overrun"


def _by_request(o: Outcome) -> tuple[dict[str, int], dict[str, int], dict[str, int]]:
    names = {e.seq: json.loads(e.detail)["request"] for e in o.entries if e.kind == "hold"}
    posted: dict[str, int] = defaultdict(int)
    overrun: dict[str, int] = defaultdict(int)
    held: dict[str, int] = defaultdict(int)
    for e in o.entries:
        if e.kind == "hold":
            held[names[e.seq]] = e.nusd
        elif e.kind in POSTED:
            posted[names[e.hold]] += e.nusd
            if e.kind == "overrun":
                overrun[names[e.hold]] += e.nusd
    return posted, overrun, held


def _holds_end_once(o: Outcome) -> Iterator[str]:
    ends: dict[int, list[str]] = defaultdict(list)
    for e in o.entries:
        if e.kind in ENDED:
            ends[e.hold].append(e.kind)
    for e in o.entries:
        if e.kind == "hold" and len(ends[e.seq]) > 1:
            yield f"hold {e.seq} ended as {ends[e.seq]}"


def _holds_end_in_time(o: Outcome) -> Iterator[str]:
    ended = {e.hold for e in o.entries if e.kind in ENDED}
    for e in o.entries:
        if e.kind == "hold" and e.seq not in ended:
            yield f"hold {e.seq} never ended"
    if o.open_holds:
        yield f"{o.open_holds} holds are open when all is quiet"


def _held_before_sent(o: Outcome) -> Iterator[str]:
    for e in o.history.of("forwarded"):
        if not e.held:
            yield f"{e.request} was sent at {e.at_s:.3f} and its hold was not on the disk"


def _books_add_up(o: Outcome) -> Iterator[str]:
    yield from (f"{f.check} {f.subject}: {f.why}" for f in o.findings)
    yield from auditor.disagreements(o)


def _paid_once(o: Outcome) -> Iterator[str]:
    posted, _, _ = _by_request(o)
    paid: dict[tuple[str, str], set[str]] = defaultdict(set)
    for request, call in o.calls.items():
        if call.order.idempotency and posted.get(request):
            paid[call.order.key.id, call.order.idempotency].add(request)
    for (_, order), requests in paid.items():
        if len(requests) > 1:
            yield f"{order} was paid for as {sorted(requests)}"


def _stops_reach(o: Outcome) -> Iterator[str]:
    """R1 and R4: from an acknowledged stop on nothing is forwarded, until somebody orders the
    contrary. A command whose outcome is unknown may take effect at any time from its order on."""
    keys = {request: call.order.key.id for request, call in o.calls.items()}
    stops: dict[str, list[tuple[float, str, bool]]] = defaultdict(list)
    for e in o.history.of("ordered", "acknowledged", "forwarded"):
        if e.what == "ordered" and e.verb == "unfreeze":
            stops[e.key] = [stop for stop in stops[e.key] if stop[2]]
        elif e.what == "acknowledged" and e.verb in ("freeze", "revoke"):
            if e.verb == "revoke" or not _may_thaw_late(o, e.key, e.at_s):
                stops[e.key].append((e.at_s, e.where, e.verb == "revoke"))
        elif e.what == "forwarded":
            for at_s, where, _ in stops[keys[e.request]]:
                late_s = e.at_s - at_s
                if late_s > (0.0 if e.where == where else REACH_S):
                    yield f"{e.where} sent {e.request} {late_s:.3f} s after {where} stopped its key"


def _may_thaw_late(o: Outcome, key: str, at_s: float) -> bool:
    answers = o.history.of("acknowledged", "refused")
    known = {e.number for e in answers if e.at_s < at_s}
    return any(
        e.verb == "unfreeze" and e.key == key and e.at_s < at_s and e.number not in known
        for e in o.history.of("ordered")
    )


def _streams_are_cut(o: Outcome) -> Iterator[str]:
    """R5, where the gateway ran and could hear."""
    revoked = {e.key: e.at_s for e in reversed(o.history.events)
               if e.what == "acknowledged" and e.verb == "revoke"}  # fmt: skip
    deaf = _deaf_spans(o)
    for e in o.history.of("received"):
        at_s = revoked.get(o.calls[e.request].order.key.id)
        if at_s is None or e.at_s <= at_s + CUT_S:
            continue
        if not any(where == e.where and a <= e.at_s and b >= at_s for where, a, b in deaf):
            yield f"{e.request} got bytes {e.at_s - at_s:.3f} s after its key was revoked"


def _deaf_spans(o: Outcome) -> list[tuple[str, float, float]]:
    """When a gateway was stopped or cut off."""
    spans, since = [], {}
    for e in o.history.of("stopped", "continued", "cut", "joined"):
        if e.what in ("stopped", "cut"):
            since[e.where, e.what] = e.at_s
        else:
            begun = since.pop((e.where, "stopped" if e.what == "continued" else "cut"), 0.0)
            spans.append((e.where, begun, e.at_s + 0.1))
    return spans + [(where, at_s, float("inf")) for (where, _), at_s in since.items()]


def _blind_ones_refuse(o: Outcome) -> Iterator[str]:
    """R3: nothing is forwarded by a gateway that has been cut off for longer than its lease."""
    for where, begun, ended in _cut_spans(o):
        for e in o.history.of("forwarded"):
            if e.where == where and begun + REACH_S < e.at_s < ended:
                yield f"{e.request} was sent {e.at_s - begun:.3f} s after {where} was cut off"


def _cut_spans(o: Outcome) -> Iterator[tuple[str, float, float]]:
    since: dict[str, float] = {}
    for e in o.history.of("cut", "joined"):
        if e.what == "cut":
            since[e.where] = e.at_s
        else:
            yield e.where, since.pop(e.where), e.at_s


def _proofs_work_once(o: Outcome) -> Iterator[str]:
    """R7, on clocks that are not put back by more than what a used proof is remembered longer than
    it is good (`binding/dpop.py`)."""
    if any(e.by_ms < -BACK_MS or o.plan.has("skew") for e in o.history.of("clock_stepped")):
        return
    uses: dict[str, list[str]] = defaultdict(list)
    for e in o.history.of("forwarded"):
        call = o.calls[e.request]
        if call.proof:
            uses[call.proof].append(e.request)
        elif call.order.key.holder is not None:
            yield f"{e.request} was sent with a bare copy of a bound key"
    for proof, requests in uses.items():
        if len(requests) > 1:
            yield f"{proof} was taken for {requests}"


def _answers_are_paid(o: Outcome) -> Iterator[str]:
    posted, _, _ = _by_request(o)
    for request, call in o.calls.items():
        if call.status == 200 and call.received and not posted.get(request):
            yield f"{request} got {len(call.received)} bytes for nothing"


def _all_works_again(o: Outcome) -> Iterator[str]:
    revoked = {e.key for e in o.history.of("acknowledged") if e.verb == "revoke"}
    perhaps = {e.key for e in o.history.of("ordered") if e.verb == "revoke"}
    for e in o.history.of("probed"):
        if e.key in revoked and e.status != 401:
            yield f"{e.where} takes the revoked key {e.key}: {e.status} {e.code}"
        if e.key not in perhaps and e.status != 200:
            yield f"{e.where} refuses the live key {e.key}: {e.status} {e.code}"


def _nothing_is_a_bug(o: Outcome) -> Iterator[str]:
    for e in o.history.of("recorded"):
        if "guard:bug" in e.fault:
            yield f"{e.request}: {e.fault}"


CHECKS: dict[str, Callable[[Outcome], Iterator[str]]] = {
    "L1 caps hold": _caps_hold,
    "L2 bill": _bill_is_covered,
    "L3 once": _holds_end_once,
    "L4 in time": _holds_end_in_time,
    "L5 durable first": _held_before_sent,
    "L6 books": _books_add_up,
    "L8 idempotency": _paid_once,
    "R1 stops reach": _stops_reach,
    "R3 blind": _blind_ones_refuse,
    "R5 cut": _streams_are_cut,
    "R7 proofs": _proofs_work_once,
    "paid": _answers_are_paid,
    "progress": _all_works_again,
    "no bug": _nothing_is_a_bug,
}
