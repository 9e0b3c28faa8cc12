"""What cannot belong together is said, and only that."""

import pytest

from captures import Capture, own_captures

PYTHON = own_captures("openai-python-2")[0]
NODE = own_captures("openai-node")[0]
GO = own_captures("go-claims-python")[0]
CHAT = b'{"model":"m","messages":[]}'
CLAUDE = (
    ("X-Stainless-Lang", "js"),
    ("X-Stainless-Package-Version", "0.94.0"),
    ("X-Stainless-OS", "Linux"),
    ("X-Stainless-Arch", "x64"),
    ("X-Stainless-Runtime", "node"),
    ("X-Stainless-Runtime-Version", "v26.3.0"),
)


def said(
    headers: tuple[tuple[str, str], ...],
    body: bytes = CHAT,
    ja4: str = "",
    *,
    is_forwarded: bool = False,
) -> str:
    """All sentences about such a call, in one line."""
    client = Capture("", "", headers, body, ja4).read(is_forwarded=is_forwarded)
    return " | ".join(client.contradictions)


def with_values(capture: Capture, **values: str) -> tuple[tuple[str, str], ...]:
    new = {name.replace("_", "-"): value for name, value in values.items()}
    return tuple((name, new.get(name.lower(), value)) for name, value in capture.headers)


def lacking(capture: Capture, name: str) -> tuple[tuple[str, str], ...]:
    return tuple(each for each in capture.headers if each[0].lower() != name)


def agent(value: str, *more: tuple[str, str]) -> tuple[tuple[str, str], ...]:
    return (("Host", "h"), ("Connection", "keep-alive"), ("User-Agent", value), *more)


@pytest.mark.parametrize("name", ["lang", "package-version", "os", "arch", "runtime-version"])
def test_an_sdk_says_all_that_it_always_says(name: str) -> None:
    assert "does not say X-Stainless" in said(lacking(PYTHON, f"x-stainless-{name}"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"x_stainless_lang": "js", "x_stainless_runtime": "node"}, "names an SDK for python"),
        ({"user_agent": "OpenAI/Python 2.55.0"}, "X-Stainless-Package-Version '2.54.0'"),
        ({"x_stainless_runtime": "node"}, "X-Stainless-Runtime 'node'"),
        ({"user_agent": "OpenAI/JS 2.54.0", "x_stainless_lang": "js"}, "Python's httpx writes"),
    ],
)
def test_what_an_sdk_says_of_itself_fits_together(values: dict[str, str], words: str) -> None:
    assert said(PYTHON.headers) == ""
    assert words in said(with_values(PYTHON, **values))


def test_gos_own_user_agent_does_not_fit_an_sdk_for_another_language() -> None:
    copied = with_values(GO, user_agent="Go-http-client/1.1")
    assert "a program in go, X-Stainless-Lang 'python'" in said(copied)
    assert said(lacking(Capture("", "", copied, b""), "x-stainless-lang")) == ""
    assert said((*copied, ("Via", "1.1 proxy.example.com")), is_forwarded=True) == ""


def test_the_order_of_another_languages_engine_is_told() -> None:
    python = {
        "user_agent": "OpenAI/Python 2.54.0",
        "x_stainless_lang": "python",
        "x_stainless_package_version": "2.54.0",
        "x_stainless_runtime": "CPython",
    }
    assert "Node's fetch writes" in said(with_values(NODE, **python))


MARKS = (
    ("X-Forwarded-For", "203.0.113.7"),
    ("Via", "1.1 proxy.example.com"),
    ("Forwarded", "for=203.0.113.7"),
    ("Cdn-Loop", "cloudflare"),
    ("Cf-Ray", "7d1f-FRA"),
    ("X-Real-Ip", "203.0.113.7"),
    ("X-Envoy-External-Address", "203.0.113.7"),
)
TITLE_OS = tuple((n.replace("Stainless-OS", "Stainless-Os"), v) for n, v in PYTHON.headers)


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark[0])
def test_a_proxys_mark_that_no_trusted_proxy_sent_excuses_no_relay(mark: tuple[str, str]) -> None:
    through = (*GO.headers[:-1], mark, GO.headers[-1])
    assert said(through) == said(GO.headers)
    assert "Go's net/http" in said(through)
    assert "Go changes names so" in said((*TITLE_OS, mark))
    assert Capture("", "", through, CHAT).read().family == "go"


@pytest.mark.parametrize("mark", MARKS, ids=lambda mark: mark[0])
def test_a_trusted_go_proxy_on_the_way_is_not_held_against_a_caller(mark: tuple[str, str]) -> None:
    through = (*GO.headers[:-1], mark, GO.headers[-1])
    assert "Go's net/http" in said(through)
    assert said(through, is_forwarded=True) == "", "what is kept of the call before is another case"
    assert said((*TITLE_OS, mark), is_forwarded=True) == ""
    assert "\\u003c" in said(through, GO.body, is_forwarded=True), "bodies are not written anew"
    assert "Go's net/http" in said(through), "nor does the excuse stay for whoever comes next"


def test_a_trusted_proxy_that_leaves_no_mark_has_passed_the_head_on_as_it_was() -> None:
    azure = (*GO.headers, ("X-Azure-ClientIP", "203.0.113.7"), ("X-Request-Id", "8f0e"))
    assert "Go's net/http" in said(GO.headers, is_forwarded=True)
    assert "Go's net/http" in said(azure, is_forwarded=True)


