"""Which TLS library said hello? By a JA4 that a trusted proxy has measured.

Only its second part is compared, the hash of the ciphers: counts and extensions change with
resumption, padding and the weather. JA4 as in FoxIO's description (BSD 3-clause); none of JA4+.
Values measured on Debian 12: another system gives others, and those say nothing.
"""

import re
from typing import Final

from tokenward.signals.families import Claim

_JA4: Final = re.compile(
    rb"[tqd](?:1[0-3]|s[23]|d[123]|00)[di][0-9]{4}[0-9A-Za-z]{2}_[0-9a-f]{12}_[0-9a-f]{12}"
)
_STACKS: Final = {
    "85036bcba153": "openssl",  # CPython
    "fa82ebbed50e": "openssl",  # LiteLLM's own choice of ciphers
    "e8f1e7e78f70": "openssl",  # all that OpenSSL has: curl, and Python on some systems
    "a33745022dd6": "node",
    "5b57614c22b0": "bun",
    "61a7ad8aa9b6": "rustls",
    "f57a46bbacb6": "go",
    "8daaf6152771": "chromium",
    "2802a3db6c62": "safari",
}
_NAMES: Final = {
    "openssl": "OpenSSL",
    "node": "Node",
    "bun": "Bun",
    "rustls": "rustls",
    "go": "Go",
    "chromium": "Chrome",
    "safari": "Safari",
}
_FITTING: Final = {
    "python": frozenset(("openssl",)),
    "js": frozenset(("node", "bun", "rustls")),  # Deno's TLS is rustls
    "go": frozenset(("go",)),
    "rust": frozenset(("rustls", "openssl")),
    "browser": frozenset(("chromium", "safari")),
}


def read_ja4(value: bytes) -> str:
    """The JA4 of a header's value, "" if it is none."""
    return value.decode("ascii") if _JA4.fullmatch(value) else ""


def stack_of(ja4: str) -> str:
    """The TLS library, one of `_NAMES`; "" for one that is not known."""
    return _STACKS.get(ja4[11:23], "") if ja4[10:11] == "_" else ""


def ja4_contradiction(ja4: str, claim: Claim) -> str:
    """A sentence if the TLS of this call cannot be that of the claimed program, else ""."""
    stack = stack_of(ja4)
    if not stack or not claim.family:
        return ""
    fitting = _FITTING.get(claim.language)
    is_browser = stack in _FITTING["browser"] and claim.language != "browser"
    if not is_browser and (fitting is None or stack in fitting):
        return ""
    return f"the call claims to come from {claim.who}, but its TLS is that of {_NAMES[stack]}"
