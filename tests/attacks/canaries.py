"""A guard that lives through everything with a marked secret in every slot."""

import base64
import json
import resource
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from attacks.probe import (
    CHAT,
    DIALECTS,
    GENERATE,
    MESSAGES,
    Answer,
    Entrance,
    Key,
    admin,
    ask,
    new_key,
    post,
    settled_caps,
)
from guard import GuardProcess
from standin import StandinProcess

PROVIDER_KEY = "sk-canary-provider-" + "7Q" * 12
STRANGER = "sk-canary-stranger-" + "4X" * 12
SAID = {
    "header": "canary-header-9f31",
    "cookie": "canary-cookie-9f32",
    "query": "canary-query-9f33",
    "prompt": "canary-prompt-9f34",
    "system": "canary-system-9f35",
    "tool": "canary-tool-9f36",
    "user": "canary-user-9f37",
    "file": "canary-file-9f38",
    "idempotency": "canary-idempotency-9f39",
    "broken": "canary-broken-9f3a",
    "admin": "canary-admin-9f3b",
    "basic": "canary-basic-9f3c",
}
"""What callers put into every slot that is theirs; none of it may be kept."""


@dataclass
class World:
    """A guard that lived through everything, and what it said to whom."""

    guard: GuardProcess
    standin: StandinProcess
    keys: list[str] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    admin_answers: list[Answer] = field(default_factory=list)
    printed: list[str] = field(default_factory=list)
    metrics: bytes = b""
    live: Key = field(default_factory=lambda: Key("", ""))

    @property
    def data(self) -> Path:
        return self.guard.folder / "data"

    def secret(self, name: str) -> str:
        """One of the files that `init` wrote."""
        return (self.data / name).read_text("ascii").strip()

    def new_key(self, **wishes: Any) -> Key:
        key = new_key(self.guard, **wishes)
        self.keys.append(key.text)
        return key

    def call(self, entrance: Entrance, key: str, body: Any, *more: tuple[str, str]) -> Answer:
        """A call with a canary in every slot of its head."""
        headers = (
            ("x-custom", SAID["header"]),
            ("cookie", f"session={SAID['cookie']}"),
            ("anthropic-beta", SAID["header"]),
            ("idempotency-key", f"{SAID['idempotency']}-{len(self.answers)}"),
            *more,
        )
        target = Entrance(
            name=entrance.name,
            dialect=entrance.dialect,
            path=f"{entrance.path}?note={SAID['query']}",
            body={},
        )
        answer = post(self.guard, target, key, body, *headers)
        self.answers.append(answer)
        return answer


def laden(entrance: Entrance, **more: Any) -> dict[str, Any]:
    """The entrance's own body with a canary in every slot."""
    body = json.loads(json.dumps({**entrance.body, **more}))
    if entrance is GENERATE:
        body["contents"][0]["parts"][0]["text"] = SAID["prompt"]
        body["systemInstruction"] = {"parts": [{"text": SAID["system"]}]}
        tool: dict[str, Any] = {
            "functionDeclarations": [{"name": "f", "description": SAID["tool"]}]
        }
        return {**body, "tools": [tool]}
    body["messages"][0]["content"] = SAID["prompt"]
    if entrance is MESSAGES:
        tool = {"name": "f", "description": SAID["tool"], "input_schema": {"type": "object"}}
        user = {"metadata": {"user_id": SAID["user"]}}
        return {**body, **user, "system": SAID["system"], "tools": [tool]}
    body["messages"].insert(0, {"role": "system", "content": SAID["system"]})
    tool = {"type": "function", "function": {"name": "f", "description": SAID["tool"]}}
    return {**body, "user": SAID["user"], "tools": [tool]}


