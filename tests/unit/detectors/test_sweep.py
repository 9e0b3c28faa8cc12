"""Trying out a key over several calls."""

import pytest

from seen_calls import at, call, lived, tag
from tokenward.detectors import Past
from tokenward.detectors.recent import Recent
from tokenward.kernel.signals import Signals

STRANGER = {"fingerprint": tag(0xA2)}


def codes(recent: Recent, seen: Signals, past: Past, key_kind: str = "") -> list[str]:
    return [sign.code for sign in recent.signs(seen, past, key_kind)]


def trial(second: float, model: str, limit: int | None = 1, place: str = "AS100") -> Signals:
    asked = {"model": model, "output_limit": limit}
    return call(at(second=second), asked=asked, client=STRANGER, network={"place": place})


def noted(*calls: Signals, is_error: bool = False) -> Recent:
    recent = Recent()
    for each in calls:
        recent.note(each, is_clean=not is_error, is_error=is_error)
    return recent


def test_the_fourth_model_with_hardly_any_output_within_a_minute_is_a_sweep() -> None:
    recent = noted(*(trial(second, f"m{second}") for second in range(3)))
    assert codes(recent, trial(3, "m3"), lived()) == ["probe:sweep"]
    assert codes(recent, trial(3, "m2"), lived()) == []
    assert codes(recent, trial(3, "m3", limit=51), lived()) == []
    assert codes(recent, trial(63, "m3"), lived()) == []


def test_models_that_fail_count_as_a_sweep_whatever_output_was_asked_for() -> None:
    recent = noted(*(trial(second, f"m{second}", None) for second in range(4)), is_error=True)
    assert codes(recent, trial(4, "dear", None), lived())[0] == "probe:sweep"


def test_a_sweep_is_held_against_its_origin_for_an_hour_and_against_no_other() -> None:
    recent = noted(*(trial(second, f"m{second}") for second in range(4)))
    assert codes(recent, trial(3_000, "dear", None), lived()) == ["probe:sweep"]
    assert codes(recent, trial(3_700, "dear", None), lived()) == []
    assert codes(recent, trial(30, "dear", None, place="AS7"), lived()) == []


def test_one_model_with_short_answers_is_no_sweep() -> None:
    recent = noted(*(trial(second, "classifier") for second in range(50)))
    assert codes(recent, trial(50, "classifier"), lived()) == []


def test_another_program_right_after_the_models_were_listed_is_told() -> None:
    listing = call(at(), asked={"route": "models", "model": ""}, client={"fingerprint": tag(0xA3)})
    recent = noted(listing)
    assert codes(recent, trial(4, "m", None), lived()) == ["probe:listed"]
    assert codes(recent, trial(6, "m", None), lived()) == []
    recent.note(trial(4, "m", None), is_clean=True, is_error=False)
    assert codes(recent, trial(600, "m", None), lived()) == ["probe:listed"]


def test_the_owners_program_may_call_while_somebody_lists_models() -> None:
    listing = call(at(), asked={"route": "list_models"}, client=STRANGER)
    assert codes(noted(listing), call(at(second=1)), lived()) == []
    busy = noted(call(at()), call(at(), asked={"route": "list_models"}, client=STRANGER))
    assert codes(busy, call(at(second=1)), Past()) == []


def test_an_origin_that_begins_with_three_failures_is_told_and_two_are_not() -> None:
    failed = [trial(second, "m", None) for second in range(3)]
    assert codes(noted(*failed, is_error=True), trial(9, "m", None), lived()) == ["probe:errors"]
    assert codes(noted(*failed[:2], is_error=True), trial(9, "m", None), lived()) == []


def test_failures_after_a_success_are_an_outage() -> None:
    recent = noted(trial(0, "m", None))
    for second in range(1, 9):
        recent.note(trial(second, "m", None), is_clean=False, is_error=True)
    assert codes(recent, trial(9, "m", None), lived()) == []


def test_failures_of_the_owners_origin_or_of_a_key_without_history_are_unknown() -> None:
    owners = noted(*(call(at(second=second)) for second in range(5)), is_error=True)
    assert codes(owners, call(at(second=6)), lived()) == []
    failed = noted(*(trial(second, "m", None) for second in range(5)), is_error=True)
    assert codes(failed, trial(9, "m", None), Past()) == []


def test_calls_that_were_refused_out_of_suspicion_are_no_failures() -> None:
    recent = Recent()
    for second in range(5):
        recent.note(trial(second, "m", None), is_clean=False, is_error=False)
    assert codes(recent, trial(9, "m", None), lived()) == []


@pytest.mark.parametrize("key_kind", ["", "developer", "app", "public", "unheard of"])
def test_a_sweep_speaks_for_theft_whatever_the_key_is_for(key_kind: str) -> None:
    recent = noted(*(trial(second, f"m{second}") for second in range(3)))
    (sign,) = recent.signs(trial(3, "m3"), lived(), key_kind)
    assert 1.5 < sign.weight < 4
    assert sign.kind == "E2"
