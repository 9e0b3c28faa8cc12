"""Whatever arrives as a proof or a token is judged, never a fault; and nothing forged is good."""

import inspect
import json
import subprocess
import sys
from base64 import urlsafe_b64decode
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chance import fuzz, soak
from holder import ALGORITHMS, Holder, ath_of, b64, dumped, is_good_to_oracle
from tokenward.binding import dpop, wording
from tokenward.binding.addresses import PublicUrls, normal
from tokenward.binding.digest import check_digest
from tokenward.binding.dpop import PROOF_BYTES_MAX, DpopVerifier, Proof, Shown
from tokenward.binding.interfaces import Epoch
from tokenward.binding.nonces import Nonces
from tokenward.kernel import jws
from tokenward.kernel.jwk import PublicKeys, thumbprint_of
from tokenward.kernel.refusals import Refusal

EXAMPLES = [1_000, soak(50_000, limit_s=3_600)]
GUIDED_S = 600
OUR_WORDS = inspect.getsource(wording) + inspect.getsource(dpop)
"""Hypothesis tries words that stand in the code too; in a refusal they are ours."""
NOW_MS = 1_795_000_000_000
KEY = "tw_sk_0123456789"
PATH = "/v1beta/models/gemini-2.5-flash:generateContent"
URL = "https://guard.example" + PATH
EPOCH = Epoch(bytes(range(32)), 0)
NONCES = Nonces(lambda: EPOCH)
HOLDERS = [Holder(algorithm) for algorithm in ALGORITHMS]
KEYS = PublicKeys(16)
VERIFIER = DpopVerifier(PublicUrls(("https://guard.example",)), NONCES, KEYS, requires_nonce=True)
NAMES = (
    "jti", "htm", "htu", "iat", "ath", "nonce", "content_digest", "exp", "cnf", "typ", "alg", "jwk",
    "crit", "jku", "x5u", "x5c", "kid", "b64", "kty", "crv", "x", "y", "d", "k", "n", "e",
)  # fmt: skip
leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.sampled_from(
        ["", "none", "HS256", "RS256", "ES256", "EdDSA", "P-256", "Ed25519", "EC", URL]
    ),
    st.sampled_from(["\ud800", "\x00", "é", "dpop+jwt", "POST", "AQAB", b64(bytes(32))]),
    st.text(max_size=20),
)
values = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=4), inner, max_size=4)
    ),
    max_leaves=8,
)


def right_claims() -> dict[str, Any]:
    return {
        "jti": "1",
        "htm": "POST",
        "htu": URL,
        "iat": NOW_MS // 1000,
        "ath": ath_of(KEY),
        "nonce": NONCES.current(NOW_MS),
    }


def judged(proof: bytes, holder: Holder, *more: bytes) -> Proof | Refusal:
    shown = Shown(
        proofs=(proof, *more),
        method="POST",
        path=PATH,
        credential=KEY,
        thumbprint=holder.thumbprint,
    )
    verdict = VERIFIER.check(shown, NOW_MS)
    assert isinstance(verdict, Proof | Refusal)
    if isinstance(verdict, Refusal):
        assert verdict.status == 401
        assert verdict.challenge.isascii()
        assert verdict.challenge.isprintable()
        said = proof.decode("latin-1").strip()
        is_telling = len(said) >= 8 and said not in OUR_WORDS
        assert not is_telling or said not in verdict.message, "a refusal repeats no caller's text"
    return verdict


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_bytes_are_judged_and_never_good(examples: int) -> None:
    signs = b".=-_AZaz09 \t,\x00\xff\"'{}%"
    anything = st.binary(max_size=300) | st.lists(st.sampled_from(signs)).map(bytes)

    @fuzz(examples)
    @given(anything, st.sampled_from(HOLDERS))
    def run(proof: bytes, holder: Holder) -> None:
        assert isinstance(judged(proof, holder), Refusal)

    run()


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_header_and_claims_under_a_good_signature_are_judged(examples: int) -> None:
    """Only what is right in every member that counts is taken, and the oracle agrees to it."""

    @fuzz(examples)
    @given(
        st.dictionaries(st.sampled_from(NAMES), values, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), values, max_size=3),
        st.dictionaries(st.sampled_from(NAMES), values, max_size=2),
        st.sets(st.sampled_from(NAMES), max_size=2),
        st.sampled_from(HOLDERS),
    )
    def run(
        header: dict[str, Any],
        claims: dict[str, Any],
        jwk: dict[str, Any],
        left_out: set[str],
        holder: Holder,
    ) -> None:
        said = {**holder.header(), "jwk": {**holder.jwk, **jwk}, **header}
        told = {**right_claims(), **claims}
        said, told = (
            {name: value for name, value in part.items() if name not in left_out}
            for part in (said, told)
        )
        signed = f"{b64(dumped(said))}.{b64(dumped(told))}".encode()
        proof = signed + b"." + b64(holder.sign(signed)).encode()
        verdict = judged(proof, holder)
        if isinstance(verdict, Proof):
            right = right_claims()
            assert {name: told[name] for name in ("htm", "ath", "nonce")} == {
                name: right[name] for name in ("htm", "ath", "nonce")
            }
            assert normal(told["htu"]) == URL
            assert verdict.thumbprint == thumbprint_of(said["jwk"]) == holder.thumbprint
            assert "d" not in said["jwk"]
            assert is_good_to_oracle(holder.proof(told))

    run()


