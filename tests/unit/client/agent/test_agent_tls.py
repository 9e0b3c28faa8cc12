"""The guard is known by its certificate; to nobody else anything is sent."""

import ssl
from pathlib import Path

import pytest

from certificates import SERVERS, Pair, make
from unit.client.agent.running import OK, running_agent
from unit.http.raw_sockets import Wire, provider


@pytest.fixture
def authority(tmp_path: Path) -> Pair:
    """One that this machine does not know."""
    return make(tmp_path, "authority", is_ca=True, usage=None)


@pytest.fixture
def tls(tmp_path: Path, authority: Pair) -> ssl.SSLContext:
    """Of a guard with a certificate by that authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*make(tmp_path, "guard", authority, usage=SERVERS).files)
    return context


async def answers(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.say(OK)


async def test_a_guard_with_an_authority_of_its_own_is_reached_when_it_is_named(
    authority: Pair, tls: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.pem))
    async with (
        provider(answers, tls) as guard,
        running_agent(f"https://127.0.0.1:{guard.port}") as agent,
    ):
        assert (await agent.ask("POST /v1/x", body=b"{}")).startswith(b"HTTP/1.1 200 ")


async def test_a_guard_whose_certificate_is_not_trusted_gets_nothing(tls: ssl.SSLContext) -> None:
    reached = []

    async def script(wire: Wire) -> None:
        reached.append(await wire.request())

    async with (
        provider(script, tls) as guard,
        running_agent(f"https://127.0.0.1:{guard.port}") as agent,
    ):
        answer = await agent.ask("POST /v1/x", body=b"{}")
    assert answer.startswith(b"HTTP/1.1 502 ")
    assert b"agent:guard_untrusted" in answer
    assert b"SSL_CERT_FILE" in answer
    assert reached == []
