"""The files of the server's TLS: what is said of those that will not do."""

import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)

from certificates import SERVERS, Pair, authority, make
from tokenward.http.tls import own_thumbprint, server_context
from tokenward.kernel.errors import SettingsError


@dataclass(frozen=True, slots=True)
class World:
    folder: Path
    authority: Pair
    server: Pair


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("tls")
    return World(folder, authority(folder), make(folder, "server", usage=SERVERS))


def test_the_guards_own_thumbprint_is_of_the_first_certificate(world: World) -> None:
    chain = world.folder / "chain.pem"
    chain.write_bytes(world.server.pem.read_bytes() + world.authority.pem.read_bytes())
    assert own_thumbprint(chain) == world.server.thumbprint


def said(world: World, **files: Path) -> str:
    given = {"certificate": world.server.pem, "key": world.server.key_pem, **files}
    client_ca = [given.pop("client_ca")] if "client_ca" in given else []
    with pytest.raises(SettingsError) as caught:
        server_context(given["certificate"], given["key"], client_ca)
    return str(caught.value)


@pytest.mark.parametrize("which", ["certificate", "key", "client_ca"])
def test_a_file_that_is_not_there_is_named(world: World, which: str) -> None:
    missing = world.folder / "missing.pem"
    message = said(world, **{which: missing})
    assert message == f"server.tls_{which}: {missing} cannot be read: No such file or directory"


@pytest.mark.parametrize("which", ["certificate", "key", "client_ca"])
def test_a_folder_is_no_file(world: World, which: str) -> None:
    assert "is not a file" in said(world, **{which: world.folder})


@pytest.mark.parametrize("which", ["certificate", "client_ca"])
def test_a_file_without_a_certificate_is_named(world: World, which: str) -> None:
    assert "holds no certificate in PEM form" in said(world, **{which: world.server.key_pem})
    der = world.folder / "server.der"
    der.write_bytes(world.server.der)
    assert "holds no certificate in PEM form" in said(world, **{which: der})


def test_a_key_of_another_certificate_is_said(world: World) -> None:
    other = make(world.folder, "another")
    assert "is not the key of the certificate in" in said(world, key=other.key_pem)


def test_a_key_that_is_none_is_said(world: World) -> None:
    path = world.folder / "no-key.pem"
    path.touch(0o600)
    path.write_bytes(world.server.pem.read_bytes())
    assert "cannot be used together" in said(world, key=path)


def test_a_key_that_everybody_can_read_is_not_used(world: World) -> None:
    path = world.folder / "open-key.pem"
    path.write_bytes(world.server.key_pem.read_bytes())
    path.chmod(0o644)
    assert f"chmod 600 {path}" in said(world, key=path)


def test_a_key_with_a_password_does_not_ask_for_it(world: World) -> None:
    path = world.folder / "locked-key.pem"
    path.touch(0o600)
    locked = BestAvailableEncryption(b"password")
    path.write_bytes(world.server.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    assert "locked with a password" in said(world, key=path)


def test_a_named_pipe_does_not_hang_the_start(world: World) -> None:
    pipe = world.folder / "pipe"
    if not pipe.exists():
        os.mkfifo(pipe)
    assert "is not a file" in said(world, certificate=pipe)