@pytest.mark.slow
@pytest.mark.parametrize("examples", EXAMPLES)
def test_a_proof_that_was_changed_anywhere_is_not_good(examples: int) -> None:
    made = {holder: holder.proof(right_claims()).encode() for holder in HOLDERS}
    for holder, proof in made.items():
        assert isinstance(judged(proof, holder), Proof)
        assert isinstance(judged(b" " + proof + b"\t", holder), Proof)
        assert isinstance(judged(proof, holder, proof), Refusal)

    @st.composite
    def changed(draw: st.DrawFn) -> tuple[Holder, bytes]:
        holder = draw(st.sampled_from(HOLDERS))
        proof = bytearray(made[holder])
        for _ in range(draw(st.integers(1, 3))):
            at = draw(st.integers(0, len(proof) - 1))
            proof[at : at + draw(st.integers(0, 3))] = draw(
                st.sampled_from([b"A", b"B", b".", b"=", b"", b"\x00", b"\xff", b"AAAA"])
            )
        return holder, bytes(proof)

    @fuzz(examples)
    @given(changed())
    def run(case: tuple[Holder, bytes]) -> None:
        holder, proof = case
        if proof != made[holder]:
            assert isinstance(judged(proof, holder), Refusal)

    run()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_token_is_read_as_another_reader_would_or_refused(examples: int) -> None:
    part = st.one_of(
        st.dictionaries(st.text(max_size=4), values, max_size=3).map(dumped).map(b64),
        st.binary(max_size=40).map(b64),
        st.text(alphabet="AZaz09-_=+/ .\n", max_size=10),
    )

    @fuzz(examples)
    @given(st.lists(part, min_size=1, max_size=4).map(".".join))
    def run(text: str) -> None:
        try:
            token = jws.read_compact(text.encode(), PROOF_BYTES_MAX)
        except ValueError:
            return
        parts = text.split(".")
        header, claims, signature = (
            urlsafe_b64decode(each + "=" * (-len(each) % 4)) for each in parts
        )
        assert [b64(each) for each in (header, claims, signature)] == parts
        assert (token.header, token.claims) == (json.loads(header), json.loads(claims))
        assert token.signature == signature

    run()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_address_is_judged_and_its_normal_form_stays(examples: int) -> None:
    urls = PublicUrls(("https://guard.example", "http://127.0.0.1:8484/llm"))
    pieces = st.sampled_from(
        ["https://", "http://", "guard.example", "127.0.0.1", ":443", ":8484", "/llm", PATH, "@",
         "%3A", "%3a", "%41", "%", "..", "/", "?", "#", ";", "[", "]", "::1", "\\", " ", "\n", "é",
         "HTTPS://", "GUARD.example", ":", ":99999", "\x00"]
    )  # fmt: skip

    @fuzz(examples)
    @given(st.lists(pieces, max_size=8).map("".join) | st.text(max_size=60))
    def run(htu: str) -> None:
        is_ours = urls.is_at(htu, PATH)
        try:
            written = normal(htu)
        except ValueError:
            assert not is_ours
            return
        assert normal(written) == written
        ours = {"https://guard.example" + PATH, "http://127.0.0.1:8484/llm" + PATH}
        assert is_ours == (written in ours)

    run()


@pytest.mark.parametrize("examples", EXAMPLES)
def test_any_digest_is_judged(examples: int) -> None:
    pieces = st.sampled_from(
        ["sha-256", "sha-512", "md5", "=:", ":", ",", ", ", "AAAA", b64(bytes(32)), "=", ";a=1",
         "\ud800", "é", "\x00", " ", "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg="]
    )  # fmt: skip
    text = st.lists(pieces, max_size=8).map("".join)

    @fuzz(examples)
    @given(text | st.none(), st.binary(max_size=40) | st.none(), text, st.booleans())
    def run(claim: str | None, header: bytes | None, written: str, is_same: bool) -> None:
        if is_same:
            claim, header = written, written.encode("utf-8", "replace")
        refusal = check_digest(claim, header, b'{"hello": "world"}\n')
        if refusal is None:
            assert claim is not None
            assert "RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=" in claim

    run()


@pytest.mark.soak
@pytest.mark.timeout(GUIDED_S + 300)
def test_fuzzing_that_looks_for_new_paths_finds_no_fault(tmp_path: Path) -> None:
    """With atheris where it is installed; it keeps what reached new code and goes on from there."""
    pytest.importorskip("atheris")
    script = Path(__file__).with_name("fuzz_proofs.py")
    command = [sys.executable, str(script), f"-max_total_time={GUIDED_S}", "-max_len=2048", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4_000:]
