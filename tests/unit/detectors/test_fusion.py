"""All evidence of a call together: what it adds up to, how rarely an owner looks like a thief."""

import random
from math import exp, log
from statistics import fmean

import pytest

from seen_calls import DAY, at, call, learned, lived, tag
from tokenward.detectors import Past, look, novelty, suspect
from tokenward.detectors.fusion import REST, strain_at
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import Signals

THIEF = {
    "client": {"fingerprint": tag(9), "family": "go"},
    "network": {"place": "AS9", "country": "SG", "kind": "vpn"},
    "content": {"system": tag(8), "root": tag(7)},
    "asked": {"model": "dear", "level": 120},
}


def test_the_owner_as_always_is_usual_at_once() -> None:
    opinion = look(call(at()), lived())
    assert (opinion.is_usual, opinion.is_familiar, opinion.log_e, opinion.signs) == (
        True,
        True,
        0.0,
        (),
    )


def test_a_key_without_a_history_is_unknown() -> None:
    opinion = look(call(at(), **THIEF), Past())
    assert opinion.is_cold
    assert opinion.log_e == opinion.total == 0.0


def test_a_thief_in_every_layer_passes_the_threshold_of_a_challenge() -> None:
    opinion = look(call(at(), **THIEF), lived(20), "app")
    assert opinion.log_e > log(30 / 0.01)
    assert opinion.signs[0].weight == max(sign.weight for sign in opinion.signs)


def test_an_owner_who_moved_does_not() -> None:
    moved = call(at(), network={"place": "AS9"})
    assert look(moved, lived(20), "app").log_e < 0


def test_evidence_of_refused_calls_stays_with_its_origin_and_counts_once() -> None:
    past = lived()
    plain = call(at(), **THIEF)
    before = look(plain, past).log_e
    for _ in range(50):
        suspect(call(at(), **{**THIEF, "content": {"probe": "no_output", "is_sure": True}}), past)
    once = look(plain, past).log_e - before
    assert once == pytest.approx(log(0.3 / 3e-5))
    assert look(call(at()), past).is_usual


def test_signs_of_several_calls_count_as_much_as_they_weigh() -> None:
    more = Sign(kind="E3", detector="d", code="c", reason="r", ordinary=0.1, moved=0.2, thief=0.4)
    seen = call(at(), **THIEF)
    plain, told = look(seen, lived()), look(seen, lived(), "", (more,))
    assert told.log_e - plain.log_e == pytest.approx(log(2))


def test_what_earlier_calls_have_shown_is_told_with_a_later_one() -> None:
    past = lived()
    suspect(call(at(), **{**THIEF, "content": {"probe": "no_output", "is_sure": True}}), past)
    [earlier] = [sign for sign in look(call(at(), **THIEF), past).signs if "earlier" in sign.reason]
    assert (earlier.code, earlier.detector) == ("probe:no_output", "probe")
    assert earlier.weight == pytest.approx(log(0.3 / 3e-5))
    again = call(at(), **{**THIEF, "content": {"probe": "no_output", "is_sure": True}})
    codes = [sign.code for sign in look(again, past).signs]
    assert codes.count("probe:no_output") == 1, "once, however often"


def test_many_strangers_of_one_day_share_their_evidence() -> None:
    past = lived()
    for number in range(1, 5):
        learned(past, call(at(), network={"place": f"AS{number}"}))
    seen = call(at(), **THIEF)
    assert look(seen, past).total < look(seen, lived()).total


def test_strain_falls_on_ordinary_days_and_never_below_zero() -> None:
    past = lived()
    past.strain, past.strain_day, past.strangers = 7.0, DAY, {}
    assert strain_at(past, DAY) == 7.0
    assert strain_at(past, DAY + 1) == pytest.approx(7.0 - REST)
    assert strain_at(past, DAY + 30) == 0.0
    past.strangers = {"a": 4.0}
    assert strain_at(past, DAY + 1) == pytest.approx(11.0)


def test_the_same_past_and_call_give_the_same_opinion() -> None:
    assert look(call(at(), **THIEF), lived()) == look(call(at(), **THIEF), lived())


def test_the_e_value_of_an_owner_who_is_as_the_model_says_has_a_mean_of_about_one() -> None:
    """Owners drawn from the detector's own odds: ordinary ones, who with its probability moved."""
    past, rng, values = lived(30), random.Random(20_260_115), list[float]()
    for _ in range(20_000):
        opinion = look(_drawn(past, rng), past, "app")
        values.append(exp(-REST if opinion.is_usual else opinion.log_e))
    # The largest values are rare and heavy: the mean of a sample lies a little beside that of all.
    assert 0.3 <= fmean(values) <= 1.3
    assert sum(value >= 3_000 for value in values) <= 20_000 / 3_000 * 3


NEW = {
    "place": ("network", {"place": "AS9"}),
    "country": ("network", {"country": "SG"}),
    "network_kind": ("network", {"kind": "residential"}),
    "client": ("client", {"fingerprint": tag(9)}),
    "family": ("client", {"family": "httpx"}),
    "model": ("asked", {"model": "other"}),
    "dearer": ("asked", {"level": 120}),
    "route": ("asked", {"route": "responses"}),
    "system": ("content", {"system": tag(9)}),
    "tools": ("content", {"tools": tag(9)}),
    "harness": ("content", {"harness": "agent"}),
    "block": ("network", {"block": "198.51.100.0/24"}),
    "size": ("content", {"size": 300_000}),
    "limit": ("asked", {"output_limit": 16_000}),
}
GIVEN = {"country": "place", "network_kind": "place", "family": "client", "dearer": "model"}


def _drawn(past: Past, rng: random.Random) -> Signals:
    everything: dict[str, dict[str, object]] = {}
    for part, values in NEW.values():
        everything.setdefault(part, {}).update(values)
    at_home = {**everything, "network": {"block": "198.51.100.0/24"}}
    odds = {
        sign.code.split(":")[0]: sign
        for parts in (at_home, everything)
        for sign in novelty.score(call(at(), **parts), past, "app")
    }
    has_moved = rng.random() < odds["place"].ordinary
    new = set[str]()
    for name in NEW:
        if GIVEN.get(name, "") and GIVEN[name] not in new:
            continue
        if name == "block" and "place" in new:
            continue
        rate = odds[name].moved if has_moved else odds[name].ordinary
        if rng.random() < rate:
            new.add(name)
    parts: dict[str, dict[str, object]] = {}
    for name in new:
        part, values = NEW[name]
        parts.setdefault(part, {}).update(values)
    return call(at(), **parts)
