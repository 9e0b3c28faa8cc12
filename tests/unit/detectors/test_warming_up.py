"""What somebody who knows the detectors would try: each was found by a review, and stays closed."""

import pytest
from msgspec.structs import replace

from seen_calls import DAY, at, call, learned, lived, tag
from tokenward.detectors import look
from tokenward.detectors.fusion import learn
from tokenward.kernel.signals import Signals

CLIENT = {"family": "openai-python", "fingerprint": tag(0xEE)}
NETWORK = {"place": "AS900", "country": "US", "asn": 900, "kind": "residential"}
PROMPT = {"system": tag(0xF1), "root": tag(0xF2)}


def drain(second: float, day: int = DAY) -> Signals:
    """A thief's first costly call."""
    return call(at(day, second), client=CLIENT, network=NETWORK, content=PROMPT)


def free(second: float, client: str = tag(0xEE), place: str = "AS900") -> Signals:
    """A call that costs nothing: a list of models."""
    return call(
        at(DAY, second),
        client={"family": "openai-python", "fingerprint": client},
        network={**NETWORK, "place": place},
        content={"system": "", "root": ""},
        asked={"model": "", "level": None, "route": "models"},
    )


@pytest.mark.parametrize("key_kind", ["", "developer", "app", "public"])
def test_free_calls_before_the_drain_do_not_make_the_drain_look_more_usual(key_kind: str) -> None:
    past = lived(30, key_kind=key_kind)
    cold = look(drain(900), past, key_kind).log_e
    for second in (1, 2, 3):
        learned(past, free(second), key_kind)
    assert look(drain(900), past, key_kind).log_e == pytest.approx(cold)


def test_many_programs_of_one_network_do_not_dilute_each_other() -> None:
    past = lived(30, key_kind="app")
    cold = look(drain(900), past, "app").total
    for number in range(16):
        learned(past, free(number, client=tag(number)), "app")
    assert look(drain(900), past, "app").total >= cold - 1e-9


def test_news_of_one_day_do_not_drive_out_what_is_usual() -> None:
    past = lived(30)
    for number in range(60):
        odd = call(
            at(DAY, number),
            client={"family": "curl", "fingerprint": f"0{number:015x}"},
            network={"place": f"0AS{number}", "country": "US"},
            content={"system": f"0{number:015x}"},
            asked={"model": f"0-model-{number}"},
        )
        learned(past, odd)
    assert look(call(at(DAY, 999)), past).is_usual
    assert look(call(at(DAY + 1)), past).is_usual
    assert len(past.origins) <= 16
    assert all(len(values) <= 16 for values in past.values.values())


def test_a_full_past_can_still_learn() -> None:
    past = lived(30)
    for day in range(DAY, DAY + 6):
        for number in range(14):
            learned(past, call(at(day, number), content={"system": tag(number)}))
        learned(past, call(at(day, 99), content={"system": tag(0xAB), "root": tag(day)}))
    assert tag(0xAB) in past.values["system"]
    assert past.values["system"][tag(0xAB)].days >= 3


def test_the_same_stranger_does_not_count_again_on_its_second_day() -> None:
    past = lived(60, key_kind="app")
    moved = drain(10)
    first = look(moved, past, "app")
    learn(moved, past, first)
    later = replace(moved, at_ms=at(DAY + 1, 10))
    assert look(later, past, "app").total <= first.total + 1e-9


def test_nobody_climbs_to_dear_models_in_small_steps_within_a_day() -> None:
    past = lived(30)
    held = []
    for number, level in enumerate(range(100, 141)):
        step = call(at(DAY, number), asked={"model": f"m{level}", "level": level})
        opinion = look(step, past)
        if opinion.dearer:
            held.append(level)
        else:
            learned(past, step)
    assert held[0] <= 102
    assert held[-1] == 140
    assert len(held) >= 39


def test_what_the_owner_did_once_is_forgiven_after_a_week() -> None:
    from tokenward.detectors.doubts import suspect

    past = lived(30)
    probe = call(at(DAY, 5), content={"probe": "no_output", "is_sure": True})
    suspect(probe, past)
    new = {"system": tag(0xF1), "root": tag(0xF2)}
    for day in range(DAY, DAY + 9):
        learned(past, call(at(day, 50)))
    soon = look(call(at(DAY + 6, 60), content=new), past).log_e
    late = look(call(at(DAY + 9, 60), content=new), past).log_e
    assert late < soon - 3
