"""Client certificates with programs that nobody here wrote: curl, Node, OpenSSL."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from attacks.mtls_world import WAIT_S, World, tls_world
from attacks.probe import CHAT
from certificates import Pair, make
from standin import StandinProcess


@pytest.fixture(scope="module")
def world(standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with tls_world(tmp_path_factory.mktemp("mtls"), standin) as made:
        yield made


@pytest.fixture(scope="module")
def right(world: World) -> Pair:
    return world.client("right")


@pytest.fixture(scope="module")
def key(world: World, right: Pair) -> str:
    return world.key_of(right)[1]


def curl(world: World, key: str, *more: str) -> tuple[int, Any]:
    """Exit status, and the answer's JSON."""
    assert world.server is not None
    words = ["--silent", "--cacert", str(world.server.pem), *more]
    words += ["--header", f"authorization: Bearer {key}"]
    words += ["--json", json.dumps(CHAT.body), world.guard.base_url + CHAT.path]
    done = subprocess.run(["curl", *words], capture_output=True, timeout=WAIT_S, check=False)
    return done.returncode, json.loads(done.stdout or "{}")


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl(world: World, right: Pair, key: str) -> None:
    certificate, private = right.files
    status, value = curl(world, key, "--cert", certificate, "--key", private)
    assert (status, value["object"]) == (0, "chat.completion")
    status, value = curl(world, key)
    assert (status, value["error"]["code"]) == (0, "proof:missing")
    stranger = make(world.folder, "curl-stranger")
    with world.nothing_happens():
        status, _ = curl(world, key, "--cert", str(stranger.pem), "--key", str(stranger.key_pem))
    assert status in (35, 52, 55, 56), "the handshake fails, in TLS 1.3 after the request is sent"


NODE = """
const [url, ca, cert, key, token, body] = process.argv.slice(1);
const fs = require('fs'), read = (name) => name ? fs.readFileSync(name) : undefined;
const request = require('https').request(
  url, {method: 'POST', ca: read(ca), cert: read(cert), key: read(key),
        headers: {authorization: `Bearer ${token}`, 'content-type': 'application/json'}},
  (answer) => { let text = ''; answer.on('data', (piece) => text += piece);
                answer.on('end', () => console.log(JSON.stringify([answer.statusCode, text]))); });
request.on('error', (error) => console.log(JSON.stringify([0, error.code])));
request.end(body);
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node(world: World, right: Pair, key: str) -> None:
    assert world.server is not None

    def call(certificate: str = "", private: str = "") -> tuple[int, str]:
        words = [world.guard.base_url + CHAT.path, str(world.server.pem)]  # type: ignore[union-attr]
        words += [certificate, private, key, json.dumps(CHAT.body)]
        done = subprocess.run(
            ["node", "-e", NODE, *words], capture_output=True, timeout=WAIT_S, check=True
        )
        status, text = json.loads(done.stdout)
        return status, text

    assert call(*right.files)[0] == 200
    status, text = call()
    assert (status, json.loads(text)["error"]["code"]) == (401, "proof:missing")
    status, text = call(*world.client("node-other").files)
    assert (status, json.loads(text)["error"]["code"]) == (401, "proof:invalid")
    assert call(*make(world.folder, "node-stranger").files)[0] == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl(world: World, right: Pair, key: str) -> None:
    assert world.server is not None
    where = urlsplit(world.guard.base_url).netloc
    body = json.dumps(CHAT.body)
    request = (
        f"POST {CHAT.path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        f"Authorization: Bearer {key}\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    )
    words = ["-connect", where, "-CAfile", str(world.server.pem), "-verify_return_error"]

    def call(*more: str) -> str:
        done = subprocess.run(
            ["openssl", "s_client", "-quiet", *words, *more],
            input=request.encode(),
            capture_output=True,
            timeout=WAIT_S,
            check=False,
        )
        return done.stdout.decode()

    certificate, private = right.files
    for version in ("-tls1_2", "-tls1_3"):
        assert call(version, "-cert", certificate, "-key", private).startswith("HTTP/1.1 200")
        assert "proof:missing" in call(version)
    assert call("-tls1_1", "-cipher", "ALL:@SECLEVEL=0") == ""
