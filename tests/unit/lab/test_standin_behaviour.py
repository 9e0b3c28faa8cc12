"""How a call is asked to go."""

import pytest

from tokenward.lab.standin.behaviour import (
    DEFAULT,
    Behaviour,
    Fault,
    UsageReport,
    behaviour_of,
    directive_in,
    without_directive,
)


def test_nothing_asked_is_the_default() -> None:
    assert behaviour_of("", "") is DEFAULT


def test_the_header_counts_where_both_name_a_key() -> None:
    asked = behaviour_of("chunks=5; gap_ms=0.5", "chunks=9 reasoning=30 usage=hidden")
    assert asked == Behaviour(chunks=5, gap_ms=0.5, reasoning=30, usage=UsageReport.HIDDEN)


@pytest.mark.parametrize(("text", "after"), [("fail=reset@3", 3), ("fail=reset", 1)])
def test_a_fault_says_after_how_many_chunks(text: str, after: int) -> None:
    asked = behaviour_of(text, "")
    assert (asked.fail, asked.fail_after) == (Fault.RESET, after)


def test_a_directive_stands_in_the_text_and_can_be_taken_out() -> None:
    said = "Tell me [[standin output_tokens=4 echo=1]] a story"
    assert behaviour_of("", directive_in(said)) == Behaviour(output_tokens=4, echo=True)
    assert without_directive(said) == "Tell me  a story"
    assert directive_in("no such thing") == ""


def test_an_address_may_hold_an_equals_sign() -> None:
    assert behaviour_of("redirect=http://127.0.0.1/?a=b", "").redirect == "http://127.0.0.1/?a=b"


@pytest.mark.parametrize(
    "text",
    ["chunk=5", "chunks=-1", "chunks=x", "gap_ms=inf", "gap_ms=nan", "fail=sleep", "usage=most",
     "huge=999999999999"],
)  # fmt: skip
def test_what_it_does_not_understand_is_an_error_that_names_it(text: str) -> None:
    with pytest.raises(ValueError, match="x-standin"):
        behaviour_of(text, "")
