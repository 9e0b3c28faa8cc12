"""The heads of programs as they write them: names, order and case.

Recorded from real programs on loopback (tests/data/clients tells how); `go-relay` is a Go program
that passes on what its buyers' SDK says of itself, as panels do that resell keys. `{auth}` is the
header with the key, `{length}` the body's, `{address}` where a proxy in front would say who calls.
"""

from typing import Final, NamedTuple


class Style(NamedTuple):
    """How a program writes JSON: with a blank after each colon, other signs than ASCII as \\u…,
    keys in order, and < > & as Go does."""

    is_spaced: bool = False
    is_escaped: bool = False
    is_sorted: bool = False
    is_html_escaped: bool = False


class Recorded(NamedTuple):
    """`bearer` and `key` are how the program writes the header with the key, for OpenAI's routes
    and for Anthropic's."""

    head: str
    style: Style = Style()
    bearer: str = "Authorization: Bearer"
    key: str = "anthropic-version: 2023-06-01\nx-api-key:"


_PYTHON_SDK = """\
Host: {host}
Accept-Encoding: gzip, deflate, br, zstd
Connection: keep-alive
{auth}
Accept: application/json
Content-Type: application/json
User-Agent: OpenAI/Python 2.54.0
X-Stainless-Lang: python
X-Stainless-Package-Version: 2.54.0
X-Stainless-OS: Linux
X-Stainless-Arch: x64
X-Stainless-Runtime: CPython
X-Stainless-Runtime-Version: 3.11.7
X-Stainless-Async: false
"""
_NODE_TAIL = """\
accept-language: *
sec-fetch-mode: cors
accept-encoding: br, gzip, deflate
content-length: {length}
{address}
"""

