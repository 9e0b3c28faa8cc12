"""Client: what runs beside the caller, so that only the holder of a private key can spend.

Promises: each attempt of each request gets a proof of its own; the private key leaves this
process only for the place where its owner keeps it; nothing is signed for another host than the
guard's; importing this needs no extra.
Does not promise: safety from whoever can read the owner's files or this process while it runs,
and nothing about what the guard allows: it decides.
Fails how: a `ClientError`, which says what happened, what it means and what to do.
"""

from typing import TYPE_CHECKING

from tokenward.client.conversation import Conversation
from tokenward.client.enrolment import enrol
from tokenward.client.errors import ClientError, MissingExtraError
from tokenward.client.holder import Holder
from tokenward.client.keeping import DEFAULT_NAME, load_holder

if TYPE_CHECKING:
    import httpx
    import httpx2

__all__ = ["ClientError", "Holder", "auth", "enrol", "httpx_auth"]


def auth(name: str = DEFAULT_NAME) -> "httpx2.Auth":
    """Signs the calls of the SDKs that use httpx2, as the holder kept under `name`.

    ```python
    auth = tokenward.client.auth()
    openai.OpenAI(base_url="http://127.0.0.1:8080/v1", api_key="tokenward",
                  http_client=openai.DefaultHttpxClient(auth=auth))
    anthropic.Anthropic(base_url="http://127.0.0.1:8080", api_key="tokenward",
                        http_client=anthropic.DefaultHttpxClient(auth=auth))
    google.genai.Client(api_key="tokenward", http_options={
        "base_url": "http://127.0.0.1:8080", "client_args": {"auth": auth},
        "async_client_args": {"auth": auth, "transport": httpx2.AsyncHTTPTransport()}})
    ```

    (google-genai uses aiohttp for async calls unless it is given a transport.) Raises
    MissingExtraError without the extra `client`, and NotEnrolledError or KeepingError.
    """
    try:
        from tokenward.client.for_httpx2 import DpopAuth
    except ModuleNotFoundError as error:
        raise _missing(
            error, "httpx2", "the extra `client`: pip install 'tokenward[client]'"
        ) from None
    return DpopAuth(Conversation(load_holder(name)))


def httpx_auth(name: str = DEFAULT_NAME) -> "httpx.Auth":
    """The same for programs and older SDKs that use httpx; raises as `auth` does."""
    try:
        from tokenward.client.for_httpx import DpopAuth
    except ModuleNotFoundError as error:
        raise _missing(error, "httpx", "what it would sign for: pip install httpx") from None
    return DpopAuth(Conversation(load_holder(name)))


def _missing(error: ModuleNotFoundError, package: str, cure: str) -> Exception:
    if error.name != package:
        return error
    return MissingExtraError(f"{package} is not installed, and calls are signed in it. Get {cure}")
