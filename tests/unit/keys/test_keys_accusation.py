"""What an incident does to its key, and what undoing it gives back."""

from dataclasses import replace
from typing import Any

import pytest

from tokenward.kernel.incidents import FREEZE, PACE, Evidence, Incident
from tokenward.keys.accusation import Accused, accuse, judge, key_of, undo
from tokenward.keys.records import BARRED_MAX, CLEARED_MAX, Bar, KeyRecord

LIVE = KeyRecord(id="k1", digest=b"d" * 32, account="a1", project="p1", created_ms=1)
OFFICE, CAFE, OPUS = "origin:4f2a@DE", "origin:91bc@BR", "model:claude-opus-4"


def incident(number: int = 1, **changes: Any) -> Incident:
    values: dict[str, Any] = {
        "id": f"inc_{number}", "subject": "key:k1", "opened_ms": 2, "first_sign_ms": 1,
        "actions": ("challenge",),
        "evidence": (Evidence(kind="E2", detector="novelty", reason="a new network", at_ms=1),),
    }  # fmt: skip
    return Incident(**{**values, **changes})


def done(accused: Accused | None) -> Accused:
    assert accused is not None
    return accused


def test_new_things_are_barred_once_and_in_order() -> None:
    accused = done(accuse(LIVE, incident(), (CAFE, OFFICE, CAFE), freeze=False))
    assert accused.record == replace(LIVE, barred=(Bar(CAFE, "inc_1"), Bar(OFFICE, "inc_1")))
    assert accused.incident == incident(things=(CAFE, OFFICE))
    assert not accused.has_frozen
    assert accuse(accused.record, incident(2), (OFFICE,), freeze=False) is None


def test_a_model_that_comes_with_an_origin_is_only_named_and_cleared_with_it() -> None:
    accused = done(accuse(LIVE, incident(), (OFFICE, OPUS), freeze=False))
    assert accused.record.barred == (Bar(OFFICE, "inc_1"),), "the owner is asked about it apart"
    assert accused.incident.things == (OFFICE, OPUS)
    assert set(undo(accused.record, accused.incident).cleared) == {OFFICE, OPUS}


def test_what_was_cleared_is_not_barred_again() -> None:
    record = replace(LIVE, cleared=(OFFICE,))
    assert accuse(record, incident(), (OFFICE,), freeze=False) is None
    assert done(accuse(record, incident(), (OFFICE, CAFE), freeze=False)).incident.things == (CAFE,)


def test_a_freeze_needs_nothing_to_bar_and_is_told_as_an_action_just_where_it_froze() -> None:
    accused = done(accuse(LIVE, incident(), (), freeze=True))
    assert (accused.record.state, accused.record.frozen_why) == (
        "frozen", "incident inc_1: a new network",
    )  # fmt: skip
    assert accused.incident.actions == ("challenge", FREEZE)
    asked = incident(actions=(FREEZE, "challenge"))
    assert done(accuse(LIVE, asked, (), freeze=True)).incident.actions == (FREEZE, "challenge")
    late = done(accuse(accused.record, asked, (OFFICE,), freeze=True))
    assert late.incident.actions == ("challenge",)
    assert not late.has_frozen


def test_an_incident_without_evidence_freezes_all_the_same() -> None:
    accused = done(accuse(LIVE, incident(evidence=()), (), freeze=True))
    assert accused.record.frozen_why == "incident inc_1:"
    assert undo(accused.record, accused.incident).state == "live"


@pytest.mark.parametrize("room", [0, 1])
def test_a_key_without_room_for_all_bars_is_frozen_instead(room: int) -> None:
    bars = tuple(Bar(f"model:m{number}", "inc_0") for number in range(BARRED_MAX - room))
    record = replace(LIVE, barred=bars)
    accused = done(accuse(record, incident(), (OFFICE, CAFE), freeze=False))
    assert accused.has_frozen
    assert len(accused.record.barred) == BARRED_MAX
    freed = undo(accused.record, accused.incident)
    assert (freed.state, freed.barred, freed.cleared) == ("live", bars, (OFFICE, CAFE))


