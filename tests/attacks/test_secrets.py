"""Marked secrets go through all the guard does; then every place it writes to is searched."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Iterator
from urllib.parse import quote

import pytest

from attacks.canaries import PROVIDER_KEY, SAID, STRANGER, World, live_through
from attacks.probe import (
    DIALECTS,
    admin,
    ask,
)
from guard import provider_settings, running_guard
from standin import running_standin

CLOSED = "http://127.0.0.1:1"


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("secrets")
    with running_standin(tmp_path_factory.mktemp("secrets-standin"), PROVIDER_KEY) as standin:
        down = (
            f'[[provider]]\nname = "down"\ndialect = "openai"\nbase_url = "{CLOSED}"\n'
            'credential = "env:PROVIDER_KEY"\nmodels = ["down-*"]\n'
        )
        settings = down + provider_settings(standin.base_url)
        with running_guard(folder / "guard", settings, {"PROVIDER_KEY": PROVIDER_KEY}) as guard:
            lived = World(guard, standin)
            live_through(lived)
            yield lived


def spelled(secret: str) -> set[bytes]:
    """The ways a secret can stand in a file: plain, hex, base64 (three alignments), in an URL."""
    plain = secret.encode()
    ways = {plain, plain.hex().encode(), quote(secret, safe="").encode()}
    for lead in range(3):
        whole = base64.b64encode(b"\0" * lead + plain)
        ways.add(whole[4 if lead else 0 : -4])
    return ways


def sinks(world: World) -> dict[str, bytes]:
    """Everything the guard writes, except the files that are themselves the secrets."""
    own = {"admin.token", "pepper", "master.key"}
    found = {
        str(path.relative_to(world.guard.folder)): path.read_bytes()
        for path in world.guard.folder.rglob("*")
        if path.is_file() and path.name not in own
    }
    assert any(name.endswith("-wal") for name in found), "the write-ahead log is searched too"
    found["metrics"] = world.metrics
    for number, answer in enumerate(world.admin_answers):
        found[f"admin answer {number}"] = answer.body + str(answer.headers).encode()
    for number, text in enumerate(world.printed):
        found[f"command {number}"] = text.encode()
    return found


def places(secret: str, where: dict[str, bytes]) -> list[str]:
    return [name for name, data in where.items() for way in spelled(secret) if way in data]


@pytest.mark.req("S-5", "K-3")
def test_no_secret_stands_in_any_file_record_metric_log_or_command(world: World) -> None:
    where = sinks(world)
    secrets = [
        *world.keys, *SAID.values(), PROVIDER_KEY, STRANGER, world.guard.admin_token,
        world.secret("pepper"), world.secret("master.key"),
    ]  # fmt: skip
    assert {secret: found for secret in secrets if (found := places(secret, where))} == {}
    assert not [name for name, data in where.items() if re.search(rb"tw_sk_[0-9A-Za-z]{13}", data)]
    for key in world.keys:
        assert places(key[18:], where) == [], "nor the secret part of a key by itself"


@pytest.mark.req("K-3")
def test_only_the_digest_under_the_pepper_is_kept(world: World) -> None:
    """And with that the search above is shown to search the right files."""
    digest = hmac.digest(world.secret("pepper").encode(), world.live.text.encode(), "sha256")
    records = b"".join(data for name, data in sinks(world).items() if ".db" in name)
    assert digest in records
    assert world.live.id.encode() in records
    for weak in ("sha256", "sha1", "md5", "sha512"):
        unsalted = hashlib.new(weak, world.live.text.encode())
        assert unsalted.digest() not in records
        assert unsalted.hexdigest().encode() not in records


@pytest.mark.req("K-3")
def test_the_stored_hash_opens_nothing(world: World) -> None:
    digest = hmac.digest(world.secret("pepper").encode(), world.live.text.encode(), "sha256")
    world.standin.reset()
    hashes = (
        digest.hex(),
        digest.hex().upper(),
        base64.b64encode(digest).decode(),
        base64.urlsafe_b64encode(digest).decode().rstrip("="),
        f"tw_sk_{world.live.id}{digest.hex()[:38]}",
        f"tw_sk_{digest.hex()[:50]}",
        digest.decode("latin-1").translate({10: "", 13: "", 0: ""}),
        world.live.id,
        f"tw_sk_{world.live.id}",
    )
    for text in hashes:
        for entrance in DIALECTS:
            answer = ask(
                world.guard.base_url,
                "POST",
                entrance.path,
                [(name, value.encode("latin-1")) for name, value in entrance.headers(text)],
                json.dumps(entrance.body).encode(),
            )
            assert answer.status in (400, 401), answer
    assert world.standin.requests() == []


@pytest.mark.req("S-5")
def test_no_answer_shows_the_guards_secrets_or_any_key(world: World) -> None:
    """To callers: not even their own key comes back."""
    secrets = [
        *world.keys, PROVIDER_KEY, STRANGER, world.guard.admin_token, world.secret("pepper"),
        world.secret("master.key"),
    ]  # fmt: skip
    answers = {
        str(number): answer.body + str(answer.headers).encode()
        for number, answer in enumerate(world.answers)
    }
    assert len(answers) > 100
    shown = {secret: found for secret in secrets if (found := places(secret, answers))}
    assert shown == {}, [answers[found[0]] for found in shown.values()]


@pytest.mark.req("S-5")
def test_a_bad_body_is_not_quoted_at_length_in_its_refusal(world: World) -> None:
    for answer in world.answers:
        if answer.is_refusal:
            assert len(answer.body) < 1500
            assert SAID["prompt"].encode() not in answer.body
            assert SAID["system"].encode() not in answer.body


@pytest.mark.req("S-5")
def test_no_key_of_ours_and_no_token_reaches_the_provider(world: World) -> None:
    world.standin.reset()
    key = world.new_key()
    extra = (
        ("x-litellm-api-key", key.text),
        ("ocp-apim-subscription-key", key.text),
        ("x-auth-token", f"Bearer {key.text}"),
        ("cookie", f"k={key.text}"),
        ("referer", f"https://example.com/{key.text}"),
        ("proxy-authorization", f"Bearer {key.text}"),
        ("x-api-key", key.text),
        ("x-goog-api-key", key.text),
        ("api-key", key.text),
    )
    for entrance in DIALECTS:
        for query in ("", f"?note={key.text}", f"?note=tw%5Fsk_{key.text[6:]}", "?alt=json"):
            target = entrance.path + query
            headers = [*dict([*entrance.headers(key.text), *extra]).items()]
            body = json.dumps(entrance.body).encode()
            answer = ask(world.guard.base_url, "POST", target, headers, body)
            assert answer.status == 200, answer
    seen = world.standin.requests()
    assert len(seen) == 12
    assert world.standin.leaks() == []
    assert world.guard.admin_token not in json.dumps(seen)


@pytest.mark.req("S-5")
def test_the_log_says_something_and_nothing_of_a_bug(world: World) -> None:
    log = world.guard.log()
    assert "Traceback" not in log
    faults = {
        record.get("fault", "") for record in admin(world.guard, "GET", "/records?limit=1000").json
    }
    assert not [fault for fault in faults if " at " in fault], "no bug of ours was met"
