"""JA4 values: their form, and whose ciphers they name."""

import pytest

from tokenward.signals.ja4 import read_ja4, stack_of


@pytest.mark.parametrize(
    ("value", "is_one"),
    [
        (b"t13d1812h1_85036bcba153_d41ae481755e", True),
        (b"q13i0310h3_55b375c5d22e_cd85d2d88918", True),
        (b"t13d131100_f57a46bbacb6_a089bac06eae", True),
        (b"", False),
        (b"t13d1812h1_85036BCBA153_d41ae481755e", False),
        (b"t13d1812h1_85036bcba153_d41ae481755e, x", False),
        (b"t13d1812h1_85036bcba153", False),
        (b"x" * 100_000, False),
        (b"\xff\x00", False),
    ],
)
def test_only_what_has_the_form_is_taken(value: bytes, is_one: bool) -> None:
    assert read_ja4(value) == (value.decode("ascii") if is_one else "")


def test_resumption_does_not_make_another_stack() -> None:
    first, resumed = "t13d5911h1_a33745022dd6_1f22a2ca17c4", "t13d5912h1_a33745022dd6_dbd39dd1d406"
    assert stack_of(first) == stack_of(resumed) == "node"
    assert stack_of("t13d5911h1_000000000000_1f22a2ca17c4") == ""
    assert stack_of("") == ""
