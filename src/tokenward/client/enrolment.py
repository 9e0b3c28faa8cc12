"""Enrolment: the one-time code becomes a holder, and the private key never leaves this machine.

With the standard library only, so that it needs no extra: one POST, no redirects, no proxies.
"""

import http.client
import ssl
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode, urlsplit

import msgspec

from tokenward.client.address import is_loopback, origin_of
from tokenward.client.errors import ClientError, EnrolmentError, KeepingError
from tokenward.client.guard_clock import GuardClock
from tokenward.client.holder import Bind, Holder, draw_private_key, draw_proof_id
from tokenward.client.keeping import (
    DEFAULT_NAME,
    check_place,
    is_kept,
    load_holder,
    save_holder,
)
from tokenward.client.signer import Signer
from tokenward.kernel.secret import Secret

PATH: Final = "/oauth/enrolment"
CODE_PREFIX: Final = "tw_ec_"
ID_CHARS: Final = 12
WAIT_S_MAX: Final = 10.0
ANSWER_BYTES_MAX: Final = 65_536
_ATTEMPTS_MAX: Final = 4  # one each for the nonce, the clock and a lost answer, one that counts
_NEW_CODE: Final = "get a new code: tokenward key enrol ID"


class _Enrolled(msgspec.Struct, frozen=True):
    """What is read of the guard's 200."""

    id: str
    key: str
    bind: Bind
    thumbprint: str


class _Refused(msgspec.Struct, frozen=True):
    """RFC 6749 section 5.2."""

    error: str = ""
    error_description: str = ""


class _UnansweredError(Exception):
    """The request was sent and no answer came."""


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    nonce: str
    date: str
    body: bytes


def enrol(
    guard_url: str,
    code: str,
    *,
    name: str = DEFAULT_NAME,
    replace: bool = False,
    allow_plain_http: bool = False,
    now_s: Callable[[], float] = time.time,
) -> Holder:
    """Make a private key, have the guard bind the code's key to it, and keep both as `name`.

    `guard_url` is the guard's address without `/v1`: https, or http on this machine (or with
    `allow_plain_http`: then whoever listens on the way gets the code). `replace` gives up the
    holder that is kept under `name`; one of the same key needs no such word, because the new code
    has put it out already. Raises KeepingError before the code is spent, and
    EnrolmentError, which says whether it was.
    """
    base = _checked_url(guard_url, allow_plain_http)
    if not code.startswith(CODE_PREFIX):
        raise EnrolmentError(
            f"That is not an enrolment code (they begin with {CODE_PREFIX}), so it was not sent. "
            "It is what `tokenward key create --bind dpop` shows beside the key"
        )
    if is_kept(name) and not replace and not _is_of_same_key(name, code):
        raise KeepingError(
            f"A holder of another key is enrolled as {name!r} already, and its private key would "
            "be lost. Choose another name (--name), or say that it may be replaced (--replace). "
            "The code was not used"
        )
    check_place(name)
    private_key = draw_private_key()
    clock = GuardClock(now_s)
    enrolled = _redeem(
        base, code, Signer(private_key, now_s=clock.now_s, draw_id=draw_proof_id), clock
    )
    holder = Holder(
        guard_url=base,
        key_id=enrolled.id,
        key=Secret(enrolled.key, f"key {enrolled.id}"),
        bind=enrolled.bind,
        private_key=private_key,
        created_ms=int(clock.now_s() * 1000),
    )
    try:
        save_holder(holder, name)
    except KeepingError as error:
        raise EnrolmentError(
            f"The guard took the code, and the private key could not be kept: {error}. The code is "
            f"spent and nobody holds the key now: tokenward key enrol {enrolled.id}"
        ) from None
    return holder


def _is_of_same_key(name: str, code: str) -> bool:
    """A code carries the id of its key, as keys do."""
    try:
        return load_holder(name).key_id == code[len(CODE_PREFIX) :][:ID_CHARS]
    except ClientError:
        return False


def _checked_url(guard_url: str, allow_plain_http: bool) -> str:
    try:
        origin = origin_of(guard_url)
    except ValueError as error:
        raise EnrolmentError(f"The guard's address cannot be used: {error}") from None
    parts = urlsplit(guard_url)
    if parts.query or parts.fragment:
        raise EnrolmentError("The guard's address cannot be used: it has a query or a fragment")
    if parts.scheme == "http" and not (allow_plain_http or is_loopback(guard_url)):
        raise EnrolmentError(
            f"{origin} is plain http on another machine: whoever listens on the way gets the code. "
            "Use the guard's https address; the code was not sent"
        )
    return origin + parts.path.rstrip("/")


