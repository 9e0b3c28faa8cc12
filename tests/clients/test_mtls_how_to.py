"""`docs/how-to/mtls.md` does what it says: its certificates, settings, command and programs."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from certificates import SERVERS, make
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "mtls.md"
ADDRESS = "https://guard.example.com:8443"


def snippet(language: str) -> str:
    """The page's one block in this language."""
    (text,) = re.findall(rf"(?ms)^```{language}\n(.*?)^```$", PAGE.read_text("utf-8"))
    return str(text)


@pytest.fixture(scope="module")
def place(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GuardProcess, dict[str, str]]]:
    """A guard as the page has it, and the surroundings of a caller who holds the key."""
    folder = tmp_path_factory.mktemp("how-to")
    (folder / "tls").mkdir()
    server = make(folder / "tls", "guard", usage=SERVERS)
    subprocess.run(
        ["bash", "-euc", snippet("sh")], cwd=folder, check=True, capture_output=True, timeout=60
    )
    settings = snippet("toml") + provider_settings(standin.base_url, ("openai",))
    environ = {"PROVIDER_KEY": standin.credential, "TOKENWARD_SERVER__HOST": "127.0.0.1"}
    with running_guard(folder, settings, environ) as guard:
        words = shlex.split(snippet("console").removeprefix("$ tokenward "))
        made = guard.cli(*words)
        assert made["bind"] == "mtls"
        trust = dict.fromkeys(
            ("SSL_CERT_FILE", "CURL_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"), str(server.pem)
        )
        yield guard, {**os.environ, **trust, "TOKENWARD_KEY": made["key"]}


def run(place: tuple[GuardProcess, dict[str, str]], *words: str) -> str:
    """What a program prints."""
    guard, environ = place
    words = tuple(word.replace(ADDRESS, guard.base_url) for word in words)
    done = subprocess.run(
        words,
        cwd=guard.folder,
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_curl_calls(place: tuple[GuardProcess, dict[str, str]]) -> None:
    answer = json.loads(run(place, "bash", "-euc", snippet("bash")))
    assert answer["object"] == "chat.completion"


def test_the_openai_sdk_calls(place: tuple[GuardProcess, dict[str, str]]) -> None:
    assert run(place, sys.executable, "-c", snippet("py")).strip()


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_node_calls(place: tuple[GuardProcess, dict[str, str]]) -> None:
    assert run(place, "node", "-e", snippet("js")).strip() == "200"
