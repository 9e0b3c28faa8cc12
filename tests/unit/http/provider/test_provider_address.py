"""Where a URL leads, and which ones lead nowhere."""

import pytest

from tokenward.http.provider.address import Origin, split_url
from tokenward.kernel.errors import UnsentError


@pytest.mark.parametrize(
    ("url", "origin", "target"),
    [
        (
            "https://api.openai.com/v1/chat/completions",
            Origin(is_tls=True, host="api.openai.com", port=443, authority="api.openai.com"),
            "/v1/chat/completions",
        ),
        (
            "http://127.0.0.1:8000/v1?key=a&b=%20#"[:-1],
            Origin(is_tls=False, host="127.0.0.1", port=8000, authority="127.0.0.1:8000"),
            "/v1?key=a&b=%20",
        ),
        (
            "http://[::1]:80/",
            Origin(is_tls=False, host="::1", port=80, authority="[::1]"),
            "/",
        ),
        (
            "https://[fd00::A]:8443/x",
            Origin(is_tls=True, host="fd00::a", port=8443, authority="[fd00::a]:8443"),
            "/x",
        ),
        (
            "http://My_vLLM:443",
            Origin(is_tls=False, host="my_vllm", port=443, authority="my_vllm:443"),
            "/",
        ),
        (
            "https://example.com:443?alt=sse",
            Origin(is_tls=True, host="example.com", port=443, authority="example.com"),
            "/?alt=sse",
        ),
        (
            "https://example.com./a/../b//c;d=(e)'*!~\"<>{}|^`\\[]",
            Origin(is_tls=True, host="example.com.", port=443, authority="example.com."),
            "/a/../b//c;d=(e)'*!~\"<>{}|^`\\[]",
        ),
    ],
)
def test_a_plain_url_is_split_and_its_target_left_as_it_is(
    url: str, origin: Origin, target: str
) -> None:
    assert split_url(url) == (origin, target)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v1/chat",
        "//example.com/",
        "HTTP://example.com/",
        "ftp://example.com/",
        "https:/example.com/",
        "https://",
        "https:///v1",
        "https://?x",
        "https://user@example.com/",
        "https://user:secret@example.com/",
        "https://example.com\\@evil.example/",
        "https://example.com#@evil.example/",
        "https://example.com/#fragment",
        "https://example.com:/",
        "https://example.com:0/",
        "https://example.com:65536/",
        "https://example.com:443:443/",
        "https://example.com:+80/",
        "https://example.com:８0/",
        "https://exam ple.com/",
        "https://example.com/a b",
        "https://example.com/\r\nx: 1",
        "https://example.com/\n",
        "https://example.com\n",
        "https://example.com/\x00",
        "https://example.com/\x7f",
        "https://example.com/é",
        "https://exämple.com/",
        "https://example%2ecom/",
        "https://[::1/",
        "https://::1/",
        "https://[::1]evil/",
        "https://[1.2.3.4]/",
        "https://[example.com]/",
        "https://[fe80::1%25eth0]/",
    ],
)
def test_any_other_url_leads_nowhere_and_is_not_repeated_in_the_error(url: str) -> None:
    with pytest.raises(UnsentError) as caught:
        split_url(url)
    assert str(caught.value) == "the provider's URL is not plain http(s); check its base_url"
