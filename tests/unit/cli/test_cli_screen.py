"""Screens are aligned, short and cannot be steered by what they show."""

from tokenward.cli.screen import CELL_CHARS_MAX, clean, facts, moment, plural, table


def test_columns_are_aligned_and_lines_have_no_tail() -> None:
    text = table(("NAME", ">COST"), [("a", "$1.00"), ("longer", "$100.00")])
    assert text.splitlines() == [
        "NAME        COST",
        "a          $1.00",
        "longer   $100.00",
    ]


def test_control_signs_never_reach_a_terminal() -> None:
    assert clean("a\x1b[31mb\nc\u202e") == "a?[31mb?c?"
    assert len(clean("x" * 500)) == CELL_CHARS_MAX


def test_amounts_times_and_numbers_read_well() -> None:
    assert facts({"spent_nusd": 1_230_000_000, "share": 500}) == "spent $1.23, share 500"
    assert facts({"models": ["gpt-5", "o3"], "why": "", "rpm": None}) == "models gpt-5 o3"
    assert moment("2026-01-02T03:04:05.678Z") == "2026-01-02T03:04:05Z"
    assert moment(None, "never") == "never"
    assert (plural(1, "key"), plural(2, "key")) == ("1 key", "2 keys")
