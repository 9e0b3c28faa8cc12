"""The door of the token service: which endpoint, how often, and how its answer is told.

Decides on the raw path and the method alone, as the gateway does, and never on the Host header.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from tokenward.http.body import read_body
from tokenward.http.certificates import CertificateSource, caller_thumbprint
from tokenward.http.exchange import WHOLE_BODY
from tokenward.http.gateway import Receive, Scope, Send, combined, request_id_from
from tokenward.http.oauth.denied import Denied, denied_rate, denied_request
from tokenward.http.oauth.form import BODY_BYTES_MAX, BODY_WAIT_S, read_form
from tokenward.http.oauth.visit import Visit
from tokenward.http.reply import AsgiReply
from tokenward.kernel.errors import StoreError
from tokenward.kernel.events import Record
from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.refusals import Refusal
from tokenward.limits.networks import client_address
from tokenward.limits.rates import Rates
from tokenward.pipeline.guard import Guard
from tokenward.pipeline.notes import without_keys
from tokenward.pipeline.proving import NONCE_HEADER
from tokenward.pipeline.refusing import STORE_DOWN

ADDRESS_RPM: Final = 600
"""Requests a minute from one address to all endpoints together."""
PREFIX: Final = "/oauth/"
WELL_KNOWN: Final = "/.well-known/oauth-"

Answer = Callable[[Visit], Awaitable[JsonObject | Denied]]

_NOWHERE: Final = Denied(
    error="invalid_request",
    code="route:unknown",
    said="Nothing answers here. Endpoints are in /.well-known/oauth-authorization-server.",
    status=404,
)
_DOWN: Final = Denied(
    error="temporarily_unavailable",
    code=STORE_DOWN.code,
    said="The guard cannot read or write its records right now, so it gives nothing out.",
    status=503,
    retry_after_s=STORE_DOWN.retry_after_s,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """What answers at a path. A POST takes a form; what a GET answers is public."""

    method: str
    answer: Answer


class OauthDoor:
    """The ASGI app for `/oauth/…` and the two documents under `/.well-known/`."""

    def __init__(
        self,
        guard: Guard,
        endpoints: Mapping[str, Endpoint],
        draw_id: Callable[[], str],
        *,
        certificates: CertificateSource,
        address_rpm: int = ADDRESS_RPM,
    ) -> None:
        self._guard = guard
        self._endpoints = endpoints
        self._draw_id = draw_id
        self._certificates = certificates
        self._address_rpm = address_rpm
        self._rates = Rates()

    @staticmethod
    def owns(path: str) -> bool:
        """Whether a raw path is one of ours."""
        return path.startswith((PREFIX, WELL_KNOWN))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, and write its record."""
        began_s = self._guard.clock.monotonic_s()
        visit = self._arrive(scope)
        endpoint = self._endpoints.get(visit.path)
        try:
            said = await self._answer(endpoint, visit, scope, receive)
        except StoreError as fault:
            said, visit.record.fault = _DOWN, type(fault).__name__
        await self._tell(visit, said, AsgiReply(receive, send))
        if visit.method == "POST":
            record, spent_s = visit.record, self._guard.clock.monotonic_s() - began_s
            record.total_ms, record.guard_us = round(spent_s * 1000), round(spent_s * 1_000_000)
            self._guard.record(record)

    def _arrive(self, scope: Scope) -> Visit:
        header_list = tuple(scope["headers"])
        headers = combined(header_list)
        path = (scope.get("raw_path") or scope["path"].encode("utf-8")).decode("latin-1")
        known = path in self._endpoints
        peer, now_ms = (scope.get("client") or ("",))[0], self._guard.clock.now_ms()
        record = Record(
            ts=now_ms,
            request_id=request_id_from(headers.get(b"x-request-id", b"")) or self._draw_id(),
            dialect="oauth",
            route=path.removeprefix(PREFIX) if known else "",
            client_ip=client_address(peer, headers, self._certificates.trusted),
            user_agent=without_keys(headers.get(b"user-agent", b"")[:256].decode("latin-1")),
        )
        return Visit(
            method=scope["method"],
            path=path,
            header_list=header_list,
            headers=headers,
            certificate=caller_thumbprint(scope, self._certificates, now_ms),
            record=record,
        )

    async def _answer(
        self, endpoint: Endpoint | None, visit: Visit, scope: Scope, receive: Receive
    ) -> JsonObject | Denied:
        if endpoint is None:
            return _NOWHERE
        is_read = endpoint.method == "GET" and visit.method == "HEAD"
        if visit.method != endpoint.method and not is_read:
            said = f"This endpoint takes {endpoint.method}."
            return replace(denied_request(said, "route:method", 405), allow=endpoint.method)
        if endpoint.method == "POST":
            refused_form = await self._read(visit, scope, receive)
            if refused_form is not None:
                return refused_form
            if not self._guard.view.is_fresh():
                return _DOWN  # what was revoked elsewhere would be good here
        return await endpoint.answer(visit)

    async def _read(self, visit: Visit, scope: Scope, receive: Receive) -> Denied | None:
        """The form; or why it is not read."""
        address = f"address:{visit.record.client_ip}"
        now_s = self._guard.clock.monotonic_s()
        too_often = self._rates.take_request(address, self._address_rpm, now_s)
        if too_often is not None:
            return denied_rate("This address", too_often)
        if scope["query_string"]:
            return denied_request("Parameters belong in the body; addresses end up in logs.")
        length = visit.headers.get(b"content-length")
        body = await read_body(
            receive,
            int(length) if length is not None else None,
            scope.get("extensions", {}).get(WHOLE_BODY),
            limit_bytes=BODY_BYTES_MAX,
            timeout_s=BODY_WAIT_S,
        )
        if isinstance(body, Refusal):
            return denied_request(body.message, body.code, body.status)
        form = read_form(visit.headers.get(b"content-type", b""), body)
        if isinstance(form, Denied):
            return form
        visit.form = form
        return None

    async def _tell(self, visit: Visit, said: JsonObject | Denied, reply: AsgiReply) -> None:
        record = visit.record
        headers = [
            (b"content-type", b"application/json"),
            (b"x-request-id", record.request_id.encode("ascii")),
        ]
        if isinstance(said, Denied):
            record.status, record.refusal, record.verdict = said.status, said.code, "refuse"
            headers += _headers_of(said)
            body = msgspec.json.encode(said.shown(record.request_id))
        else:
            record.status, record.verdict = 200, "allow"
            body = msgspec.json.encode(said)
        if visit.method == "POST":
            headers += [(b"cache-control", b"no-store"), (b"pragma", b"no-cache")]
            nonce = self._guard.prover.nonces.current(self._guard.clock.now_ms())
            headers.append((NONCE_HEADER, nonce.encode("ascii")))
        elif record.status == 200:
            headers.append((b"cache-control", b"public, max-age=300"))
        headers.append((b"content-length", str(len(body)).encode("ascii")))
        await reply.start(record.status, tuple(headers))
        await reply.end(body)


def _headers_of(denied: Denied) -> list[tuple[bytes, bytes]]:
    headers = [(b"x-should-retry", b"true" if denied.retry_after_s is not None else b"false")]
    if denied.retry_after_s is not None:
        headers.append((b"retry-after", str(denied.retry_after_s).encode("ascii")))
    if denied.challenge:
        headers.append((b"www-authenticate", denied.challenge.encode("ascii")))
    if denied.allow:
        headers.append((b"allow", denied.allow.encode("ascii")))
    return headers
