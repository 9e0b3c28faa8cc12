"""One change to a right call each, after which no guard may take it."""

from collections.abc import Callable
from typing import Any

from cryptography.hazmat.primitives import hashes, hmac
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from attacks.bound_calls import Call, Spoil
from holder import Holder, b64, dumped

STRANGER = Holder()
STRANGER_ED = Holder("Ed25519")
RSA = rsa.generate_private_key(65537, 2048)
SMALL_ORDER = (
    {"alg": "EdDSA"},
    lambda _: b"\1" + bytes(63),
    {"kty": "OKP", "crv": "Ed25519", "x": b64(b"\1" + bytes(31))},
)
"""Of the neutral element one signature is good for every text."""
BASE64URL = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"


def both(*spoils: Spoil) -> Spoil:
    """One after the other."""
    return lambda call: [spoil(call) for spoil in spoils]


def moved(name: str, change: Callable[[Any], Any]) -> Spoil:
    """A claim changed from what is right."""
    return lambda call: call.claims.update({name: change(call.claims[name])})


def no_proof(call: Call) -> None:
    """No DPoP header at all."""
    call.proofs = []


def claims(**values: Any) -> Spoil:
    """Claims set to this."""
    return lambda call: call.claims.update(values)


def header(**values: Any) -> Spoil:
    """Members of the header set to this."""
    return lambda call: call.header.update(values)


def jwk(**values: Any) -> Spoil:
    """Members of the proof's key set to this."""
    return lambda call: call.header["jwk"].update(values)


def without_claim(name: str) -> Spoil:
    """Without this claim."""
    return lambda call: call.claims.pop(name)


def without_header(name: str) -> Spoil:
    """Without this member of the header."""
    return lambda call: call.header.pop(name)


def htu(change: Callable[[str], str]) -> Spoil:
    """Another address than that of the request."""
    return lambda call: call.claims.update(htu=change(call.url))


def proof(change: Callable[[str], str]) -> Spoil:
    """The proof, changed after it was signed."""

    def spoil(call: Call) -> None:
        call.proofs = [change(call.proof)]

    return spoil


def proofs(*given: str | bytes) -> Spoil:
    """These proofs, one a header."""

    def spoil(call: Call) -> None:
        call.proofs = list(given)

    return spoil


def key_in(name: str, form: str = "{}") -> Spoil:
    """The key in another place, with a right proof beside it."""

    def spoil(call: Call) -> None:
        call.authorization = [(name, form.format(call.credential))]

    return spoil


def more(**values: str) -> Spoil:
    """More headers, and the address that they would have us believe."""

    def spoil(call: Call) -> None:
        call.more += [(name.replace("_", "-"), value) for name, value in values.items()]
        call.claims["htu"] = "https://attacker.example" + call.entrance.path

    return spoil


def signed_by(
    change: dict[str, Any], sign: Callable[[bytes], bytes], public: dict[str, Any] | None = None
) -> Spoil:
    """Signed by something else; `public` is the key that the proof shows then."""

    def spoil(call: Call) -> None:
        call.header.update(change)
        call.sign = sign
        if public is not None:
            call.header["jwk"] = public

    return spoil


def twice(name: str, value: str, part: int) -> Spoil:
    """A member a second time, in the header (0) or the claims (1), under a good signature."""

    def spoil(call: Call) -> None:
        texts = [dumped(call.header), dumped(call.claims)]
        texts[part] = texts[part][:-1] + f',"{name}":{value}}}'.encode()
        call.proofs = [signed(call, *texts)]

    return spoil


def literal(name: str, text: str) -> Spoil:
    """A claim whose value is JSON that Python does not write."""

    def spoil(call: Call) -> None:
        call.claims[name] = "@"
        written = dumped(call.claims).replace(b'"@"', text.encode())
        call.proofs = [signed(call, dumped(call.header), written)]

    return spoil


def signed(call: Call, *parts: bytes) -> str:
    """A token of these parts under a good signature."""
    body = ".".join(b64(part) for part in parts)
    return f"{body}.{b64(call.sign(body.encode()))}"


def hmac_with_public_key(call: Call) -> None:
    """The classic: the verifier is made to take its own public key for a shared secret."""
    public = dumped(call.header["jwk"])
    call.header["alg"] = "HS256"

    def sign(text: bytes) -> bytes:
        mac = hmac.HMAC(public, hashes.SHA256())
        mac.update(text)
        return mac.finalize()

    call.sign = sign


def curve(named: str, kind: ec.EllipticCurve, alg: str) -> Spoil:
    """By a new key of another curve, which the proof calls `named`."""
    key = ec.generate_private_key(kind)
    size = (kind.key_size + 7) // 8
    numbers = key.public_key().public_numbers()
    public = {"kty": "EC", "crv": named, "x": b64(numbers.x.to_bytes(size))}
    public["y"] = b64(numbers.y.to_bytes(size))

    def sign(text: bytes) -> bytes:
        r, s = decode_dss_signature(key.sign(text, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(size) + s.to_bytes(size)

    return signed_by({"alg": alg}, sign, public)


def rsa_sign(text: bytes) -> bytes:
    """RS256."""
    return RSA.sign(text, padding.PKCS1v15(), hashes.SHA256())


def rsa_jwk() -> dict[str, Any]:
    """The RSA key that `rsa_sign` signs with."""
    numbers = RSA.public_key().public_numbers()
    return {"kty": "RSA", "e": "AQAB", "n": b64(numbers.n.to_bytes(256))}


def off_curve(call: Call) -> None:
    """A point that is not on its curve."""
    call.header["jwk"]["y"] = call.header["jwk"]["x"]


def in_der(call: Call) -> None:
    """The signature as X.509 writes it."""
    call.sign = call.holder.sign_der


def bits_left_over(call: Call) -> None:
    """The same 32 bytes, written another way: the last character holds two bits of padding."""
    x = call.header["jwk"]["x"]
    call.header["jwk"]["x"] = x[:-1] + BASE64URL[BASE64URL.index(x[-1]) + 1]


def flipped(text: str) -> str:
    """The first character of the signature; the last one holds bits that count for nothing."""
    head, _, signature = text.rpartition(".")
    return f"{head}.{'B' if signature[0] == 'A' else 'A'}{signature[1:]}"


def claims_as(write: Callable[[bytes], bytes]) -> Spoil:
    """Claims that are written in another way, under a good signature."""

    def spoil(call: Call) -> None:
        call.proofs = [signed(call, dumped(call.header), write(dumped(call.claims)))]

    return spoil
