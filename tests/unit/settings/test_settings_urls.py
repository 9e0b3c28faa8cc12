"""Where the guard may send: rules for the addresses that settings name."""

import pytest

from tokenward.settings.urls import check_base_url, check_webhook

FORBIDDEN = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.169.254.",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "224.0.0.1",
    "255.255.255.255",
    "[fd00:ec2::254]",
    "[fd20:ce::254]",
    "[fe80::1]",
    "[::]",
    "[ff02::1]",
    "[::ffff:169.254.169.254]",
    "[::ffff:a9fe:a9fe]",
    "[64:ff9b::169.254.169.254]",
    "[2002:a9fe:a9fe::1]",
    "metadata",
    "metadata.google.internal",
    "METADATA.Google.Internal.",
    "instance-data.ec2.internal",
]
DISGUISED = [
    "2852039166",
    "0xa9fea9fe",
    "0xA9FEA9FE",
    "0xa9.0xfe.0xa9.0xfe",
    "0251.0376.0251.0376",
    "169.254.43518",
    "169.254.169.0xfe",
    "127.1",
    "0",
    "1.2.3.4.5",
]


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com",
        "https://api.openai.com/",
        "https://api.openai.com:8443/v1/prefix",
        "https://my_gateway.example.com",
        "HTTPS://API.OPENAI.COM",
        "https://192.0.2.7",
        "https://[2001:db8::1]:8443",
        "http://127.0.0.1:8000",
        "http://localhost:8000",
        "http://vllm.localhost:8000",
        "http://[::1]:8000",
        "http://[::ffff:127.0.0.1]:8000",
        "http://10.1.2.3:8000",
        "http://192.168.0.4",
        "http://[fd12:3456::1]",
    ],
)
@pytest.mark.req("S-6")
def test_public_hosts_over_https_and_near_ones_over_http_are_accepted(url: str) -> None:
    check_base_url(url, allow_plain_http=False)


@pytest.mark.parametrize("host", FORBIDDEN)
@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.req("S-6")
def test_metadata_and_link_local_addresses_are_never_accepted(scheme: str, host: str) -> None:
    with pytest.raises(ValueError, match="never sent to"):
        check_base_url(f"{scheme}://{host}/latest", allow_plain_http=True)
    with pytest.raises(ValueError, match="never sent to"):
        check_webhook(f"{scheme}://{host}/latest")


@pytest.mark.parametrize("host", DISGUISED)
@pytest.mark.req("S-6")
def test_an_address_in_disguise_is_not_accepted(host: str) -> None:
    with pytest.raises(ValueError, match="four plain decimal numbers"):
        check_base_url(f"https://{host}/", allow_plain_http=True)


@pytest.mark.parametrize("host", ["api.openai.com", "vllm", "8.8.8.8", "[2600::1]"])
@pytest.mark.req("S-6")
def test_plain_http_to_other_hosts_needs_the_operators_word(host: str) -> None:
    with pytest.raises(ValueError, match="unencrypted"):
        check_base_url(f"http://{host}:8000", allow_plain_http=False)
    check_base_url(f"http://{host}:8000", allow_plain_http=True)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.openai.com",
        "//api.openai.com",
        "ftp://api.openai.com",
        "file:///etc/passwd",
        "https://",
        "https:///v1",
        "https://user@api.openai.com",
        "https://user:canary@api.openai.com",
        "https://api.openai.com@evil.example",
        "https://api.openai.com?key=canary",
        "https://api.openai.com/?",
        "https://api.openai.com/#",
        "https://api.openai.com/#canary",
        "https://api.openai.com/v1/../admin",
        "https://api.openai.com/./v1",
        "https://api.openai.com:0",
        "https://api.openai.com:65536",
        "https://api.openai.com:http",
        "https://api.openai.com\\@evil.example",
        "https://api.openai.com/\n",
        "https://api .openai.com",
        "https://api.openai.com%2f.evil.example",
        "https://-api.openai.com",
        "https://api..openai.com",
        "https://[::1",
        "https://[canary]",
        "https://аpi.openai.com",
    ],
)
@pytest.mark.req("S-6")
def test_what_is_not_a_plain_base_url_is_an_error_that_never_repeats_it(url: str) -> None:
    with pytest.raises(ValueError) as error:
        check_base_url(url, allow_plain_http=True)
    assert "canary" not in str(error.value)


def test_a_webhook_may_have_a_query_but_must_be_encrypted_beyond_this_network() -> None:
    check_webhook("https://hooks.example.com/T0/B1?token=x#y")
    check_webhook("http://127.0.0.1:9000/alerts")
    with pytest.raises(ValueError, match="unencrypted"):
        check_webhook("http://hooks.example.com/T0")
