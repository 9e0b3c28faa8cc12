"""Honest owners: all kinds of them, each with its own ways, and repeatable."""

import pytest

from tokenward.lab.catalogue import LEVELS, dice, network, program
from tokenward.lab.changes import CHANGES, drawn, happen
from tokenward.lab.owner import DENSE_CALLS, Owner
from tokenward.lab.population import KINDS, draw_owner

DAY = 20_100


def _owner(kind: str = "app", seed: int = 1) -> Owner:
    return draw_owner(dice("test", seed), kind)


def test_owners_are_of_every_kind_in_about_their_shares() -> None:
    rng = dice("kinds")
    kinds = [draw_owner(rng).kind for _ in range(600)]
    for kind, share in KINDS.items():
        assert kinds.count(kind) / 600 == pytest.approx(share, abs=0.07)


def test_rates_of_change_differ_from_owner_to_owner_around_their_mean() -> None:
    rng = dice("rates")
    rates = [draw_owner(rng, "developer").rates["new network"] for _ in range(800)]
    assert sum(rates) / 800 == pytest.approx(CHANGES["new network"].developer, rel=0.2)
    assert max(rates) > 10 * min(rates)


def test_a_day_is_in_order_and_only_of_that_day() -> None:
    day = _owner().live(DAY, [])
    times = [spoken.call.at_ms for spoken in day.calls]
    assert times == sorted(times)
    assert {at // 86_400_000 for at in times} == {DAY}


def test_a_later_turn_repeats_the_answers_before_it() -> None:
    owner = _owner("developer", 3)
    calls = [spoken for day in range(40) for spoken in owner.live(DAY + day, []).calls]
    answers = {spoken.answer for spoken in calls}
    later = [spoken.call.content.answers for spoken in calls if spoken.call.content.answers]
    assert later
    known = [said for said in later if said[0] in answers]
    assert len(known) > 0.8 * len(later)


def test_a_busy_day_is_played_call_by_call() -> None:
    owner = _owner("public")
    happen(owner, "busy day", DAY)
    assert len(owner.live(DAY, []).calls) > DENSE_CALLS
    assert len(owner.live(DAY + 1, []).calls) < DENSE_CALLS


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("kind", KINDS)
def test_after_any_change_the_owner_still_works(name: str, kind: str) -> None:
    owner = _owner(kind, 5)
    happen(owner, name, DAY)
    assert owner.live(DAY, [name]).calls


def test_travel_ends() -> None:
    owner = _owner("developer", 2)
    owner.users = owner.users[:1]
    happen(owner, "travel", DAY)
    away = owner.users[0].away
    assert away is not None
    assert {spoken.call.network for spoken in owner.live(DAY, []).calls} == {away}
    assert owner.live(DAY + 8, []).calls
    assert owner.users[0].away is None


def test_an_upgrade_keeps_the_fingerprint() -> None:
    kept = 0
    for seed in range(60):
        owner = _owner("app", seed)
        before = owner.users[0].jobs[0].client.fingerprint
        happen(owner, "SDK upgrade", DAY)
        kept += owner.users[0].jobs[0].client.fingerprint == before
    assert kept >= 54


def test_changes_come_at_the_owners_own_rate() -> None:
    owner = _owner("developer", 9)
    days = [drawn(owner) for _ in range(4_000)]
    share = sum(bool(day) for day in days) / 4_000
    assert share == pytest.approx(owner.rates[""], abs=0.03)


def test_programs_and_networks_have_all_that_detectors_read() -> None:
    rng = dice("world")
    assert len(program(rng, "go").fingerprint) == 16
    for kind in ("residential", "office", "cloud", "vpn", "tor", "datacenter"):
        found = network(rng, kind, "DE")
        assert found.place
        assert found.country == "DE"
    assert LEVELS["fable-5-1"] > LEVELS["opus-5"] > LEVELS["haiku-4-5"]
