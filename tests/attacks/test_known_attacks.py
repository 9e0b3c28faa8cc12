"""What was done to comparable gateways, adapted from the public reports (S-10)."""

import json
from typing import Any

import pytest

from attacks.probe import CHAT, Key, ask, new_key, nothing_happens, post
from guard import GuardProcess
from standin import StandinProcess


@pytest.fixture(scope="module")
def key(guard: GuardProcess) -> Key:
    return new_key(guard, caps=["100.00/day"])


PROBES: tuple[tuple[str, str, str, Any], ...] = (
    # CVE-2026-35029: settings changed by anybody; and the pages around them
    ("POST", "/config/update", "", {"environment_variables": {"A": "b"}}),
    ("GET", "/config/yaml", "", None),
    ("GET", "/get/config/callbacks", "", None),
    # CVE-2026-42271: a process started from a test of an MCP server
    ("POST", "/mcp-rest/test/connection", "", {"command": "id", "args": [], "transport": "stdio"}),
    ("POST", "/mcp-rest/test/tools/list", "", {"command": "id", "transport": "stdio"}),
    # CVE-2026-30623 and its like: prompts and guardrails that become code
    ("POST", "/guardrails/test_custom_code", "", {"custom_code": "import os; os.system('id')"}),
    ("POST", "/prompts/test", "", {"dotprompt_content": "{{ self.__init__.__globals__ }}"}),
    # keys, users and models made without a role
    ("POST", "/key/generate", "", {"models": [], "max_budget": 1e9}),
    ("POST", "/key/update", "", {"key": "x", "max_budget": 1e9}),
    ("POST", "/key/delete", "", {"keys": ["x"]}),
    ("GET", "/key/list", "", None),
    ("GET", "/key/info", "?key=x", None),
    ("POST", "/user/new", "", {"user_role": "proxy_admin"}),
    ("POST", "/model/new", "", {"model_name": "x", "litellm_params": {"api_base": "http://e"}}),
    ("GET", "/spend/logs", "", None),
    ("GET", "/global/spend", "", None),
    ("POST", "/sso/key/generate", "", None),
    ("GET", "/health/liveliness", "", None),
    ("POST", "/v1/rerank", "", {}),
    ("POST", "/utils/transform_request", "", {}),
    # pass-through routes that take the host from the caller
    ("POST", "/v1/proxy/chat/completions", "", {"model": "gpt-5-mini"}),
    ("GET", "/v1/proxy/https://evil.example", "", None),
    ("POST", "/openai/v1/chat/completions", "", {"model": "gpt-5-mini"}),
    ("POST", "/anthropic/v1/messages", "", {}),
    ("POST", "/bedrock/model/x/invoke", "", {}),
    ("POST", "/v1/chat/completions/", "?api_base=http://evil.example", {}),
    ("GET", "/api/user/self", "", None),
    ("GET", "/api/token/", "", None),
    ("GET", "/../../etc/passwd", "", None),
    ("GET", "/v1/models/..%2f..%2fetc%2fpasswd", "", None),
    ("GET", "/static/..%2f..%2fdata/pepper", "", None),
    ("GET", "/data/admin.token", "", None),
)


@pytest.mark.req("S-10")
@pytest.mark.parametrize("headers", ["stranger", "bypass", "key"])
def test_known_attacks_on_other_gateways_find_nothing(
    guard: GuardProcess, standin: StandinProcess, key: Key, headers: str
) -> None:
    """Adapted from the public reports named in the table; with no credential, with the Host that
    went round another gateway's check (CVE-2026-49468), and with a valid key."""
    given = {
        "stranger": [],
        "bypass": [("host", "localhost:4000/#@"), ("authorization", "Bearer sk-1234")],
        "key": [("authorization", f"Bearer {key.text}")],
    }[headers]
    with nothing_happens(guard, standin, key):
        for method, path, query, value in PROBES:
            body = b"" if value is None else json.dumps(value).encode()
            sent = [*given, ("content-type", "application/json")]
            answer = ask(guard.base_url, method, path + query, sent, body)
            assert answer.status in (401, 404), (path, answer)


@pytest.mark.req("S-10", "S-6")
def test_headers_that_name_another_upstream_are_only_headers(
    guard: GuardProcess, standin: StandinProcess, key: Key
) -> None:
    """Portkey's custom host and its relatives (CVE-2025-66405)."""
    standin.reset()
    headers = [
        ("x-portkey-custom-host", "http://169.254.169.254"),
        ("x-portkey-provider", "anthropic"),
        ("x-portkey-config", '{"provider":"openai","custom_host":"http://evil.example"}'),
        ("x-litellm-api-base", "http://evil.example"),
        ("x-upstream", "http://evil.example"),
        ("x-target-url", "http://evil.example"),
        ("helicone-target-url", "http://evil.example"),
    ]
    assert post(guard, CHAT, key.text, CHAT.body, *headers).status == 200
    assert len(standin.requests()) == 1
