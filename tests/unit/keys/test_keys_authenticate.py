"""Who is calling: where keys are found, and what strangers and holders are told."""

import hmac
import zlib
from dataclasses import replace

import pytest

from tokenward.kernel.ids import Dice, base62_number
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys.authenticate import authenticate, presented_key
from tokenward.keys.format import PREFIX, digest, draw_key, draw_secret, read_key_id
from tokenward.keys.life import KeyDraft, create, freeze, revoke, rotate
from tokenward.keys.records import OLD_SECRETS_MAX, KeyRecord

NOW = 1_767_322_800_000


@pytest.fixture
def known(dice: Dice, pepper: Secret) -> tuple[KeyRecord, str]:
    created = create(KeyDraft(project="shop", lifetime_ms=1_000), dice, pepper, NOW)
    return created.record, created.key.reveal()


def refused(outcome: KeyRecord | Refusal) -> Refusal:
    assert isinstance(outcome, Refusal)
    return outcome


def frozen(record: KeyRecord) -> KeyRecord:
    stopped = freeze(record, "looked odd")
    assert isinstance(stopped, KeyRecord)
    return stopped


# Where SDKs put keys


@pytest.mark.parametrize(
    "headers",
    [
        {b"authorization": b"Bearer tw_sk_x"},
        {b"authorization": b"bearer tw_sk_x"},
        {b"authorization": b"BEARER   tw_sk_x "},
        {b"x-api-key": b"tw_sk_x"},
        {b"x-goog-api-key": b" tw_sk_x"},
        {b"api-key": b"tw_sk_x"},
        {b"authorization": b"Bearer tw_sk_x", b"x-api-key": b"tw_sk_x", b"api-key": b"tw_sk_x"},
        {b"authorization": b"Bearer tw_sk_x", b"x-api-key": b""},
        {b"authorization": b"Basic dXNlcjpwYXNz", b"x-api-key": b"tw_sk_x"},
    ],
)
def test_a_key_is_found_wherever_sdks_put_it(headers: dict[bytes, bytes]) -> None:
    assert presented_key(headers) == "tw_sk_x"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {b"authorization": b""},
        {b"authorization": b"Bearer"},
        {b"authorization": b"Bearer   "},
        {b"authorization": b"tw_sk_x"},
        {b"authorization": b"Basic dXNlcjpwYXNz"},
        {b"x-api-key": b"  "},
        {b"cookie": b"tw_sk_x", b"x-key": b"tw_sk_x"},
    ],
)
def test_a_request_without_a_key_carries_none(headers: dict[bytes, bytes]) -> None:
    assert presented_key(headers) is None


def test_two_different_keys_in_one_request_are_refused_like_a_strangers() -> None:
    outcome = presented_key({b"authorization": b"Bearer tw_sk_a", b"x-api-key": b"tw_sk_b"})
    assert isinstance(outcome, Refusal)
    assert (outcome.code, outcome.shown_code, outcome.status) == (
        "key:malformed",
        "key:invalid",
        401,
    )


@pytest.mark.parametrize("value", [b"\x00", b"\xff\xfe", b"\xe2\x80\xae", b"a" * 100_000, b"a,b"])
def test_hostile_bytes_in_a_key_header_are_a_malformed_key(value: bytes, pepper: Secret) -> None:
    text = presented_key({b"x-api-key": value})
    assert isinstance(text, str)
    assert refused(authenticate(text, None, pepper, NOW)).code == "key:malformed"


# What strangers learn


@pytest.mark.req("K-3")
def test_unknown_malformed_missing_wrong_and_revoked_keys_look_alike_and_differ_in_the_record(
    known: tuple[KeyRecord, str], dice: Dice, pepper: Secret
) -> None:
    record, text = known
    wrong = draw_secret(record.id, dice).reveal()
    outcomes = [
        refused(authenticate(None, None, pepper, NOW)),
        refused(authenticate(text[:-1] + "~", None, pepper, NOW)),
        refused(authenticate(text, None, pepper, NOW)),
        refused(authenticate(wrong, record, pepper, NOW)),
        refused(authenticate(text, revoke(record, "leaked"), pepper, NOW)),
        refused(authenticate(wrong, revoke(record, "leaked"), pepper, NOW)),
    ]
    assert [outcome.code for outcome in outcomes] == [
        "key:malformed",
        "key:malformed",
        "key:unknown",
        "key:unknown",
        "key:revoked",
        "key:unknown",
    ]
    faces = {replace(outcome, code="x:y") for outcome in outcomes}
    assert len(faces) == 1
    face = faces.pop()
    assert (face.shown_code, face.status, face.should_retry) == ("key:invalid", 401, False)
    assert face.facts == ()


def test_a_wrong_secret_is_never_told_that_the_key_is_frozen_or_expired(
    known: tuple[KeyRecord, str], dice: Dice, pepper: Secret
) -> None:
    record, _ = known
    wrong = draw_secret(record.id, dice).reveal()
    for state in (record, frozen(record)):
        for now_ms in (NOW, NOW + 10_000):
            assert refused(authenticate(wrong, state, pepper, now_ms)).code == "key:unknown"