def live_through(world: World) -> None:
    """Every ending a call can have, each with its canaries."""
    key = world.live = world.new_key(caps=["100.00/day"])
    for entrance in DIALECTS:
        assert world.call(entrance, key.text, laden(entrance)).status == 200
        for script in ("status=500", "status=401", "fail=reset@0", "fail=reset@1", "fail=garbage"):
            world.call(entrance, key.text, laden(entrance), ("x-standin", script))
        if entrance is not GENERATE:
            streamed = laden(entrance, stream=True)
            assert world.call(entrance, key.text, streamed).status == 200
            world.call(entrance, key.text, streamed, ("x-standin", "fail=error@1"))
    with_faults(world, key)
    with_bad_bodies(world, key)
    with_wrong_keys(world, key)
    as_admin(world)
    settled_caps(world.guard, key)
    as_operator(world)
    world.metrics = ask(world.guard.base_url, "GET", "/metrics").body


def with_faults(world: World, key: Key) -> None:
    assert world.call(CHAT, key.text, laden(CHAT, model="down-1")).code == "model:unpriced"
    free = world.new_key()
    assert world.call(CHAT, free.text, laden(CHAT, model="down-1")).code == "provider:unavailable"
    poor = world.new_key(caps=["0.000001/day"], models=["gpt-*"], rpm=1000)
    assert world.call(CHAT, poor.text, laden(CHAT)).code == "cap:reached"
    assert world.call(MESSAGES, poor.text, laden(MESSAGES)).code == "model:not_allowed"
    limits = resource.prlimit(world.guard.pid, resource.RLIMIT_FSIZE)
    resource.prlimit(world.guard.pid, resource.RLIMIT_FSIZE, (1, limits[1]))
    try:  # as on a full disk
        for entrance in DIALECTS:
            answer = world.call(entrance, key.text, laden(entrance))
            assert answer.code == "store:unavailable", answer
        world.admin_answers.append(admin(world.guard, "POST", "/accounts", {"name": "full"}))
    finally:
        resource.prlimit(world.guard.pid, resource.RLIMIT_FSIZE, limits)


def with_bad_bodies(world: World, key: Key) -> None:
    broken = SAID["broken"].encode()
    for entrance in DIALECTS:
        for body in (
            b'{"model": "' + broken,
            b"{" + broken + b"}",
            b'{"a": "' + broken + b'\xff"}',
            b'["' + broken + b'"]',
            b'{"model": {"' + broken + b'": 1}}',
            {**laden(entrance), "max_tokens": SAID["broken"], "generationConfig": SAID["broken"]},
            {**laden(entrance), "stream": SAID["broken"], "contents": SAID["broken"]},
        ):
            assert world.call(entrance, key.text, body).status >= 400
    form = (
        b'--x\r\ncontent-disposition: form-data; name="model"\r\n\r\nwhisper-1\r\n--x\r\n'
        b'content-disposition: form-data; name="file"; filename="a.wav"\r\n\r\n'
        + SAID["file"].encode()
        + b"\r\n--x--\r\n"
    )
    speech = Entrance(name="", dialect="openai", path="/v1/audio/transcriptions", body={})
    world.call(speech, key.text, form, ("content-type", "multipart/form-data; boundary=x"))


