"""How the token service says no: `error` of RFC 6749 section 5.2, and our own code beside it."""

import re
from dataclasses import dataclass
from typing import Final

from tokenward.binding import wording
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.refusals import Refusal

_NOT_SAID: Final = re.compile(r"[^\x20-\x21\x23-\x5b\x5d-\x7e]")


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A "no" to a client. `error` is the standard's word for programs, `code` is ours, as it
    stands in the record, `said` is for people."""

    error: str
    code: str
    said: str
    status: int = 400
    retry_after_s: int | None = None
    challenge: str = ""
    public_code: str = ""
    allow: str = ""

    def shown(self, request_id: str) -> JsonObject:
        """The JSON body. Its description has the few characters that RFC 6749 allows."""
        plain = self.said.replace("…", "...").replace('"', "'").replace("\n", " ")
        return {
            "error": self.error,
            "error_description": _NOT_SAID.sub("?", plain),
            "code": self.public_code or self.code,
            "request_id": request_id,
        }


def denied_proof(refusal: Refusal) -> Denied:
    """A proof that is not good, at an endpoint of tokens: 400, where a route says 401."""
    error = "use_dpop_nonce" if refusal is wording.NONCE_WANTED else "invalid_dpop_proof"
    return Denied(error=error, code=refusal.code, said=refusal.message)


def denied_request(said: str, code: str = "request:invalid", status: int = 400) -> Denied:
    """The request is not one (RFC 6749: `invalid_request`)."""
    return Denied(error="invalid_request", code=code, said=said, status=status)


def denied_grant(code: str, said: str, public_code: str = "") -> Denied:
    """What was to be exchanged is no good (RFC 6749: `invalid_grant`)."""
    return Denied(error="invalid_grant", code=code, said=said, public_code=public_code)


def denied_subject(code: str, said: str, public_code: str = "") -> Denied:
    """The token to exchange is no good: for this grant that is `invalid_request` (RFC 8693
    section 2.2.2), whatever is wrong with it."""
    return Denied(error="invalid_request", code=code, said=said, public_code=public_code)


def denied_rate(who: str, refusal: Refusal) -> Denied:
    """Too many requests; `who` names whose."""
    return Denied(
        error="temporarily_unavailable",
        code=refusal.code,
        said=f"{who} asked the token service too often. Wait as long as Retry-After says.",
        status=429,
        retry_after_s=refusal.retry_after_s,
    )


def denied_client(code: str, said: str, public_code: str = "") -> Denied:
    """It is not the client that it says it is (RFC 6749: `invalid_client`)."""
    return Denied(
        error="invalid_client",
        code=code,
        said=said,
        status=401,
        public_code=public_code,
        challenge='Basic realm="tokenward"',
    )
