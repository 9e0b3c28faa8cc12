"""What every detector keeps to: the same history gives the same evidence, a key without one is
unknown, nothing that a caller sends breaks it, and its memory is bounded."""

import pickle
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from seen_calls import HOSTILE, OWN, at, call, learned, lived, tag
from tokenward.detectors import Past, consistency, novelty, probe
from tokenward.detectors.recent import Recent
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import KEY_KINDS, Signals

Score = Callable[[list[Signals], Past, str], list[Sign]]


def _alone(score: Callable[[Signals, Past, str], list[Sign]]) -> Score:
    return lambda calls, past, key_kind: [
        sign for seen in calls for sign in score(seen, past, key_kind)
    ]


def _recent(calls: list[Signals], past: Past, key_kind: str) -> list[Sign]:
    recent, found = Recent(), []
    for index, seen in enumerate(calls):
        found += recent.signs(seen, past, key_kind)
        recent.note(seen, is_clean=index % 3 != 2, is_error=index % 3 == 1)
        recent.serve(tag(index), seen.at_ms)
    return found


DETECTORS = [
    pytest.param(_alone(novelty.score), id="novelty"),
    pytest.param(_alone(consistency.score), id="consistency"),
    pytest.param(_alone(probe.score), id="probe"),
    pytest.param(_recent, id="recent"),
]
KINDS = st.sampled_from([*KEY_KINDS, "unheard of"])
SIZED = settings(max_examples=25, phases=[Phase.explicit, Phase.reuse, Phase.generate])
"""Without making failures smaller: that takes minutes for so large examples."""


@pytest.mark.parametrize("score", DETECTORS)
@SIZED
@given(calls=st.lists(HOSTILE, max_size=10), key_kind=KINDS)
def test_the_same_history_gives_the_same_evidence(
    score: Score, calls: list[Signals], key_kind: str
) -> None:
    assert score(calls, lived(), key_kind) == score(calls, lived(), key_kind)


@pytest.mark.parametrize("score", DETECTORS)
@SIZED
@given(calls=st.lists(HOSTILE, max_size=10), taught=st.lists(HOSTILE, max_size=4), key_kind=KINDS)
def test_nothing_that_a_caller_sends_breaks_a_detector_or_its_odds(
    score: Score, calls: list[Signals], taught: list[Signals], key_kind: str
) -> None:
    past = lived(days=2)
    for seen in taught:
        learned(past, seen, key_kind)
    for sign in score(calls, past, key_kind):
        assert sign.kind in ("E1", "E2", "E3", "E4")
        assert 0 < sign.ordinary <= 1
        assert 0 < sign.moved <= 1
        assert 0 <= sign.thief <= 1


@pytest.mark.parametrize("score", DETECTORS)
@SIZED
@given(calls=st.lists(HOSTILE, max_size=10), key_kind=KINDS)
def test_a_reason_is_short(score: Score, calls: list[Signals], key_kind: str) -> None:
    for sign in score(calls, lived(), key_kind):
        assert len(sign.reason) <= 300, sign.code


@pytest.mark.parametrize("score", DETECTORS)
def test_a_reason_tells_no_hash_of_what_was_said(score: Score) -> None:
    calls = [
        call(
            at(second=index),
            content={
                "system": tag(0x5EC0 + index),
                "root": tag(0x5EC100 + index % 10),
                "tools": tag(0x5EC200),
                "prefix": tag(0x5EC300),
                "answers": (tag(0x5EC400 + index),),
                "probe": "greeting",
            },
            client={"fingerprint": tag(0x5EC500 + index), "oddities": ("odd",)},
            asked={"model": f"m{index}", "output_limit": 1},
        )
        for index in range(20)
    ]
    told = [sign.reason for sign in score(calls, lived(), "developer") if sign.reason]
    assert told
    assert not any("5ec" in reason for reason in told)


@pytest.mark.parametrize("score", DETECTORS[:1])
def test_a_key_without_a_history_is_unknown_to_novelty(score: Score) -> None:
    assert score([call(at(), network={"country": "KP"})], Past(), "") == []


@pytest.mark.parametrize("key_kind", KEY_KINDS)
def test_the_first_call_of_a_process_shows_nothing_lately(key_kind: str) -> None:
    recent = Recent()
    odd = call(at(), content={"answers": (tag(9),)}, asked={"output_limit": 1})
    assert recent.signs(odd, Past(), key_kind) == ()
    assert recent.signs(odd, lived(), key_kind) == ()


def test_a_hundred_thousand_calls_leave_a_small_memory() -> None:
    recent, big = Recent(since_ms=at() - 7_200_000), "x" * 100_000
    for index in range(100_000):
        recent.note(_unlike_any(index, big), is_clean=index % 2 == 0, is_error=index % 5 == 0)
        if index % 10 == 0:
            recent.serve(tag(index), at(second=index))
    assert len(pickle.dumps(recent)) <= 8_192
    assert max(_lengths(recent)) <= 64


def _unlike_any(index: int, big: str) -> Signals:
    seen = call(
        at(second=index),
        client={"fingerprint": tag(index) if index % 100 else big},
        network={"country": str(index), "place": str(index)},
    )
    if index % 3 == 0:
        said = {"system": tag(index), "root": tag(index), "answers": (tag(index), tag(7))}
        asked = {"model": str(index), "output_limit": 1}
        return call(seen.at_ms, content=said, asked=asked)
    return seen


def _lengths(thing: Any) -> list[int]:
    """Of every list and array inside."""
    slots = [getattr(thing, name) for name in getattr(type(thing), "__slots__", ())]
    inside = [found for slot in slots for found in _lengths(slot)]
    if isinstance(thing, tuple):
        return inside + [found for each in thing for found in _lengths(each)]
    return (
        [*inside, len(thing)] if hasattr(thing, "append") and not hasattr(thing, "hex") else inside
    )


def test_looking_changes_nothing() -> None:
    recent, past = Recent(since_ms=at() - 7_200_000), lived()
    for index in range(30):
        recent.note(_unlike_any(index * 3, ""), is_clean=False, is_error=True)
    before = pickle.dumps(recent), pickle.dumps(past)
    for index in range(30):
        recent.signs(_unlike_any(index, ""), past, "developer")
    assert (pickle.dumps(recent), pickle.dumps(past)) == before


@given(st.lists(st.tuples(HOSTILE, st.booleans(), st.booleans()), max_size=12))
@SIZED
def test_a_memory_in_two_processes_is_the_same(seen: list[tuple[Signals, bool, bool]]) -> None:
    memories = Recent(), Recent()
    for each, is_clean, is_error in seen:
        for memory in memories:
            memory.note(each, is_clean=is_clean, is_error=is_error)
    assert pickle.dumps(memories[0]) == pickle.dumps(memories[1])


def test_the_owner_as_always_shows_nothing_lately() -> None:
    recent, past = Recent(), lived()
    for second in range(200):
        seen = call(at(second=second))
        assert recent.signs(seen, past, "app") == ()
        recent.note(seen, is_clean=True, is_error=False)
    assert OWN.origin in past.origins
