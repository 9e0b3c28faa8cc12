"""The way to the guard: each attempt signed anew, nothing repeated that the guard did not refuse.

Never: another host, a redirect followed, a body decoded, a cookie kept, a proxy of the environment.
Only an attempt on an idle connection that the guard had closed may be made twice by the library,
and only of GET and its like; the proof is the same then, and the guard takes it once.
"""

import ssl
from collections.abc import AsyncIterator, Callable
from typing import Final

import aiohttp
from yarl import URL

from tokenward.client.agent.passing import SentHeaders
from tokenward.client.conversation import Conversation, Lesson
from tokenward.client.holder import Holder
from tokenward.kernel.refusals import Refusal

CONNECT_WAIT_S: Final = 5.0
ANSWER_WAIT_S: Final = 600.0
"""How long each silence may last, before the answer's head and within its body."""
CONNECTIONS_MAX: Final = 256
_KEEP_IDLE_S: Final = 4.0  # far below any guard's, so that no request meets a closing connection
_PIECE_BYTES: Final = 256 * 1024
_BUFFER_BYTES: Final = 64 * 1024
_HEADER_BYTES_MAX: Final = 64 * 1024

UNREACHABLE: Final = Refusal(
    "agent:guard_unreachable",
    503,
    "The guard cannot be reached, so nothing was sent and nothing is charged. Start it, or look at "
    "the network between here and there, then call again.",
    should_retry=True,
)
UNTRUSTED: Final = Refusal(
    "agent:guard_untrusted",
    502,
    "The guard's TLS certificate is not one that this machine trusts for its name, so nothing was "
    "sent. If the guard has an authority of its own, start the agent with SSL_CERT_FILE naming it.",
)
NO_ANSWER: Final = Refusal(
    "agent:no_answer",
    502,
    "The request was sent to the guard and no answer came back: it stopped, or the connection "
    "broke. The call may be charged. Calling again is a new call with a new price.",
)
SILENT: Final = Refusal(
    "agent:guard_silent",
    504,
    f"The guard did not begin to answer within {ANSWER_WAIT_S:.0f} s. The call may be charged. "
    "Calling again is a new call with a new price.",
)


class SignedLink:
    """The connections to one guard, for one holder. Belongs to the loop it is first used in.

    `now_s` is this machine's clock, `warn` takes a line for the person who runs the agent.
    """

    def __init__(
        self, holder: Holder, *, now_s: Callable[[], float], warn: Callable[[str], None]
    ) -> None:
        self._guard_url = holder.guard_url.rstrip("/")
        self._conversation = Conversation(holder, now_s)
        self._now_s = now_s
        self._warn = warn
        self._is_reached = True
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, method: str, target: str, headers: SentHeaders, body: bytes
    ) -> aiohttp.ClientResponse | Refusal:
        """Send and wait for the answer's head; any answer of the guard is one.

        Sent again with a new proof at most once because of the nonce and once because of the
        clock: the guard refused both before it sent anything anywhere. When cancelled, the
        connection is closed at once.
        """
        learnt: set[Lesson] = set()
        while True:
            signed_s = self._conversation.now_s()
            answer = await self._attempt(method, target, headers, body)
            if isinstance(answer, Refusal):
                return answer
            lesson = self._conversation.learn(answer.status, answer.headers, signed_s)
            if lesson is None or lesson in learnt:
                return answer
            if lesson == "clock":
                self._warn(_clock_warning(round(self._conversation.now_s() - self._now_s())))
            learnt.add(lesson)
            answer.release()

    async def close(self) -> None:
        """Close every connection; running calls break."""
        if self._session is not None:
            await self._session.close()

    async def _attempt(
        self, method: str, target: str, headers: SentHeaders, body: bytes
    ) -> aiohttp.ClientResponse | Refusal:
        url = self._guard_url + target
        sent = [*headers, *self._conversation.sign(method, url, body).items()]
        data: bytes | AsyncIterator[bytes] | None = body
        if len(body) > _PIECE_BYTES:
            sent.append(("content-length", str(len(body))))
            data = _pieces(body)
        elif not body and method not in ("POST", "PUT", "PATCH"):
            data = None
        try:
            answer = await self._open().request(
                method, URL(url, encoded=True), headers=sent, data=data, allow_redirects=False
            )
        except aiohttp.ClientConnectorCertificateError:
            return self._lose(UNTRUSTED)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
            return self._lose(UNREACHABLE)
        except TimeoutError:
            return SILENT
        except (aiohttp.ClientError, OSError):
            return NO_ANSWER
        if not self._is_reached:
            self._is_reached = True
            self._warn("The guard answers again.")
        return answer

    def _lose(self, refusal: Refusal) -> Refusal:
        if self._is_reached:
            self._is_reached = False
            self._warn(f"{self._guard_url}: {refusal.message}")
        return refusal

    def _open(self) -> aiohttp.ClientSession:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(
                    limit=CONNECTIONS_MAX,
                    ssl=ssl.create_default_context(),
                    keepalive_timeout=_KEEP_IDLE_S,
                ),
                timeout=aiohttp.ClientTimeout(
                    total=None, sock_connect=CONNECT_WAIT_S, sock_read=ANSWER_WAIT_S
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                trust_env=False,
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
                read_bufsize=_BUFFER_BYTES,
                max_line_size=_HEADER_BYTES_MAX,
                max_field_size=_HEADER_BYTES_MAX,
            )
        return self._session


async def _pieces(body: bytes) -> AsyncIterator[bytes]:
    # One write of a large body would hold the loop, and a second copy of it in the buffer.
    for start in range(0, len(body), _PIECE_BYTES):
        yield body[start : start + _PIECE_BYTES]


def _clock_warning(ahead_s: int) -> str:
    if ahead_s == 0:
        return "This machine's clock is right again; the agent signs with it."
    which = "behind" if ahead_s > 0 else "ahead of"
    return (
        f"This machine's clock is {abs(ahead_s)} s {which} the guard's. The agent signs with the "
        "guard's time; set this machine's clock."
    )