@pytest.mark.parametrize(
    ("capture", "body", "words"),
    [
        (PYTHON, b'{"a":"\\u003cb\\u003e"}', "as Go does"),
        (PYTHON, b'{"a":"\\u00e9"}', "no SDK does at once"),
        (PYTHON, b'{"a": "\\u00e9"}', ""),  # older SDKs
        (NODE, b'{"a": "x"}', "Python's json"),
        (NODE, b'{"a":"\\ud83d"}', ""),
        (own_captures("httpx")[0], b'{"a":"\\u003cb"}', ""),  # its caller wrote that
        (own_captures("go-net-http")[0], b'{"a":"\\u003cb"}', ""),
    ],
)
def test_a_body_fits_the_sdk_that_wrote_it(capture: Capture, body: bytes, words: str) -> None:
    found = said(capture.headers, body)
    assert (words in found) if words else found == ""


@pytest.mark.parametrize(
    ("version", "is_told"), [("2.1.197", True), ("3.0.0", True), ("1.0.57", False), ("", False)]
)
def test_claude_code_runs_on_bun_since_it_has_no_package_for_node(
    version: str, is_told: bool
) -> None:
    agent = f"claude-cli/{version} (external, cli)"
    node = tuple(each for each in NODE.headers if not each[0].startswith(("x-s", "user-agent")))
    headers = (*node[:2], ("User-Agent", agent), *CLAUDE, *node[2:])
    assert ("Bun" in said(headers)) == is_told


def test_claude_code_makes_calls_without_its_sdk_too() -> None:
    assert said(agent("claude-cli/2.1.197 (external, cli)"), b"") == ""
    post = agent("claude-cli/2.1.197 (external, cli)", ("Content-Type", "application/json"))
    assert "does not say X-Stainless-Lang" in said(post)


CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{}"
HINTS = '"Not:A-Brand";v="8", "Chromium";v="156"'


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        (agent(CHROME.format("156.0"), ("sec-ch-ua", HINTS)), ""),
        (agent(CHROME.format("155.0"), ("sec-ch-ua", HINTS)), "Chrome 155, Sec-CH-UA 156"),
        (agent("Mozilla/5.0 Chrome/156.0", ("sec-ch-ua", HINTS)), "lacks what every Chrome"),
        (agent(CHROME.format("156.0"), ("Accept-Encoding", "gzip, br")), "no Sec-CH-UA"),
        (agent(CHROME.format("156.0"), ("Accept-Encoding", "gzip, deflate")), ""),  # plain HTTP
        (agent(CHROME.format("80.0"), ("Accept-Encoding", "gzip, br")), ""),
        (agent(CHROME.format("156.0 Electron/40"), ("Accept-Encoding", "gzip, br")), ""),
        (
            agent(
                CHROME.format("156.0"), ("sec-ch-ua", HINTS), ("sec-ch-ua-platform", '"Windows"')
            ),
            "Sec-CH-UA-Platform",
        ),
        (
            agent(
                "Mozilla/5.0 (X11) Gecko/20100101 Firefox/140.0",
                ("Sec-Fetch-Mode", "navigate"),
                ("Sec-Fetch-Site", "none"),
                ("Content-Type", "application/json"),
            ),
            "opens a page",
        ),
    ],
)
def test_a_browser_is_one(headers: tuple[tuple[str, str], ...], words: str) -> None:
    found = said(headers)
    assert (words in found) if words else found == ""


def test_a_script_with_a_browsers_name_is_told() -> None:
    script = with_values(own_captures("requests")[0], user_agent=CHROME.format("156.0"))
    assert "Python's requests writes" in said(script)


@pytest.mark.parametrize(
    ("capture", "ciphers", "words"),
    [
        (PYTHON, "85036bcba153", ""),
        (PYTHON, "e8f1e7e78f70", ""),  # some systems' Python
        (PYTHON, "f57a46bbacb6", "its TLS is that of Go"),
        (PYTHON, "8daaf6152771", "its TLS is that of Chrome"),
        (NODE, "a33745022dd6", ""),
        (NODE, "85036bcba153", "its TLS is that of OpenSSL"),
        (PYTHON, "0123456789ab", ""),  # another system
        (own_captures("curl")[0], "f57a46bbacb6", ""),  # curl is built with many
        (own_captures("curl")[0], "8daaf6152771", "its TLS is that of Chrome"),
    ],
)
def test_the_tls_fits_the_claim(capture: Capture, ciphers: str, words: str) -> None:
    found = said(capture.headers, CHAT, f"t13d1812h1_{ciphers}_d41ae481755e")
    assert (words in found) if words else found == ""


def test_the_sdks_of_other_languages_are_left_alone() -> None:
    headers = with_values(GO, user_agent="OpenAI/Go 1.9.0", x_stainless_lang="go")
    assert "X-Stainless-Os" not in said(headers, GO.body)
    ruby = agent("OpenAI/Ruby 0.9", ("X-Stainless-Lang", "ruby"), ("X-Stainless-Os", "Linux"))
    assert said(ruby, b'{"a":"\\u003cb"}') == ""
