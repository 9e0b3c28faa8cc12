"""Which program called? Shown on recordings of real ones."""

from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from captures import Capture, Headers, own_captures, own_names, shared_captures
from tokenward.signals import read_client
from tokenward.signals.families import CLAIM_CHARS_MAX

FAMILIES = {
    "openai-python-async": "openai-python",
    "langchain-openai": "langchain",
    "langchain-anthropic": "langchain",
    "aider": "litellm",  # through which it calls
    "chromium": "browser",
    "go-net-http": "go",
    "curl_cffi:chrome": "impersonator",
    "curl_cffi:chrome124": "impersonator",
    "curl_cffi:safari15_3": "impersonator",
    "tls_client:chrome_120": "impersonator",
}
GENUINE = ("sdk", "wrapper", "http-library", "agent", "browser")
# One program, two HTTP stacks: its first call does not look like the others.
OTHER_STACK = {64: "requests", 65: "", 66: "requests", 67: "", 68: "bun"}
PROXIED = (
    ("Via", "1.1 proxy.example.com"),
    ("X-Forwarded-For", "203.0.113.7"),
    ("X-Forwarded-Proto", "https"),
    ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    ("X-Request-Id", "8f0e"),
    ("cf-ray", "7d1f-FRA"),
    ("CF-Connecting-IP", "203.0.113.7"),
)
SDK = own_captures("openai-python-2")[0]


@pytest.mark.parametrize("name", own_names())
def test_recorded_clients_are_recognised(name: str) -> None:
    captures = own_captures(name)
    read = [capture.read() for capture in captures]
    assert {client.family for client in read} == {captures[0].family}
    assert len({client.fingerprint for client in read}) == 1
    assert any(client.contradictions for client in read) == (name == "go-claims-python")
    assert not any(client.oddities for client in read)


def test_recorded_clients_have_fingerprints_of_their_own() -> None:
    prints = {name: own_captures(name)[0].read().fingerprint for name in own_names()}
    same = {"openai-python-2", "openai-python-3", "langchain-openai"}  # see the docs
    assert len({prints[name] for name in same}) == 1
    assert len(set(prints.values())) == len(prints) - len(same) + 1


def test_every_shared_recording_is_of_the_right_family() -> None:
    for capture in shared_captures():
        expected = OTHER_STACK.get(capture.line, FAMILIES.get(capture.client, capture.client))
        assert capture.read().family == expected, capture.line


def test_the_fingerprint_of_a_shared_client_is_the_same_on_all_of_its_lines() -> None:
    prints: defaultdict[str, set[str]] = defaultdict(set)
    for capture in shared_captures():
        if capture.line not in OTHER_STACK and capture.kind != "relay-like":
            prints[capture.client].add(capture.read().fingerprint)
    assert {client: len(each) for client, each in prints.items()} == dict.fromkeys(prints, 1)
    merged = (
        {"openai-python", "langchain-openai"},  # the one's streams are the other's
        {"litellm", "aider"},
        {"curl_cffi:chrome", "curl_cffi:chrome124"},  # an upgrade
    )
    by_print: defaultdict[str, set[str]] = defaultdict(set)
    for client, each in prints.items():
        by_print[next(iter(each))].add(client)
    assert [
        clients for clients in by_print.values() if len(clients) > 1 and clients not in merged
    ] == []


@pytest.mark.parametrize("added", [(), PROXIED])
@pytest.mark.parametrize("is_forwarded", [False, True])
def test_no_genuine_shared_client_is_contradicted(added: Headers, is_forwarded: bool) -> None:
    said = {
        capture.line: capture.read(after=added, is_forwarded=is_forwarded).contradictions
        for capture in shared_captures()
        if capture.kind in GENUINE
    }
    assert len(said) > 60
    assert {line: each for line, each in said.items() if each} == {}


def test_what_a_proxy_on_the_callers_side_adds_to_a_shared_client_changes_nothing() -> None:
    for capture in shared_captures():
        read = capture.read()
        assert capture.read(before=PROXIED) == read, capture.line
        assert capture.read(after=PROXIED) == read, capture.line


def test_shared_impersonators_and_the_relay_are_contradicted() -> None:
    others = [capture for capture in shared_captures() if capture.kind not in GENUINE]
    assert [capture.line for capture in others] == [35, 36, 37, 38, 75]
    assert all(capture.read().contradictions for capture in others)
    relay = others[-1].read()
    assert (relay.family, relay.claimed, relay.version) == ("go", "claude-code", "2.0.62")
    assert len(relay.contradictions) == 5


@pytest.mark.parametrize("name", own_names())
@pytest.mark.parametrize("before", [True, False])
def test_what_proxies_add_changes_nothing(name: str, before: bool) -> None:
    for capture in own_captures(name):
        added = capture.read(before=PROXIED) if before else capture.read(after=PROXIED)
        assert added == capture.read()


@pytest.mark.parametrize("name", [name for name in own_names() if name != "go-claims-python"])
def test_a_trusted_proxy_that_adds_its_marks_changes_nothing_of_a_genuine_client(name: str) -> None:
    for capture in own_captures(name):
        assert capture.read(after=PROXIED, is_forwarded=True) == capture.read()


