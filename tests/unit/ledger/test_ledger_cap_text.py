"""Caps as people write them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.ledger.cap_text import format_amount, format_cap, parse_cap, parse_subject
from tokenward.ledger.records import Unit, Window


@pytest.mark.parametrize(
    ("text", "limit", "unit", "window"),
    [
        ("20.00/day", 20_000_000_000, Unit.NUSD, Window.DAY),
        ("$5/hour", 5_000_000_000, Unit.NUSD, Window.HOUR),
        (" 0.000000001 / total ", 1, Unit.NUSD, Window.TOTAL),
        ("1000tok/day", 1_000, Unit.TOKENS, Window.DAY),
        ("500req/minute", 500, Unit.REQUESTS, Window.MINUTE),
        ("0req/week", 0, Unit.REQUESTS, Window.WEEK),
    ],
)
def test_a_cap_is_read(text: str, limit: int, unit: Unit, window: Window) -> None:
    assert parse_cap(text) == (limit, unit, window)


@pytest.mark.parametrize(
    "text",
    [
        "", "20.00", "/day", "20.00/", "20.00/year", "-1/day", "nan/day", "1e400/day", "1.5tok/day",
        "tok/day", "9999999999999999999tok/day", "20,00/day", "0.0000000001/day", "٣req/day",
        "20.00/day/hour", "1 tok/day", "x" * 5_000,
    ],
)  # fmt: skip
def test_what_is_no_cap_is_a_short_plain_error(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_cap(text)
    assert len(f"{caught.value}") < 200


@given(st.integers(0, 2**62), st.sampled_from(Unit), st.sampled_from(Window))
def test_what_is_written_is_read_back(limit: int, unit: Unit, window: Window) -> None:
    assert parse_cap(format_cap(limit, unit, window)) == (limit, unit, window)


@pytest.mark.parametrize("text", ["account:acme", "project:support-bot", "key:4Fq0aB9xYz12"])
def test_a_subject_is_what_it_says(text: str) -> None:
    assert parse_subject(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "", "acme", "team:x", "key:", "key:a b", "key:a\n", "key:a:b", "key:" + "x" * 200, "KEY:a",
        "project:two/words", "project:größe", "account:" + "x" * 65, "account:..", "project:a*",
    ],
)  # fmt: skip
def test_what_is_no_subject_is_an_error_that_does_not_repeat_it(text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_subject(text)
    assert len(text) < 6 or text not in f"{caught.value}"


def test_amounts_read_as_people_say_them() -> None:
    assert format_amount(20_000_000_000, Unit.NUSD) == "$20.00"
    assert format_amount(1_000, Unit.TOKENS) == "1,000 tokens"
    assert format_amount(1, Unit.REQUESTS) == "1 request"
