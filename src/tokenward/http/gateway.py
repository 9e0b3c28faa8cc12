"""The proxy's door: from an ASGI scope to a request of the flow."""

from collections.abc import Awaitable, Callable, MutableMapping
from functools import partial
from typing import Any

from tokenward.http.body import has_come, read_body
from tokenward.http.certificates import CertificateSource
from tokenward.http.exchange import WHOLE_BODY
from tokenward.http.reply import AsgiReply
from tokenward.http.routing import Routes
from tokenward.http.wire import WIRE_NAMES, Ja4Source, without
from tokenward.kernel.refusals import Refusal
from tokenward.limits.networks import TrustedProxies, client_address
from tokenward.pipeline.flow import guard_call
from tokenward.pipeline.forward import OUR_KEYS
from tokenward.pipeline.guard import Guard
from tokenward.pipeline.refusing import refusal_headers
from tokenward.pipeline.stages import Arrived

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

REQUEST_ID_CHARS_MAX = 128
_ID_BYTES = frozenset(b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz._-")


class Gateway:
    """The ASGI app for every declared route of every dialect."""

    def __init__(
        self,
        guard: Guard,
        routes: Routes,
        draw_id: Callable[[], str],
        *,
        trusted: TrustedProxies,
        certificates: CertificateSource,
        ja4: Ja4Source | None = None,
        body_bytes_max: int,
        body_timeout_s: float,
    ) -> None:
        self._guard = guard
        self._routes = routes
        self._draw_id = draw_id
        self._trusted = trusted
        self._certificates = certificates
        self._ja4 = ja4 or Ja4Source()
        # Proxies' words to us, and nobody else's business.
        self._ours = frozenset((certificates.header, self._ja4.header)) - {b""}
        self._read_body = partial(read_body, limit_bytes=body_bytes_max, timeout_s=body_timeout_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request. Decides on the raw path and method alone (S-2)."""
        header_list = tuple(scope["headers"])  # names are lower case (ASGI)
        extensions = scope.get("extensions", {})
        wire_names: tuple[bytes, ...] = extensions.get(WIRE_NAMES, ())
        if self._ours:
            header_list, wire_names = without(header_list, wire_names, self._ours)
        headers = combined(header_list)
        request_id = request_id_from(headers.get(b"x-request-id", b"")) or self._draw_id()
        reply = AsgiReply(receive, send)
        raw_path: bytes = scope.get("raw_path") or scope["path"].encode("utf-8")
        match = self._routes.match(scope["method"], raw_path, headers)
        if isinstance(match, Refusal):
            dialect = self._routes.dialect_for(scope["path"], headers)
            await answer_refusal(reply, match, dialect.error(match, request_id), request_id)
            return
        length = headers.get(b"content-length")
        peer: str = (scope.get("client") or ("",))[0]
        arrived = Arrived(
            request_id=request_id,
            at_ms=self._guard.clock.now_ms(),
            route=match.route,
            dialect=match.dialect,
            model_in_path=match.model_in_path,
            path=raw_path.decode("ascii"),
            query=scope["query_string"],
            headers=headers,
            header_list=header_list,
            wire_names=wire_names,
            ja4=self._ja4.ja4_of(scope),
            is_forwarded=self._trusted.includes(peer),
            client_ip=client_address(peer, headers, self._trusted),
            certificate=self._certificates.certificate_of(scope),
            read_body=partial(
                self._read_body,
                receive,
                int(length) if length is not None else None,
                extensions.get(WHOLE_BODY),
            ),
            has_come=partial(has_come, scope),
        )
        await guard_call(self._guard, arrived, reply)


def combined(header_list: tuple[tuple[bytes, bytes], ...]) -> dict[bytes, bytes]:
    """One value a name; several of one name are joined by commas (RFC 9110 section 5.3), so that
    a second credential spoils the first instead of hiding behind it."""
    headers: dict[bytes, bytes] = {}
    for name, value in header_list:
        headers[name] = headers[name] + b", " + value if name in headers else value
    return headers


def request_id_from(value: bytes) -> str:
    """The caller's id if it is harmless (RFC 9110 token characters we can print, and no key that
    was put there by mistake: ids are kept), else ""."""
    is_short = 0 < len(value) <= REQUEST_ID_CHARS_MAX
    if is_short and _ID_BYTES.issuperset(value) and OUR_KEYS not in value:
        return value.decode("ascii")
    return ""


async def answer_refusal(reply: AsgiReply, refusal: Refusal, body: bytes, request_id: str) -> None:
    """A refusal outside the flow: nothing is known of the caller, so nothing is recorded."""
    head = refusal_headers(refusal, request_id)
    allow = next((str(value) for name, value in refusal.facts if name == "allow"), "")
    extra = ((b"allow", allow.encode("ascii")),) if allow else ()
    length = (b"content-length", str(len(body)).encode("ascii"))
    await reply.start(refusal.status, (*head, *extra, length))
    await reply.end(body)