def with_wrong_keys(world: World, key: Key) -> None:
    """Keys that are frozen, revoked, rotated, in the wrong place, or somebody else's."""
    frozen, revoked, turned = (world.new_key() for _ in range(3))
    why = {"why": "seen in the wild"}
    world.admin_answers.append(admin(world.guard, "POST", f"/keys/{frozen.text}/freeze", why))
    world.admin_answers.append(admin(world.guard, "POST", f"/keys/{revoked.text}/revoke", why))
    rotated = admin(world.guard, "POST", f"/keys/{turned.id}/rotate", {"grace": "0s"})
    world.keys.append(rotated.json["key"])
    for text, code in (
        (frozen.text, "key:frozen"),
        (revoked.text, "key:invalid"),
        (turned.text, "key:invalid"),
        (key.text[:-1], "key:invalid"),
        (STRANGER, "key:invalid"),
        (world.guard.admin_token, "key:invalid"),
        (PROVIDER_KEY, "key:invalid"),
        (world.secret("pepper"), "key:invalid"),
        (f"{key.text}, {STRANGER}", "key:invalid"),
    ):
        for entrance in DIALECTS:
            assert world.call(entrance, text, laden(entrance)).code == code
    misplaced = (
        ("user-agent", f"curl {key.text}"),
        ("x-request-id", key.text),
        ("x-litellm-api-key", key.text),
        ("referer", f"https://example.com/?key={key.text}"),
        ("x-forwarded-for", key.text),
        ("authorization", f"Basic {base64.b64encode(SAID['basic'].encode()).decode()}"),
    )
    for entrance in (MESSAGES, GENERATE):
        assert world.call(entrance, key.text, laden(entrance), *misplaced).status == 200
        assert world.call(entrance, STRANGER, laden(entrance), *misplaced).status == 401
    for target in (
        f"/v1/models/{key.text}",
        f"/v1beta/models/{key.text}:generateContent",
        f"/v1/models?key={key.text}",
        f"/v1/models?note={key.text}",
        f"/{key.text}",
        f"/admin/v1/keys/{key.text}",
    ):
        for method in ("GET", "POST"):
            for headers in ((), GENERATE.headers(key.text)):
                world.answers.append(ask(world.guard.base_url, method, target, headers, b"{}"))


def as_admin(world: World) -> None:
    said = SAID["admin"]
    for method, path, value in (
        ("POST", "/keys", {"project": "p", said: 1}),
        ("POST", "/keys", {"project": said + " bad"}),
        ("POST", "/keys", {"project": "p", "caps": [said]}),
        ("POST", "/keys", {"project": "p", "expires": said}),
        ("POST", "/accounts", {"name": f"{said}'"}),
        ("PUT", "/caps", {"subject": f"key:{said}", "cap": "1.00/day"}),
        ("GET", f"/keys/{said}", None),
        ("GET", f"/usage?by={said}", None),
        ("GET", f"/{said}", None),
        ("DELETE", f"/caps?subject={said}&window=day", None),
    ):
        assert admin(world.guard, method, path, value).status >= 400
    for token in (STRANGER, world.live.text, PROVIDER_KEY):
        headers = [("authorization", f"Bearer {token}")]
        world.answers.append(ask(world.guard.base_url, "GET", "/admin/v1/keys", headers))
    for path in ("/keys", "/caps", "/usage?by=key", "/usage?by=model", "/events?limit=1000",
                 "/records?limit=1000", "/records?limit=1000&otel=true", "/doctor?audit=true",
                 "/status", "/accounts", "/openapi.json", f"/keys/{world.live.text}"):  # fmt: skip
        answer = admin(world.guard, "GET", path)
        assert answer.status == 200, answer
        world.admin_answers.append(answer)
    assert len(world.admin_answers[-7].json) > 50, "records were written"


def as_operator(world: World) -> None:
    """The command line, for scripts and for people, with a whole key where an id belongs."""
    for words in (
        ("key", "list"),
        ("key", "show", world.live.text),
        ("key", "show", world.live.text[:-1]),
        ("key", "freeze", "tw_sk_" + "x" * 50),
        ("cap", "list"),
        ("cap", "set", f"key:{world.live.text}", "1000000.00/day"),
        ("cap", "set", f"key:{world.live.text[:-1]}", "1.00/day"),
        ("usage", "--by", "key"),
        ("usage", "--by", "model"),
        ("events",),
        ("records", "--limit", "1000"),
        ("records", "--key", world.live.text),
        ("account", "list"),
        ("doctor", "--audit"),
    ):
        for flags in ((),) if words[0] in ("usage", "account", "cap") else ((), ("--json",)):
            done = world.guard.run(*flags, *words)
            assert done.returncode in (0, 1, 2), done
            assert "Traceback" not in done.stderr, done.stderr
            world.printed.append(done.stdout + done.stderr)
