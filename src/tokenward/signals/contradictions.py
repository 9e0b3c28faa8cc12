"""What in this call cannot belong together? Plain sentences, for people to read.

Each rule compares two layers that one program cannot show at once. What is unknown contradicts
nothing: a body without a `<`, an order of headers that no known engine writes, a head that a
trusted proxy may have written anew. No list of versions: genuine programs are upgraded every week.
"""

import re
from typing import Final

from tokenward.signals.browsers import browser_contradictions
from tokenward.signals.engines import LANGUAGES
from tokenward.signals.families import STAINLESS, Claim
from tokenward.signals.head import Head
from tokenward.signals.serializer import Serializer

_ENGINE_NAMES: Final = {
    "httpx": "Python's httpx",
    "aiohttp": "Python's aiohttp",
    "requests": "Python's requests",
    "urllib": "Python's http.client",
    "undici": "Node's fetch",
    "node-http": "Node's http",
    "bun": "Bun",
    "go": "Go's net/http",
    "hyper": "Rust's hyper",
    "curl": "curl",
}
_PROXY_ENGINES: Final = frozenset(("go", "hyper", "node-http"))
"""Proxies are written in these, and write the heads of others anew."""
_WITHOUT_AN_ENGINE: Final = frozenset(("", "java", "ruby"))
_RUNTIMES: Final = {
    "cpython": "python",
    "pypy": "python",
    "node": "js",
    "deno": "js",
    "bun": "js",
    "edge": "js",
    "workerd": "js",
    "browser": "js",
    "go": "go",
}
_BUN_ONLY_FROM: Final = (2, 1)
"""Claude Code before this version also came as a package for Node."""
_NUMBERS: Final = re.compile(r"[0-9]{1,6}")


def foreign_engine(head: Head, claim: Claim, engine: str) -> str:
    """The engine, if it is not of the language that is claimed; else ""."""
    if not engine or LANGUAGES[engine] == claim.language or claim.language in _WITHOUT_AN_ENGINE:
        return ""
    return "" if engine in _PROXY_ENGINES and head.is_forwarded else engine


def head_contradictions(head: Head, claim: Claim, engine: str) -> tuple[str, ...]:
    """What the headers alone say against each other."""
    said = list(browser_contradictions(head)) if claim.family == "browser" else []
    who = claim.who
    if foreign := foreign_engine(head, claim, engine):
        said.append(
            f"the call claims to come from {who}, but its headers are in the order in which "
            f"{_ENGINE_NAMES[foreign]} writes them"
        )
    elif who == "claude-code" and engine == "undici" and _version(claim) >= _BUN_ONLY_FROM:
        said.append(
            "the call claims to come from claude-code, which runs on Bun, but its headers are in "
            "the order in which Node's fetch writes them"
        )
    if head.is_title_os and not head.is_forwarded and claim.language in ("python", "js"):
        said.append(
            f"the call claims to come from {who}, but writes X-Stainless-Os "
            "where the SDKs write X-Stainless-OS: Go changes names so"
        )
    said += _stainless_contradictions(head, claim)
    return tuple(said)


def body_contradictions(claim: Claim, serializer: Serializer) -> tuple[str, ...]:
    """What the body says against the claim. Only for programs that write their bodies themselves:
    what is sent with a plain HTTP library can be anybody's."""
    if not claim.is_sdk:
        return ()
    said = []
    who, language = claim.who, claim.language
    if serializer.is_html_escaped and language in ("python", "js", "rust"):
        said.append(
            f"the call claims to come from {who}, but its body writes < as \\u003c, as Go does"
        )
    if serializer.is_compact and serializer.is_escaped and language in ("python", "js", "rust"):
        said.append(
            f"the call claims to come from {who}, but its body has no blanks and escapes what is "
            "not ASCII, which no SDK does at once"
        )
    if serializer.is_compact is False and language in ("js", "rust", "go"):
        said.append(
            f"the call claims to come from {who}, but its body has a blank after every colon, "
            "which Python's json writes and that client does not"
        )
    return tuple(said)


def _stainless_contradictions(head: Head, claim: Claim) -> list[str]:
    said = []
    if missing := _missing(head, claim):
        said.append(
            f"the call claims to come from {claim.who}, but does not say X-Stainless-"
            f"{missing.title()}, which that client always does"
        )
    language = head.value("x-stainless-lang")
    if language and _names_a_language(head, claim) and language != claim.language:
        what = "an SDK for" if claim.is_sdk else "a program in"
        said.append(
            f"the User-Agent names {what} {claim.language}, X-Stainless-Lang {language[:16]!r}"
        )
    version = head.value("x-stainless-package-version")
    if version and claim.is_stainless and version != claim.version:
        said.append(
            f"the User-Agent says version {claim.version[:24]!r}, X-Stainless-Package-Version "
            f"{version[:24]!r}"
        )
    runtime = head.value("x-stainless-runtime").lower().partition(":")[0]
    if language and _RUNTIMES.get(runtime, language) != language:
        said.append(
            f"X-Stainless-Lang says {language[:16]!r}, X-Stainless-Runtime {runtime[:16]!r}"
        )
    return said


def _names_a_language(head: Head, claim: Claim) -> bool:
    """Whether the User-Agent can be held against X-Stainless-Lang: an SDK's own, or the one that
    Go adds for a program that gave none, unless a proxy in Go may have added it."""
    return claim.is_stainless or (claim.family == "go" and not head.is_forwarded)


def _missing(head: Head, claim: Claim) -> str:
    """The first header that is not there and must be; "" if none is missing."""
    if claim.family == "claude-code":  # it also makes calls without its SDK
        needed = "content-type" in head.names or "x-stainless-lang" in head.names
    else:
        needed = claim.is_stainless
    if not needed:
        return ""
    names = head.names
    return next((each for each in STAINLESS if f"x-stainless-{each}" not in names), "")


def _version(claim: Claim) -> tuple[int, ...]:
    return tuple(int(number) for number in _NUMBERS.findall(claim.version)[:2])
