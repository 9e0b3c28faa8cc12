"""Which engine wrote a head? And no answer rather than a wrong one."""

import pytest

from captures import own_captures
from tokenward.signals.engines import engine_of
from tokenward.signals.head import Head, pick_head, read_head

FIREFOX = (
    "Host User-Agent Accept Accept-Language Accept-Encoding Connection "
    "Sec-Fetch-Dest Sec-Fetch-Mode Sec-Fetch-Site"
)


def head(names: str, **values: str) -> Head:
    """Of these names, in wire case, with "x" where no value is given."""
    new = {name.replace("_", "-"): value for name, value in values.items()}
    pairs = [(name.encode(), new.get(name.lower(), "x").encode()) for name in names.split()]
    lower = tuple((name.lower(), value) for name, value in pairs)
    return read_head(pick_head(lower, tuple(name for name, _ in pairs)))


@pytest.mark.parametrize(
    ("name", "engine"),
    [
        ("openai-python-2", "httpx"),
        ("openai-python-3", "httpx"),
        ("anthropic-python", "httpx"),
        ("litellm", "httpx"),
        ("httpx", "httpx"),
        ("requests", "requests"),
        ("aiohttp", "aiohttp"),
        ("curl", "curl"),
        ("openai-node", "undici"),
        ("node-fetch", "undici"),
        ("go-net-http", "go"),
    ],
)
def test_every_call_of_a_client_shows_its_engine(name: str, engine: str) -> None:
    for capture in own_captures(name):
        values = {n.lower().replace("-", "_"): v for n, v in capture.headers}
        assert engine_of(head(" ".join(n for n, _ in capture.headers), **values)) == engine


@pytest.mark.parametrize(
    ("names", "engine"),
    [
        ("Accept User-Agent X-App Connection Host Accept-Encoding Content-Length", "bun"),
        ("Connection User-Agent Accept Host Accept-Encoding", "bun"),
        ("accept authorization user-agent host content-length", "hyper"),
        ("Accept Authorization User-Agent Host Content-Length", ""),  # not in lower case
        (
            "Accept Content-Type User-Agent Content-Length Accept-Encoding Host Connection",
            "node-http",
        ),
        ("Authorization Host Connection Accept-Encoding User-Agent", ""),  # OkHttp
        (FIREFOX, ""),
        (FIREFOX.replace("Connection ", ""), ""),  # behind an HTTP/2 proxy
        ("Host User-Agent Content-Length Accept Authorization X-A", "go"),
        ("Host User-Agent Content-Length X-A Authorization Accept", ""),  # not sorted
        ("Host User-Agent", ""),
        ("User-Agent Accept", ""),
        ("", ""),
    ],
)
def test_an_order_of_headers_tells_the_engine_or_nothing(names: str, engine: str) -> None:
    assert engine_of(head(names)) == engine


LARGE = "Accept Accept-Encoding Authorization X-A X-B X-C X-D X-E"


@pytest.mark.parametrize(
    ("names", "engine"),
    [
        (
            f"Host User-Agent Content-Length {LARGE} a b",
            "go",
        ),  # capitals stand before small letters
        (f"Host User-Agent Content-Length {LARGE} a", ""),  # too few for two orders
        (f"Host User-Agent Content-Length {LARGE} b a", ""),
        (f"Host User-Agent {LARGE} X-F X-G", "go"),  # no body, and its caller set the encoding
        (f"Host User-Agent {LARGE} X-F", "curl"),
    ],
)
def test_many_names_in_order_are_gos_without_another_mark(names: str, engine: str) -> None:
    assert engine_of(head(names)) == engine


def test_go_adds_an_encoding_at_the_end_where_its_caller_set_none() -> None:
    names = "Host User-Agent Accept Authorization Accept-Encoding"
    assert engine_of(head(names, accept_encoding="gzip")) == "go"
    assert engine_of(head(names, accept_encoding="deflate, gzip, br")) == "curl"


def test_pythons_own_client_asks_for_no_encoding() -> None:
    names = "Accept-Encoding Content-Length Host User-Agent Connection"
    assert engine_of(head(names, accept_encoding="identity")) == "urllib"


def test_a_curl_whose_headers_stand_in_order_by_chance_is_no_go() -> None:
    names = f"Host User-Agent {LARGE} X-F X-G Content-Length"
    assert engine_of(head(names)) != "go"
