"""One call that tries out a key."""

import pytest

from seen_calls import DAY, at, call, learned, lived
from tokenward.detectors import Past, probe
from tokenward.kernel.signals import Signals


def trial(name: str, *, is_sure: bool, place: str = "AS9") -> Signals:
    return call(at(), content={"probe": name, "is_sure": is_sure}, network={"place": place})


def test_what_no_application_sends_is_told_without_a_history() -> None:
    (sign,) = probe.score(trial("no_output", is_sure=True), Past(), "")
    assert (sign.kind, sign.detector, sign.code) == ("E2", "probe", "probe:no_output")
    assert sign.weight > 8


def test_a_greeting_from_a_new_origin_says_little() -> None:
    (sign,) = probe.score(trial("greeting", is_sure=False), lived(), "")
    assert 0 < sign.weight < 3


def test_a_greeting_from_an_origin_with_a_history_says_nothing() -> None:
    assert probe.score(trial("greeting", is_sure=False, place="AS100"), lived(), "") == []


def test_a_sure_probe_from_an_origin_with_a_history_says_less() -> None:
    (known,) = probe.score(trial("no_output", is_sure=True, place="AS100"), lived(), "")
    (new,) = probe.score(trial("no_output", is_sure=True), lived(), "")
    assert 0 < known.weight < new.weight


@pytest.mark.parametrize("calls", [4, 5])
def test_five_clean_calls_are_a_history(calls: int) -> None:
    past = Past()
    for second in range(calls):
        learned(past, call(at(DAY - 1, second)))
    found = probe.score(trial("greeting", is_sure=False, place="AS100"), past, "")
    assert bool(found) == (calls < 5)


def test_an_ordinary_call_is_no_probe() -> None:
    assert probe.score(call(at()), Past(), "") == []