def changed(capture: Capture, **values: str) -> Capture:
    """The same with other values; "" takes the header away."""
    new = {name.replace("_", "-"): value for name, value in values.items()}
    headers = tuple((n, new.get(n.lower(), v)) for n, v in capture.headers)
    return Capture(capture.client, "", tuple((n, v) for n, v in headers if v), capture.body)


@pytest.mark.parametrize(
    "values",
    [
        {"user_agent": "OpenAI/Python 9.0.1", "x_stainless_package_version": "9.0.1"},
        {"x_stainless_runtime_version": "3.14.0"},
        {"x_stainless_retry_count": "2"},
        {"x_stainless_read_timeout": "12.5"},
        {"authorization": "Bearer another"},
        {"accept_encoding": "gzip, deflate"},
        {"content_length": "77"},
    ],
)
def test_upgrades_retries_and_keys_do_not_change_a_fingerprint(values: dict[str, str]) -> None:
    assert changed(SDK, **values).read().fingerprint == SDK.read().fingerprint


@pytest.mark.parametrize(
    "values",
    [
        {"x_stainless_os": "Windows"},
        {"x_stainless_arch": "arm64"},
        {"x_stainless_runtime": "PyPy"},
        {"x_stainless_async": "async:asyncio"},
        {"connection": ""},  # another engine
    ],
)
def test_another_machine_or_engine_is_another_fingerprint(values: dict[str, str]) -> None:
    assert changed(SDK, **values).read().fingerprint != SDK.read().fingerprint


def test_own_headers_do_not_change_a_fingerprint() -> None:
    assert SDK.read(after=(("X-Team", "blue"),)).fingerprint == SDK.read().fingerprint


@pytest.mark.parametrize(
    ("one", "two", "is_same"),
    [
        ("shop-bot/1.2.3", "shop-bot/1.3.0-rc1", True),
        ("shop-bot/1.2 (build 77; 3f2504e04f89)", "shop-bot/2.0 (build 78; 9a0c11d0aa21)", True),
        ("shop-bot/1.2.3", "news-bot/1.2.3", False),
    ],
)
def test_an_unknown_program_is_known_by_its_name(one: str, two: str, is_same: bool) -> None:
    library = own_captures("httpx")[0]
    clients = [changed(library, user_agent=agent).read() for agent in (one, two)]
    assert [client.family for client in clients] == ["httpx", "httpx"]
    assert (clients[0].fingerprint == clients[1].fingerprint) == is_same
    assert clients[0].claimed == "shop-bot"


def test_a_go_programs_shortest_calls_have_its_fingerprint() -> None:
    post = own_captures("go-net-http")[0]
    short = tuple(
        each for each in post.headers if each[0] in ("Host", "User-Agent", "Accept-Encoding")
    )
    assert len(short) == 3
    for more in ((), (("Authorization", "Bearer k"),)):
        get = Capture("", "", (*short[:2], *more, *short[2:]), b"").read()
        assert (get.family, get.fingerprint) == ("go", post.read().fingerprint)


def test_langchain_with_a_timeout_is_not_taken_for_litellm() -> None:
    whole, with_timeout = own_captures("langchain-openai")
    assert ("x-stainless-read-timeout", "30.0") in with_timeout.headers
    assert with_timeout.read().family == "langchain"
    assert with_timeout.read().fingerprint == whole.read().fingerprint


def test_empty_origins_and_no_user_agent_are_odd() -> None:
    strange = changed(SDK, user_agent="").read(after=(("Origin", ""), ("Referer", "")))
    assert strange.oddities[0] == "there is no User-Agent"
    assert len(strange.oddities) == 3
    assert SDK.read(after=(("Origin", "https://app.example.com"),)).oddities == ()


def test_what_is_kept_of_a_claim_is_short_and_printable() -> None:
    client = changed(SDK, user_agent="b\x00t\u00e9" * 50 + "/" + "9" * 5000).read()
    assert len(client.claimed) <= CLAIM_CHARS_MAX
    assert len(client.version) <= CLAIM_CHARS_MAX
    assert client.claimed.isascii()
    assert client.claimed.isprintable()


def test_a_huge_head_is_read_in_part() -> None:
    large = tuple((b"x-%d" % at, b"v" * 100) for at in range(10_000))
    client = read_client(large, tuple(name for name, _ in large), b"{" + b"[" * 200_000)
    assert client.oddities == ("there is no User-Agent",)
    one = ((b"user-agent", b"\xff\x00" * 100_000),)
    assert read_client(one, (), b"\\u" * 100_000).contradictions == ()


@given(
    st.lists(st.tuples(st.binary(max_size=40), st.binary(max_size=80)), max_size=30),
    st.binary(max_size=300),
    st.text(max_size=40),
)
def test_nothing_that_comes_in_raises(
    headers: list[tuple[bytes, bytes]], body: bytes, ja4: str
) -> None:
    known = (*headers, (b"user-agent", body[:60]), (b"x-stainless-lang", body[:9]))
    client = read_client(tuple(known), tuple(name for name, _ in headers), b"{" + body, ja4)
    assert len(client.fingerprint) == 16
    assert client.ja4 == ""
