"""Pasts of several gateways fold into one, in any order and as often as it happens."""

from functools import reduce

from hypothesis import given, settings
from hypothesis import strategies as st

from seen_calls import DAY, at, call, learned, lived, tag
from tokenward.detectors import Past, suspect
from tokenward.detectors.merging import fold, merge
from tokenward.detectors.past import pack, unpack
from tokenward.kernel.signals import Signals

FEW = st.integers(0, 3)
SEEN = st.builds(
    lambda day, second, place, program, model, system: call(
        at(DAY + day, second),
        network={"place": f"AS{place}"},
        client={"fingerprint": tag(program)},
        asked={"model": f"m{model}", "level": 90 + model},
        content={"system": tag(system), "probe": "greeting"},
    ),
    st.integers(0, 5),
    st.integers(0, 9),
    FEW,
    FEW,
    FEW,
    FEW,
)


def _past(clean: list[Signals], refused: list[Signals]) -> bytes:
    past = Past()
    for seen in sorted(clean, key=lambda seen: seen.at_ms):
        learned(past, seen)
    for seen in refused:
        suspect(seen, past)
    return pack(past)


PASTS = st.builds(_past, st.lists(SEEN, max_size=12), st.lists(SEEN, max_size=3))


def read(blob: bytes) -> Past:
    """The past; in which order its names stand makes no difference."""
    past = unpack(blob)
    assert past is not None
    return past


@settings(max_examples=80)
@given(PASTS, PASTS)
def test_the_order_of_two_makes_no_difference(one: bytes, other: bytes) -> None:
    assert read(merge(one, other)) == read(merge(other, one))


@settings(max_examples=80)
@given(PASTS, PASTS)
def test_folding_a_view_in_twice_changes_nothing(one: bytes, other: bytes) -> None:
    folded = merge(one, other)
    assert read(merge(folded, other)) == read(folded)
    assert read(merge(folded, one)) == read(folded)
    assert read(merge(one, one)) == read(one)


@settings(max_examples=80)
@given(PASTS, PASTS, PASTS)
def test_the_order_of_three_makes_no_difference(one: bytes, two: bytes, three: bytes) -> None:
    left, right = merge(merge(one, two), three), merge(one, merge(two, three))
    assert read(left) == read(right)


@given(PASTS)
def test_what_cannot_be_read_gives_way(one: bytes) -> None:
    assert merge(b"broken", one) == one
    assert merge(one, b"") == one


def test_a_gateway_that_saw_nothing_changes_nothing() -> None:
    assert fold(Past(), lived()) == fold(lived(), Past()) == lived()


def test_two_gateways_together_know_what_either_saw() -> None:
    here, there = lived(), lived()
    learned(here, call(at(), network={"place": "AS7"}))
    learned(there, call(at(), network={"place": "AS8"}))
    both = fold(here, there)
    assert {"AS7", "AS8", "AS100"} <= both.values["place"].keys()
    assert both.days == 11
    crowd = reduce(fold, [here, there] * 5)
    assert crowd == both
