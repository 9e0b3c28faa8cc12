"""The door to `/admin/v1`: who may enter, which route answers, how refusals look.

Every path behind the prefix needs the admin token, also unknown ones: a stranger learns nothing.
Only the path as it was sent is read, never a decoded one and never the Host header.
"""

import asyncio
import hashlib
import hmac
from typing import Final

import msgspec

from tokenward.http.admin.office import Office
from tokenward.http.admin.pages import link_of
from tokenward.http.admin.reading import read_ask
from tokenward.http.admin.route import PREFIX, Page, Route
from tokenward.http.admin.routes import ROUTES
from tokenward.http.gateway import request_id_from
from tokenward.http.lifespan import Message, Receive, Send
from tokenward.kernel.errors import Fault
from tokenward.kernel.ids import base62_text
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.pipeline.refusing import refusal_headers
from tokenward.providers.interfaces import Headers

FAILED_LOGIN_WAIT_S: Final = 0.3
FAILED_LOGINS_WAITING_MAX: Final = 8
SAID_CHARS_MAX: Final = 400

_STRANGER: Final = Refusal(
    "admin:unauthorized",
    401,
    "This needs the admin token: Authorization: Bearer <token>. API keys do not open it.",
)
_TOO_MANY: Final = Refusal(
    "admin:too_many_failures",
    429,
    "Too many wrong admin tokens at once. Try again in a moment.",
    should_retry=True,
    retry_after_s=1,
)


class AdminDoor:
    """A pure ASGI application for paths under `/admin/v1`.

    A wrong token costs the caller a moment, and only a few may wait at once, so that guessing is
    slow and cannot fill the guard; the right token is never kept waiting.
    """

    def __init__(
        self, office: Office, token: Secret, *, failed_login_wait_s: float = FAILED_LOGIN_WAIT_S
    ) -> None:
        assert token.reveal(), "an empty admin token would let everybody in"
        self._office = office
        self._digest = hashlib.sha256(token.reveal().encode()).digest()
        self._failed_login_wait_s = failed_login_wait_s
        self._failing = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request; a refusal or a fault of the store is an answer too."""
        assert scope["type"] == "http", "only requests come to this door"
        headers = [(name.lower(), value) for name, value in scope["headers"]]
        given_id = next((value for name, value in headers if name == b"x-request-id"), b"")
        request_id = request_id_from(given_id) or "req_" + base62_text(self._office.dice, 20)
        try:
            status, answer = await self._answer(scope, headers, receive)
        except Fault as fault:
            status, answer = 503, _unavailable(fault)
        head: Headers
        if isinstance(answer, Refusal):
            head, body = _refused(answer, request_id)
        else:
            head = (
                (b"content-type", b"application/json"),
                (b"x-request-id", request_id.encode("ascii")),
            )
            if isinstance(answer, Page):
                head += link_of(answer)
                answer = answer.shown
            body = msgspec.json.encode(answer)
        length = (b"content-length", str(len(body)).encode("ascii"))
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [*head, length, (b"cache-control", b"no-store")],
            }
        )
        await send({"type": "http.response.body", "body": body})

    async def _answer(
        self, scope: Message, headers: list[tuple[bytes, bytes]], receive: Receive
    ) -> tuple[int, object]:
        """The status, and a value to show or a refusal."""
        if not self._is_admin(headers):
            stranger = await self._turn_away()
            return stranger.status, stranger
        found = _find(scope["method"], scope["raw_path"].decode("latin-1"))
        if isinstance(found, Refusal):
            return found.status, found
        row, parts = found
        try:
            answer: object = await read_ask(row, parts, scope["query_string"], receive)
            if not isinstance(answer, Refusal):
                answer = await row.handler(self._office, answer)
        except ValueError as error:  # what was asked cannot be; msgspec's errors are these too
            answer = Refusal("request:invalid", 400, _plain(error))
        return (answer.status if isinstance(answer, Refusal) else row.status), answer

    def _is_admin(self, headers: list[tuple[bytes, bytes]]) -> bool:
        given = [value for name, value in headers if name == b"authorization"]
        scheme, _, token = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        digest = hashlib.sha256(token.strip()).digest()
        return hmac.compare_digest(digest, self._digest) and scheme.lower() == b"bearer"

    async def _turn_away(self) -> Refusal:
        if self._failing >= FAILED_LOGINS_WAITING_MAX:
            return _TOO_MANY
        self._failing += 1
        try:
            await asyncio.sleep(self._failed_login_wait_s)
        finally:
            self._failing -= 1
        return _STRANGER


def _find(method: str, path: str) -> tuple[Route, dict[str, str]] | Refusal:
    """The route and its path's varying parts; 404 or 405 if there is none."""
    rest = path.removeprefix(PREFIX) if path.startswith(PREFIX + "/") else ""
    matches = [(row, parts) for row in ROUTES if (parts := row.match(rest)) is not None]
    for row, parts in matches:
        if row.method == method:
            return row, parts
    if not matches:
        return Refusal(
            "route:unknown",
            404,
            f"Nothing answers at this path. All routes are in {PREFIX}/openapi.json.",
        )
    offered = ", ".join(row.method for row, _ in matches)
    return Refusal("route:method", 405, f"This path takes {offered}.", facts=(("allow", offered),))


def _plain(error: ValueError) -> str:
    """What is wrong, in a bounded sentence: libraries quote what they were given at any length,
    and say in front what is wrong with it and at the end where it stood."""
    said = str(error).rstrip(".")
    if len(said) > SAID_CHARS_MAX:
        half = SAID_CHARS_MAX // 2
        said = f"{said[:half]} … {said[-half:]}"
    return said + "."


def _unavailable(fault: Fault) -> Refusal:
    return Refusal("store:unavailable", 503, f"{fault}", should_retry=True, retry_after_s=2)


def _refused(refusal: Refusal, request_id: str) -> tuple[Headers, bytes]:
    facts = dict(refusal.facts)
    head = refusal_headers(refusal, request_id)
    if "allow" in facts:
        head += ((b"allow", str(facts["allow"]).encode("ascii")),)
    said = {"code": refusal.code, "message": refusal.message, "request_id": request_id}
    return head, msgspec.json.encode({"error": {**facts, **said}})
