"""Text that would be code, SQL, a template or another address somewhere else is only text here."""

import json
import socket
import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from attacks.probe import (
    CHAT,
    DIALECTS,
    GENERATE,
    MESSAGES,
    Key,
    admin,
    ask,
    new_key,
    nothing_happens,
    post,
    settled_caps,
)
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess
from tokenward.kernel.ids import BASE62, base62_number


@pytest.fixture(scope="module")
def key(guard: GuardProcess) -> Key:
    return new_key(guard, caps=["100.00/day"])


def forged(text: str, at: int) -> str:
    """Another key that is the same up to `at`, and well formed."""
    other = BASE62[(BASE62.index(text[at]) + 1) % 62]
    body = text[:at] + other + text[at + 1 : 50]
    return body + base62_number(zlib.crc32(body.encode()), 6)


@pytest.mark.req("S-3")
@pytest.mark.parametrize("at", [7, 17, 18, 20, 32, 40, 48, 49])
def test_a_key_that_shares_its_beginning_with_a_live_one_opens_nothing(
    guard: GuardProcess, standin: StandinProcess, key: Key, at: int
) -> None:
    wrong = forged(key.text, at)
    assert wrong[:at] == key.text[:at]
    assert wrong != key.text
    typo = key.text[:-1] + ("x" if key.text[-1] != "x" else "y")
    for entrance in DIALECTS:  # the live one is looked up and remembered in between
        standin.reset()
        assert post(guard, entrance, key.text, entrance.body).status == 200
        for text in (wrong, typo, key.text[:-1], key.text + "x", wrong.swapcase()):
            answer = post(guard, entrance, text, entrance.body)
            assert (answer.status, answer.code) == (401, "key:invalid"), answer
        assert post(guard, entrance, key.text, entrance.body).status == 200
        assert len(standin.requests()) == 2


@pytest.mark.req("S-3", "K-5")
def test_two_secrets_of_one_id_are_told_apart(guard: GuardProcess) -> None:
    old = new_key(guard)
    new = admin(guard, "POST", f"/keys/{old.id}/rotate", {"grace": "0s"}).json["key"]
    assert new[:18] == old.text[:18]
    for _ in range(3):
        assert post(guard, CHAT, new, CHAT.body).status == 200
        assert post(guard, CHAT, old.text, CHAT.body).status == 401


SQL = (
    "' OR '1'='1",
    "' OR 1=1 --",
    "'; DROP TABLE keys; --",
    "' UNION SELECT * FROM keys --",
    "') UNION ALL SELECT id, digest FROM keys --",
    '" OR ""="',
    "1; ATTACH DATABASE '/nowhere/x' AS x; --",
    "%' AND 1=0 UNION SELECT randomblob(100000000) --",
    "\\' OR 1=1 --",
    "tw_sk_' OR '1'='1" + "A" * 39,
    "?1",
    ":id",
)


