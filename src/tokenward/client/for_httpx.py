"""The auth class for `httpx`: for programs and older SDKs that use it."""

from collections.abc import Generator

import httpx

from tokenward.client.attempts import sign_attempts
from tokenward.client.conversation import Conversation


class DpopAuth(httpx.Auth):
    """Signs each attempt of each request, in sync and async clients; threads may share it.

    Where the body is bound it is read into memory first, files too. Where it is not, a body from
    a generator can be sent only once: the first call of a process, which the guard answers with a
    nonce, then fails with the library's `StreamConsumed`; bytes and files can be sent again.
    """

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation
        self.requires_request_body = conversation.binds_body

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Called by the library for each attempt."""
        return sign_attempts(self._conversation, request)
