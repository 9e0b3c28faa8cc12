"""Whose certificate a request came with: the connection's, or the one that a trusted proxy passes
on in the one configured header."""

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from certificates import Pair, make
from tokenward.http.certificates import (
    CLIENT_CERTIFICATE,
    HEADER_BYTES_MAX,
    CertificateSource,
    caller_thumbprint,
)
from tokenward.limits.networks import trusted_proxies

PROXIES = trusted_proxies(["10.0.0.0/8"], "x-forwarded-for")
PROXY, STRANGER = "10.1.2.3", "192.0.2.9"
NGINX = b"x-ssl-client-cert"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make(tmp_path_factory.mktemp("client"), "client")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Pair:
    return make(tmp_path_factory.mktemp("other"), "other")


def scope(peer: str, *headers: tuple[bytes, bytes], der: bytes | None = None) -> dict[str, Any]:
    extensions = {} if der is None else {"extensions": {CLIENT_CERTIFICATE: der}}
    return {"client": (peer, 4711), "headers": list(headers), **extensions}


def found(
    header: bytes, peer: str, *values: bytes, der: bytes | None = None, name: bytes = b""
) -> str:
    """The thumbprint that is taken from a request, with the header under its configured name."""
    headers = [(name or header, value) for value in values]
    shown = CertificateSource(PROXIES, header).certificate_of(scope(peer, *headers, der=der))
    return "" if shown is None else shown.thumbprint


def rfc9440(pair: Pair) -> bytes:
    return b":" + base64.b64encode(pair.der) + b":"


def envoy(pair: Pair, more: str = "") -> bytes:
    digest = pair.certificate.fingerprint(pair.certificate.signature_hash_algorithm).hex()  # type: ignore[arg-type]
    subject = 'CN=a\\"b;c,d'
    return (
        f'Hash={digest};Cert="{pair.escaped}";Subject="{subject}";URI=spiffe://a/b;{more}'.encode()
    )


def test_the_connections_own_certificate_is_the_callers(client: Pair) -> None:
    assert found(b"", STRANGER, der=client.der) == client.thumbprint
    assert CertificateSource().certificate_of(scope(STRANGER, der=client.der)) is not None
    assert found(b"", STRANGER) == ""


def test_a_connection_without_an_address_has_its_own_certificate_too(client: Pair) -> None:
    request = {**scope("", der=client.der), "client": None}
    assert CertificateSource(PROXIES, b"client-cert").certificate_of(request) is not None


@pytest.mark.parametrize("header", [b"", b"client-cert"])
def test_a_trusted_proxys_own_certificate_is_nobody_elses(header: bytes, client: Pair) -> None:
    assert found(header, PROXY, der=client.der) == ""


@pytest.mark.parametrize(
    ("header", "form"),
    [
        (b"client-cert", rfc9440),
        (b"x-forwarded-client-cert", envoy),
        (NGINX, lambda pair: pair.escaped.encode()),
    ],
)
class TestEachForm:
    def test_is_believed_of_a_trusted_proxy(
        self, header: bytes, form: Any, client: Pair, other: Pair
    ) -> None:
        assert found(header, PROXY, form(client)) == client.thumbprint
        assert found(header, PROXY, form(client), der=other.der) == client.thumbprint

    def test_is_ignored_of_anybody_else(
        self, header: bytes, form: Any, client: Pair, other: Pair
    ) -> None:
        assert found(header, STRANGER, form(client)) == ""
        assert found(header, STRANGER, form(client), der=other.der) == other.thumbprint

    def test_is_ignored_where_no_header_is_configured(
        self, header: bytes, form: Any, client: Pair
    ) -> None:
        assert found(b"", PROXY, form(client), name=header) == ""

    def test_under_another_name_is_ignored(self, header: bytes, form: Any, client: Pair) -> None:
        assert found(header, PROXY, form(client), name=b"x-" + header) == ""

    def test_twice_is_none(self, header: bytes, form: Any, client: Pair, other: Pair) -> None:
        assert found(header, PROXY, form(client), form(client)) == ""
        assert found(header, PROXY, form(client), form(other)) == ""
        assert found(header, PROXY, form(client), b"") == ""
        assert found(header, PROXY, form(client) + b", " + form(other)) == ""
        assert found(header, PROXY, form(client) + b"," + form(client)) == ""

    def test_that_is_not_whole_is_none(self, header: bytes, form: Any, client: Pair) -> None:
        value = form(client)
        for wrong in (b"", b" ", value[1:], value[:200], b"null", b"(null)", value + b":x:"):
            assert found(header, PROXY, wrong) == ""
        assert found(header, PROXY, value.ljust(HEADER_BYTES_MAX + 1)) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.strip(b":"),
        lambda text: text.replace(b":", b'"'),
        lambda text: text + b";a=1",
        lambda text: text.replace(b":", b": ", 1),
        lambda text: text[:90] + b"=" + text[90:],
    ],
)
def test_client_cert_is_a_byte_sequence_and_nothing_else(change: Any, client: Pair) -> None:
    assert found(b"client-cert", PROXY, change(rfc9440(client))) == ""


