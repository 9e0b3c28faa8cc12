"""The verifier as a pure function of what was shown and of now."""

from dataclasses import replace
from typing import Any

import pytest

from holder import ALGORITHMS, Holder, ath_of
from tokenward.binding import wording
from tokenward.binding.addresses import PublicUrls
from tokenward.binding.dpop import (
    AGE_MS_MAX,
    AHEAD_MS_MAX,
    REMEMBERED_MS,
    DpopVerifier,
    Proof,
    Shown,
    access_token_hash,
)
from tokenward.binding.interfaces import Epoch
from tokenward.binding.nonces import SPAN_MS, Nonces
from tokenward.kernel.jwk import PublicKeys
from tokenward.kernel.refusals import Refusal

NOW_MS = 1_795_000_000_000
KEY = "tw_sk_0123456789"
PATH = "/v1/messages"
EPOCH = Epoch(bytes(range(32)), 0)
NONCES = Nonces(lambda: EPOCH)
HOLDER = Holder()
URLS = ("https://server.example.com", "https://resource.example.org", "https://guard.example")
RFC_JWK = (
    "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0Vj"
    "NoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5"
    "VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
)
RFC_THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"
RFC_TOKEN = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU"
RFC_AT_TOKEN_ENDPOINT = (
    RFC_JWK + ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmV"
    "yLmV4YW1wbGUuY29tL3Rva2VuIiwiaWF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqR"
    "MUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
)
RFC_AT_RESOURCE = (
    RFC_JWK + ".eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJ"
    "jZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM"
    "0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1ple"
    "mAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA"
)


def verifier(*, requires_nonce: bool = True, since_ms: int = 0) -> DpopVerifier:
    epoch = replace(EPOCH, since_ms=since_ms)
    nonces = Nonces(lambda: epoch)
    return DpopVerifier(PublicUrls(URLS), nonces, PublicKeys(), requires_nonce=requires_nonce)


def claims(**changes: Any) -> dict[str, Any]:
    """Right claims at `NOW_MS`; None takes one away."""
    right = {
        "jti": "1",
        "htm": "POST",
        "htu": "https://guard.example" + PATH,
        "iat": NOW_MS // 1000,
        "ath": ath_of(KEY),
        "nonce": NONCES.current(NOW_MS),
    }
    return {name: value for name, value in (right | changes).items() if value is not None}


def shown(proof: str, holder: Holder = HOLDER) -> Shown:
    return Shown(
        proofs=(proof.encode(),),
        method="POST",
        path=PATH,
        credential=KEY,
        thumbprint=holder.thumbprint,
    )


def checked(now_ms: int = NOW_MS, **changes: Any) -> Proof | Refusal:
    return verifier().check(shown(HOLDER.proof(claims(**changes))), now_ms)


def test_the_proof_of_rfc_9449_section_4_1_is_good_at_its_time() -> None:
    at_token = Shown(proofs=(RFC_AT_TOKEN_ENDPOINT.encode(),), method="POST", path="/token")
    proof = verifier(requires_nonce=False).check(at_token, 1_562_262_616_000)
    assert isinstance(proof, Proof)
    assert proof.thumbprint == RFC_THUMBPRINT
    assert verifier(requires_nonce=False).check(at_token, NOW_MS) is wording.OUT_OF_TIME
    assert verifier().check(at_token, 1_562_262_616_000) is wording.NONCE_WANTED


def test_the_proof_of_rfc_9449_section_7_1_is_good_for_its_token() -> None:
    at_resource = Shown(
        proofs=(RFC_AT_RESOURCE.encode(),),
        method="GET",
        path="/protectedresource",
        credential=RFC_TOKEN,
        thumbprint=RFC_THUMBPRINT,
    )
    check = verifier(requires_nonce=False).check
    assert isinstance(check(at_resource, 1_562_262_618_000), Proof)
    for wrong in ({"credential": RFC_TOKEN + "x"}, {"method": "POST"}, {"path": "/other"}):
        refusal = check(replace(at_resource, **wrong), 1_562_262_618_000)
        assert isinstance(refusal, Refusal)
        assert refusal.code == "proof:invalid"
    other = replace(at_resource, thumbprint=HOLDER.thumbprint)
    assert check(other, 1_562_262_618_000) is wording.OTHER_HOLDER


def test_the_hash_of_rfc_9449_section_7_1_is_ours() -> None:
    assert access_token_hash(RFC_TOKEN) == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"


@pytest.mark.parametrize("algorithm", [*ALGORITHMS, "EdDSA"])
def test_a_proof_by_another_library_is_good(algorithm: str) -> None:
    holder = Holder(algorithm)
    made = claims(content_digest="x")
    # joserfc warns of the old name, `EdDSA` (RFC 9864), which clients still send
    text = holder.proof(made) if algorithm == "EdDSA" else holder.proof_by_oracle(made)
    proof = verifier().check(shown(text, holder), NOW_MS)
    assert isinstance(proof, Proof)
    assert proof.thumbprint == holder.thumbprint
    assert proof.content_digest == "x"
    assert proof.until_ms == NOW_MS + REMEMBERED_MS


def test_a_proof_is_good_for_a_minute_back_and_five_seconds_ahead() -> None:
    made_s = NOW_MS // 1000
    for now_ms, is_good in (
        (made_s * 1000 + AGE_MS_MAX, True),
        (made_s * 1000 + AGE_MS_MAX + 1, False),
        (made_s * 1000 - AHEAD_MS_MAX, True),
        (made_s * 1000 - AHEAD_MS_MAX - 1, False),
    ):
        proof = checked(now_ms, nonce=NONCES.current(now_ms))
        assert proof is wording.OUT_OF_TIME if not is_good else isinstance(proof, Proof)


