"""One key from several countries within the hour, and from places too far apart."""

import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seen_calls import DAY, HOSTILE, at, call, learned, lived, tag
from tokenward.detectors import Past
from tokenward.detectors.recent import Recent
from tokenward.detectors.signs import Sign
from tokenward.detectors.travel import STAYS_MAX, Journey, Position, apart_km
from tokenward.kernel.signals import Signals

BERLIN: Position = (52.52, 13.41, 20.0)
MUNICH: Position = (48.14, 11.58, 20.0)
POTSDAM: Position = (52.40, 13.06, 20.0)
PARIS: Position = (48.86, 2.35, 20.0)
SAO_PAULO: Position = (-23.55, -46.63, 20.0)
HOUR = 3_600.0


def from_(country: str, second: float, kind: str = "residential") -> Signals:
    return call(at(second=second), network={"country": country, "kind": kind, "place": country})


def codes(recent: Recent, seen: Signals, past: Past, key_kind: str = "developer") -> list[str]:
    return [sign.code for sign in recent.signs(seen, past, key_kind)]


def noted(*calls: Signals) -> Recent:
    recent = Recent()
    for each in calls:
        recent.note(each, is_clean=True, is_error=False)
    return recent


def test_a_stranger_abroad_who_takes_turns_with_the_owner_is_told() -> None:
    recent = noted(from_("DE", 0), from_("KP", 60), from_("DE", 120))
    (sign,) = recent.signs(from_("KP", 180), lived(), "developer")
    assert sign.code == "travel:alternating"
    assert "'KP'" in sign.reason
    assert "'DE'" in sign.reason


def test_the_owner_at_home_is_not_blamed() -> None:
    recent = noted(from_("DE", 0), from_("KP", 60), from_("DE", 120), from_("KP", 180))
    assert codes(recent, from_("DE", 240), lived()) == []


def test_one_change_of_country_is_a_journey() -> None:
    recent = noted(*(from_("DE", second) for second in range(9)))
    assert codes(recent, from_("FR", 60), lived()) == []
    recent.note(from_("FR", 60), is_clean=True, is_error=False)
    assert codes(recent, from_("FR", 90), lived()) == []


def test_taking_turns_over_hours_is_a_commuter() -> None:
    recent = noted(from_("FR", 0), from_("DE", 1_800))
    assert codes(recent, from_("FR", 3_700), lived()) == []


def test_four_countries_within_the_hour_are_told() -> None:
    recent = noted(from_("FR", 0), from_("US", 60), from_("BR", 120))
    assert codes(recent, from_("JP", 180), lived()) == ["travel:many"]
    assert codes(recent, from_("BR", 180), lived()) == []


def test_servers_of_an_application_are_in_several_regions() -> None:
    hosts = [from_("US", 0, "datacenter"), from_("IE", 60, "datacenter")]
    recent = noted(*hosts, from_("SG", 90, "datacenter"))
    for country in ("US", "JP"):
        assert codes(recent, from_(country, 180, "datacenter"), lived(), "app") == []
    assert codes(recent, from_("US", 180, "residential"), lived(), "app") != []


def test_a_vpn_that_is_switched_on_and_off_says_less() -> None:
    by_vpn = noted(from_("US", 0, "vpn"), from_("FR", 60))
    at_home = noted(from_("US", 0), from_("FR", 60))
    (vpn,) = by_vpn.signs(from_("US", 120, "vpn"), lived(), "developer")
    (home,) = at_home.signs(from_("US", 120), lived(), "developer")
    assert vpn.weight < home.weight


@pytest.mark.parametrize("country", ["US", ""])
def test_a_key_without_a_history_and_a_country_that_is_unknown_say_nothing(country: str) -> None:
    recent = noted(from_("US", 0), from_("FR", 60), from_("BR", 90), from_("CN", 100))
    past = lived() if not country else Past()
    assert codes(recent, from_(country, 120), past) == []


def test_a_country_that_became_usual_is_home() -> None:
    recent = noted(from_("DE", 0), from_("FR", 60), from_("DE", 120))
    assert codes(recent, call(at(second=180), client={"fingerprint": tag(9)}), lived()) == []


# Speed


def settled(*homes: Signals) -> Past:
    """The past of a key that was used from all of these for days."""
    past = Past()
    for day in range(DAY - 10, DAY):
        for second in range(6):
            for home in homes or (at_home(),):
                learned(past, call(at(day, second), network=_fields(home)))
    return past


