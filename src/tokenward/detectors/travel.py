"""Is the key used from places between which nobody travels in the time?

Class E2. Two questions, and one sign at most, for both ask about the same fact: how fast was the
way from where the key is at home, where a database says positions; and do countries take turns
within the hour? Only calls from a network or country that is not usual for the key are suspect,
never the owner's. Cold start: unknown, nothing is usual yet.
"""

from math import asin, cos, radians, sin, sqrt
from typing import Final

from msgspec import Struct

from tokenward.detectors.novelty import is_cold, is_usual_value
from tokenward.detectors.odds import Odds, weighed
from tokenward.detectors.past import DAY_MS, Past, short
from tokenward.detectors.rows import is_within
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import Network, Signals

NAME: Final = "travel"
WINDOW_MS: Final = 3_600_000
STOPS_MAX: Final = 8
STAYS_MAX: Final = 6
"""The owner's home, office, telephone and server, and a stranger or two."""
COUNTRIES_MANY: Final = 4
SHOWN_CHARS: Final = 8
MACHINES: Final = frozenset(("datacenter", "vpn"))
ELSEWHERE: Final = frozenset(("datacenter", "vpn", "tor"))
"""Where such an address stands says nothing of where its user is."""
KM_A_MS: Final = 1_000 / 3_600_000
"""1,000 km/h: airliners do 900, and nobody gets from door to door as fast."""
KM_LEAST: Final = 500
"""Databases mistake a town for the next one, and carriers lead a country's telephones out at one
end of it. MaxMind says of its radius that a third of its positions is farther off."""
EARTH_KM: Final = 6_371.0
"""The mean radius (IUGG)."""

# People whose calls leave by two countries at once have a company's gateway abroad, or addresses
# of version 4 and 6 that databases place in different countries; it becomes usual within days.
# More so while away. A thief beside a working owner alternates as soon as both are awake.
HOME: Final = Odds(ordinary=0.005, moved=0.03, thief=0.4)
# A VPN that is switched on and off is an ordinary thing for a person.
BY_VPN: Final = Odds(ordinary=0.02, moved=0.05, thief=0.4)
# Four countries in an hour: rotating proxies; a person would have to switch VPN exits.
MANY: Final = Odds(ordinary=0.002, moved=0.01, thief=0.25)
# Speed is asked of new networks and countries alone, so these are shares of days that have one:
# most of what they say is already in the weight of `place:new` and `country:new`. An owner is in
# two countries at once by an exit in no list of VPNs, a travel eSIM, a program left running at
# home, or a colleague who is given the key. A thief is, while the owner is awake.
SPEED: Final = Odds(ordinary=0.03, moved=0.06, thief=0.45)
# Where an end stands in a datacenter, a VPN or Tor, both are in one country (a hotspot that leaves
# at its carrier's other end), or the key may be a service's, a jump is common: an application in a
# cloud overseas that its developer runs on the own machine for a day. A thief of a key that never
# rests nearly always shows it, so it still tells a little.
SPEED_OF_MACHINES: Final = Odds(ordinary=0.1, moved=0.25, thief=0.6)

Stop = tuple[str, str, int]
Position = tuple[float, float, float]


class Stay(Struct, gc=False):
    """When the key was last used from a position within a network."""

    place: str
    country: str
    kind: str
    position: Position
    at_ms: int


