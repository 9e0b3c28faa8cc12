"""TLS towards providers: who is trusted, and that a failure is certain to have sent nothing."""

import asyncio
import datetime as dt
import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tokenward.http.upstream import HttpUpstream
from tokenward.kernel.errors import SettingsError, UnsentError
from unit.http.raw_sockets import Wire, provider

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


def certificate(
    folder: Path, name: str, signer: tuple[x509.Certificate, ec.EllipticCurvePrivateKey] | None
) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """A certificate for `name`, written as name.pem with its key; without a signer an authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, issuer_key = (signer[0].subject, signer[1]) if signer else (subject, key)
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=signer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
    made = builder.sign(issuer_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / f"{name}.pem").write_bytes(
        made.public_bytes(pem)
        + key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    (folder / f"{name}-only.pem").write_bytes(made.public_bytes(pem))
    return made, key


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    authority = certificate(tmp_path, "authority", None)
    certificate(tmp_path, "localhost", authority)
    return tmp_path


def server_side(folder: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "localhost.pem")
    return context


async def answers(wire: Wire) -> None:
    while True:
        await wire.request()
        await wire.say(OK)


async def test_an_authority_of_ones_own_is_trusted(folder: Path) -> None:
    client = HttpUpstream(ca_file=str(folder / "authority-only.pem"))
    async with provider(answers, server_side(folder)) as served:
        answer = await client.send("POST", f"https://localhost:{served.port}/", (), b"{}")
        assert (answer.status, await answer.read()) == (200, b"ok")
        await client.close()


async def test_an_unknown_authority_is_unsent(folder: Path) -> None:
    client = HttpUpstream()
    async with provider(answers, server_side(folder)) as served:
        with pytest.raises(UnsentError, match="certificate"):
            await client.send("POST", f"https://localhost:{served.port}/", (), b"{}")
        await client.close()


async def test_a_certificate_for_another_name_is_unsent(folder: Path) -> None:
    client = HttpUpstream(ca_file=str(folder / "authority-only.pem"))
    async with provider(answers, server_side(folder)) as served:
        with pytest.raises(UnsentError, match="certificate"):
            await client.send("POST", f"https://127.0.0.1:{served.port}/", (), b"{}")
        await client.close()


async def test_a_server_that_does_not_speak_tls_is_unsent() -> None:
    async def script(wire: Wire) -> None:
        await wire.reader.read(1)
        await wire.say(b"HTTP/1.1 400 plain\r\n\r\n")

    client = HttpUpstream()
    async with provider(script) as served:
        with pytest.raises(UnsentError):
            await client.send("POST", f"https://127.0.0.1:{served.port}/", (), b"{}")
    await client.close()


async def test_a_handshake_that_does_not_end_is_unsent() -> None:
    async def script(wire: Wire) -> None:
        await wire.until_closed()

    client = HttpUpstream(connect_timeout_s=0.2)
    async with provider(script) as served:
        with pytest.raises(UnsentError):
            await client.send("POST", f"https://127.0.0.1:{served.port}/", (), b"{}")
    await client.close()


async def test_close_within_a_body_over_tls_closes_at_once(folder: Path) -> None:
    closed = asyncio.Event()

    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.say(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
        await wire.until_closed()
        closed.set()

    client = HttpUpstream(ca_file=str(folder / "authority-only.pem"))
    async with provider(script, server_side(folder)) as served:
        answer = await client.send("POST", f"https://localhost:{served.port}/", (), b"{}")
        assert await answer.read() == b"abc"
        await answer.close()
        await asyncio.wait_for(closed.wait(), 10)
    await client.close()


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_of_authorities_that_cannot_be_used_is_said(
    tmp_path: Path, content: str | None
) -> None:
    path = tmp_path / "ca.pem"
    if content is not None:
        path.write_text(content)
    with pytest.raises(SettingsError, match=r"ca_file .* cannot be used"):
        HttpUpstream(ca_file=str(path))
