"""`tokenward.client`: what people import, with and without the extras."""

import subprocess
import sys

import httpx
import httpx2
import pytest

import tokenward.client
from tokenward.client import auth, httpx_auth
from tokenward.client.errors import NotEnrolledError
from tokenward.client.keeping import save_holder
from unit.client.holders import holder


def test_each_library_gets_its_own_class() -> None:
    save_holder(holder(bind="dpop+body"), "work")
    assert isinstance(auth("work"), httpx2.Auth)
    assert isinstance(httpx_auth("work"), httpx.Auth)
    assert auth("work").requires_request_body


def test_who_is_not_enrolled_is_told() -> None:
    for door in (auth, httpx_auth):
        with pytest.raises(NotEnrolledError):
            door()


def test_at_most_five_names_are_exported() -> None:
    assert len(tokenward.client.__all__) <= 5
    assert all(hasattr(tokenward.client, name) for name in tokenward.client.__all__)


def test_importing_needs_no_extra_and_calling_says_which() -> None:
    program = """
import sys
for name in ("httpx", "httpx2", "keyring"):
    sys.modules[name] = None
import tokenward.client
for door in (tokenward.client.auth, tokenward.client.httpx_auth):
    try:
        door()
    except tokenward.client.ClientError as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    )
    first, second = done.stdout.splitlines()
    assert first.startswith("MissingExtraError httpx2 is not installed")
    assert "pip install 'tokenward[client]'" in first
    assert second.startswith("MissingExtraError httpx is not installed")
