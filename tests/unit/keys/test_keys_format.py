"""The shape of a key: drawing, reading back, masking, digesting."""

import hashlib
import hmac
import re
import zlib

import pytest

from tokenward.kernel.ids import Dice, base62_number
from tokenward.kernel.secret import Secret
from tokenward.keys.format import digest, draw_key, draw_secret, mask, read_key_id

VECTOR = "tw_sk_AbCdEf0123450123456789ABCDEFGHIJKLMNOPQRSTUV1O4WGs"


class ZeroDice:
    def below(self, limit: int) -> int:
        assert limit == 62
        return 0


def with_checksum(body: str) -> str:
    return body + base62_number(zlib.crc32(body.encode()), 6)


def test_the_published_vector_is_a_key() -> None:
    assert read_key_id(VECTOR) == "AbCdEf012345"
    assert read_key_id(VECTOR.encode()) == "AbCdEf012345"


def test_a_drawn_key_matches_the_scanner_pattern_and_carries_its_id(dice: Dice) -> None:
    key_id, key = draw_key(dice)
    text = key.reveal()
    assert re.fullmatch(r"\btw_sk_[0-9A-Za-z]{50}\b", text)
    assert text[6:18] == key_id == read_key_id(text)
    assert len(text) == 56


@pytest.mark.parametrize("prefix", ["tw_ec_", "tw_rt_"])
def test_codes_and_refresh_tokens_are_of_the_same_form_and_never_taken_for_keys(
    dice: Dice, prefix: str
) -> None:
    key_id, key = draw_key(dice)
    text = draw_secret(key_id, dice, prefix).reveal()
    assert text.startswith(prefix)
    assert read_key_id(text, prefix) == key_id
    assert read_key_id(text) is None
    assert read_key_id(key.reveal(), prefix) is None


def test_a_second_secret_of_an_id_is_another_key_with_the_same_id(dice: Dice) -> None:
    key_id, key = draw_key(dice)
    again = draw_secret(key_id, dice).reveal()
    assert read_key_id(again) == key_id
    assert again != key.reveal()


def test_the_checksum_is_padded_so_that_every_key_has_the_same_length() -> None:
    _, key = draw_key(ZeroDice())
    assert key.reveal() == with_checksum("tw_sk_" + "0" * 44)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tw_sk_",
        VECTOR[:-1],
        VECTOR + "x",
        VECTOR + "\n",
        " " + VECTOR[:-1],
        VECTOR.lower(),
        VECTOR.replace("tw_sk_", "tw_rt_"),
        VECTOR.replace("tw_sk_", "TW_SK_"),
        VECTOR[:20] + "\x00" + VECTOR[21:],
        VECTOR[:20] + "é" + VECTOR[21:],
        VECTOR[:20] + "\u0661" + VECTOR[21:],
        VECTOR[:20] + "\ud800" + VECTOR[21:],
        VECTOR[:20] + "-" + VECTOR[21:],
        VECTOR[:-6] + "000000",
        "x" * 1_000_000,
    ],
)
def test_what_is_not_quite_a_key_has_no_id(text: str) -> None:
    assert read_key_id(text) is None


def test_a_sound_checksum_does_not_excuse_a_wrong_alphabet_or_prefix() -> None:
    assert read_key_id(with_checksum("tw_sk_" + "-" * 44)) is None
    assert read_key_id(with_checksum("tw_rt_" + "0" * 44)) is None


@pytest.mark.parametrize("key", [b"\xff" * 56, b"\x00" * 56, b"tw_sk_" + b"\xe9" * 50])
def test_hostile_bytes_have_no_id(key: bytes) -> None:
    assert read_key_id(key) is None


def test_the_checksum_covers_the_prefix_unlike_other_vendors_formats() -> None:
    body = VECTOR[:-6]
    assert VECTOR[-6:] == base62_number(zlib.crc32(body.encode()), 6)
    assert VECTOR[-6:] != base62_number(zlib.crc32(body[6:].encode()), 6)


@pytest.mark.req("K-3")
def test_the_digest_is_hmac_sha256_of_the_whole_key_under_the_pepper(pepper: Secret) -> None:
    expected = hmac.new(pepper.reveal().encode(), VECTOR.encode(), hashlib.sha256).digest()
    assert digest(VECTOR, pepper) == expected
    assert digest(VECTOR, Secret("another", "pepper")) != expected


@pytest.mark.req("K-3")
def test_a_drawn_key_cannot_be_printed_only_its_mask_can(dice: Dice) -> None:
    key_id, key = draw_key(dice)
    assert mask(key_id) == f"tw_sk_{key_id}…"
    for shown in (repr(key), str(key), f"{key}", f"{key!r:>80}", f"{[key]}"):
        assert key_id in shown
        assert key.reveal()[18:] not in shown
