"""What leaves for the provider, and what comes back of its head."""

from dataclasses import dataclass

import pytest

from tokenward.kernel.secret import Secret
from tokenward.pipeline.forward import provider_headers, provider_url
from tokenward.pipeline.interfaces import Provider
from tokenward.pipeline.relay import answer_headers, provider_request_id
from tokenward.pipeline.stages import Arrived
from tokenward.providers.interfaces import Headers
from tokenward.providers.openai import OPENAI

ROUTE = next(route for route in OPENAI.routes if route.path == "/v1/chat/completions")


def provider(base_url: str = "https://api.example", path_prefix: str = "/v1") -> Provider:
    return Provider(
        name="p",
        dialect="openai",
        base_url=base_url,
        credential=Secret("sk-real", "p"),
        models=("*",),
        prices_from="openai",
        path_prefix=path_prefix,
    )


def arrived(*headers: tuple[bytes, bytes], query: bytes = b"") -> Arrived:
    async def no_body() -> bytes:
        return b""

    async def at_once() -> bool:
        return True

    return Arrived(
        request_id="req_1",
        at_ms=0,
        route=ROUTE,
        dialect=OPENAI,
        model_in_path="",
        path="/v1/chat/completions",
        query=query,
        headers=dict(headers),
        header_list=headers,
        client_ip="127.0.0.1",
        read_body=no_body,
        has_come=at_once,
    )


@pytest.mark.req("S-5", "S-6")
def test_nothing_that_names_the_caller_or_another_host_reaches_the_provider() -> None:
    kept_inside = (
        b"authorization",
        b"x-api-key",
        b"x-goog-api-key",
        b"api-key",
        b"cookie",
        b"host",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"forwarded",
        b"openai-organization",
        b"openai-project",
        b"anthropic-workspace-id",
        b"transfer-encoding",
        b"proxy-authorization",
        b"x-secret-hop",
    )
    sent = provider_headers(
        arrived(
            *((name, b"tw_sk_x") for name in kept_inside),
            (b"connection", b"keep-alive, X-Secret-Hop"),
            (b"openai-beta", b"assistants=v2"),
            (b"user-agent", b"OpenAI/Python"),
        ),
        provider(),
    )
    assert b"tw_sk_x" not in b"".join(value for _, value in sent)
    assert dict(sent) == {
        b"openai-beta": b"assistants=v2",
        b"user-agent": b"OpenAI/Python",
        b"accept-encoding": b"identity",
        b"authorization": b"Bearer sk-real",
    }


@pytest.mark.parametrize(
    ("base_url", "prefix", "url"),
    [
        ("https://api.example", "/v1", "https://api.example/v1/chat/completions"),
        ("https://api.example", "", "https://api.example/chat/completions"),
        ("https://g.example", "/v1beta/openai", "https://g.example/v1beta/openai/chat/completions"),
        ("https://x.example/deep", "/v1", "https://x.example/deep/v1/chat/completions"),
    ],
)
def test_the_url_is_the_settings_host_and_prefix_and_the_callers_path(
    base_url: str, prefix: str, url: str
) -> None:
    assert provider_url(provider(base_url, prefix), arrived()) == url


@pytest.mark.req("S-6")
def test_credentials_leave_the_query_and_the_rest_stays() -> None:
    asked = arrived(query=b"alt=sse&key=tw_sk_x&API_KEY=y&beta=true&access_token=z")
    assert provider_url(provider(), asked).endswith("?alt=sse&beta=true")


@dataclass
class Head:
    """A provider's answer, as far as its head goes."""

    headers: Headers
    status: int = 200

    async def read(self) -> bytes:
        return b""

    async def close(self) -> None:
        return None


def test_the_answers_head_keeps_order_and_repeats_and_loses_what_must_stay_inside() -> None:
    theirs = (
        (b"content-type", b"application/json"),
        (b"x-ratelimit-remaining", b"7"),
        (b"set-cookie", b"a=b"),
        (b"content-length", b"10"),
        (b"connection", b"keep-alive, x-internal"),
        (b"x-internal", b"1"),
        (b"warning", b"one"),
        (b"warning", b"two"),
        (b"x-request-id", b"theirs"),
        (b"openai-organization", b"org-1"),
    )
    head = Head(theirs)
    assert answer_headers(head, "ours", provider_request_id(head)) == (
        (b"content-type", b"application/json"),
        (b"x-ratelimit-remaining", b"7"),
        (b"warning", b"one"),
        (b"warning", b"two"),
        (b"x-provider-request-id", b"theirs"),
        (b"x-request-id", b"ours"),
    )
