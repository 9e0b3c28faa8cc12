"""A key's past: bounded, packed and back, and slow to change."""

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from seen_calls import DAY, HOSTILE, at, call, learned, lived, tag
from tokenward.detectors import Past, learn, look, suspect
from tokenward.detectors.past import (
    BYTES_MAX,
    FORGET_DAYS,
    MARKS_MAX,
    ORIGINS_MAX,
    TEXT_MAX,
    VALUES_MAX,
    Seen,
    pack,
    trim,
    unpack,
)
from tokenward.detectors.recent import Recent
from tokenward.kernel.signals import Signals

SANE = HOSTILE.filter(lambda seen: 0 <= seen.at_ms < 2**53)
"""The clock of a gateway, and everything else from a caller."""
QUICK = (Phase.explicit, Phase.reuse, Phase.generate)
"""Without making failures smaller: that takes minutes for so large examples."""


def tried(seen: Signals, probe: str) -> Signals:
    """The call as one that tries out the key."""
    return replace(seen, content=replace(seen.content, probe=probe, is_sure=True))


@settings(max_examples=50, phases=QUICK)
@given(st.lists(SANE, max_size=20), st.lists(SANE, max_size=5))
def test_a_past_packed_and_unpacked_is_the_same(
    clean: list[Signals], refused: list[Signals]
) -> None:
    past = Past()
    for seen in sorted(clean, key=lambda seen: seen.at_ms):
        learned(past, seen)
    for seen in refused:
        suspect(seen, past)
    blob = pack(past)
    assert unpack(blob) == past
    assert pack(unpack(blob) or Past()) == blob


def test_a_past_stays_bounded_whatever_it_is_taught() -> None:
    past, long = Past(), "\U0001f511" * 2 * TEXT_MAX
    for index in range(400):
        seen = call(
            at(DAY + index // 40, index),
            client={"fingerprint": f"{index}{long}", "family": f"{index}{long}"},
            network={
                **dict.fromkeys(("place", "country", "block"), f"{index}{long}"),
                "kind": f"{index}",
            },
            content={
                **dict.fromkeys(("system", "tools", "root", "script", "harness"), f"{index}{long}"),
                "size": 2**index,
            },
            asked={
                **dict.fromkeys(("model", "route"), f"{index}{long}"),
                "level": index,
                "output_limit": 2**index,
            },
        )
        learned(past, seen)
        for number in range(20):
            suspect(tried(seen, f"{index}:{number}"), past)
    assert len(past.origins) <= ORIGINS_MAX
    assert len(past.doubts) <= ORIGINS_MAX
    assert len(past.strangers) <= ORIGINS_MAX
    assert all(len(values) <= VALUES_MAX for values in past.values.values())
    assert all(len(doubt.marks) <= MARKS_MAX for doubt in past.doubts.values())
    assert len(pack(past)) <= BYTES_MAX
    assert unpack(pack(past)) is not None


def test_a_day_of_ten_thousand_calls_moves_no_habit_by_more_than_a_day() -> None:
    past = lived()
    before = {
        (name, value): seen.days
        for name, values in past.values.items()
        for value, seen in values.items()
    }
    abroad = {"network": {"place": "AS9"}, "client": {"fingerprint": tag(9)}}
    for index in range(5_000):
        learned(past, call(at(second=index)))
        learned(past, call(at(second=index), **abroad))
    after = {
        (name, value): seen.days
        for name, values in past.values.items()
        for value, seen in values.items()
    }
    assert after.keys() >= before.keys()
    assert all(days - before.get(which, 0) <= 1 for which, days in after.items())
    assert past.days == 11


@settings(max_examples=30, phases=QUICK)
@given(st.lists(SANE, max_size=20))
def test_refused_calls_make_nothing_usual(refused: list[Signals]) -> None:
    past, untouched = lived(), lived()
    for seen in refused:
        suspect(tried(seen, "no_output"), past)
    assert len(past.doubts) > 0 or not refused
    assert (past.values, past.origins, past.news) == (
        untouched.values,
        untouched.origins,
        untouched.news,
    )
    assert (past.days, past.calls, past.level) == (untouched.days, untouched.calls, untouched.level)


def test_what_was_not_seen_for_long_is_forgotten() -> None:
    past = lived()
    trim(past, DAY + FORGET_DAYS + 1)
    assert not any(past.values.values())
    assert not past.origins


def test_of_too_many_values_the_newest_are_kept() -> None:
    past = Past(values={"model": {str(day): Seen(day, day) for day in range(DAY - 40, DAY)}})
    trim(past, DAY)
    assert sorted(past.values["model"]) == [str(day) for day in range(DAY - VALUES_MAX, DAY)]


@pytest.mark.parametrize("blob", [b"", b"\x01", b"\x02" + pack(Past())[1:], b"\x01" * 40_000])
def test_what_is_no_past_is_none(blob: bytes) -> None:
    assert unpack(blob) is None


@given(st.binary(max_size=200))
def test_no_bytes_break_the_reader(blob: bytes) -> None:
    assert unpack(b"\x01" + blob) is None or isinstance(unpack(b"\x01" + blob), Past)


def test_a_past_that_came_back_judges_as_before() -> None:
    past, seen = lived(), call(at(), network={"place": "AS9"}, content={"probe": "greeting"})
    suspect(tried(seen, "no_output"), past)
    again = unpack(pack(past))
    assert again is not None
    assert look(seen, again) == look(seen, past)
    assert Recent().signs(seen, again, "") == ()
    learn(seen, past, look(seen, past))
    learn(seen, again, look(seen, again))
    assert again == past
