"""One key from several countries within the hour."""

import pytest

from seen_calls import at, call, lived, tag
from tokenward.detectors import Past
from tokenward.detectors.recent import Recent
from tokenward.kernel.signals import Signals


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
