"""On what kind of day does an owner look new? Changes that bring others with them.

Somebody who takes up a coding agent has a new program, new prompts, new tools and perhaps another
route and model within a minute, all in the usual network. Taken one by one these are as unlikely
as a thief. So the owner is also weighed under days with such a cause: any owner may take up a new
route with the program that it has, and people another program (services change by a release). The
causes' weights are not taken off the ordinary day: they add up to a little over one, which can only
lower the evidence.
"""

from collections.abc import Mapping
from typing import Final

from tokenward.detectors.signs import Sign

RETOOLED: Final = {
    "family": 0.5,
    "system": 0.9,
    "tools": 0.7,
    "size": 0.4,
    "limit": 0.5,
    "route": 0.4,
    "model": 0.3,
    "dearer": 0.3,
}
"""With a new program: how likely each of these is new too."""
REROUTED: Final = {
    "client": 0.0,
    "system": 0.7,
    "tools": 0.6,
    "model": 0.7,
    "dearer": 0.3,
    "size": 0.4,
    "limit": 0.5,
}
"""With a new route of the same program: embeddings, pictures, another API."""
PEOPLE: Final = ("", "developer")
HARNESS_TIMES: Final = 10.0
HARNESS_MAX: Final = 0.3
"""An agent is a program: with a new one it is ten times as likely as on other days."""


def changed_by_owner(habits: list[Sign], key_kind: str) -> float:
    """How likely all this is on a day on which the owner took up a program or a route."""
    likelihood = _likelihood(habits, "route", REROUTED)
    if key_kind in PEOPLE:
        likelihood += _likelihood(habits, "client", RETOOLED)
    return likelihood


def _likelihood(habits: list[Sign], cause: str, brings: Mapping[str, float]) -> float:
    """That `cause` is new today, times that of everything else given it; 0.0 if it is not new."""
    likelihood, is_caused = 1.0, False
    for sign in habits:
        name, _, how = sign.code.partition(":")
        is_new = how == "new"
        rate = sign.ordinary if is_new else 1 - sign.ordinary
        if name == cause:
            if not is_new:
                return 0.0
            is_caused = True
            likelihood *= rate
            continue
        likely = max(brings.get(name, 0.0), rate)
        if name == "harness" and cause == "client":
            likely = min(HARNESS_MAX, HARNESS_TIMES * rate)
        likelihood *= likely if is_new else 1 - likely
    return likelihood if is_caused else 0.0
