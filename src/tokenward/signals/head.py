"""What of a request's head tells one program from another? Little, cut short, and hashable.

What is left out is as much the point as what is kept: nothing that changes from call to call
(lengths, keys, ids), and nothing that proxies on the way add. So one program gives one `Picked`,
or a few, and what is concluded from it can be kept (`client.py`).
"""

import re
from functools import lru_cache
from typing import Final, NamedTuple

HEADERS_MAX: Final = 128
"""Headers that are looked at: more than any program sends, and than the server takes by default."""
NAME_BYTES_MAX: Final = 64
VALUE_BYTES_MAX: Final = 256

_FORWARDING: Final = frozenset(
    b"via forwarded x-real-ip true-client-ip x-client-ip x-cluster-client-ip cdn-loop".split()
)
_ADDED: Final = _FORWARDING | frozenset(
    b"traceparent tracestate baggage b3 x-request-id x-correlation-id x-cloud-trace-context "
    b"x-request-start x-datadog-trace-id x-datadog-parent-id x-datadog-sampling-priority "
    b"x-datadog-tags sentry-trace uber-trace-id x-original-url x-original-host x-scheme".split()
)
_FORWARDING_PREFIXES: Final = (b"x-forwarded-", b"cf-", b"x-envoy-", b"x-amzn-", b"fastly-")
_ADDED_PREFIXES: Final = (*_FORWARDING_PREFIXES, b"x-b3-", b"l5d-", b"x-arr-", b"x-azure-")

_KEPT: Final = frozenset(
    b"user-agent x-stainless-lang x-stainless-package-version x-stainless-os x-stainless-arch "
    b"x-stainless-runtime x-stainless-runtime-version x-stainless-async x-stainless-raw-response "
    b"x-goog-api-client sec-ch-ua sec-ch-ua-platform sec-fetch-mode accept-encoding".split()
)
_UNPRINTABLE: Final = re.compile(r"[^\x20-\x7e]")


# What a header is to us. Plain numbers: an Enum would cost more than all the rest of the loop.
_IS_OTHER, _IS_KEPT, _IS_TYPE, _IS_TIMEOUT, _IS_EMPTY, _IS_ADDED, _IS_FORWARDING = range(7)


class Picked(NamedTuple):
    """What is kept of a head, as it came: cheap to make and to compare."""

    names: tuple[bytes, ...]
    values: tuple[tuple[bytes, bytes], ...]
    is_lower: bool
    is_title_os: bool
    is_forwarded: bool


class Head(NamedTuple):
    """`names` in wire order and lower case; `values` of the few headers that say what a program
    is, printable ASCII, cut. Of the names as they were written: `is_lower` if all are lower case,
    `is_title_os` if one is `X-Stainless-Os`. `is_forwarded`: a proxy that the operator trusts has
    left its marks, and may have written the head anew."""

    names: tuple[str, ...]
    values: dict[str, str]
    is_lower: bool = False
    is_title_os: bool = False
    is_forwarded: bool = False

    def value(self, name: str) -> str:
        """The value of one of the headers that are kept, "" without it."""
        return self.values.get(name, "")


def pick_head(
    headers: tuple[tuple[bytes, bytes], ...],
    wire_names: tuple[bytes, ...],
    *,
    is_forwarded: bool = False,
) -> Picked:
    """Never raises; looks at no more than `HEADERS_MAX` headers, and keeps the first of a name.
    `is_forwarded`: the connection is one of a trusted proxy. Only then do a proxy's marks count as
    such: anybody can write them."""
    names: list[bytes] = []
    values: list[tuple[bytes, bytes]] = []
    has_added = has_marks = False
    for name, value in headers[:HEADERS_MAX]:
        name = name[:NAME_BYTES_MAX]
        kind = _kind_of(name)
        if kind >= _IS_ADDED:
            has_added = True
            has_marks |= kind == _IS_FORWARDING
            continue
        names.append(name)
        if kind == _IS_KEPT:
            values.append((name, value[:VALUE_BYTES_MAX]))
        elif kind:
            kept = _steady(kind, value[:VALUE_BYTES_MAX])
            if kept is not None:
                values.append((name, kept))
    wire = wire_names[:HEADERS_MAX]
    if has_added:  # how a proxy writes its own names says nothing of the program
        wire = tuple(name for name in wire if not _is_added(name))
    return Picked(
        tuple(names),
        tuple(values),
        bool(wire) and b"".join(wire).islower(),
        b"X-Stainless-Os" in wire,
        is_forwarded and has_marks,
    )


def read_head(picked: Picked) -> Head:
    """The same, to be read."""
    return Head(
        tuple(_text(name) for name in picked.names),
        {_text(name): _text(value) for name, value in reversed(picked.values)},
        *picked[2:],
    )


@lru_cache(maxsize=1_024)
def _kind_of(name: bytes) -> int:
    if name in _FORWARDING or name.startswith(_FORWARDING_PREFIXES):
        return _IS_FORWARDING
    if name in _ADDED or name.startswith(_ADDED_PREFIXES):
        return _IS_ADDED
    return _KINDS.get(name, _IS_OTHER)


def _is_added(wire_name: bytes) -> bool:
    return _kind_of(wire_name[:NAME_BYTES_MAX].lower()) >= _IS_ADDED


def _steady(kind: int, value: bytes) -> bytes | None:
    """Without what changes from call to call: a form's boundary, how long a timeout is."""
    if kind == _IS_TYPE:
        return value.partition(b";")[0]
    if kind == _IS_TIMEOUT:
        return b"float" if b"." in value else b"whole"
    if kind == _IS_EMPTY:
        return None if value else b"empty"
    return value


_KINDS: Final = {
    **dict.fromkeys(_KEPT, _IS_KEPT),
    b"content-type": _IS_TYPE,
    b"x-stainless-read-timeout": _IS_TIMEOUT,
    b"origin": _IS_EMPTY,
    b"referer": _IS_EMPTY,
}


def _text(value: bytes) -> str:
    text = value.decode("latin-1")
    return text if text.isascii() and text.isprintable() else _UNPRINTABLE.sub("?", text)