def at_home(second: float = 0, **network: Any) -> Signals:
    return _call(second, {"place": "AS100", "country": "DE", "position": BERLIN} | network)


def away(second: float, **network: Any) -> Signals:
    return _call(second, {"place": "AS7", "country": "BR", "position": SAO_PAULO} | network)


def _call(second: float, network: dict[str, Any]) -> Signals:
    return call(at(second=second), network={"kind": "residential"} | network)


def _fields(seen: Signals) -> dict[str, Any]:
    return {name: getattr(seen.network, name) for name in seen.network.__struct_fields__}


def sign_of(*calls: Signals, past: Past | None = None, key_kind: str = "developer") -> Sign | None:
    """What the last call shows after those before it."""
    signs = noted(*calls[:-1]).signs(calls[-1], past or settled(), key_kind)
    assert len(signs) <= 1
    return signs[0] if signs else None


def is_told(*calls: Signals, past: Past | None = None, key_kind: str = "developer") -> bool:
    sign = sign_of(*calls, past=past, key_kind=key_kind)
    assert sign is None or sign.code == "travel:speed"
    return sign is not None


def weight(*calls: Signals, past: Past | None = None, key_kind: str = "developer") -> float:
    sign = sign_of(*calls, past=past, key_kind=key_kind)
    assert sign is not None
    assert sign.code == "travel:speed"
    return sign.weight


def test_nobody_is_in_berlin_and_twelve_minutes_later_in_sao_paulo() -> None:
    sign = sign_of(at_home(), away(725))
    assert sign is not None
    assert (sign.code, sign.kind, sign.detector) == ("travel:speed", "E2", "travel")
    assert sign.reason == (
        "at least 10,200 km from where this key is at home and was used 12 minutes ago ('DE', then "
        "'BR'): nobody travels so fast"
    )
    assert sign_of(at_home(), away(725), past=Past()) is None


@pytest.mark.parametrize(
    ("second", "ago"),
    [
        (0, "less than a minute ago"),
        (59.9, "less than a minute ago"),
        (60, "a minute ago"),
        (119 * 60, "119 minutes ago"),
        (2 * HOUR, "2 hours ago"),
        (9.9 * HOUR, "9 hours ago"),
    ],
)
def test_a_reason_says_how_long_ago(second: float, ago: str) -> None:
    sign = sign_of(at_home(), away(second))
    assert sign is not None
    assert f"was used {ago} (" in sign.reason


def test_what_a_plane_can_do_is_no_sign() -> None:
    assert is_told(at_home(), away(10 * HOUR))
    assert not is_told(at_home(), away(10.5 * HOUR))
    paris = {"position": PARIS, "country": "FR"}
    assert is_told(at_home(), away(0.8 * HOUR, **paris))
    assert not is_told(at_home(), away(0.9 * HOUR, **paris))


def test_what_the_stated_radii_may_explain_is_no_sign() -> None:
    for near, far in ((5_000.0, 5_000.0), (1.0, 10_000.0), (10_000.0, 1.0)):
        wide, exact = (*BERLIN[:2], near), (*SAO_PAULO[:2], far)
        assert not is_told(at_home(position=wide), away(60, position=exact))
        assert is_told(
            at_home(position=(*BERLIN[:2], near * 0.9)),
            away(60, position=(*SAO_PAULO[:2], far * 0.9)),
        )


def test_towns_that_databases_mistake_for_each_other_are_no_journey() -> None:
    munich = {"position": MUNICH, "country": "AT"}
    assert apart_km(BERLIN, MUNICH) > 450
    assert not is_told(at_home(), away(0, **munich))
    assert is_told(at_home(position=(53.3, 13.4, 20.0)), away(0, **munich))


@pytest.mark.parametrize("unknown", ["home", "stranger", "both"])
def test_without_a_position_only_countries_in_turn_are_told(unknown: str) -> None:
    here = {} if unknown == "stranger" else {"position": None}
    there = {} if unknown == "home" else {"position": None}
    assert sign_of(at_home(0, **here), away(60, **there)) is None
    sign = sign_of(at_home(0, **here), away(60, **there), at_home(90, **here), away(120, **there))
    assert sign is not None
    assert sign.code == "travel:alternating"


def test_turns_too_fast_are_one_sign_the_stronger_one() -> None:
    calls = at_home(), away(60), at_home(90), away(120)
    sign, speed = sign_of(*calls), sign_of(*calls[:2])
    assert sign is not None
    assert speed is not None
    assert (speed.code, sign.code) == ("travel:speed", "travel:alternating")
    assert sign.weight > speed.weight


