"""Every attempt signed anew: the one flow behind the auth classes for httpx2 and httpx.

SDKs repeat a failed request with the headers it had, and a proof is good once. So the proof is
made where the HTTP library asks its auth class, which it does for each attempt.
"""

from collections.abc import Generator, Mapping, MutableMapping
from typing import Final, Protocol, TypeVar

from tokenward.client.conversation import Conversation, Lesson

SDK_KEYS: Final = ("x-api-key", "x-goog-api-key", "api-key")
"""Where SDKs put the key they were given; the guard refuses two credentials in one request."""


class Request(Protocol):
    """What is read and changed of a request of httpx2 or httpx."""

    method: str

    @property
    def url(self) -> object: ...
    @property
    def headers(self) -> MutableMapping[str, str]: ...
    @property
    def content(self) -> bytes: ...


class Response(Protocol):
    """What is read of an answer."""

    status_code: int

    @property
    def url(self) -> object: ...
    @property
    def headers(self) -> Mapping[str, str]: ...


R = TypeVar("R", bound=Request)
S = TypeVar("S", bound=Response)


def sign_attempts(conversation: Conversation, request: R) -> Generator[R, S, None]:
    """Send `request` signed; again, once for each, when the guard wants a newer nonce or another
    time. Raises ForeignHostError before anything is sent elsewhere.

    After a redirect nothing is learnt or repeated: it is not the guard that speaks. The library
    itself takes Authorization out of a request that is redirected to another origin.
    """
    body = request.content if conversation.binds_body else b""
    learnt: set[Lesson] = set()
    while True:
        url, signed_s = str(request.url), conversation.now_s()
        signed = conversation.sign(request.method, url, body)
        for name in SDK_KEYS:
            request.headers.pop(name, None)
        request.headers.update(signed)
        response = yield request
        if str(response.url) != url:
            return
        lesson = conversation.learn(response.status_code, response.headers, signed_s)
        if lesson is None or lesson in learnt:
            return
        learnt.add(lesson)
