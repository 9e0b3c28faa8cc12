"""What does a head claim to come from? By the User-Agent and the headers of the SDKs."""

import re
from typing import Final, NamedTuple

from tokenward.signals.head import Head

CLAIM_CHARS_MAX: Final = 64

STAINLESS: Final = ("lang", "package-version", "os", "arch", "runtime", "runtime-version")
"""What every SDK that Stainless generated (OpenAI's, Anthropic's, …) says of itself."""

_SUFFIXES: Final = {"python": "python", "js": "node", "go": "go", "java": "java", "ruby": "ruby"}
_SDK: Final = re.compile(
    r"(?P<name>[A-Za-z_$][A-Za-z0-9_$]*)/(?P<lang>Python|JS|Go|Java|Ruby) (?P<version>\S+)"
)
_PRODUCT: Final = re.compile(r"(?P<name>[^\s/();,]+)(?:/(?P<version>[^\s;,()]*))?")
_GOOGLE: Final = re.compile(r"google-genai-sdk/(?P<version>\S*)(?: gl-(?P<lang>[a-z]+)/)?")
_AIOHTTP: Final = re.compile(r"aiohttp/(?P<version>\S+)")
_BROWSER: Final = re.compile(r"\b(?:(?:Headless)?Chrome|CriOS|Firefox|FxiOS|Version)/([0-9.]+)")
_GOOGLE_LANGUAGES: Final = {"python": "python", "node": "js", "go": "go", "java": "java"}

_PRODUCTS: Final = {
    "claude-cli": ("claude-code", "js"),
    "claude-code": ("claude-code", "js"),
    "opencode": ("opencode", "js"),
    "ai": ("ai-sdk", "js"),
    "ai-sdk": ("ai-sdk", "js"),
    "litellm": ("litellm", "python"),
    "python-requests": ("requests", "python"),
    "python-httpx": ("httpx", "python"),
    "python-urllib": ("urllib", "python"),
    "python-urllib3": ("urllib", "python"),
    "curl": ("curl", "c"),
    "go-http-client": ("go", "go"),
    "node": ("node-fetch", "js"),
    "undici": ("node-fetch", "js"),
    "node-fetch": ("node-fetch", "js"),
    "axios": ("axios", "js"),
    "bun": ("bun", "js"),
    "deno": ("deno", "js"),
    "okhttp": ("okhttp", "java"),
    "reqwest": ("rust", "rust"),
    "tls-client": ("impersonator", ""),
}
_SDK_FAMILIES: Final = frozenset(("claude-code", "opencode", "codex", "ai-sdk", "litellm"))
_BY_ENGINE: Final = {"undici": "node-fetch", "node-http": "node-http", "hyper": "rust"}


class Claim(NamedTuple):
    """`family` is "" for a program that is not known, whose `name` is then all there is.
    `is_sdk`: it writes its own bodies. `is_stainless`: it is known to send all of `STAINLESS`."""

    family: str = ""
    name: str = ""
    version: str = ""
    language: str = ""
    is_sdk: bool = False
    is_stainless: bool = False

    @property
    def who(self) -> str:
        """The best name for it."""
        return self.family if self.family not in ("", "impersonator") else self.name


def claim_of(head: Head) -> Claim:
    """What the head says it is, whether or not that is so."""
    agent = head.value("user-agent")
    claim = _by_agent(agent, head)
    if not claim.family and head.value("x-stainless-lang"):  # an SDK with a name of its own
        language = head.value("x-stainless-lang")
        family = f"{_vendor('', head)}-{_SUFFIXES.get(language, 'other')}"
        version = head.value("x-stainless-package-version")
        claim = Claim(family, claim.name, version, language, is_sdk=True)
    return claim._replace(
        name=claim.name[:CLAIM_CHARS_MAX], version=claim.version[:CLAIM_CHARS_MAX]
    )


def wrapper_of(head: Head, claim: Claim, *, denies_stream: bool) -> str:
    """The program that calls through OpenAI's SDK, as far as the SDK's own headers tell: LiteLLM
    and LangChain read raw responses, both make timeouts floats. LangChain sets none unless it is
    told to, and says `"stream":false` in its bodies; it is only seen where it does not stream."""
    if claim.family != "openai-python" or head.value("x-stainless-raw-response") != "true":
        return ""
    if "x-stainless-read-timeout" not in head.names:
        return "langchain"
    if head.value("x-stainless-read-timeout") != "float":
        return ""
    return "langchain" if denies_stream else "litellm"


def family_by_engine(engine: str) -> str:
    """The family of a program of which no more is known than its engine."""
    return _BY_ENGINE.get(engine, engine)


def _by_agent(agent: str, head: Head) -> Claim:
    if match := _SDK.match(agent):
        language = match["lang"].lower()
        family = f"{_vendor(match['name'], head)}-{_SUFFIXES[language]}"
        is_measured = language in ("python", "js")
        return Claim(family, match["name"], match["version"], language, True, is_measured)
    if match := _GOOGLE.search(agent) or _GOOGLE.match(head.value("x-goog-api-client")):
        language = _GOOGLE_LANGUAGES.get(match["lang"] or "", "")
        suffix = _SUFFIXES.get(language, "other")
        return Claim(
            f"google-genai-{suffix}", "google-genai", match["version"], language, is_sdk=True
        )
    if match := _AIOHTTP.search(agent):
        return Claim("aiohttp", "aiohttp", match["version"], "python")
    if agent.startswith("Mozilla/") and (match := _BROWSER.search(agent)):
        return Claim("browser", "browser", match[1], "browser")
    return _by_product(agent)


def _by_product(agent: str) -> Claim:
    match = _PRODUCT.match(agent)
    if match is None:
        return Claim()
    name, version = match["name"], match["version"] or ""
    product = name.lower()
    if product.startswith("langchain"):
        return Claim("langchain", name, version, "python", is_sdk=True)
    if product.startswith("codex"):
        return Claim("codex", name, version, "rust", is_sdk=True)
    family, language = _PRODUCTS.get(product, ("", ""))
    if family == "ai-sdk" and "ai-sdk" not in agent:
        family = language = ""  # "ai" alone can be anybody's name
    return Claim(family, name, version, language, is_sdk=family in _SDK_FAMILIES)


def _vendor(name: str, head: Head) -> str:
    """Classes of the SDKs have many names (`AsyncAzureOpenAI`), bundlers shorten them (`e`)."""
    lower = name.lower()
    if "anthropic-version" in head.names or "anthropic" in lower:
        return "anthropic"
    return "openai" if "openai" in lower or len(lower) <= 2 else "stainless"
