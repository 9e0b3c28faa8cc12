"""Is the body the one that was signed for? `Content-Digest` (RFC 9530) inside a proof.

A DPoP proof says nothing of the body. Here it may carry the exact value of the request's
`Content-Digest` header in the claim `content_digest`: then header, claim and body must agree, so
a captured proof cannot be spent on another prompt or a dearer model.
"""

import hashlib
import hmac
import re
from base64 import b64encode
from typing import Final

from tokenward.binding import wording
from tokenward.kernel.refusals import Refusal

CLAIM: Final = "content_digest"
HEADER: Final = b"content-digest"
_MEMBER: Final = re.compile(r"(sha-256|sha-512)=:([A-Za-z0-9+/]+={0,2}):")
_ALGORITHMS: Final = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}


def check_digest(claim: str | None, header: bytes | None, body: bytes) -> Refusal | None:
    """None if the claim is the header's value and the header is true of the bytes that came.

    `body` is as received: before any decompression and before it is read as JSON. Every digest
    that the header names must be one we can compute, and must be right.
    """
    if claim is None or header is None:
        return wording.invalid(
            "this key signs for the body too: Content-Digest and the claim content_digest are "
            "missing"
        )
    said = header.strip(b" \t")
    if not hmac.compare_digest(claim.encode("utf-8", "replace"), said):
        return wording.invalid("the claim content_digest is not the Content-Digest header")
    for member in claim.split(","):
        match = _MEMBER.fullmatch(member.strip(" \t"))
        if match is None:
            return wording.invalid("Content-Digest is not sha-256=:...: or sha-512=:...:")
        digest = b64encode(_ALGORITHMS[match[1]](body).digest())
        if not hmac.compare_digest(digest, match[2].encode("ascii")):
            return wording.invalid("the body is not the one that was signed for")
    return None