def test_base64url_is_not_taken_for_base64(client: Pair) -> None:
    text = base64.urlsafe_b64encode(client.der)
    assert set(text) & set(b"-_"), "a certificate of some hundred bytes has one of them"
    assert found(b"client-cert", PROXY, b":" + text + b":") == ""


def test_a_pem_of_two_certificates_is_none(client: Pair, other: Pair) -> None:
    assert found(NGINX, PROXY, (client.escaped + other.escaped).encode()) == ""


def test_the_pem_of_awss_load_balancers_is_read(client: Pair) -> None:
    """They leave + / and = as they are, so a plus sign is no space."""
    pem = client.pem.read_text("ascii")
    value = pem.replace(" ", "%20").replace("\n", "%0A").encode()
    assert found(b"x-amzn-mtls-clientcert-leaf", PROXY, value) == client.thumbprint


class TestEnvoy:
    HEADER = b"x-forwarded-client-cert"

    def test_of_two_hops_is_none(self, client: Pair, other: Pair) -> None:
        assert found(self.HEADER, PROXY, b"Hash=00," + envoy(client)) == ""
        assert found(self.HEADER, PROXY, envoy(other) + b"," + envoy(client)) == ""

    def test_without_its_hash_or_its_certificate_is_none(self, client: Pair) -> None:
        whole = envoy(client)
        digest, _, rest = whole.partition(b";")
        assert found(self.HEADER, PROXY, rest) == ""
        assert found(self.HEADER, PROXY, digest) == ""
        assert found(self.HEADER, PROXY, digest + b";" + rest) == client.thumbprint

    def test_a_name_that_looks_like_another_certificate_is_not_believed(
        self, client: Pair, other: Pair
    ) -> None:
        """Whoever gets a certificate for such a URI is still who the hash says."""
        digest, _, rest = envoy(client).partition(b";")
        forged = f'Cert="{other.escaped}"'.encode()
        assert found(self.HEADER, PROXY, digest + b";URI=a;" + forged + b";" + rest) == ""
        assert found(self.HEADER, PROXY, digest + b";URI=a;" + forged) == ""
        assert found(self.HEADER, PROXY, envoy(client) + envoy(other)) == ""

    def test_several_names_are_no_harm(self, client: Pair) -> None:
        value = envoy(client, "URI=spiffe://c;DNS=a.example;DNS=b.example")
        assert found(self.HEADER, PROXY, value) == client.thumbprint


def test_a_thumbprint_is_given_only_of_one_that_counts_now(client: Pair) -> None:
    request = scope(STRANGER, der=client.der)
    now_ms = round(client.certificate.not_valid_before_utc.timestamp()) * 1000
    assert caller_thumbprint(request, CertificateSource(), now_ms) == client.thumbprint
    assert caller_thumbprint(request, CertificateSource(), now_ms - 1) == ""
    assert caller_thumbprint(scope(STRANGER), CertificateSource(), now_ms) == ""


@pytest.mark.parametrize("header", [b"client-cert", b"x-forwarded-client-cert", NGINX])
@given(value=st.one_of(st.binary(max_size=300), st.text(':;,="\\%aCertHash-').map(str.encode)))
def test_no_value_raises(header: bytes, value: bytes) -> None:
    assert found(header, PROXY, value) == ""


def test_a_long_value_is_read_in_a_moment() -> None:
    """Every pattern reads each byte a bounded number of times."""
    for header in (b"client-cert", b"x-forwarded-client-cert", NGINX):
        for value in (b"A", b" ", b'a="\\', b"a=;", b"%20", b"-----BEGIN CERTIFICATE-----"):
            assert found(header, PROXY, value * (HEADER_BYTES_MAX // len(value))) == ""