def test_a_revoked_key_is_accused_of_nothing() -> None:
    assert accuse(replace(LIVE, state="revoked"), incident(), (OFFICE,), freeze=True) is None


def test_of_another_ones_bars_and_freezes_nothing_is_undone() -> None:
    first = done(accuse(LIVE, incident(1), (OFFICE,), freeze=True))
    second = done(accuse(first.record, incident(12), (CAFE,), freeze=True))
    freed = undo(second.record, second.incident)
    assert freed == replace(first.record, cleared=(CAFE,))
    assert undo(freed, first.incident).state == "live"


def test_what_another_incident_bars_now_is_not_cleared() -> None:
    record = replace(LIVE, barred=(Bar(OFFICE, "inc_2"),))
    freed = undo(record, incident(1, things=(OFFICE, CAFE)))
    assert (freed.barred, freed.cleared) == ((Bar(OFFICE, "inc_2"),), (CAFE,))


def test_of_too_many_cleared_things_the_oldest_are_forgotten() -> None:
    old = tuple(f"model:m{number}" for number in range(CLEARED_MAX))
    freed = undo(replace(LIVE, cleared=old), incident(things=(OFFICE, "model:m5")))
    assert len(freed.cleared) == CLEARED_MAX
    assert freed.cleared[0] == "model:m1"
    assert freed.cleared[-2:] == (OFFICE, "model:m5")
    assert freed.cleared.count("model:m5") == 1


@pytest.mark.parametrize(
    ("state", "actions", "wish", "becomes", "why"),
    [
        ("open", ("challenge",), "false_alarm", "false_alarm", ""),
        ("open", (), "confirmed", "confirmed", ""),
        ("confirmed", ("freeze",), "false_alarm", "false_alarm", ""),
        ("false_alarm", (), "false_alarm", "false_alarm", ""),
        ("confirmed", (), "confirmed", "confirmed", ""),
        ("open", ("family revoked",), "confirmed", "confirmed", ""),
        ("open", ("family revoked",), "false_alarm", "open", "family revoked"),
        ("confirmed", ("freeze", "key revoked"), "false_alarm", "confirmed", "key revoked"),
        ("false_alarm", ("freeze",), "confirmed", "false_alarm", "key freeze k1"),
        ("closed", (), "confirmed", "closed", "closed"),
        ("closed", (), "false_alarm", "closed", "closed"),
    ],
)
def test_an_incident_gets_where_it_may_or_says_why_not(
    state: Any, actions: tuple[str, ...], wish: Any, becomes: str, why: str
) -> None:
    judged = judge(incident(state=state, actions=actions), wish)
    assert judged.incident is not None
    assert judged.incident.state == becomes
    assert bool(judged.why_not) == bool(why)
    assert why in judged.why_not


def test_only_an_incident_of_a_key_has_a_key() -> None:
    assert key_of(incident()) == "k1"
    assert key_of(incident(subject="account:a1")) == ""


def test_a_throttle_bars_the_pace_alone_and_its_undo_clears_the_origin_that_it_names() -> None:
    accused = done(accuse(LIVE, incident(), (PACE, OFFICE), freeze=False))
    assert accused.record.barred == (Bar(PACE, "inc_1"),)
    assert accuse(accused.record, incident(2), (PACE, CAFE), freeze=False) is None, "one a key"
    freed = undo(accused.record, accused.incident)
    assert (freed.barred, freed.cleared) == ((), (OFFICE,)), "the next suspect is slowed again"
    again = done(accuse(freed, incident(3), (PACE, CAFE), freeze=False))
    assert again.record.barred == (Bar(PACE, "inc_3"),)


def test_no_pace_ever_freezes_a_key_that_has_no_room_for_another_bar() -> None:
    full = replace(LIVE, barred=tuple(Bar(f"origin:{n}@DE", "inc_0") for n in range(BARRED_MAX)))
    assert accuse(full, incident(), (PACE, OFFICE), freeze=False) is None
    assert done(accuse(full, incident(), (OFFICE,), freeze=False)).has_frozen
