"""Refresh tokens: the rotation table as a pure function."""

from dataclasses import replace

import pytest

from tokenward.kernel.secret import Secret
from tokenward.keys.families import (
    OTHER_HOLDER,
    REUSED,
    Family,
    Lifetimes,
    Presented,
    end,
    read_refresh_token,
    redeem,
    refresh_token,
)
from tokenward.keys.format import KEY_CHARS, read_key_id

NOW_MS = 1_795_000_000_000
DAY_MS = 86_400_000
STRICT = Lifetimes(300_000, 30 * DAY_MS, 180 * DAY_MS, 0)
GRACE = replace(STRICT, grace_ms=10_000)
FAMILY = Family(
    id="AbCdEf012345", key_id="k" * 12, kind="dpop", thumbprint="t" * 43, got_by="holder",
    scope="", number=5, created_ms=NOW_MS - DAY_MS, used_ms=NOW_MS - 5_000,
    ends_ms=NOW_MS + DAY_MS,
)  # fmt: skip
DEAD = end(FAMILY, REUSED, NOW_MS - 1)


@pytest.mark.parametrize(
    ("family", "number", "thumbprint", "lifetimes", "did", "why"),
    [
        (FAMILY, 5, "t", STRICT, "rotated", ""),
        (FAMILY, 4, "t", STRICT, "ended", REUSED),
        (FAMILY, 0, "t", STRICT, "ended", REUSED),
        (FAMILY, 4, "t", GRACE, "again", ""),
        (FAMILY, 3, "t", GRACE, "ended", REUSED),
        (replace(FAMILY, used_ms=NOW_MS - 10_000), 4, "t", GRACE, "ended", REUSED),
        (FAMILY, 5, "o", STRICT, "ended", OTHER_HOLDER),
        (FAMILY, 4, "o", GRACE, "ended", OTHER_HOLDER),
        (FAMILY, 6, "t", STRICT, "refused", ""),
        (FAMILY, 6, "o", STRICT, "refused", ""),
        (DEAD, 5, "t", GRACE, "refused", REUSED),
        (DEAD, 4, "o", GRACE, "refused", REUSED),
        (replace(FAMILY, ends_ms=NOW_MS), 5, "t", STRICT, "refused", ""),
        (replace(FAMILY, used_ms=NOW_MS - 30 * DAY_MS), 5, "t", STRICT, "refused", ""),
    ],
)  # fmt: skip
def test_the_rotation_table(
    family: Family, number: int, thumbprint: str, lifetimes: Lifetimes, did: str, why: str
) -> None:
    turn = redeem(family, number, "dpop", thumbprint * 43, NOW_MS, lifetimes)
    assert (turn.did, turn.family.ended_why) == (did, why)
    assert turn.family.number == family.number + (did == "rotated")
    if did in ("again", "refused"):
        assert turn.family is family


def test_a_certificate_is_another_holder_even_with_the_same_thumbprint() -> None:
    turn = redeem(FAMILY, 5, "mtls", "t" * 43, NOW_MS, STRICT)
    assert turn.family.ended_why == OTHER_HOLDER


def test_what_ended_keeps_its_first_reason() -> None:
    assert end(DEAD, "another", NOW_MS) is DEAD


def test_each_number_has_its_own_token_which_can_be_made_again(pepper: Secret) -> None:
    texts = [refresh_token(FAMILY.id, number, pepper).reveal() for number in range(50)]
    assert len(set(texts)) == 50
    for number, text in enumerate(texts):
        assert len(text) == KEY_CHARS
        assert text.startswith("tw_rt_" + FAMILY.id)
        assert read_refresh_token(text, pepper) == Presented(FAMILY.id, number)
        assert read_key_id(text) is None  # it is no key


def test_a_token_that_was_not_made_here_is_none(pepper: Secret) -> None:
    text = refresh_token(FAMILY.id, 1, pepper).reveal()
    assert read_refresh_token(text, Secret("another", "x")) is None
    assert read_refresh_token(text[:-1], pepper) is None
    assert read_refresh_token("tw_sk_" + text[6:], pepper) is None
    assert "reveal" not in repr(refresh_token(FAMILY.id, 1, pepper))
    assert text not in repr(refresh_token(FAMILY.id, 1, pepper))
