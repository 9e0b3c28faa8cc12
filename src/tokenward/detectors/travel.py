"""Is the key used from countries between which nobody travels within the hour?

Class E2. Only calls from a country that is not usual for the key are suspect, never the owner's.
Cold start: unknown, there are no usual countries yet.
"""

from typing import Final

from tokenward.detectors.novelty import is_cold, is_usual
from tokenward.detectors.odds import Odds, weighed
from tokenward.detectors.past import DAY_MS, Past, short
from tokenward.detectors.rows import is_within
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import Signals

NAME: Final = "travel"
WINDOW_MS: Final = 3_600_000
STOPS_MAX: Final = 8
COUNTRIES_MANY: Final = 4
SHOWN_CHARS: Final = 8
MACHINES: Final = frozenset(("datacenter", "vpn"))

# People whose calls leave by two countries at once have a company's gateway abroad, or addresses
# of version 4 and 6 that databases place in different countries; it becomes usual within days.
# More so while away. A thief beside a working owner alternates as soon as both are awake.
HOME: Final = Odds(ordinary=0.005, moved=0.03, thief=0.4)
# A VPN that is switched on and off is an ordinary thing for a person.
BY_VPN: Final = Odds(ordinary=0.02, moved=0.05, thief=0.4)
# Four countries in an hour: rotating proxies; a person would have to switch VPN exits.
MANY: Final = Odds(ordinary=0.002, moved=0.01, thief=0.25)

Stop = tuple[str, str, int]


class Journey:
    """The last changes of country: at most eight stops of country, network kind and time (ms)."""

    __slots__ = ("_stops",)

    def __init__(self) -> None:
        self._stops: list[Stop] = []

    def note(self, call: Signals, now: int) -> None:
        """A call is over."""
        country = short(call.network.country)
        if not country:
            return
        stop = (country, short(call.network.kind), now)
        if self._stops and self._stops[-1][:2] == stop[:2]:
            self._stops[-1] = stop
        else:
            self._stops.append(stop)
            del self._stops[:-STOPS_MAX]

    def signs(self, call: Signals, past: Past, key_kind: str, now: int) -> tuple[Sign, ...]:
        """One sign at most."""
        if len(self._stops) < 2 or not call.network.country or is_cold(past):
            return ()
        country = short(call.network.country)
        if is_usual(past.values.get("country", {}).get(country), past, now // DAY_MS):
            return ()
        stops = [
            stop
            for stop in self._stops
            if is_within(stop[2], now, WINDOW_MS)
            and not (
                key_kind != "developer" and call.network.kind in MACHINES and _is_machine(stop)
            )
        ]
        countries = {stop[0] for stop in stops} | {country}
        if len(countries) >= COUNTRIES_MANY:
            reason = f"calls from {len(countries)} countries within the hour, this one among them"
            return (weighed("E2", NAME, "travel:many", reason, MANY),)
        between = _between(country, stops)
        if between is None:
            return ()
        reason = (
            f"within the hour from {country[:SHOWN_CHARS]!r}, then from "
            f"{between[0][:SHOWN_CHARS]!r}, and now from {country[:SHOWN_CHARS]!r} again, "
            "where this key is not at home"
        )
        by_vpn = call.network.kind in MACHINES or _is_machine(between)
        return (weighed("E2", NAME, "travel:alternating", reason, BY_VPN if by_vpn else HOME),)


def _is_machine(stop: Stop) -> bool:
    return stop[1] in MACHINES


def _between(country: str, stops: list[Stop]) -> Stop | None:
    """The newest stop elsewhere after one in `country`; None if there is none."""
    elsewhere = None
    for stop in reversed(stops):
        if stop[0] != country:
            elsewhere = elsewhere or stop
        elif elsewhere is not None:
            return elsewhere
    return None
