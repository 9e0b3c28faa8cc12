"""The lab's small world: models with prices, programs, networks. Shares are assumptions.

Models and prices are the lab's own, in the steps that providers really have (a small model, one
five times as dear, one five times dearer again); no result depends on a provider's list. Networks
use real numbers of large operators for readability; nothing is looked up. How common each program
is among honest callers is an assumption: no public count of LLM clients exists.
"""

import random
from hashlib import blake2b
from typing import Final

from msgspec.structs import replace

from tokenward.kernel.signals import Client, Network, price_level

_PICO_A_TOKEN: Final = 1_000_000
"""One dollar a million tokens is a millionth of a dollar a token: 10⁶ pico-dollars."""

OUTPUT_USD: Final[dict[str, float]] = {
    "small-1": 0.4,
    "small-2": 0.6,
    "haiku-4-5": 5.0,
    "mid-1": 4.4,
    "mid-2": 10.0,
    "sonnet-5": 15.0,
    "opus-5": 25.0,
    "large-1": 30.0,
    "fable-5-1": 75.0,
    "embed-1": 0.1,
    "gemini-3-flash": 2.5,
    "gemini-3-pro": 12.0,
    "gemini-3-pro-image": 120.0,
}
"""Dollars a million tokens of output."""
LEVELS: Final = {name: price_level(int(usd * _PICO_A_TOKEN)) for name, usd in OUTPUT_USD.items()}
MAKERS: Final = (
    ("small-1", "small-2", "mid-1", "mid-2", "large-1"),
    ("haiku-4-5", "sonnet-5", "opus-5", "fable-5-1"),
    ("gemini-3-flash", "gemini-3-pro", "gemini-3-pro-image"),
)
"""A key goes to one maker's models."""

PROGRAMS: Final[dict[str, float]] = {
    "openai-python": 0.30,
    "openai-node": 0.14,
    "anthropic-python": 0.12,
    "litellm": 0.07,
    "anthropic-node": 0.05,
    "google-genai": 0.06,
    "requests": 0.06,
    "httpx": 0.05,
    "node-fetch": 0.05,
    "aiohttp": 0.03,
    "go": 0.04,
    "curl": 0.02,
    "java": 0.01,
}
"""Programs of honest callers, by share."""
HARNESSES: Final = ("claude-code", "opencode", "codex")
"""Coding agents: programs that a developer's key is used with."""
_VARIANTS: Final = 6
"""How many fingerprints one family has in the field: systems, runtimes, HTTP libraries. Two users
of one family share theirs with the chance that the most common ones are the same."""
_VARIANT_SHARES: Final = (0.45, 0.25, 0.12, 0.08, 0.06, 0.04)

COUNTRIES: Final = ("US", "DE", "GB", "FR", "IN", "JP", "BR", "CA", "NL", "PL", "AU", "SG")
_CLOUDS: Final = (16509, 8075, 15169, 24940, 16276, 14061, 396982, 31898)
_VPNS: Final = (9009, 136787, 212238, 60068, 62240)
_TORS: Final = (60729, 208294)
_HOME_SYSTEMS: Final = 12
"""Large access networks a country: neighbours often share one."""
_OFFICE_SYSTEMS: Final = 4_000
BLOCKS: Final = 2_000
"""Neighbourhoods (/24) of a large network in one country."""


def dice(*seed: object) -> random.Random:
    """Dice that fall the same way for the same seed: nothing here is a secret."""
    return random.Random(" ".join(map(str, seed)))  # noqa: S311 - repeatable on purpose


def hashed(*parts: object) -> str:
    """16 hex digits, the same for the same parts: how the guard's keyed hashes look."""
    return blake2b("\x1f".join(map(str, parts)).encode(), digest_size=8).hexdigest()


def maker_of(model: str) -> tuple[str, ...]:
    """All chat models of the model's maker; those of the first for a model without one."""
    return next((models for models in MAKERS if model in models), MAKERS[0])


def chance(rng: random.Random, shares: dict[str, float]) -> str:
    """One of the names, by its share."""
    return rng.choices(tuple(shares), tuple(shares.values()))[0]


def program(rng: random.Random, family: str = "", variant: int | None = None) -> Client:
    """A program as its layers show it; its fingerprint lasts through its upgrades."""
    family = family or chance(rng, PROGRAMS)
    if variant is None:
        variant = rng.choices(range(_VARIANTS), _VARIANT_SHARES)[0]
    return Client(family=family, claimed=family, fingerprint=hashed("program", family, variant))


def network(rng: random.Random, kind: str, country: str = "") -> Network:
    """A network of this kind: `residential`, `office` (a company's own line, of kind ""), `cloud`
    (`datacenter` to the guard), `datacenter`, `vpn`, `tor` or `private`."""
    country = country or rng.choice(COUNTRIES)
    if kind == "private":
        return Network(place="private", kind="private")
    if kind in ("cloud", "datacenter"):
        return _network(rng, rng.choice(_CLOUDS), country, "datacenter")
    if kind == "vpn":
        return _network(rng, rng.choice(_VPNS), country, "vpn")
    if kind == "tor":
        return _network(rng, rng.choice(_TORS), country, "tor")
    start = 100_000 + COUNTRIES.index(country) * 10_000 if country in COUNTRIES else 300_000
    if kind == "office":
        return _network(rng, start + 1_000 + rng.randrange(_OFFICE_SYSTEMS), country, "")
    # Access networks differ in size: the first of a country serves many of its people.
    at = min(int(rng.expovariate(0.35)), _HOME_SYSTEMS - 1)
    return _network(rng, start + at, country, "residential")


def _network(rng: random.Random, asn: int, country: str, kind: str) -> Network:
    made = Network(place=f"AS{asn}", country=country, asn=asn, kind=kind)
    return in_block(made, rng.randrange(BLOCKS) if kind else 0)  # a company has few addresses


def in_block(place: Network, number: int, country: str = "") -> Network:
    """The same network, in this neighbourhood of its addresses, and perhaps another country."""
    country = country or place.country
    return replace(place, country=country, block=f"{place.place}/{country}/{number}")