def _redeem(base: str, code: str, signer: Signer, clock: GuardClock) -> _Enrolled:
    """Have the guard bind the key. Asked again: for a nonce, for another time, and when no answer
    came, for the guard gives the same holder the same answer while the code is good."""
    url, nonce = base + PATH, ""
    for attempts_left in reversed(range(_ATTEMPTS_MAX)):
        signed_s = clock.now_s()
        try:
            answer = _post(url, code, signer.proof("POST", url, nonce=nonce))
        except _UnansweredError as error:
            if attempts_left:
                continue
            raise EnrolmentError(
                f"The guard at {url} was asked and did not answer ({error}), so it is not known "
                f"whether the code is spent. Try again; if it is refused then, {_NEW_CODE}"
            ) from None
        if answer.status == 200:
            return _read_enrolled(answer.body, signer.thumbprint)
        refused = _read_refused(answer.body)
        wants_nonce = refused.error == "use_dpop_nonce" and answer.nonce not in ("", nonce)
        wants_time = refused.error == "invalid_dpop_proof" and clock.learn(answer.date, signed_s)
        if not (wants_nonce or wants_time) or not attempts_left:
            raise _refusal(base, answer.status, refused)
        nonce = answer.nonce or nonce
    raise AssertionError("the last attempt returns or raises")


def _post(url: str, code: str, proof: str) -> _Answer:
    """One request. Raises EnrolmentError when nothing was sent, _UnansweredError when it was."""
    connection = _connect(url)
    headers = {"content-type": "application/x-www-form-urlencoded", "dpop": proof}
    try:
        connection.request("POST", urlsplit(url).path, urlencode({"code": code}), headers)
        answer = connection.getresponse()
        body = answer.read(ANSWER_BYTES_MAX + 1)
    except (OSError, http.client.HTTPException) as error:
        raise _UnansweredError(type(error).__name__) from None
    finally:
        connection.close()
    found = answer.headers
    return _Answer(answer.status, found.get("dpop-nonce", ""), found.get("date", ""), body)


def _connect(url: str) -> http.client.HTTPConnection:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = (
        http.client.HTTPConnection(host, port, timeout=WAIT_S_MAX)
        if parts.scheme == "http"
        else http.client.HTTPSConnection(
            host, port, timeout=WAIT_S_MAX, context=ssl.create_default_context()
        )
    )
    try:
        connection.connect()
    except OSError as error:
        connection.close()
        raise EnrolmentError(
            f"The guard at {url} cannot be reached ({error}), so nothing was sent just now. Is it "
            "running, and is that its address?"
        ) from None
    return connection


def _read_enrolled(body: bytes, thumbprint: str) -> _Enrolled:
    try:
        enrolled = msgspec.json.decode(body, type=_Enrolled)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise EnrolmentError(
            "What answered is not a guard of this version: it said yes, and not which key was "
            f"bound. If it was your guard, the code is spent; {_NEW_CODE}"
        ) from None
    if enrolled.thumbprint != thumbprint:
        raise EnrolmentError(
            f"The guard says that it bound the key {enrolled.id} to another private key than this "
            f"machine's, so it cannot be used here. Ask its operator, and {_NEW_CODE}"
        )
    return enrolled


def _read_refused(body: bytes) -> _Refused:
    try:
        return msgspec.json.decode(body, type=_Refused)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Refused()


def _refusal(base: str, status: int, refused: _Refused) -> EnrolmentError:
    if refused.error == "invalid_grant":
        return EnrolmentError(
            "The guard does not take this code: it is mistyped, used already or too old. Each is "
            f"good once and not for long; {_NEW_CODE}"
        )
    said = "".join(sign for sign in refused.error_description[:300] if sign.isprintable())
    return EnrolmentError(
        f"What answers at {base} did not enrol this machine (status {status}"
        f"{', ' + said if said else ''}). Is that the guard's address, without /v1, and as the "
        f"guard itself is told it (server.public_urls)? If the code is refused later, {_NEW_CODE}"
    )