@pytest.mark.req("S-4", "S-10")
def test_sql_in_a_credential_is_a_wrong_credential(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    """Also in the branch that tells why (CVE-2026-42208 was there)."""
    with nothing_happens(guard, standin, key):
        for payload in (*SQL, *(key.text[:30] + sql for sql in SQL), *(key.text + s for s in SQL)):
            for name in ("authorization", "x-api-key", "x-goog-api-key", "api-key"):
                value = f"Bearer {payload}" if name == "authorization" else payload
                for entrance in DIALECTS:
                    headers = [(name, value), ("content-type", "application/json")]
                    body = json.dumps(entrance.body).encode()
                    answer = ask(guard.base_url, "POST", entrance.path, headers, body)
                    assert (answer.status, answer.code) == (401, "key:invalid"), answer
                    assert payload not in answer.body.decode()


@pytest.mark.req("S-4")
def test_sql_in_what_a_caller_names_is_a_name(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    before = settled_caps(guard, key)[0]["spent"]
    for number, payload in enumerate(SQL):
        answer = post(guard, CHAT, key.text, {**CHAT.body, "model": payload})
        assert answer.code in ("model:unknown", "model:unpriced", "request:invalid"), answer
        answer = post(guard, CHAT, key.text, {**CHAT.body, "model": "gpt-" + payload})
        assert answer.code in ("model:unknown", "model:unpriced"), answer
        headers = (("idempotency-key", f"{number}{payload}"), ("x-request-id", payload))
        more = (("user-agent", payload), ("x-forwarded-for", payload), ("x-standin", "tag=sql"))
        answer = post(guard, MESSAGES, key.text, MESSAGES.body, *headers, *more)
        assert answer.status == 200, answer
        again = post(guard, MESSAGES, key.text, MESSAGES.body, *headers)
        assert again.code == "idempotency:spent", again
    assert len(standin.lines("sql")) == len(SQL)
    assert settled_caps(guard, key)[0]["spent"] > before
    assert_sound(guard)


@pytest.mark.req("S-4")
def test_sql_in_what_an_admin_names_is_a_name_or_refused(guard: GuardProcess) -> None:
    keys_before = len(admin(guard, "GET", "/keys").json)
    key = new_key(guard)
    for payload in SQL:
        quoted = ask_quoted(payload)
        for method, path, value in (
            ("POST", "/keys", {"project": payload}),
            ("POST", "/keys", {"project": "p", "account": payload}),
            ("POST", "/keys", {"project": "p", "name": payload}),
            ("POST", "/keys", {"project": "p", "expires": payload}),
            ("POST", "/keys", {"project": "p", "cidrs": [payload]}),
            ("POST", "/keys", {"project": "p", "caps": [payload]}),
            ("POST", "/accounts", {"name": payload}),
            ("POST", f"/accounts/{quoted}/credit", {"amount": "1.00"}),
            ("POST", "/accounts/default/credit", {"amount": payload}),
            ("PUT", "/caps", {"subject": payload, "cap": "1.00/day"}),
            ("PUT", "/caps", {"subject": "project:p", "cap": "1.00/day", "zone": payload}),
            ("GET", f"/caps?subject={quoted}", None),
            ("GET", f"/keys/{quoted}", None),
            ("GET", f"/usage?by={quoted}", None),
            ("GET", f"/usage?since={quoted}", None),
            ("GET", f"/events?after={quoted}", None),
            ("GET", f"/records?key={quoted}", None),
            ("DELETE", f"/caps?subject={quoted}&window=day", None),
        ):
            answer = admin(guard, method, path, value)
            assert answer.status in (400, 404), (path, value, answer)
        stopped = admin(guard, "POST", f"/keys/{key.id}/freeze", {"why": payload})
        assert stopped.json["frozen_why"] == payload
        assert admin(guard, "POST", f"/keys/{key.id}/unfreeze", {}).status == 200
        glob = payload.replace(" ", "")
        cap = {"subject": f"key:{key.id}", "cap": "1.00/day", "model": glob}
        assert admin(guard, "PUT", "/caps", cap).json["model"] == glob
    assert len(admin(guard, "GET", "/keys").json) == keys_before + 1
    assert len(admin(guard, "GET", f"/caps?subject=key:{key.id}").json) == len(SQL)
    assert_sound(guard)


def ask_quoted(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode())


def assert_sound(guard: GuardProcess) -> None:
    """The records are as they should be: the audit reads every one of them."""
    doctor = admin(guard, "GET", "/doctor?audit=true").json
    assert doctor["ok"], doctor


@pytest.fixture
def trap() -> Iterator[tuple[str, list[bytes]]]:
    """A place on loopback that nothing may ever call, and what came there."""
    came: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def watch() -> None:
            while True:
                try:
                    end, _ = listening.accept()
                except OSError:
                    return
                end.settimeout(5)
                came.append(end.recv(65536))
                end.close()

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", came
        listening.shutdown(socket.SHUT_RDWR)
    watcher.join(10)


@pytest.mark.req("S-6")
def test_the_provider_is_where_the_settings_say_whatever_a_request_says(
    guard: GuardProcess, standin: StandinProcess, key: Key, trap: tuple[str, list[bytes]]
) -> None:
    url, came = trap
    host = url.removeprefix("http://")
    names = ("base_url", "api_base", "baseURL", "host", "endpoint", "custom_host", "proxy", "url")
    headers = [
        *((name, host) for name in ("host", "x-forwarded-host", "x-host", "forwarded")),
        *((f"x-{name.replace('_', '-')}", url) for name in names),
        ("x-portkey-custom-host", url),
        ("x-standin-redirect", url),
    ]
    query = "&".join(f"{name}={url}" for name in names)
    for entrance in DIALECTS:
        fields = dict.fromkeys(names, url) if entrance is CHAT else {}
        body = json.dumps({**entrance.body, **fields}).encode()
        standin.reset()
        sent = [*entrance.headers(key.text), *headers]
        answer = ask(guard.base_url, "POST", f"{entrance.path}?{query}", sent, body)
        assert answer.status == 200, answer
        (seen,) = standin.requests()
        assert seen["path"] == entrance.path
    assert came == []


@pytest.mark.req("S-6")
@pytest.mark.parametrize("entrance", DIALECTS, ids=lambda entrance: entrance.dialect)
def test_a_redirect_is_not_followed_and_its_address_not_passed_on(
    guard: GuardProcess,
    standin: StandinProcess,
    key: Key,
    trap: tuple[str, list[bytes]],
    entrance: Any,
) -> None:
    url, came = trap
    answer = post(guard, entrance, key.text, entrance.body, ("x-standin", f"redirect={url}/x"))
    assert answer.status == 302
    assert "location" not in answer.headers
    assert url.encode() not in answer.body
    assert came == []
    assert settled_caps(guard, key)


@contextmanager
def guard_with_proxies(folder: Path, standin: StandinProcess, proxy: str) -> Iterator[GuardProcess]:
    names = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "FTP_PROXY")
    environ = dict.fromkeys(names, proxy) | {name.lower(): proxy for name in names}
    environ |= {"NO_PROXY": "", "no_proxy": "", "PROVIDER_KEY": standin.credential}
    environ |= {"NETRC": str(folder / "netrc")}
    (folder / "netrc").write_text("default login eve password eve\n", "ascii")
    with running_guard(folder / "guard", provider_settings(standin.base_url), environ) as guard:
        yield guard


@pytest.mark.req("S-6")
def test_proxies_and_credentials_of_the_environment_are_not_used(
    standin: StandinProcess, tmp_path: Path, trap: tuple[str, list[bytes]]
) -> None:
    url, came = trap
    with guard_with_proxies(tmp_path, standin, url) as guard:
        key = new_key(guard)
        for entrance in DIALECTS:
            standin.reset()
            assert post(guard, entrance, key.text, entrance.body).status == 200
            (seen,) = standin.requests()
            assert not [value for name, value in seen["headers"] if value.startswith("Basic")]
        assert admin(guard, "GET", "/doctor").status == 200
    assert came == []


@pytest.mark.req("S-6")
@pytest.mark.parametrize(
    "url",
    [
        "http://169.254.169.254/latest",
        "https://169.254.169.254",
        "https://[fe80::1]",
        "https://[::ffff:169.254.169.254]",
        "https://[fd00:ec2::254]",
        "https://metadata.google.internal",
        "https://0.0.0.0",
        "https://224.0.0.1",
        "https://2852039166",
        "https://0xa9fea9fe",
        "https://169.254.43518",
        "http://example.com",
        "https://user:secret-4711@example.com",
        "https://example.com/?x=1",
        "file:///etc/passwd",
        "gopher://example.com",
    ],
)
def test_settings_cannot_send_calls_where_none_belong(
    standin: StandinProcess, tmp_path: Path, url: str
) -> None:
    guard = GuardProcess(tmp_path / "guard", provider_settings(url), {"PROVIDER_KEY": "sk-x"})
    done = guard.run("--json", "serve", "--port", "0")
    assert (done.returncode, done.stdout) == (1, ""), done
    message = json.loads(done.stderr)["error"]["message"]
    assert "base_url" in message
    assert "secret-4711" not in message


def code(mark: Path) -> tuple[str, ...]:
    """What would run, render or read a file somewhere else; each would leave a mark."""
    touch = f"touch {mark}"
    return (
        "{{7*7}}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "{7*7}", "${{7*7}}", "@(7*7)",
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self.__init__.__globals__.__builtins__.__import__('os').system('" + touch + "') }}",
        f"__import__('os').system('{touch}')",
        f"$({touch})", f"`{touch}`", f"; {touch} ;", f"| {touch}", f"&& {touch}",
        "${jndi:ldap://127.0.0.1:1/a}", "%(asctime)s %n %s %x", "{0.__class__}", "{__import__}",
        "!!python/object/apply:os.system ['" + touch + "']",
        f"cos\nsystem\n(S'{touch}'\ntR.",
        "<script>alert(1)</script>", "<!--#exec cmd='id'-->", "file:///etc/passwd",
        "../../../../etc/passwd", "=cmd|' /C calc'!A0", "\x1b[2J\x1b]0;x\x07", "\u202e\ufeff",
    )  # fmt: skip


