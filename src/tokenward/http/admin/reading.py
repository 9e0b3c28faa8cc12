"""What does the caller want? Bodies and queries, read strictly and within limits."""

from typing import Final
from urllib.parse import parse_qsl

import msgspec

from tokenward.http.admin.route import Ask, Route
from tokenward.http.body import read_body
from tokenward.http.lifespan import Receive
from tokenward.kernel.json_text import JsonObject, parse_object
from tokenward.kernel.refusals import Refusal

BODY_BYTES_MAX: Final = 64 * 1024
BODY_WAIT_S: Final = 10.0
QUERY_FIELDS_MAX: Final = 16


async def read_ask(
    row: Route, parts: dict[str, str], query: bytes, receive: Receive
) -> Ask | Refusal:
    """What is asked: every name known, once, in its place and of its type; else ValueError."""
    if not row.has_body:
        given = _parse_query(query)
    else:
        body = await read_body(receive, None, limit_bytes=BODY_BYTES_MAX, timeout_s=BODY_WAIT_S)
        if isinstance(body, Refusal):
            return body
        if query:
            raise ValueError("this route takes JSON, not a query")
        given = parse_object(body) if body else {}
    if twice := parts.keys() & given.keys():
        raise ValueError(f"{min(twice)!r} belongs in the path only")
    return msgspec.convert({**given, **parts}, row.ask, strict=row.has_body)


def _parse_query(query: bytes) -> JsonObject:
    if not query:
        return {}
    pairs = parse_qsl(
        query.decode("ascii"),
        keep_blank_values=True,
        strict_parsing=True,
        max_num_fields=QUERY_FIELDS_MAX,
        errors="strict",
    )
    given: JsonObject = dict(pairs)
    if len(given) != len(pairs):
        raise ValueError("a name stands twice in the query")
    return given
