"""Access tokens as values: made, known again, and held against the key as it is now."""

from dataclasses import replace

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tokenward.kernel import jws
from tokenward.kernel.jwk import sign
from tokenward.kernel.refusals import Refusal
from tokenward.keys import access_tokens
from tokenward.keys.access_tokens import (
    CACHED_MAX,
    HOLDER,
    AccessToken,
    AccessTokens,
    authenticate_token,
    binding_of,
    secret_mark,
    signing_key,
)
from tokenward.keys.records import Caveats, KeyRecord, OldSecret
from tokenward.keys.scopes import Scope

NOW_MS = 1_795_000_000_000
ISSUER = "https://guard.test"
MASTER = b"master key of a test"
RECORD = KeyRecord(
    id="AbCdEf012345", digest=b"d" * 32, account="a", project="p", created_ms=1, holder="t" * 43
)
TOKEN = AccessToken(
    key_id=RECORD.id, jti="j" * 20, kind="dpop", thumbprint="t" * 43,
    got_by=secret_mark(RECORD.digest), scope=Scope(models=("gpt-*",)), issued_ms=NOW_MS,
    expires_ms=NOW_MS + 300_000, family="f" * 12, parent="p" * 20,
)  # fmt: skip


def tokens(issuer: str = ISSUER, *masters: bytes) -> AccessTokens:
    first, *others = [signing_key(master) for master in masters or (MASTER,)]
    return AccessTokens(first, others, lambda: issuer)


def bound(bind: str, **more: object) -> KeyRecord:
    return replace(RECORD, caveats=Caveats(bind=bind), **more)  # type: ignore[arg-type]


def test_what_is_minted_is_read_back() -> None:
    assert tokens().read(tokens().mint(TOKEN)) == TOKEN
    plain = msgspec.structs.replace(TOKEN, family="", parent="", scope=Scope(), kind="mtls")
    assert tokens().read(tokens().mint(plain)) == plain


def test_the_same_master_makes_the_same_key_on_every_gateway_and_another_one_does_not() -> None:
    assert tokens().kid == tokens().kid
    assert tokens().kid != tokens(ISSUER, b"another").kid
    assert tokens(ISSUER, b"another").read(tokens().mint(TOKEN)) is None


def test_the_key_before_a_change_still_verifies_and_no_longer_signs() -> None:
    text, changed = tokens().mint(TOKEN), tokens(ISSUER, b"new", MASTER)
    assert changed.read(text) == TOKEN
    assert len(changed.jwks()["keys"]) == 2  # type: ignore[arg-type]
    assert tokens(ISSUER, b"new").read(changed.mint(TOKEN)) == TOKEN
    assert tokens().read(changed.mint(TOKEN)) is None


@pytest.mark.parametrize("issuer", ["https://other.test", ISSUER + "/", ""])
def test_a_token_of_another_guard_is_none_of_ours(issuer: str) -> None:
    assert tokens().read(tokens(issuer).mint(TOKEN)) is None


@pytest.mark.parametrize(
    ("header", "claims"),
    [
        ({"typ": "JWT"}, {}), ({"typ": None}, {}), ({"alg": "ES384"}, {}), ({"kid": "x"}, {}),
        ({"kid": None}, {}), ({"crit": ["x"]}, {}), ({}, {"aud": "x"}), ({}, {"iss": "x"}),
        ({}, {"aud": [ISSUER]}), ({}, {"cnf": None}), ({}, {"cnf": {}}), ({}, {"cnf": {"jkt": 1}}),
        ({}, {"cnf": {"jkt": "x", "x5t#S256": "y"}}), ({}, {"exp": "x"}), ({}, {"exp": True}),
        ({}, {"exp": 1.5}), ({}, {"iat": None}), ({}, {"jti": None}), ({}, {"sub": 1}),
        ({}, {"tw_by": None}), ({}, {"scope": "admin"}), ({}, {"scope": 1}),
    ],
)  # fmt: skip
def test_even_signed_by_us_a_token_must_be_an_access_token(
    header: dict[str, object], claims: dict[str, object]
) -> None:
    compact = jws.read_compact(tokens().mint(TOKEN).encode(), 4096)
    text = jws.write_compact(
        {**compact.header, **header},  # type: ignore[dict-item]
        {**compact.claims, **claims},  # type: ignore[dict-item]
        lambda signed: sign(signing_key(MASTER), signed),
    )
    assert tokens().read(text) is None


