import hashlib
from base64 import b64encode

import pytest

from holder import digest_of
from tokenward.binding.digest import check_digest
from tokenward.kernel.refusals import Refusal

BODY = b'{"hello": "world"}\n'
SHA256 = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:"
SHA512 = (
    "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/Wkpp"
    "mM44T3qg==:"
)
RFC9421 = "sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"


@pytest.mark.parametrize("value", [SHA256, SHA512, f"{SHA256}, {SHA512}", f"{SHA512},\t{SHA256}"])
def test_the_examples_of_rfc_9530_are_right(value: str) -> None:
    assert check_digest(value, value.encode(), BODY) is None
    assert check_digest(value, b" \t" + value.encode() + b" ", BODY) is None


def test_the_example_of_rfc_9421_is_of_another_body() -> None:
    assert check_digest(RFC9421, RFC9421.encode(), BODY[:-1]) is None
    assert isinstance(check_digest(RFC9421, RFC9421.encode(), BODY), Refusal)


def test_an_empty_body_has_a_digest_too() -> None:
    value = digest_of(b"")
    assert check_digest(value, value.encode(), b"") is None


MD5 = f"md5=:{b64encode(hashlib.md5(BODY).digest()).decode()}:"


@pytest.mark.parametrize(
    ("claim", "header", "why"),
    [
        (None, None, "missing"),
        (SHA256, None, "missing"),
        (None, SHA256, "missing"),
        (SHA256, SHA512, "is not the Content-Digest"),
        (SHA256, SHA256 + ", " + SHA512, "is not the Content-Digest"),
        (SHA256, SHA256.upper(), "is not the Content-Digest"),
        ("\ud800", "?", "is not sha-256"),
        ("", "", "is not sha-256"),
        (MD5, MD5, "is not sha-256"),
        (f"{SHA256}, {MD5}", f"{SHA256}, {MD5}", "is not sha-256"),
        (SHA256 + ",", SHA256 + ",", "is not sha-256"),
        (SHA256.replace("=:", "="), SHA256.replace("=:", "="), "is not sha-256"),
        (SHA256 + ";q=1", SHA256 + ";q=1", "is not sha-256"),
        (SHA256.upper(), SHA256.upper(), "is not sha-256"),
        (SHA256[:-2] + ":", SHA256[:-2] + ":", "not the one"),
        (SHA256[:-1] + "=:", SHA256[:-1] + "=:", "not the one"),
        (SHA256.replace("g=", "h="), SHA256.replace("g=", "h="), "not the one"),
        (RFC9421, RFC9421, "not the one"),
        (f"{SHA256}, {RFC9421}", f"{SHA256}, {RFC9421}", "not the one"),
        (f"{RFC9421}, {SHA256}", f"{RFC9421}, {SHA256}", "not the one"),
    ],
)
def test_what_does_not_agree_is_refused_with_the_reason(
    claim: str | None, header: str | None, why: str
) -> None:
    refusal = check_digest(claim, None if header is None else header.encode("latin-1"), BODY)
    assert refusal is not None
    assert refusal.code == "proof:invalid"
    assert refusal.challenge.startswith('DPoP error="invalid_dpop_proof"')
    assert why in refusal.message
