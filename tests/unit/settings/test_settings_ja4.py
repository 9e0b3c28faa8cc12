"""The setting of the header in which a proxy passes a JA4 on."""

from pathlib import Path

import pytest

from tokenward.http.wire import Ja4Source
from tokenward.kernel.errors import SettingsError
from tokenward.limits.networks import trusted_proxies
from tokenward.settings import Settings, load
from tokenward.settings.tls import ja4_source


def loaded(folder: Path, text: str) -> Settings:
    file = folder / "tokenward.toml"
    file.write_text(f"[server]\n{text}\n", "utf-8")
    return load(file, {})


def test_a_header_and_whose_word_counts_are_read(tmp_path: Path) -> None:
    text = 'trusted_proxies = ["10.0.0.1"]\nja4_header = "X-JA4"'
    trusted = trusted_proxies(("10.0.0.1",), "x-forwarded-for")
    assert ja4_source(loaded(tmp_path, text)) == Ja4Source(trusted, b"x-ja4")
    assert ja4_source(loaded(tmp_path, "")).header == b""


@pytest.mark.parametrize(
    ("header", "why"),
    [
        ("x ja4", "must be the name of a header"),
        ("Authorization", "must be the name of a header"),
        ("X-Forwarded-For", "the same as server.client_address_header"),
        ("Client-Cert", "the same as server.client_certificate_header"),
        ("x-ja4", "name the proxy that writes it"),
    ],
)
def test_what_cannot_work_is_said(tmp_path: Path, header: str, why: str) -> None:
    text = f'ja4_header = "{header}"\n'
    if "name the proxy" not in why:
        text += 'trusted_proxies = ["10.0.0.1"]\nclient_certificate_header = "client-cert"\n'
    with pytest.raises(SettingsError) as caught:
        loaded(tmp_path, text)
    assert f"server.ja4_header: {why}" in str(caught.value)
