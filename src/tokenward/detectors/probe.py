"""Is somebody finding out what this key can do? Stolen keys are validated before they are used.

Class E2. Probes that no application sends are told from words that people try out too: a greeting
is little, and nothing from an origin with a history of its own.
"""

from typing import Final

from tokenward.detectors.past import Past, short
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import Signals

NAME: Final = "probe"
HISTORY_CALLS: Final = 5
"""An origin with so many clean calls has normal traffic."""


def score(call: Signals, past: Past, key_kind: str) -> list[Sign]:
    """One sign for a known probe."""
    content = call.content
    if not content.probe:
        return []
    origin = past.origins.get(short(call.origin))
    has_history = origin is not None and origin.calls >= HISTORY_CALLS
    is_common = past.calls == 0 and content.probe == "dead_route"
    if content.is_sure and not is_common:
        return [
            Sign(
                kind="E2",
                detector=NAME,
                code=f"probe:{content.probe}",
                reason=f"a known way to try out stolen keys ({content.probe})",
                ordinary=1e-3 if has_history else 3e-5,
                moved=1e-3 if has_history else 3e-5,
                thief=0.3,
            )
        ]
    if has_history:
        return []
    if is_common:  # some chat programs ask for a balance before anything else
        return [
            Sign(
                kind="E2",
                detector=NAME,
                code=f"probe:{content.probe}",
                reason="the first call of this key asks for what only key checkers and a few chat "
                "programs ask for",
                ordinary=0.01,
                moved=0.01,
                thief=0.3,
            )
        ]
    return [
        Sign(
            kind="E2",
            detector=NAME,
            code=f"probe:{content.probe}",
            reason=f"the first thing from here is a trial of the key ({content.probe})",
            ordinary=0.05,
            moved=0.05,
            thief=0.4,
        )
    ]
