"""Do the layers of the call belong together? A relay cannot easily get all of them right.

Class E2. Needs no history; a program that the key's owner is known to use is not asked again,
however odd it is: companies' own proxies rewrite what passes them.
"""

from typing import Final

from tokenward.detectors.novelty import is_cold, is_usual_value
from tokenward.detectors.past import DAY_MS, Past, short
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import Signals

NAME: Final = "consistency"


def score(call: Signals, past: Past, key_kind: str) -> list[Sign]:
    """Contradictions of a program that is new to the key, and what no SDK sends."""
    client = call.client
    if not (client.contradictions or client.oddities) or _is_known(call, past):
        return []
    signs = []
    if client.contradictions:
        signs.append(
            Sign(
                kind="E2",
                detector=NAME,
                code="client:contradiction",
                reason="; ".join(client.contradictions[:3])[:300],
                ordinary=0.0007,
                moved=0.0007,
                thief=0.3,
            )
        )
    if client.oddities:
        signs.append(
            Sign(
                kind="E2",
                detector=NAME,
                code="client:oddity",
                reason="; ".join(client.oddities[:3])[:300],
                ordinary=0.01,
                moved=0.02,
                thief=0.2,
            )
        )
    return signs


def _is_known(call: Signals, past: Past) -> bool:
    today, fingerprint = call.at_ms // DAY_MS, short(call.client.fingerprint)
    return not is_cold(past) and is_usual_value("client", fingerprint, past, today)