def test_a_clock_that_was_set_back_makes_nobody_fast() -> None:
    assert not is_told(at_home(30 * HOUR), away(0))
    assert not is_told(at_home(11 * HOUR), away(0))
    assert is_told(at_home(60), away(0)), "a long call ends after one that came later"
    recent = noted(at_home(30 * HOUR), at_home(1))
    assert [sign.code for sign in recent.signs(away(60), settled(), "developer")] == [
        "travel:speed"
    ]


def test_the_owner_at_home_is_never_the_one_who_travels() -> None:
    for stranger in (away(60), away(60, kind="vpn"), away(60, place="AS8", country="JP")):
        assert not is_told(away(0), stranger, at_home(120))
        assert not is_told(at_home(), stranger, at_home(120))
    moved = at_home(120, position=SAO_PAULO)
    assert not is_told(at_home(), moved), "the network is the owner's, wherever it is placed"


def test_a_team_in_two_cities_is_at_home_in_both() -> None:
    there = {"place": "AS200", "country": "BR", "position": SAO_PAULO}
    past = settled(at_home(), at_home(**there))
    assert not is_told(at_home(), at_home(30, **there), past=past)
    assert not is_told(at_home(30, **there), at_home(60), past=past)
    assert is_told(at_home(), at_home(30, **there))


def test_a_new_line_near_any_usual_place_is_that_ones() -> None:
    there = {"place": "AS200", "country": "BR", "position": SAO_PAULO}
    past = settled(at_home(), at_home(**there))
    cafe = away(120, place="AS9", position=(-22.9, -47.06, 20.0))
    assert not is_told(at_home(0, **there), at_home(60), cafe, past=past)
    assert is_told(at_home(60), cafe, past=past)
    assert not is_told(at_home(), away(120, place="AS9", position=POTSDAM, country="DE"))


def test_the_last_usual_place_counts_and_not_one_of_long_ago() -> None:
    there = {"place": "AS200", "country": "US", "position": (40.7, -74.0, 20.0)}
    past = settled(at_home(), at_home(**there))
    assert is_told(at_home(0, **there), at_home(9 * HOUR), away(9.1 * HOUR), past=past)
    assert not is_told(at_home(0), at_home(0.1 * HOUR, **there), away(9 * HOUR), past=past)
    again = at_home(0), at_home(1, **there), at_home(9 * HOUR), away(9.1 * HOUR)
    assert is_told(*again, past=past)


def test_the_owners_own_journey_within_one_network_is_followed() -> None:
    lisbon = {"position": (38.72, -9.14, 20.0)}
    cafe = away(9 * HOUR, country="PT", **lisbon)
    assert not is_told(at_home(), at_home(8.9 * HOUR, **lisbon), cafe)
    assert is_told(at_home(), at_home(8.9 * HOUR), cafe)


def test_a_stranger_does_not_vouch_for_the_next_one() -> None:
    assert is_told(at_home(), away(60), away(90))
    assert is_told(at_home(), away(60), away(90, place="AS8"))


def test_a_network_that_is_everywhere_is_not_at_home_everywhere() -> None:
    cloud = {"place": "AS16509", "kind": "datacenter"}
    past = settled(at_home(**cloud))
    assert is_told(at_home(**cloud), away(60, **cloud), past=past)
    assert is_told(at_home(**cloud), away(60, **cloud), away(90, **cloud), past=past)
    assert not is_told(at_home(**cloud), at_home(60, **cloud, position=MUNICH), past=past)


@pytest.mark.parametrize("kinds", [("datacenter", "datacenter"), ("datacenter", "vpn")])
@pytest.mark.parametrize("key_kind", ["app", "public", "", "unheard of"])
def test_regions_of_a_service_run_side_by_side(kinds: tuple[str, str], key_kind: str) -> None:
    past = settled(at_home(kind=kinds[0]))
    calls = at_home(kind=kinds[0]), away(1, kind=kinds[1])
    assert not is_told(*calls, past=past, key_kind=key_kind)
    assert is_told(*calls, past=past, key_kind="developer")
    assert is_told(calls[0], away(1), past=past, key_kind=key_kind)
    assert is_told(at_home(), calls[1], key_kind=key_kind)


@pytest.mark.parametrize("kind", ["vpn", "tor", "datacenter"])
def test_where_a_vpn_or_a_cloud_stands_says_little_of_its_user(kind: str) -> None:
    plain = weight(at_home(), away(60))
    assert weight(at_home(), away(60, kind=kind)) < plain
    assert weight(at_home(kind=kind), away(60), past=settled(at_home(kind=kind))) < plain