def test_an_unknown_id_costs_the_same_digests_and_comparisons_as_a_wrong_secret(
    known: tuple[KeyRecord, str], dice: Dice, pepper: Secret, monkeypatch: pytest.MonkeyPatch
) -> None:
    record, text = known
    wrong = draw_secret(record.id, dice).reveal()
    rotated = rotate(record, dice, pepper, 10_000, NOW)
    assert not isinstance(rotated, Refusal)
    work: list[str] = []
    compare, sign = hmac.compare_digest, Secret.mac

    def counting_compare(a: bytes, b: bytes) -> bool:
        work.append(f"compare {len(a)} {len(b)}")
        return compare(a, b)

    def counting_mac(self: Secret, message: bytes) -> bytes:
        work.append(f"digest {len(message)}")
        return sign(self, message)

    monkeypatch.setattr(hmac, "compare_digest", counting_compare)
    monkeypatch.setattr(Secret, "mac", counting_mac)
    costs = []
    for shown, held in [
        (text, None),
        (wrong, record),
        (wrong, rotated[0]),
        (wrong, revoke(record, "")),
        (text, record),
    ]:
        work.clear()
        authenticate(shown, held, pepper, NOW)
        costs.append(tuple(work))
    assert len(set(costs)) == 1
    assert len(costs[0]) == 1 + 1 + OLD_SECRETS_MAX


# What holders learn


def test_the_right_secret_of_a_live_key_gives_its_record(
    known: tuple[KeyRecord, str], pepper: Secret
) -> None:
    record, text = known
    assert authenticate(text, record, pepper, NOW + 999) is record


def test_the_holder_of_a_frozen_key_learns_how_to_undo_it_but_not_why(
    known: tuple[KeyRecord, str], pepper: Secret
) -> None:
    record, text = known
    refusal = refused(authenticate(text, frozen(record), pepper, NOW))
    assert (refusal.code, refusal.shown_code, refusal.status) == ("key:frozen", "key:frozen", 403)
    assert f"tokenward key unfreeze {record.id}" in refusal.message
    assert "looked odd" not in refusal.message


def test_the_holder_of_an_expired_key_learns_when_it_ended(
    known: tuple[KeyRecord, str], pepper: Secret
) -> None:
    record, text = known
    refusal = refused(authenticate(text, record, pepper, NOW + 1_000))
    assert (refusal.code, refusal.shown_code, refusal.status) == ("key:expired", "key:expired", 401)
    assert "2026-01-02T03:00:01.000Z" in refusal.message


def test_no_refusal_ever_shows_the_secret_or_the_digest(
    known: tuple[KeyRecord, str], pepper: Secret
) -> None:
    record, text = known
    for held in (None, frozen(record), revoke(record, "")):
        shown = repr(authenticate(text, held, pepper, NOW + 10_000))
        assert text[18:50] not in shown
        assert record.digest.hex() not in shown


@pytest.mark.req("K-3")
def test_the_stored_digest_is_not_a_credential(
    known: tuple[KeyRecord, str], pepper: Secret
) -> None:
    record, _ = known
    for stolen in (record.digest.hex(), record.digest.decode("latin-1")):
        assert isinstance(authenticate(stolen, record, pepper, NOW), Refusal)


@pytest.mark.req("K-3")
def test_a_records_repr_shows_no_digest(known: tuple[KeyRecord, str]) -> None:
    record, text = known
    assert str(record.digest) not in repr(record)
    assert "digest" not in repr(record)
    assert text not in repr(record)


# Never confused


@pytest.mark.req("S-3")
@pytest.mark.parametrize("shared", [20, 40, 49])
def test_keys_that_share_their_first_characters_are_never_confused(
    shared: int, dice: Dice, pepper: Secret
) -> None:
    """49 of the 50 characters that are not checksum: n - 1."""
    key_id, key = draw_key(dice)
    record = KeyRecord(
        id=key_id,
        digest=digest(key.reveal(), pepper),
        account="a",
        project="p",
        created_ms=NOW,
    )
    twin = key.reveal()
    while twin[:50] == key.reveal()[:50]:
        twin = key.reveal()[:shared] + draw_secret(key_id, dice).reveal()[shared:50]
        twin = resealed(twin)
    assert twin[:shared] == key.reveal()[:shared]
    assert read_key_id(twin) == key_id
    assert authenticate(key.reveal(), record, pepper, NOW) is record
    assert refused(authenticate(twin, record, pepper, NOW)).code == "key:unknown"


@pytest.mark.req("S-3")
def test_one_changed_checksum_character_is_malformed(
    known: tuple[KeyRecord, str], pepper: Secret
) -> None:
    record, text = known
    near = text[:-1] + ("0" if text[-1] != "0" else "1")
    assert refused(authenticate(near, record, pepper, NOW)).code == "key:malformed"


def resealed(body: str) -> str:
    """The body with the checksum that belongs to it."""

    assert body.startswith(PREFIX)
    return body + base62_number(zlib.crc32(body.encode()), 6)
