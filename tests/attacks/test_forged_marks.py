"""A relay in Go that claims to be an SDK, and a proxy's marks that it writes itself, over HTTP."""

import json

import pytest

from attacks.probe import CHAT, ask
from captures import own_captures
from guard import GuardProcess, provider_settings, running_guard
from standin import StandinProcess

RELAY = own_captures("go-claims-python")[0]
MARKS = ("x-forwarded-for", "via", "forwarded", "cdn-loop", "cf-ray", "x-envoy-external-address")
TRUST = '[server]\ntrusted_proxies = ["127.0.0.1/32"]\n'
OBSERVE = '\n[policy]\nmode = "observe"\n'
"""What a guard sees is tested here; what it does then is tested elsewhere."""
BODY = json.dumps(CHAT.body, separators=(",", ":")).encode()


def client_of(guard: GuardProcess, mark: str) -> str:
    """Which program the guard saw in a call of the relay with this header."""
    key_id, key = guard.key()
    own = {"authorization": f"Bearer {key}", "content-length": str(len(BODY))}
    head = [(name, own.get(name.lower(), value)) for name, value in RELAY.headers[1:]]
    head.insert(-1, (mark, "203.0.113.7"))
    answer = ask(guard.base_url, "POST", CHAT.path, head, BODY)
    assert answer.status == 200, answer
    return str(guard.recorded(key_id)[0]["client"])


@pytest.mark.parametrize(
    ("trust", "seen"),
    [
        ("", dict.fromkeys((*MARKS, "x-azure-clientip"), "go")),
        (TRUST, {**dict.fromkeys(MARKS, "openai-python"), "x-azure-clientip": "go"}),
    ],
    ids=["nobody is trusted", "a trusted proxy"],
)
def test_a_proxys_marks_excuse_the_head_of_a_relay_only_on_a_trusted_proxys_word(
    standin: StandinProcess,
    tmp_path_factory: pytest.TempPathFactory,
    trust: str,
    seen: dict[str, str],
) -> None:
    environ = {"PROVIDER_KEY": standin.credential}
    settings = trust + provider_settings(standin.base_url) + OBSERVE
    with running_guard(tmp_path_factory.mktemp("marks"), settings, environ) as guard:
        assert {mark: client_of(guard, mark) for mark in seen} == seen