def test_a_jump_within_a_country_or_of_a_service_says_less() -> None:
    plain = weight(at_home(), away(60))
    assert weight(at_home(), away(60), key_kind="app") < plain
    assert weight(at_home(), away(60, country="DE")) < plain
    for country in ("", "BR"):
        nameless = settled(at_home(country=""))
        assert weight(at_home(country=""), away(60, country=country), past=nameless) < plain
    assert weight(at_home(), away(60, country="")) < plain


def test_speed_weighs_less_than_a_new_network_and_country() -> None:
    """It is mostly the same fact."""
    assert weight(at_home(), away(60)) < 2.1
    assert 0.7 < weight(at_home(), away(60, kind="vpn")) < 1


# Distance


@pytest.mark.parametrize(
    ("one", "other", "km"),
    [
        ((45.7597, 4.8422, 0.0), (48.8567, 2.3508, 0.0), 392.2),
        ((51.5007, -0.1246, 0.0), (40.6892, -74.0445, 0.0), 5_575),
        ((0.0, 179.5, 0.0), (0.0, -179.5, 0.0), 111.2),
        ((90.0, 0.0, 0.0), (90.0, 123.0, 0.0), 0),
        ((90.0, 0.0, 0.0), (-90.0, 0.0, 0.0), 20_015),
        ((10.0, 20.0, 0.0), (-10.0, -160.0, 0.0), 20_015),
        ((0.0, 0.0, 10.0), (0.0, 1.0, 20.0), 81.2),
        ((0.0, 0.0, 60.0), (0.0, 1.0, 60.0), 0),
    ],
)
def test_distances_are_those_of_the_great_circle(one: Position, other: Position, km: float) -> None:
    assert apart_km(one, other) == pytest.approx(km, rel=0.003, abs=0.1)
    assert apart_km(other, one) == pytest.approx(apart_km(one, other))


NUMBERS = st.floats() | st.sampled_from([10**400, -(10**400), 90, -180, 0])
POSITIONS = st.tuples(NUMBERS, NUMBERS, NUMBERS) | st.tuples(
    st.floats(-90, 90), st.floats(-180, 180), st.floats(0, 20_000)
)


@given(POSITIONS, POSITIONS)
def test_no_numbers_make_a_distance_that_is_none(one: Position, other: Position) -> None:
    assert 0 <= apart_km(one, other) <= 20_016


@given(st.lists(st.tuples(HOSTILE, st.none() | POSITIONS), max_size=9))
def test_no_position_breaks_it(calls: list[tuple[Signals, Position | None]]) -> None:
    recent, past = noted(at_home()), settled()
    for seen, position in calls:
        placed = call(seen.at_ms, network={**_fields(seen), "position": position})
        for each in recent.signs(placed, past, "developer"):
            assert len(each.reason) <= 300
        recent.note(placed, is_clean=True, is_error=False)


# What is kept


def test_a_stranger_with_many_addresses_leaves_a_small_memory() -> None:
    journey = Journey()
    for index in range(3_000):
        network = {
            "place": f"AS{index}",
            "country": f"{index % 90:02}",
            "position": (index % 90 * 1.01, index % 170 * 1.01, 50.0 + index),
        }
        journey.note(call(at(second=index), network=network), at(second=index))
    assert len(journey._stays) == STAYS_MAX
    assert _bytes(journey) <= 4_500


def test_a_place_that_is_used_again_and_again_is_kept_once_and_longest() -> None:
    calls = [at_home()]
    for index in range(20):
        calls += [away(index, place=f"AS{index}", country="DE"), at_home(index)]
    recent = noted(*calls)
    places = [stay.place for stay in recent._journey._stays]
    assert len(set(places)) == len(places) == STAYS_MAX
    assert places[-1] == "AS100"
    assert recent.signs(away(60), settled(), "developer")


def test_however_many_strangers_came_the_owners_next_call_is_known() -> None:
    strangers = [away(index, place=f"AS{index}", country="DE") for index in range(STAYS_MAX + 1)]
    assert not is_told(at_home(), *strangers, away(60))
    assert is_told(at_home(), *strangers, at_home(50), away(60))


def _bytes(thing: Any) -> int:
    names = getattr(type(thing), "__struct_fields__", getattr(type(thing), "__slots__", ()))
    inside = [getattr(thing, name) for name in names]
    inside += thing if isinstance(thing, list | tuple) else []
    return sys.getsizeof(thing) + sum(_bytes(each) for each in inside)
