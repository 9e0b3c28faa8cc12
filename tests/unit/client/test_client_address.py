"""URLs as a proof names them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tokenward.binding.addresses import PublicUrls
from tokenward.client.address import htu_of, is_loopback, origin_of


@pytest.mark.parametrize(
    ("url", "htu"),
    [
        ("https://server.example.com/token", "https://server.example.com/token"),
        ("https://guard.test/v1/chat/completions?a=b#c", "https://guard.test/v1/chat/completions"),
        ("HTTPS://Guard.TEST/V1/Models", "https://guard.test/V1/Models"),
        ("https://guard.test:443/v1", "https://guard.test/v1"),
        ("http://guard.test:80/v1", "http://guard.test/v1"),
        ("http://guard.test:443/v1", "http://guard.test:443/v1"),
        ("http://127.0.0.1:8080/v1", "http://127.0.0.1:8080/v1"),
        ("http://[::1]:8080/v1", "http://[::1]:8080/v1"),
        ("https://guard.test", "https://guard.test/"),
        ("https://guard.test?x=1", "https://guard.test/"),
        (
            "https://guard.test/v1beta/models/gemini-2.5-flash:generateContent?alt=sse",
            "https://guard.test/v1beta/models/gemini-2.5-flash:generateContent",
        ),
        ("https://guard.test/a%3Ab/%e2%82%ac//c/", "https://guard.test/a%3Ab/%e2%82%ac//c/"),
    ],
)
def test_a_proof_names_the_url_without_query_and_with_the_path_as_sent(url: str, htu: str) -> None:
    assert htu_of(url) == htu


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/v1/models",
        "guard.test/v1",
        "ftp://guard.test/",
        "file:///etc/passwd",
        "https:///v1",
        "https://guard.test:port/v1",
        "https://guard.test:99999/v1",
        "https://user@guard.test/v1",
        "https://user:word@guard.test/v1",
        "https://guard.test\\@evil.test/v1",
        "https://evil.test\\.guard.test/v1",
        "https://guard.test/a b",
        "https://guard.test/a\nb",
        "https://gu\tard.test/",
        "https://gärd.test/",
    ],
)
def test_what_could_be_read_as_another_address_is_none(url: str) -> None:
    with pytest.raises(ValueError):
        htu_of(url)
    with pytest.raises(ValueError):
        origin_of(url)


def test_two_ways_to_write_an_origin_are_one_and_two_origins_are_two() -> None:
    same = {"https://guard.test/a", "https://GUARD.test:443/b?c", "HTTPS://guard.test"}
    assert {origin_of(url) for url in same} == {"https://guard.test"}
    others = {
        "http://guard.test",
        "https://guard.test:8443",
        "https://guard.test.evil.test",
        "https://guard.test.",
    }
    assert "https://guard.test" not in {origin_of(url) for url in others}


@pytest.mark.parametrize(
    ("url", "stays"),
    [
        ("http://localhost:8080", True),
        ("http://LOCALHOST", True),
        ("http://127.0.0.1", True),
        ("http://127.8.8.8", True),
        ("http://[::1]:8080", True),
        ("http://0.0.0.0", False),
        ("http://10.0.0.1", False),
        ("http://guard.test", False),
        ("http://localhost.evil.test", False),
        ("http://127.0.0.1.evil.test", False),
        ("http://[fe80::1]", False),
    ],
)
def test_only_this_machine_is_loopback(url: str, stays: bool) -> None:
    assert is_loopback(url) is stays


PATHS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="?#\\"))


@given(path=PATHS, query=st.sampled_from(["", "?", "?key=value", "#part", "?a=//b:c@d#e"]))
def test_what_is_signed_here_is_what_the_guard_looks_for(path: str, query: str) -> None:
    urls = PublicUrls(("https://guard.test",))
    assert urls.is_at(htu_of(f"HTTPS://guard.TEST:443/{path}{query}"), f"/{path}")
