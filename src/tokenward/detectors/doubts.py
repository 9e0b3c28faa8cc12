"""What calls that were refused have shown of their origin, for the next ones that come from there.

Evidence, not a habit: nothing becomes usual by it. Each kind of it counts once for an origin.
"""

from math import exp
from typing import Final

from tokenward.detectors import consistency, probe
from tokenward.detectors.past import DAY_MS, MARKS_MAX, ORIGINS_MAX, Doubt, Past, short, trim
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import Signals

_THIEF: Final = 0.3
"""Only the ratio of a remembered sign is known; this makes it one of two probabilities again."""
_SHOWN: Final = {
    "client:contradiction": "an earlier call from there contradicted itself",
    "client:oddity": "an earlier call from there showed what no SDK sends",
}


def suspect(call: Signals, past: Past) -> None:
    """Remember what a call that was refused has shown."""
    once = [*probe.score(call, past, ""), *consistency.score(call, past, "")]
    if not once:
        return
    today, name = call.at_ms // DAY_MS, short(call.origin)
    doubt = past.doubts.setdefault(name, Doubt(today))
    doubt.last = max(doubt.last, today)
    for sign in once:
        if sign.code in doubt.marks or len(doubt.marks) < MARKS_MAX:
            doubt.marks[sign.code] = max(sign.weight, doubt.marks.get(sign.code, 0.0))
    if len(past.doubts) > ORIGINS_MAX:
        trim(past, max(past.last, today))


def with_doubt(signs: list[Sign], doubt: Doubt) -> list[Sign]:
    """The signs of a call, and those that earlier calls of its origin have shown more strongly."""
    shown: dict[str, float] = {}
    for sign in signs:
        shown[sign.code] = max(sign.weight, shown.get(sign.code, 0.0))
    more = [
        _recalled(code, weight)
        for code, weight in sorted(doubt.marks.items())
        if weight > shown.get(code, 0.0)
    ]
    kept = {sign.code for sign in more}
    return [*(sign for sign in signs if sign.code not in kept), *more]


def _recalled(code: str, weight: float) -> Sign:
    name = code.partition(":")[2]
    reason = _SHOWN.get(code, f"an earlier call from there tried out the key ({name})")
    ordinary = _THIEF * exp(-weight)
    return Sign(
        kind="E2",
        detector=consistency.NAME if code in _SHOWN else probe.NAME,
        code=code,
        reason=reason,
        ordinary=ordinary,
        moved=ordinary,
        thief=_THIEF,
    )