HEADS: Final[dict[str, Recorded]] = {
    "openai-python": Recorded(
        _PYTHON_SDK
        + "x-stainless-retry-count: 0\nx-stainless-read-timeout: 600\n"
        + "Content-Length: {length}\n{address}\n"
    ),
    "litellm": Recorded(
        _PYTHON_SDK
        + "X-Stainless-Raw-Response: true\nx-stainless-retry-count: 0\n"
        + "x-stainless-read-timeout: 600.0\nContent-Length: {length}\n{address}\n"
    ),
    "anthropic-python": Recorded(
        """\
Host: {host}
Accept-Encoding: gzip, deflate, br
Connection: keep-alive
x-stainless-timeout: 600
x-stainless-retry-count: 0
x-stainless-read-timeout: 600
Accept: application/json
Content-Type: application/json
User-Agent: Anthropic/Python 2.11.0
X-Stainless-Lang: python
X-Stainless-Package-Version: 2.11.0
X-Stainless-OS: Linux
X-Stainless-Arch: x64
X-Stainless-Runtime: CPython
X-Stainless-Runtime-Version: 3.11.7
{auth}
X-Stainless-Async: false
anthropic-version: 2026-10-21
Content-Length: {length}
{address}
""",
        key="Authorization: Bearer",
    ),
    "requests": Recorded(
        """\
Host: {host}
User-Agent: python-requests/2.34.2
Accept-Encoding: gzip, deflate, br
Accept: */*
Connection: keep-alive
{auth}
Content-Length: {length}
Content-Type: application/json
{address}
""",
        Style(is_spaced=True, is_escaped=True),
    ),
    "httpx": Recorded(
        """\
Host: {host}
Accept: */*
Accept-Encoding: gzip, deflate, br, zstd
Connection: keep-alive
User-Agent: python-httpx/0.28.1
{auth}
Content-Length: {length}
Content-Type: application/json
{address}
"""
    ),
    "openai-node": Recorded(
        """\
host: {host}
connection: keep-alive
accept: application/json
user-agent: OpenAI/JS 6.49.0
x-stainless-retry-count: 0
x-stainless-lang: js
x-stainless-package-version: 6.49.0
x-stainless-os: Linux
x-stainless-arch: x64
x-stainless-runtime: node
x-stainless-runtime-version: v20.20.2
{auth}
content-type: application/json
"""
        + _NODE_TAIL,
        bearer="authorization: Bearer",
    ),
    "anthropic-node": Recorded(
        """\
host: {host}
connection: keep-alive
Accept: application/json
User-Agent: Anthropic/JS 1.11.0
X-Stainless-Retry-Count: 0
X-Stainless-Timeout: 600
X-Stainless-Lang: js
X-Stainless-Package-Version: 1.11.0
X-Stainless-OS: Linux
X-Stainless-Arch: x64
X-Stainless-Runtime: node
X-Stainless-Runtime-Version: v20.20.2
anthropic-version: 2026-10-21
{auth}
content-type: application/json
"""
        + _NODE_TAIL,
        key="authorization: Bearer",
    ),
    "node-fetch": Recorded(
        """\
host: {host}
connection: keep-alive
content-type: application/json
{auth}
accept: */*
accept-language: *
sec-fetch-mode: cors
user-agent: node
accept-encoding: br, gzip, deflate
content-length: {length}
{address}
""",
        bearer="authorization: Bearer",
    ),
    "node-http": Recorded(
        """\
accept: application/json, text/plain, */*
content-type: application/json
{auth}
origin: {empty}
referer: {empty}
user-agent: axios/1.7.4
content-length: {length}
accept-encoding: gzip, compress, deflate, br
{address}
host: {host}
connection: keep-alive
""",
        bearer="authorization: Bearer",
    ),
    "curl": Recorded(
        """\
Host: {host}
User-Agent: curl/7.88.1
Accept: */*
{auth}
Content-Type: application/json
Content-Length: {length}
{address}
"""
    ),
    "go": Recorded(
        """\
Host: {host}
User-Agent: Go-http-client/1.1
Content-Length: {length}
Accept: application/json
{auth}
Content-Type: application/json
{address}
Accept-Encoding: gzip
""",
        Style(is_html_escaped=True),
        key="Anthropic-Version: 2023-06-01\nAuthorization: Bearer",
    ),
    "go-relay": Recorded(
        """\
Host: {host}
User-Agent: OpenAI/Python 2.54.0
Content-Length: {length}
Accept: application/json
{auth}
Content-Type: application/json
{address}
X-Stainless-Arch: x64
X-Stainless-Async: false
X-Stainless-Lang: python
X-Stainless-Os: Linux
X-Stainless-Package-Version: 2.54.0
X-Stainless-Runtime: CPython
X-Stainless-Runtime-Version: 3.11.7
Accept-Encoding: gzip
""",
        Style(is_sorted=True, is_html_escaped=True),
        key="Anthropic-Version: 2023-06-01\nAuthorization: Bearer",
    ),
    "opencode": Recorded(
        """\
{auth}
Content-Type: application/json
User-Agent: opencode/1.18.33 ai-sdk/provider-utils/4.0.23 runtime/bun/1.3.14
x-session-affinity: ses_drill000000000000000000001
x-session-id: ses_drill000000000000000000001
Connection: keep-alive
Accept: */*
Host: {host}
Accept-Encoding: gzip, deflate, br, zstd
Content-Length: {length}
{address}
"""
    ),
    "claude-code": Recorded(
        """\
Accept: application/json
Content-Type: application/json
User-Agent: claude-cli/2.1.197 (external, sdk-cli)
X-Claude-Code-Session-Id: 00000000-0000-4000-8000-000000000011
X-Stainless-Arch: x64
X-Stainless-Lang: js
X-Stainless-OS: Linux
X-Stainless-Package-Version: 0.94.0
X-Stainless-Retry-Count: 0
X-Stainless-Runtime: node
X-Stainless-Runtime-Version: v26.3.0
X-Stainless-Timeout: 600
anthropic-dangerous-direct-browser-access: true
anthropic-version: 2023-06-01
{auth}
x-app: cli
Connection: keep-alive
Host: {host}
Accept-Encoding: gzip, deflate, br, zstd
Content-Length: {length}
{address}
""",
        key="x-api-key:",
    ),
    "codex": Recorded(
        """\
session-id: 00000000-0000-7000-8000-000000000002
thread-id: 00000000-0000-7000-8000-000000000002
accept: text/event-stream
content-type: application/json
{auth}
originator: codex_exec
user-agent: codex_exec/0.169.0 (Debian 12.0.0; x86_64) unknown (codex_exec; 0.169.0)
{address}
host: {host}
content-length: {length}
""",
        bearer="authorization: Bearer",
    ),
}
