"""Which program called, is it what it says, and is it the same as before?"""

import hashlib
import re
from functools import lru_cache
from typing import Final, NamedTuple

from tokenward.kernel.signals import Client
from tokenward.signals.contradictions import (
    body_contradictions,
    foreign_engine,
    head_contradictions,
)
from tokenward.signals.engines import engine_of
from tokenward.signals.families import Claim, claim_of, family_by_engine, wrapper_of
from tokenward.signals.head import Head, Picked, pick_head, read_head
from tokenward.signals.ja4 import ja4_contradiction, read_ja4
from tokenward.signals.serializer import NOTHING, read_serializer, words

FINGERPRINT_DIGITS: Final = 16
HEADS_KEPT: Final = 512
"""Conclusions that are kept, for the heads seen last: usually 3 kB each, at most 50."""

STREAM_SOUGHT_BYTES: Final = 32_768

# What a User-Agent has besides names: versions, numbers, ids.
_CHANGING: Final = re.compile(r"/v?[0-9][^\s;,()]*|\b[0-9a-fA-F-]{12,}\b|[0-9]+(?:[._-][0-9]+)*")
_BROWSERS: Final = ("Firefox", "FxiOS", "Edg", "CriOS", "Chrome", "Safari")
_SYSTEMS: Final = ("Windows", "Android", "iPhone", "iPad", "Macintosh", "CrOS", "Linux", "Debian")


class _Seen(NamedTuple):
    """All that follows from the head alone."""

    claim: Claim
    family: str
    fingerprint: str
    contradictions: tuple[str, ...]
    oddities: tuple[str, ...]


def read_client(
    headers: tuple[tuple[bytes, bytes], ...],
    wire_names: tuple[bytes, ...],
    body: bytes,
    ja4: str = "",
    *,
    is_forwarded: bool = False,
) -> Client:
    """What a call shows of its program. `headers` are in wire order with lower-case names,
    `wire_names` the same names as they were written, () where that is not known. `is_forwarded`:
    it comes from a proxy that the operator trusts; with a proxy's marks in the head too, the head
    may be the proxy's, and is not held against the program. Never raises; bounded time for any
    input. The fingerprint comes from the head alone, so it is the same with
    and without a body; it leaves out versions, keys, timeouts and what proxies add."""
    picked = pick_head(headers, wire_names, is_forwarded=is_forwarded)
    seen = _judge(picked, denies_stream=False)
    if seen.family == "litellm" and seen.claim.family != "litellm":
        seen = _judge(picked, denies_stream=_denies_stream(body))
    serializer = read_serializer(body)
    ja4 = read_ja4(ja4.encode("ascii", "replace"))
    contradictions = seen.contradictions
    if serializer is not NOTHING:
        contradictions += body_contradictions(seen.claim, serializer)
    if ja4 and (said := ja4_contradiction(ja4, seen.claim)):
        contradictions += (said,)
    return Client(
        family=seen.family,
        claimed=seen.claim.who,
        version=seen.claim.version,
        fingerprint=seen.fingerprint,
        contradictions=contradictions,
        oddities=seen.oddities,
        serializer=words(serializer),
        ja4=ja4,
    )


@lru_cache(maxsize=HEADS_KEPT)
def _judge(picked: Picked, *, denies_stream: bool) -> _Seen:
    head = read_head(picked)
    claim, engine = claim_of(head), engine_of(head)
    if claim.family == "go" and not engine:
        engine = "go"  # its shortest heads have too few names to show their order
    contradictions = head_contradictions(head, claim, engine)
    if claim.family == "browser":
        family = "impersonator" if contradictions else "browser"
    elif foreign := foreign_engine(head, claim, engine):
        family = family_by_engine(foreign)
    else:
        wrapper = wrapper_of(head, claim, denies_stream=denies_stream)
        family = wrapper or claim.family or family_by_engine(engine)
    return _Seen(
        claim=claim,
        family=family,
        fingerprint=_fingerprint(head, claim, family, engine),
        contradictions=contradictions,
        oddities=_oddities(head),
    )


def _denies_stream(body: bytes) -> bool:
    """Whether a body says so, at its beginning or end; in a text the quotes would be escaped."""
    said = b'"stream":false'
    return said in body[:STREAM_SOUGHT_BYTES] or said in body[-STREAM_SOUGHT_BYTES:]


def _fingerprint(head: Head, claim: Claim, family: str, engine: str) -> str:
    """Of what a program keeps through its upgrades."""
    agent = head.value("user-agent")
    if family == "litellm":
        parts = [family]  # it calls each provider in another way
    elif claim.family == "browser":
        hints = "hints" if head.value("sec-ch-ua") else ""
        parts = [family, _first(_BROWSERS, agent), _first(_SYSTEMS, agent), hints]
    else:
        # A stream of LangChain's cannot be told from the SDK's own, so neither can the rest.
        parts = [claim.family if family == "langchain" else family, claim.family, engine]
        parts += _platform(head, claim)
    if not claim.family:
        parts.append(_CHANGING.sub("", agent))
    text = "\n".join(parts)
    return hashlib.sha256(text.encode("ascii", "replace")).hexdigest()[:FINGERPRINT_DIGITS]


def _platform(head: Head, claim: Claim) -> list[str]:
    said = [
        head.value("x-stainless-os"),
        head.value("x-stainless-arch"),
        head.value("x-stainless-runtime"),
        head.value("x-stainless-async").partition(":")[0],
    ]
    if claim.family == "codex":
        said.append(_first(_SYSTEMS, head.value("user-agent")))
    return said


def _first(names: tuple[str, ...], agent: str) -> str:
    return next((name for name in names if name in agent), "")


def _oddities(head: Head) -> tuple[str, ...]:
    said = []
    if not head.value("user-agent"):
        said.append("there is no User-Agent")
    said += [
        f"there is an empty {name.title()}, which no SDK and no browser sends"
        for name in ("origin", "referer")
        if head.value(name) == "empty"
    ]
    return tuple(said)
