"""Is this request one to sign? Decided on its head alone, before its body is read.

A page in a browser can send requests to this machine, and a host name can be made to point here
(DNS rebinding). Neither has the local token; both are refused even if they had.
"""

import re
from dataclasses import dataclass
from typing import Final

from tokenward.client.agent import local_token
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret

Headers = tuple[tuple[bytes, bytes], ...]

BODY_BYTES_MAX: Final = 32_000_000
"""As the guard's own default, server.max_body_mb."""
_TARGET: Final = re.compile(r"/[!-~]*")  # visible ASCII, and no other host
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")

TARGET: Final = Refusal(
    "agent:target",
    400,
    "The request target must be a path. This is a signer for one guard, not a forward proxy.",
)
HOST: Final = Refusal(
    "agent:host",
    403,
    "The Host header does not name this agent's own address, so the request may come from a page "
    "whose host name was pointed here. Call the agent by the URL that it printed.",
)
ORIGIN: Final = Refusal(
    "agent:browser",
    403,
    "The request carries an Origin header, so a page in a browser sent it, and pages may not use "
    "the agent. Call from a program.",
)
UPGRADE: Final = Refusal(
    "agent:upgrade",
    400,
    "The agent does not change protocols (no WebSockets). Call without Upgrade.",
)
TOKEN: Final = Refusal(
    "agent:token",
    401,
    "The key is not the agent's local token, so nothing was signed or sent. Use the local token as "
    "the key (Authorization: Bearer, x-api-key, x-goog-api-key or api-key); the agent prints "
    "the file that holds it when it starts.",
)
TOO_LARGE: Final = Refusal(
    "agent:body_too_large",
    413,
    f"The body is larger than the {BODY_BYTES_MAX // 1_000_000} MB that the agent takes. Nothing "
    "was sent.",
)


@dataclass(frozen=True, slots=True)
class Screen:
    """What is let in. `authorities` are the agent's own, as a Host header may say them."""

    token: Secret
    authorities: frozenset[bytes]

    def refuse(self, target: str, headers: Headers) -> Refusal | None:
        """Why the request is not signed; None if it is. Header names are lower case."""
        if _TARGET.fullmatch(target) is None or "#" in target:
            return TARGET
        hosts = [value.strip().lower() for name, value in headers if name == b"host"]
        if len(hosts) != 1 or hosts[0] not in self.authorities:
            return HOST
        names = {name for name, _ in headers}
        if b"origin" in names:
            return ORIGIN
        if not local_token.is_shown(self.token, headers):
            return TOKEN
        if b"upgrade" in names:
            return UPGRADE
        if any(_is_too_long(value) for name, value in headers if name == b"content-length"):
            return TOO_LARGE
        return None


def authorities_of(port: int) -> frozenset[bytes]:
    """The ways to write this machine and the port in a Host header."""
    return frozenset(
        f"{host}:{port}".encode("ascii") for host in ("127.0.0.1", "localhost", "[::1]")
    )


def _is_too_long(length: bytes) -> bool:
    return _LENGTH.fullmatch(length) is None or int(length) > BODY_BYTES_MAX
