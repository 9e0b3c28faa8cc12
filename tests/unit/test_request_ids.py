"""Ids of requests are drawn evenly, and from the system's randomness."""

from collections import Counter

from tokenward.kernel.ids import BASE62
from tokenward.machine import RequestIds


def test_an_id_is_twenty_characters_that_no_other_has() -> None:
    ids = RequestIds()
    drawn = [ids.draw() for _ in range(5_000)]
    assert len(set(drawn)) == 5_000
    assert {(each[:4], len(each)) for each in drawn} == {("req_", 24)}


def test_every_character_is_as_likely_as_any_other() -> None:
    ids = RequestIds()
    counts = Counter("".join(ids.draw().removeprefix("req_") for _ in range(31_000)))
    assert counts.keys() == set(BASE62)
    assert all(9_000 < count < 11_000 for count in counts.values())


def test_two_guards_draw_different_ids() -> None:
    assert RequestIds().draw() != RequestIds().draw()
