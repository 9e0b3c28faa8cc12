import re

import pytest

from tokenward.binding import wording
from tokenward.kernel.refusals import Refusal

REFUSALS = {name: value for name, value in vars(wording).items() if isinstance(value, Refusal)}
ERRORS = {"invalid_token", "use_dpop_nonce", "invalid_dpop_proof"}
"""RFC 6750 section 3.1, RFC 9449 sections 7.1, 8 and 12.2."""
QUOTED = re.compile(r'(?P<scheme>DPoP|Bearer) (\w+="[\x20\x21\x23-\x5b\x5d-\x7e]*"(, |$))+')


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_a_refusal_is_a_401_with_a_challenge_of_the_standard(name: str) -> None:
    refusal = REFUSALS[name]
    assert refusal.status == 401
    assert refusal.code.startswith("proof:")
    assert not refusal.should_retry, "SDKs would send the same proof again"
    assert QUOTED.fullmatch(refusal.challenge), refusal.challenge
    error = re.search(r' error="(\w+)"', refusal.challenge)
    assert error is not None
    assert error[1] in ERRORS
    if refusal.challenge.startswith("DPoP"):
        assert refusal.challenge.endswith('algs="ES256 Ed25519 EdDSA"')


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_a_refusal_says_that_nothing_was_sent_or_opened(name: str) -> None:
    message = REFUSALS[name].message
    assert re.search("(?i)nothing", message)
    assert message == " ".join(message.split())


def test_what_is_wrong_with_a_proof_stands_in_challenge_and_message() -> None:
    refusal = wording.invalid("jti is missing")
    assert refusal.code == "proof:invalid"
    assert 'error="invalid_dpop_proof", error_description="jti is missing"' in refusal.challenge
    assert "jti is missing" in refusal.message
