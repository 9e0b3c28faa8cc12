"""Coverage-guided fuzzing of everything that reads a proof; run by `test_proofs.py`, or by hand:

    python tests/properties/fuzz_proofs.py [libFuzzer options] [folder]

The first byte says what the rest is; header and claims get a good signature, so that what lies
behind it is reached too. Any exception but the ones that are promised ends the run.
"""

import hashlib
import sys
from base64 import urlsafe_b64encode

import atheris

with atheris.instrument_imports(include=["tokenward"]):
    from tokenward.binding.addresses import PublicUrls, normal
    from tokenward.binding.digest import check_digest
    from tokenward.binding.dpop import DpopVerifier, Proof, Shown
    from tokenward.binding.interfaces import Epoch
    from tokenward.binding.nonces import Nonces
    from tokenward.kernel import jwk, jws
    from tokenward.kernel.jwk import PublicKeys
    from tokenward.kernel.refusals import Refusal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

NOW_MS = 1_795_000_000_000
PATH = "/v1/chat/completions"
HOLDER = Ed25519PrivateKey.from_private_bytes(hashlib.sha256(b"fuzz").digest())
JWK = jwk.public_jwk(HOLDER)
URLS = PublicUrls(("https://guard.example",))
EPOCH = Epoch(bytes(32), 0)
NONCES = Nonces(lambda: EPOCH)
VERIFIER = DpopVerifier(URLS, NONCES, PublicKeys(16), requires_nonce=False)


def judge(proof: bytes) -> None:
    """A verdict, whatever it is; a good one only for the right method, path and credential."""
    shown = Shown(
        proofs=(proof,),
        method="POST",
        path=PATH,
        credential="tw_sk_fuzz",
        thumbprint=jwk.thumbprint_of(JWK),
    )
    verdict = VERIFIER.check(shown, NOW_MS)
    assert isinstance(verdict, Proof | Refusal)
    if isinstance(verdict, Proof):
        claims = jws.read_compact(proof.strip(b" \t"), 4096).claims
        assert claims["htm"] == "POST"
        assert normal(str(claims["htu"])) == "https://guard.example" + PATH


def signed(header: bytes, claims: bytes) -> bytes:
    """A token of these parts, under a good signature."""
    text = b".".join(urlsafe_b64encode(part).rstrip(b"=") for part in (header, claims))
    return text + b"." + urlsafe_b64encode(HOLDER.sign(text)).rstrip(b"=")


def run(data: bytes) -> None:
    """One input."""
    kind, rest = data[:1], data[1:]
    head, _, tail = rest.partition(b"\n")
    right = b'{"typ":"dpop+jwt","alg":"EdDSA","jwk":{"kty":"OKP","crv":"Ed25519","x":"%s"}}' % (
        str(JWK["x"]).encode()
    )
    if kind == b"p":
        judge(rest)
    elif kind == b"h":
        judge(signed(head, tail))
    elif kind == b"c":
        judge(signed(right, rest))
    elif kind == b"u":
        URLS.is_at(rest.decode("utf-8", "surrogateescape"), PATH)
    elif kind == b"d":
        check_digest(head.decode("utf-8", "surrogateescape"), tail, b"body")
    else:
        try:
            jws.read_compact(rest, 4096)
        except ValueError:
            return


if __name__ == "__main__":
    atheris.Setup(sys.argv, run)
    atheris.Fuzz()
