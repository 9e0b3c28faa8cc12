"""Requests of real clients: a small set of our own, and a larger one beside the project."""

import json
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from house.source import ROOT
from tokenward.kernel.signals import Client
from tokenward.signals import read_client

OWN = ROOT / "tests" / "data" / "clients"
SHARED = ROOT.parent / "shared" / "data" / "client-captures.jsonl"
Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Capture:
    """One request: names in wire case, and what program it is known to come from."""

    client: str
    kind: str
    headers: Headers
    body: bytes
    ja4: str = ""
    line: int = 0
    family: str = ""

    def read(
        self,
        *,
        before: Headers = (),
        after: Headers = (),
        body: bytes | None = None,
        is_forwarded: bool = False,
    ) -> Client:
        """What the guard reads of it, perhaps with more headers or another body, or from a trusted
        proxy."""
        pairs = [(n.encode(), v.encode()) for n, v in (*before, *self.headers, *after)]
        lower = tuple((name.lower(), value) for name, value in pairs)
        body = self.body if body is None else body
        wire = tuple(name for name, _ in pairs)
        return read_client(lower, wire, body, self.ja4, is_forwarded=is_forwarded)


def own_captures(name: str) -> list[Capture]:
    """One of `tests/data/clients`."""
    said = json.loads((OWN / f"{name}.json").read_text("utf-8"))
    return [
        Capture(
            client=said["client"],
            kind="",
            headers=tuple((name, value) for name, value in call["headers"]),
            body=call["body"].encode("utf-8"),
            family=said["family"],
        )
        for call in said["calls"]
    ]


def own_names() -> list[str]:
    """What there is."""
    return sorted(path.stem for path in OWN.glob("*.json"))


def shared_captures() -> list[Capture]:
    """The larger set; skips where it is not there."""
    if not SHARED.exists():
        pytest.skip("the recordings beside the project are not here")
    return list(_shared())


def _shared() -> Iterator[Capture]:
    for line in SHARED.read_text("utf-8").splitlines():
        said = json.loads(line)
        if said["headers"]:  # else only a ClientHello was seen
            yield Capture(
                client=said["client"],
                kind=said["kind"],
                headers=tuple((name, value) for name, value in said["headers"]),
                body=said["body_prefix"].encode("utf-8"),
                ja4=said["ja4"] or "",
                line=said["n"],
            )