def test_a_signature_by_somebody_else_is_none() -> None:
    thief = ec.generate_private_key(ec.SECP256R1())
    compact = jws.read_compact(tokens().mint(TOKEN).encode(), 4096)
    text = jws.write_compact(compact.header, compact.claims, lambda signed: sign(thief, signed))
    assert tokens().read(text) is None


def test_memory_of_tokens_is_bounded() -> None:
    ours = tokens()
    first = ours.mint(TOKEN)
    ours._cached.update({str(n).encode(): TOKEN for n in range(CACHED_MAX)})
    assert ours.read(first) == TOKEN
    assert len(ours._cached) == CACHED_MAX


def test_a_token_is_good_in_its_time() -> None:
    assert authenticate_token(TOKEN, RECORD, NOW_MS) is RECORD
    assert authenticate_token(TOKEN, RECORD, NOW_MS - 60_000) is RECORD
    assert authenticate_token(TOKEN, RECORD, NOW_MS - 60_001) is access_tokens.INVALID
    assert authenticate_token(TOKEN, RECORD, NOW_MS + 299_999) is RECORD
    assert authenticate_token(TOKEN, RECORD, NOW_MS + 300_000) is access_tokens.EXPIRED
    assert authenticate_token(TOKEN, None, NOW_MS) is access_tokens.INVALID


@pytest.mark.parametrize("state", ["frozen", "revoked"])
def test_a_stopped_key_stops_its_tokens(state: str) -> None:
    said = authenticate_token(TOKEN, replace(RECORD, state=state), NOW_MS)
    assert isinstance(said, Refusal)
    assert said.code == f"key:{state}"
    ended = authenticate_token(TOKEN, replace(RECORD, expires_ms=NOW_MS), NOW_MS)
    assert isinstance(ended, Refusal)
    assert (ended.code, ended.challenge[:4]) == ("key:expired", "DPoP")


def test_a_token_is_as_good_as_the_secret_it_was_got_with() -> None:
    old = OldSecret(RECORD.digest, NOW_MS + 1_000)
    rotated = replace(RECORD, digest=b"e" * 32, old_secrets=(old,))
    assert authenticate_token(TOKEN, rotated, NOW_MS) is rotated
    assert authenticate_token(TOKEN, rotated, NOW_MS + 1_000) is access_tokens.REVOKED


@pytest.mark.parametrize(
    ("bind", "kind", "holder", "got_by", "is_good"),
    [
        ("none", "dpop", "", "secret", True), ("none", "mtls", "", "secret", True),
        ("dpop", "dpop", "same", "secret", True), ("dpop", "dpop", "other", "secret", False),
        ("dpop", "dpop", "", "secret", False), ("dpop", "mtls", "same", "secret", False),
        ("mtls", "mtls", "same", "secret", True), ("mtls", "dpop", "same", "secret", False),
        ("dpop", "dpop", "same", HOLDER, True), ("dpop", "dpop", "other", HOLDER, False),
        ("none", "dpop", "same", HOLDER, False), ("dpop", "dpop", "other", "workload:ci", True),
    ],
)  # fmt: skip
def test_a_token_for_a_bound_key_is_good_for_the_keys_holder_of_now(
    bind: str, kind: str, holder: str, got_by: str, is_good: bool
) -> None:
    record = bound(bind, holder={"same": "t" * 43, "other": "o" * 43, "": ""}[holder])
    token = msgspec.structs.replace(
        TOKEN, kind=kind, got_by=TOKEN.got_by if got_by == "secret" else got_by
    )
    assert (authenticate_token(token, record, NOW_MS) is record) == is_good


def test_what_a_call_must_show_follows_from_the_token_and_its_key() -> None:
    certificate = msgspec.structs.replace(TOKEN, kind="mtls")
    assert binding_of(TOKEN, RECORD) == "dpop"
    assert binding_of(TOKEN, bound("dpop+body")) == "dpop+body"
    assert binding_of(certificate, RECORD) == "mtls"
    assert TOKEN.names == ("token:" + "j" * 20, "family:" + "f" * 12, "token:" + "p" * 20)
