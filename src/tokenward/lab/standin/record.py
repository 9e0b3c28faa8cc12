"""What did it see? The last requests as they came in, and keys that never should have."""

from base64 import b64encode
from collections import deque
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final
from urllib.parse import unquote_to_bytes

REQUESTS_MAX: Final = 1_000
LEAKS_MAX: Final = 1_000
BODY_KEPT_MAX: Final = 64 * 2**10
FORBIDDEN: Final = b"tw_sk_"
"""A guard's own key: it must never reach a provider."""

Headers = list[tuple[bytes, bytes]]


@dataclass(slots=True)
class Seen:
    """One request. `headers` in the order of the wire, names in lower case."""

    number: int
    arrived_ms: int
    method: str
    path: str
    query: bytes
    headers: Headers
    body: bytes
    body_size: int
    body_sha256: str
    """Of the whole body; "" while `body` is whole and it can be had when somebody asks."""
    status: int = 0
    request_id: str = ""


class Record:
    """The last requests and every leak since the last reset."""

    def __init__(self) -> None:
        self._seen: deque[Seen] = deque(maxlen=REQUESTS_MAX)
        self._leaks: deque[dict[str, Any]] = deque(maxlen=LEAKS_MAX)
        self._count = 0

    def add(
        self,
        method: str,
        path: str,
        query: bytes,
        headers: Headers,
        body: bytes,
        arrived_ms: int = 0,
    ) -> Seen:
        """Keep a request; what carries a forbidden key is listed, place by place."""
        self._count += 1
        is_whole = len(body) <= BODY_KEPT_MAX
        kept, digest = (body, "") if is_whole else (body[:BODY_KEPT_MAX], _sha256(body))
        seen = Seen(self._count, arrived_ms, method, path, query, headers, kept, len(body), digest)
        places = [("path", path.encode()), ("query", query), ("body", body)]
        for place, text in places:
            if FORBIDDEN in text or (place != "body" and FORBIDDEN in unquote_to_bytes(text)):
                self._leak(seen, place)
        for name, value in headers:
            if FORBIDDEN in value or FORBIDDEN in name:
                self._leak(seen, f"header {name.decode('latin-1')}")
        self._seen.append(seen)
        return seen

    def _leak(self, seen: Seen, place: str) -> None:
        self._leaks.append({"number": seen.number, "path": seen.path, "place": place})

    def leaks(self) -> list[dict[str, Any]]:
        """Where forbidden keys were seen: `{"number", "path", "place"}`, never the key."""
        return list(self._leaks)

    def requests(self, last: int) -> list[dict[str, Any]]:
        """The last requests, oldest first, ready for JSON."""
        return [_shown(seen) for seen in list(self._seen)[-last:]] if last else []

    @property
    def count(self) -> int:
        """Requests since the start or the last reset."""
        return self._count

    def reset(self) -> None:
        """Forget everything."""
        self._seen.clear()
        self._leaks.clear()
        self._count = 0


def _sha256(body: bytes) -> str:
    return sha256(body).hexdigest()


def _shown(seen: Seen) -> dict[str, Any]:
    try:
        text = seen.body.decode()
    except UnicodeDecodeError:
        text = None
    return {
        "number": seen.number,
        "arrived_ms": seen.arrived_ms,
        "method": seen.method,
        "path": seen.path,
        "query": seen.query.decode("latin-1"),
        "headers": [[n.decode("latin-1"), v.decode("latin-1")] for n, v in seen.headers],
        "body": text,
        "body_base64": b64encode(seen.body).decode(),
        "body_size": seen.body_size,
        "body_sha256": seen.body_sha256 or _sha256(seen.body),
        "status": seen.status,
        "request_id": seen.request_id,
    }
