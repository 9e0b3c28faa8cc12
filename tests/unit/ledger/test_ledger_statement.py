"""Heads as people keep them."""

import pytest

from tokenward.ledger.statement import Head, parse_head


def test_a_head_is_read_back_as_it_was_written() -> None:
    head = Head(17, bytes(range(32)))
    assert str(head) == "17:" + bytes(range(32)).hex()
    assert parse_head(f" {head}\n") == head


@pytest.mark.parametrize(
    "text",
    ["", "17", "0:" + "a" * 64, "17:" + "a" * 63, "17:" + "A" * 64, "-1:" + "a" * 64, "x" * 5_000,
     "٣:" + "a" * 64, "9" * 40 + ":" + "a" * 64, "17 " + "a" * 64],
)  # fmt: skip
def test_what_is_no_head_is_a_short_error_that_says_what_one_is(text: str) -> None:
    with pytest.raises(ValueError, match="doctor --audit") as caught:
        parse_head(text)
    assert len(f"{caught.value}") < 200
