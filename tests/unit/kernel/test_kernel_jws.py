import base64
import json

import pytest

from holder import Holder, b64, claims_for, dumped, is_good_to_oracle
from tokenward.kernel import jwk, jws

CLAIMS = {"jti": "1", "htm": "POST", "htu": "https://guard.example/", "iat": 1}


def test_a_token_is_taken_apart_and_the_signed_bytes_are_those_that_came() -> None:
    header, claims = b'{ "alg" : "x" }', b'{"a":\t[1,2]}'
    text = f"{b64(header)}.{b64(claims)}.{b64(b'signature')}".encode()
    token = jws.read_compact(text, 4096)
    assert token.header == {"alg": "x"}
    assert token.claims == {"a": [1, 2]}
    assert token.signed == text.rpartition(b".")[0]
    assert token.signature == b"signature"


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
def test_what_we_write_is_good_to_another_library(algorithm: str) -> None:
    holder = Holder(algorithm)
    written = jws.write_compact(holder.header(), CLAIMS, lambda text: jwk.sign(holder.key, text))
    assert is_good_to_oracle(written)
    assert not is_good_to_oracle(written[:-8] + "AAAAAAAA")


@pytest.mark.parametrize("algorithm", ["ES256", "Ed25519"])
def test_what_another_library_writes_is_read_and_verified(algorithm: str) -> None:
    holder = Holder(algorithm)
    claims = claims_for("POST", "https://guard.example/")
    token = jws.read_compact(holder.proof_by_oracle(claims).encode(), 4096)
    assert token.claims == claims
    assert jwk.PublicKeys().read(token.header["jwk"]).verify(token.signed, token.signature)


PART = b64(dumped({"a": 1}))
TWICE = b'{"a":1,"a":1}'
NOT_A_NUMBER = b'{"a":NaN}'
NESTED = b'{"a":' * 500


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        PART,
        f"{PART}.{PART}",
        f"{PART}.{PART}.",
        f".{PART}.{PART}",
        f"{PART}..{PART}",
        f"{PART}.{PART}.{PART}.{PART}",
        f"{PART}.{PART}.{PART}=",
        f"{PART}.{PART}.{PART}\n",
        f"{PART}\n.{PART}.{PART}",
        f" {PART}.{PART}.{PART}",
        f"{PART}.{PART}.+/+/",
        f"{PART}.{PART}.A",  # one character is no byte
        f"{PART}.{PART}.AB",  # bits left over
        f"{PART}.{PART}.é",
        f"{b64(b'[]')}.{PART}.{PART}",
        f"{PART}.{b64(b'1')}.{PART}",
        f"{b64(b'')}.{PART}.{PART}",
        f"{b64(b'{')}.{PART}.{PART}",
        f"{b64(bytes([0xFF]))}.{PART}.{PART}",
        f"{b64(b'{}{}')}.{PART}.{PART}",
        f"{b64(TWICE)}.{PART}.{PART}",
        f"{b64(NOT_A_NUMBER)}.{PART}.{PART}",
        f"{b64(NESTED)}.{PART}.{PART}",
    ],
)
def test_what_could_be_read_in_two_ways_is_no_token(text: str) -> None:
    with pytest.raises(ValueError):
        jws.read_compact(text.encode("latin-1"), 4096)


def test_a_long_token_is_refused_before_it_is_read() -> None:
    text = f"{PART}.{PART}.{PART}".encode()
    assert jws.read_compact(text, len(text)).claims == {"a": 1}
    with pytest.raises(ValueError, match="longer than"):
        jws.read_compact(text, len(text) - 1)


def test_base64url_has_one_way_to_write_each_value() -> None:
    for size in range(1, 40):
        data = bytes(range(size))
        written = jws.encode(data)
        assert written == base64.urlsafe_b64encode(data).rstrip(b"=")
        assert jws.decode(written) == data
        taken = []
        for last in b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
            try:
                taken.append(jws.decode(written[:-1] + bytes([last])))
            except ValueError:
                continue
        assert len(taken) == len(set(taken))


def test_the_example_of_rfc_7515_a3_verifies() -> None:
    text = (
        "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
        "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5dj"
        "xLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    )
    token = jws.read_compact(text.encode(), 4096)
    key = jwk.PublicKeys().read(
        {
            "kty": "EC",
            "crv": "P-256",
            "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
            "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
        }
    )
    assert token.claims["iss"] == "joe"
    assert key.verify(token.signed, token.signature)
    assert not key.verify(token.signed + b"A", token.signature)


def test_a_signature_covers_the_text_and_not_its_meaning() -> None:
    holder = Holder()
    proof = holder.proof(CLAIMS)
    header, _, signature = proof.split(".")
    spaced = b64(json.dumps(CLAIMS, separators=(", ", ": ")).encode())
    token = jws.read_compact(f"{header}.{spaced}.{signature}".encode(), 4096)
    assert token.claims == CLAIMS
    assert not jwk.PublicKeys().read(holder.jwk).verify(token.signed, token.signature)