class Journey:
    """Where the key was lately: at most eight stops of country, network kind and time (ms), and
    the six positions it was used from last. 0.8 kB for a key that stays, at most 4.5 kB."""

    __slots__ = ("_stays", "_stops")

    def __init__(self) -> None:
        self._stops: list[Stop] = []
        self._stays: list[Stay] = []

    def note(self, call: Signals, now: int, *, is_clean: bool = True) -> None:
        """A call is over. Positions of calls that were refused must not drive out the owner's."""
        network = call.network
        if is_clean and network.position is not None:
            self._note_stay(network, network.position, now)
        country = short(network.country)
        if not country:
            return
        stop = (country, short(network.kind), now)
        if self._stops and self._stops[-1][:2] == stop[:2]:
            self._stops[-1] = stop
        else:
            self._stops.append(stop)
            del self._stops[:-STOPS_MAX]

    def _note_stay(self, network: Network, position: Position, now: int) -> None:
        place, stays = short(network.place), self._stays
        for index, stay in enumerate(stays):
            if stay.position == position and stay.place == place:
                stay.at_ms = now
                if index < len(stays) - 1:
                    stays.append(stays.pop(index))
                return
        stays.append(Stay(place, short(network.country), short(network.kind), position, now))
        del stays[:-STAYS_MAX]

    def signs(self, call: Signals, past: Past, key_kind: str, now: int) -> tuple[Sign, ...]:
        """One sign at most: the stronger one, where countries take turns too fast as well."""
        if (len(self._stops) < 2 and not self._stays) or is_cold(past):
            return ()
        network, today = call.network, now // DAY_MS
        country = short(network.country)
        is_abroad = bool(country) and not is_usual_value("country", country, past, today)
        found = []
        if is_abroad and len(self._stops) >= 2:
            found += self._in_turn(call, country, key_kind, now)
        if network.position is not None and (
            is_abroad or not is_usual_value("place", short(network.place), past, today)
        ):
            found += self._too_fast(network, network.position, past, key_kind, now)
        return (max(found, key=lambda sign: sign.weight),) if found else ()

    def _in_turn(self, call: Signals, country: str, key_kind: str, now: int) -> list[Sign]:
        """Countries that take turns within the hour, or many of them."""
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
            return [weighed("E2", NAME, "travel:many", reason, MANY)]
        between = _between(country, stops)
        if between is None:
            return []
        reason = (
            f"within the hour from {country[:SHOWN_CHARS]!r}, then from "
            f"{between[0][:SHOWN_CHARS]!r}, and now from {country[:SHOWN_CHARS]!r} again, "
            "where this key is not at home"
        )
        by_vpn = call.network.kind in MACHINES or _is_machine(between)
        return [weighed("E2", NAME, "travel:alternating", reason, BY_VPN if by_vpn else HOME)]

    def _too_fast(
        self, here: Network, position: Position, past: Past, key_kind: str, now: int
    ) -> list[Sign]:
        """Farther from the last call from a usual place than anybody travels in the time. What is
        near any usual place is the owner's new line there, or a colleague's."""
        last, far_km = None, 0.0
        for stay in self._stays:
            if not _is_at_home(stay, past, now // DAY_MS):
                continue
            km = apart_km(stay.position, position)
            if km < KM_LEAST:
                return []
            if last is None or abs(now - stay.at_ms) <= abs(now - last.at_ms):
                last, far_km = stay, km
        if last is None:
            return []
        ago_ms = abs(now - last.at_ms)  # calls are noted when they end: it may be the later one
        if far_km <= KM_A_MS * ago_ms:
            return []
        if key_kind != "developer" and here.kind in MACHINES and last.kind in MACHINES:
            return []  # a service's regions run side by side
        there, country = last.country[:SHOWN_CHARS], short(here.country)[:SHOWN_CHARS]
        is_told = bool(there and country)
        reason = (
            f"at least {int(far_km) // 100 * 100:,} km from where this key is at home and was used "
            f"{_ago(ago_ms)}{f' ({there!r}, then {country!r})' if is_told else ''}: nobody travels "
            "so fast"
        )
        is_by_machine = here.kind in ELSEWHERE or last.kind in ELSEWHERE
        is_person = key_kind == "developer" and not is_by_machine
        odds = SPEED if is_person and is_told and there != country else SPEED_OF_MACHINES
        return [weighed("E2", NAME, "travel:speed", reason, odds)]


def apart_km(one: Position, other: Position) -> float:
    """How far apart two positions are at least: the great circle between them less both radii, in
    km. 0.0 for what is not on earth, and for circles that touch.

    The haversine formula: R. W. Sinnott, "Virtues of the Haversine", Sky and Telescope 68 (1984).
    It takes the earth for a sphere, which is wrong by at most 0.6 %.
    """
    if not (_is_on_earth(one) and _is_on_earth(other)):
        return 0.0
    north, east = radians(one[0]), radians(one[1])
    other_north, other_east = radians(other[0]), radians(other[1])
    half = sin((other_north - north) / 2) ** 2
    half += cos(north) * cos(other_north) * sin((other_east - east) / 2) ** 2
    return max(0.0, 2 * EARTH_KM * asin(min(1.0, sqrt(half))) - one[2] - other[2])


def _is_on_earth(position: Position) -> bool:
    """False for a NaN, too."""
    latitude, longitude, radius_km = position
    return -90 <= latitude <= 90 and -180 <= longitude <= 180 and 0 <= radius_km < 1e6


def _is_at_home(stay: Stay, past: Past, today: int) -> bool:
    """Some networks are everywhere: the country must be usual as well, where it is known."""
    return is_usual_value("place", stay.place, past, today) and (
        not stay.country or is_usual_value("country", stay.country, past, today)
    )


def _ago(ms: int) -> str:
    minutes = ms // 60_000
    if minutes < 2:
        return "a minute ago" if minutes else "less than a minute ago"
    return f"{minutes} minutes ago" if minutes < 120 else f"{minutes // 60} hours ago"


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