def test_its_use_is_remembered_for_longer_than_it_is_good() -> None:
    assert REMEMBERED_MS >= AGE_MS_MAX + AHEAD_MS_MAX + 10_000


def test_a_nonce_is_good_for_its_five_minutes_and_the_next() -> None:
    for spans, is_good in ((0, True), (1, True), (2, False), (3, False), (-1, False)):
        proof = checked(nonce=NONCES.current(NOW_MS - spans * SPAN_MS))
        assert proof is wording.NONCE_WANTED if not is_good else isinstance(proof, Proof)


def test_without_nonces_a_wrong_one_still_counts() -> None:
    relaxed = verifier(requires_nonce=False)
    assert isinstance(relaxed.check(shown(HOLDER.proof(claims(nonce=None))), NOW_MS), Proof)
    stale = shown(HOLDER.proof(claims(nonce="x")))
    assert relaxed.check(stale, NOW_MS) is wording.NONCE_WANTED


@pytest.mark.parametrize(
    ("ahead_ms", "is_good"), [(-1, False), (0, False), (AHEAD_MS_MAX - 1, False), (6_000, True)]
)
def test_without_a_nonce_nothing_counts_that_may_be_from_before_the_store_forgot(
    ahead_ms: int, is_good: bool
) -> None:
    """A proof may be dated up to five seconds ahead: used, forgotten, and still good."""
    made_ms = NOW_MS // 1000 * 1000
    forgetful = verifier(requires_nonce=False, since_ms=made_ms - ahead_ms)
    proof = forgetful.check(shown(HOLDER.proof(claims(nonce=None))), NOW_MS)
    assert isinstance(proof, Proof) if is_good else proof is wording.NONCE_WANTED
    with_nonce = forgetful.check(shown(HOLDER.proof(claims())), NOW_MS)
    assert isinstance(with_nonce, Proof), "the nonce changes when the store forgets"
    assert with_nonce.since_ms == made_ms - ahead_ms, "it is used up in the epoch it is good in"


def test_a_proof_is_judged_in_the_epoch_of_now_not_in_that_of_the_start() -> None:
    epochs = [EPOCH]
    follows = DpopVerifier(
        PublicUrls(URLS), Nonces(lambda: epochs[-1]), PublicKeys(), requires_nonce=False
    )
    with_nonce, without = shown(HOLDER.proof(claims())), shown(HOLDER.proof(claims(nonce=None)))
    for made in (with_nonce, without):
        assert isinstance(follows.check(made, NOW_MS), Proof)
    epochs.append(Epoch(bytes(32), NOW_MS))
    for made in (with_nonce, without):
        assert follows.check(made, NOW_MS) is wording.NONCE_WANTED


@pytest.mark.parametrize("iat", ["1795000000", True, None, [], {}, "now"])
def test_a_time_that_is_no_number_is_none(iat: Any) -> None:
    refusal = checked(iat=iat)
    assert isinstance(refusal, Refusal)
    assert refusal.code == "proof:invalid"


@pytest.mark.parametrize("iat", [0, -1, 10**300, -(10**300), 1e308, -1e308, 1e-300, NOW_MS])
def test_a_time_far_off_is_out_of_time_and_no_fault(iat: float) -> None:
    assert checked(iat=iat) is wording.OUT_OF_TIME


def test_the_same_proof_has_one_name_in_the_replay_store_however_it_is_addressed() -> None:
    names = set()
    for changes in (
        {},
        {"htu": "https://server.example.com" + PATH + "?q"},
        {"iat": NOW_MS // 1000 - 5},
    ):
        proof = checked(**changes)
        assert isinstance(proof, Proof)
        names.add(proof.replay_key)
    assert len(names) == 1
    for changes in ({"jti": "2"}, {"jti": "1 "}):
        proof = checked(**changes)
        assert isinstance(proof, Proof)
        names.add(proof.replay_key)
    other = Holder()
    proof = verifier().check(shown(other.proof(claims()), other), NOW_MS)
    assert isinstance(proof, Proof)
    names.add(proof.replay_key)
    assert len(names) == 4


def test_one_spelling_of_an_address_is_no_other_use_than_another() -> None:
    """A path may be spelled in many ways that mean the same address to a proof."""
    made = shown(HOLDER.proof(claims()))
    names = set()
    for path in (PATH, "/v1/m%65ssages", "/v1/message%73", "/%76%31/messages"):
        proof = verifier().check(replace(made, path=path), NOW_MS)
        assert isinstance(proof, Proof)
        names.add(proof.replay_key)
    assert len(names) == 1


def test_where_no_holder_is_known_yet_any_good_proof_tells_who_signs() -> None:
    """At enrolment."""
    made = shown(HOLDER.proof(claims(ath=None)))
    proof = verifier().check(replace(made, credential="", thumbprint=None), NOW_MS)
    assert isinstance(proof, Proof)
    assert proof.thumbprint == HOLDER.thumbprint


def test_the_keys_that_were_read_are_kept_up_to_a_limit() -> None:
    keys = PublicKeys(4)
    many = DpopVerifier(PublicUrls(URLS), NONCES, keys, requires_nonce=True)
    for _ in range(10):
        holder = Holder("Ed25519")
        assert isinstance(many.check(shown(holder.proof(claims()), holder), NOW_MS), Proof)
    assert len(keys) == 4


def test_no_proof_and_two_proofs_are_told_apart() -> None:
    made = shown(HOLDER.proof(claims()))
    assert verifier().check(replace(made, proofs=()), NOW_MS) is wording.MISSING
    two = verifier().check(replace(made, proofs=made.proofs * 2), NOW_MS)
    assert isinstance(two, Refusal)
    assert "more than one" in two.message
