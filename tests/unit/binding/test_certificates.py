"""What a certificate says of itself, and that nothing else gets through."""

import base64
import datetime as dt
import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certificates import CLIENTS, HOUR, SERVERS, Pair, authority, make
from tokenward.binding.certificates import (
    DER_BYTES_MAX,
    certificate_thumbprint,
    check_certificate,
    read_certificate,
)

NOW_MS = round(dt.datetime.now(dt.UTC).timestamp() * 1000)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("certificates")


@pytest.fixture(scope="module")
def client(folder: Path) -> Pair:
    return make(folder, "client", authority(folder))


def why_not(pair: Pair, at_ms: int = NOW_MS) -> str:
    """The message of the refusal, "" without one."""
    certificate = read_certificate(pair.der)
    assert certificate is not None
    refusal = check_certificate(certificate, at_ms)
    if refusal is None:
        return ""
    assert (refusal.code, refusal.status) == ("proof:invalid", 401)
    assert refusal.challenge.startswith('Bearer error="invalid_token"')
    return refusal.message


def test_the_thumbprint_is_the_unpadded_base64url_of_the_sha256_of_the_der(client: Pair) -> None:
    said = base64.urlsafe_b64encode(hashlib.sha256(client.der).digest()).decode().rstrip("=")
    certificate = read_certificate(client.der)
    assert certificate is not None
    assert certificate.thumbprint == certificate_thumbprint(client.der) == said


@pytest.mark.parametrize("usage", [CLIENTS, None])
def test_a_callers_certificate_is_good(folder: Path, usage: object) -> None:
    assert why_not(make(folder, "good", usage=usage)) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize("wish", [{"usage": SERVERS}, {"is_ca": True, "usage": None}])
def test_one_that_is_for_something_else_is_refused(folder: Path, wish: dict[str, object]) -> None:
    pair = make(folder, "other", **wish)  # type: ignore[arg-type]
    said = "clientAuth" if "is_ca" not in wish else "certificate authority"
    assert said in why_not(pair)


def test_it_counts_from_its_first_second_to_its_last(client: Pair) -> None:
    first_ms = round(client.certificate.not_valid_before_utc.timestamp()) * 1000
    last_ms = round(client.certificate.not_valid_after_utc.timestamp()) * 1000 + 999
    assert "not valid yet" in why_not(client, first_ms - 1)
    assert why_not(client, first_ms) == ""
    assert why_not(client, last_ms) == ""
    assert "has expired" in why_not(client, last_ms + 1)


def test_one_that_ended_long_ago_is_refused(folder: Path) -> None:
    assert "has expired" in why_not(make(folder, "old", begins=-9 * HOUR, ends=-HOUR))


def test_the_end_of_all_times_can_be_read(folder: Path) -> None:
    end = dt.datetime(9999, 12, 31, 23, 59, 59, tzinfo=dt.UTC)
    pair = make(folder, "eternal", ends=end - dt.datetime.now(dt.UTC) - HOUR)
    assert why_not(pair) == ""


def test_what_follows_or_lacks_a_byte_is_no_certificate(client: Pair) -> None:
    assert read_certificate(client.der + b"\x00") is None
    assert read_certificate(client.der[:-1]) is None
    assert read_certificate(b"") is None


def test_one_that_is_very_large_is_not_read() -> None:
    assert read_certificate(b"\x30" * (DER_BYTES_MAX + 1)) is None


@pytest.mark.filterwarnings("ignore::UserWarning")  # cryptography names some oddities so
@given(place=st.integers(0, 400), byte=st.integers(0, 255))
def test_a_changed_byte_never_raises(client: Pair, place: int, byte: int) -> None:
    changed = bytearray(client.der)
    changed[place % len(changed)] = byte
    certificate = read_certificate(bytes(changed))
    if certificate is not None and bytes(changed) != client.der:
        assert certificate.thumbprint != client.thumbprint


@given(st.binary(max_size=400))
def test_bytes_that_are_no_certificate_never_raise(noise: bytes) -> None:
    assert read_certificate(noise) is None
