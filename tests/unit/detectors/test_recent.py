"""The short memory of a key as the pipeline uses it: a whole theft, and whole honest days."""

import sys
from typing import Any

from seen_calls import OWN, at, call, lived, tag
from tokenward.detectors import look
from tokenward.detectors.recent import Recent


def test_a_pool_that_validates_a_key_and_then_resells_it_shows_both() -> None:
    recent, past, codes = Recent(since_ms=at() - 7_200_000), lived(), set[str]()
    for second in range(30):
        seen = call(
            at(second=second),
            client={"fingerprint": tag(0xA2), "family": "go"},
            network={"place": "AS7", "country": "SG"},
            content={
                "system": tag(500 + second),
                "root": tag(600 + second),
                "answers": (tag(700 + second),) if second > 5 else (),
            },
            asked={"model": f"m{second % 6}", "output_limit": 16 if second < 6 else 4_000},
        )
        opinion = look(seen, past, "app", recent.signs(seen, past, "app"))
        codes |= {sign.code for sign in opinion.signs}
        recent.note(seen, is_clean=True, is_error=False)
    assert {"probe:sweep", "sharing:foreign", "sharing:prompts"} <= codes


def test_nothing_lately_leaves_the_quick_answer_quick() -> None:
    recent, past = Recent(), lived()
    recent.note(call(at()), is_clean=True, is_error=False)
    seen = call(at(second=1))
    assert look(seen, past, "app", recent.signs(seen, past, "app")).is_usual


def test_a_memory_begins_with_its_first_answer_too() -> None:
    recent = Recent()
    recent.serve(tag(1), at())
    assert recent.signs(call(at(second=1)), lived(), "app") == ()


def test_a_key_that_did_little_takes_few_bytes_and_a_busy_one_no_more_than_is_stated() -> None:
    quiet, busy = Recent(), Recent(since_ms=at() - 7_200_000)
    quiet.note(OWN, is_clean=True, is_error=False)
    for index in range(3_000):
        seen = call(
            at(second=index),
            client={"fingerprint": tag(index)},
            content={"system": tag(index), "root": tag(index % 40), "answers": (tag(2 * index),)},
            network={"country": str(index), "place": str(index)},
            asked={"model": str(index), "output_limit": 1},
        )
        busy.note(seen, is_clean=True, is_error=True)
        busy.serve(tag(3**20 + index), seen.at_ms)
    assert _bytes(quiet) <= 3_500
    assert _bytes(busy) <= 11_000


def _bytes(thing: Any) -> int:
    inside = [getattr(thing, name) for name in getattr(type(thing), "__slots__", ())]
    if isinstance(thing, list | tuple):
        inside += thing
    return sys.getsizeof(thing) + sum(_bytes(each) for each in inside if type(each) is not int)