@pytest.mark.req("S-7")
def test_code_in_a_request_reaches_the_provider_as_the_text_it_is(
    guard: GuardProcess, standin: StandinProcess, key: Key, tmp_path: Path
) -> None:
    mark = tmp_path / "it-ran"
    for payload in code(mark):
        for entrance, body in (
            (CHAT, {**CHAT.body, "messages": [{"role": "user", "content": payload}]}),
            (CHAT, {**CHAT.body, "user": payload, "metadata": {payload: payload}}),
            (MESSAGES, {**MESSAGES.body, "system": payload}),
            (GENERATE, {**GENERATE.body, "contents": [{"parts": [{"text": payload}]}]}),
        ):
            standin.reset()
            data = json.dumps(body).encode()
            answer = post(guard, entrance, key.text, data)
            assert answer.status == 200, answer
            (seen,) = standin.requests()
            assert seen["body"].encode() == data
    assert not mark.exists()


@pytest.mark.req("S-7")
def test_code_in_heads_addresses_and_names_is_only_text(
    guard: GuardProcess, standin: StandinProcess, key: Key, tmp_path: Path
) -> None:
    mark = tmp_path / "it-ran"
    with nothing_happens(guard, standin, key):
        for payload in code(mark):
            plain = payload.encode("ascii", "replace").decode()
            plain = "".join(sign if sign.isprintable() else "?" for sign in plain)
            answer = post(guard, CHAT, plain, CHAT.body, ("x-request-id", plain))
            assert answer.status == 401
            if any(sign in plain for sign in "{$`<|;"):
                assert answer.headers["x-request-id"].startswith("req_")
            target = f"/v1/{ask_quoted(payload)}?{ask_quoted(payload)}={ask_quoted(payload)}"
            assert ask(guard.base_url, "GET", target, CHAT.headers(key.text)).status == 404
            model = {**CHAT.body, "model": payload}
            assert post(guard, CHAT, key.text, model).status in (400, 404)
            name = {"project": "p", "name": payload}
            assert admin(guard, "POST", "/keys", name).status == 400
    assert not mark.exists()


@pytest.mark.req("S-7")
def test_a_reason_with_escape_codes_does_not_steer_a_terminal(guard: GuardProcess) -> None:
    key = new_key(guard)
    why = "\x1b[2J\x1b]0;owned\x07 {{7*7}} %s\r\nkey: live"
    assert admin(guard, "POST", f"/keys/{key.id}/freeze", {"why": why}).status == 200
    for words in (("key", "show", key.id), ("key", "list"), ("events", "--limit", "1000")):
        shown = guard.run(*words)
        assert shown.returncode == 0
        assert "\x1b" not in shown.stdout
        assert "\x07" not in shown.stdout
        assert "\r" not in shown.stdout
        assert "\nkey: live" not in shown.stdout
