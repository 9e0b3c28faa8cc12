"""Settings of TLS and of client certificates: what cannot work is said when they are read."""

from pathlib import Path

import pytest

from tokenward.kernel.errors import SettingsError
from tokenward.settings import Settings, load


def loaded(folder: Path, text: str, **environ: str) -> Settings:
    file = folder / "tokenward.toml"
    file.write_text(f"[server]\n{text}\n", "utf-8")
    return load(file, environ)


def test_tls_and_its_clients_are_read(tmp_path: Path) -> None:
    server = loaded(
        tmp_path,
        'tls_certificate = "a.pem"\ntls_key = "b.pem"\ntls_client_ca = ["c.pem", "d.pem"]',
    ).server
    assert (server.tls_certificate, server.tls_key) == ("a.pem", "b.pem")
    assert server.tls_client_ca == ("c.pem", "d.pem")


def test_files_can_come_from_the_environment(tmp_path: Path) -> None:
    names = {"TOKENWARD_SERVER__TLS_CERTIFICATE": "a", "TOKENWARD_SERVER__TLS_KEY": "b"}
    server = loaded(tmp_path, "", **names).server
    assert (server.tls_certificate, server.tls_key) == ("a", "b")


@pytest.mark.parametrize("header", ["client-cert", "X-Forwarded-Client-Cert", "ssl-client-cert"])
def test_a_proxys_header_is_read(tmp_path: Path, header: str) -> None:
    text = f'trusted_proxies = ["10.0.0.1"]\nclient_certificate_header = "{header}"'
    assert loaded(tmp_path, text).server.client_certificate_header == header


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ('tls_certificate = "a"', "server.tls_certificate, server.tls_key: give both"),
        ('tls_key = "a"', "server.tls_certificate, server.tls_key: give both"),
        ('tls_client_ca = ["a"]', "server.client_certificate_header"),
        ('client_certificate_header = "client-cert"', "name the proxy that writes it"),
        ('client_certificate_header = "client cert"', "must be the name of a header"),
        ('client_certificate_header = "Authorization"', "must be the name of a header"),
        ('client_certificate_header = "client-cert-chain"', "must be the name of a header"),
        ('client_certificate_header = "X-Forwarded-For"', "server.client_address_header"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, text: str, why: str) -> None:
    if "certificate_header" in text and "name the proxy" not in why:
        text += '\ntrusted_proxies = ["10.0.0.1"]'
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)
    assert why in str(caught.value)
