"""The local token: drawn once, kept for its owner, taken wherever SDKs put a key."""

import re
from pathlib import Path

import pytest

from tokenward.client.agent.local_token import is_shown, keep_token, token_path
from tokenward.client.errors import KeepingError
from tokenward.kernel.secret import Secret

TOKEN = Secret("tw_la_" + "x" * 43, "local token")


def test_the_token_is_drawn_once_and_is_the_same_after_every_start(tmp_path: Path) -> None:
    path = tmp_path / "holders" / "default.token"
    drawn = keep_token(path).reveal()
    assert re.fullmatch(r"tw_la_[0-9A-Za-z]{43}", drawn)
    assert keep_token(path).reveal() == drawn
    assert keep_token(tmp_path / "other.token").reveal() != drawn


def test_nobody_else_can_read_the_token_or_its_folder(tmp_path: Path) -> None:
    path = tmp_path / "holders" / "default.token"
    keep_token(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660])
def test_a_token_that_others_can_read_is_not_used(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "default.token"
    keep_token(path)
    path.chmod(mode)
    with pytest.raises(KeepingError, match="Delete it"):
        keep_token(path)


@pytest.mark.parametrize("text", ["", "tw_la_short", "tw_sk_" + "x" * 43, "tw_la_" + "-" * 43])
def test_a_file_that_holds_something_else_is_not_used(tmp_path: Path, text: str) -> None:
    path = tmp_path / "default.token"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeepingError, match="does not hold a local token") as caught:
        keep_token(path)
    assert text == "" or text not in str(caught.value)


def test_the_token_lies_beside_its_holder() -> None:
    assert token_path(Path("holders/ci.v2.json")) == Path("holders/ci.v2.token")


def test_the_token_cannot_be_printed(tmp_path: Path) -> None:
    token = keep_token(tmp_path / "t")
    assert "tw_la_" not in f"{token} {token!r}"


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"Bearer %s"),
        (b"authorization", b"bearer  %s"),
        (b"x-api-key", b"%s"),
        (b"x-goog-api-key", b" %s "),
        (b"api-key", b"%s"),
    ],
)
def test_the_token_is_taken_where_sdks_put_a_key(header: tuple[bytes, bytes]) -> None:
    name, value = header
    assert is_shown(TOKEN, [(name, value % TOKEN.reveal().encode())])
    assert is_shown(TOKEN, [(b"api-key", b"other"), (name, value % TOKEN.reveal().encode())])


@pytest.mark.parametrize(
    "header",
    [
        (b"authorization", b"%s"),
        (b"authorization", b"Basic %s"),
        (b"authorization", b"DPoP %s"),
        (b"authorization", b"Bearer x%s"),
        (b"authorization", b"Bearer %sx"),
        (b"x-api-key", b"Bearer %s"),
        (b"x-api-key", b""),
        (b"cookie", b"%s"),
        (b"x-token", b"%s"),
    ],
)
def test_the_token_is_taken_nowhere_else(header: tuple[bytes, bytes]) -> None:
    name, value = header
    sent = value % TOKEN.reveal().encode() if b"%s" in value else value
    assert not is_shown(TOKEN, [(name, sent)])
