"""Rows of numbers: bounded, found by their first number, the oldest make room."""

from hypothesis import given
from hypothesis import strategies as st

from seen_calls import tag
from tokenward.detectors.rows import TIME_MAX, Rows, is_within, moment, number


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 2**64 - 1)), max_size=60))
def test_rows_are_bounded_and_hold_the_newest_value_of_each_key(
    puts: list[tuple[int, int]],
) -> None:
    rows = Rows(8, 2)
    for key, value in puts:
        rows.put(key, value)
        assert rows.row(rows.find(key)) == (key, value)
        assert rows.count == len(list(rows)) <= 8
    keys = [key for key, _ in rows]
    assert len(set(keys)) == len(keys)


def test_the_oldest_row_makes_room() -> None:
    rows = Rows(3, 1)
    for key in (1, 2, 3, 1, 4):
        rows.put(key)
    assert rows.find(1) == -1
    assert sorted(key for (key,) in rows) == [2, 3, 4]


@given(st.text())
def test_every_text_has_a_number_of_64_bits(text: str) -> None:
    assert 0 <= number(text) < 2**64
    assert number(text) == number(text)


def test_a_hash_is_its_own_number_and_half_a_character_has_one_too() -> None:
    assert number(tag(77)) == 77
    assert number("\ud800") != number("\ud801")
    assert number("-0000000000000ff") == 2**64 - 255


@given(st.integers())
def test_every_time_fits_into_a_row(at_ms: int) -> None:
    assert 0 <= moment(at_ms) <= TIME_MAX
    assert at_ms in range(TIME_MAX + 1) or moment(at_ms) in (0, TIME_MAX)


def test_a_call_that_ended_first_may_have_come_later() -> None:
    assert is_within(100, 90, 10)
    assert is_within(80, 90, 10)
    assert not is_within(101, 90, 10)
    assert not is_within(79, 90, 10)
