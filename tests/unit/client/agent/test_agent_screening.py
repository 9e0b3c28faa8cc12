"""Who may use the agent: decided on a request's head."""

import pytest

from tokenward.client.agent.screening import BODY_BYTES_MAX, Screen, authorities_of
from tokenward.client.agent.server import loopback_address
from tokenward.client.errors import ClientError
from tokenward.kernel.secret import Secret
from unit.client.agent.running import TOKEN

SCREEN = Screen(Secret(TOKEN, "local token"), authorities_of(8484))
GOOD = ((b"host", b"127.0.0.1:8484"), (b"authorization", b"Bearer " + TOKEN.encode()))


def code(target: str, *headers: tuple[bytes, bytes]) -> str:
    """Of the refusal; "" if there is none."""
    refusal = SCREEN.refuse(target, headers)
    return "" if refusal is None else refusal.code


@pytest.mark.parametrize(
    "target", ["/", "/v1/chat/completions?a=b", "/v1beta/models/m:generate%3A", "//x", "/?"]
)
def test_any_path_is_let_in_with_the_token(target: str) -> None:
    assert code(target, *GOOD) == ""


@pytest.mark.parametrize(
    "target",
    ["http://elsewhere.test/", "elsewhere.test:443", "*", "", "/a b", "/é", "/#x", "@elsewhere/"],
)
def test_a_target_that_is_no_path_is_refused(target: str) -> None:
    assert code(target, *GOOD) == "agent:target"


@pytest.mark.parametrize("host", ["127.0.0.1:8484", "LOCALHOST:8484", "[::1]:8484"])
def test_the_agents_own_names_are_hosts(host: str) -> None:
    assert code("/", (b"host", host.encode()), GOOD[1]) == ""


@pytest.mark.req("S-2")
@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "evil.test:8484",
        "127.0.0.1",
        "127.0.0.1:8485",
        "127.0.0.1.evil.test:8484",
        "localhost:8484.evil.test",
        "0.0.0.0:8484",
        "",
    ],
)
def test_another_host_name_that_was_pointed_here_is_refused_though_the_token_is_right(
    host: str,
) -> None:
    assert code("/", (b"host", host.encode()), GOOD[1]) == "agent:host"


def test_no_host_and_two_hosts_are_refused() -> None:
    assert code("/", GOOD[1]) == "agent:host"
    assert code("/", GOOD[0], *GOOD) == "agent:host"


@pytest.mark.parametrize("origin", ["https://evil.test", "null", "http://127.0.0.1:8484"])
def test_a_page_in_a_browser_is_refused_though_the_token_is_right(origin: str) -> None:
    assert code("/", *GOOD, (b"origin", origin.encode())) == "agent:browser"


def test_without_the_token_nothing_is_signed() -> None:
    assert code("/", GOOD[0]) == "agent:token"
    assert code("/", GOOD[0], (b"x-api-key", b"sk-of-somebody")) == "agent:token"


def test_protocols_are_not_changed() -> None:
    assert code("/", *GOOD, (b"upgrade", b"websocket")) == "agent:upgrade"


def test_a_body_is_bounded_before_it_is_read() -> None:
    assert code("/", *GOOD, (b"content-length", str(BODY_BYTES_MAX).encode())) == ""
    for length in (str(BODY_BYTES_MAX + 1), "9" * 40, "-1", "1e9"):
        assert code("/", *GOOD, (b"content-length", length.encode())) == "agent:body_too_large"


@pytest.mark.parametrize("host", ["127.0.0.1", "127.9.9.9", "::1"])
def test_it_listens_on_this_machine(host: str) -> None:
    assert loopback_address(host) == host
    assert loopback_address("localhost") == "127.0.0.1"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.168.1.2", "example.test", "10.0.0.1"])
def test_it_listens_nowhere_that_others_could_reach(host: str) -> None:
    with pytest.raises(ClientError, match="this machine only"):
        loopback_address(host)
