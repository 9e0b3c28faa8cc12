"""Can these settings work? What types alone cannot say, each with the dotted name it is about."""

import re
from decimal import Decimal
from fnmatch import fnmatchcase
from typing import Final
from zoneinfo import ZoneInfo

from tokenward.binding.addresses import normal
from tokenward.kernel.names import check_name
from tokenward.ledger.cap_text import parse_cap
from tokenward.limits.networks import trusted_proxies
from tokenward.settings.references import check_reference
from tokenward.settings.shape import (
    Alerts,
    Keys,
    Ledger,
    Network,
    Policy,
    PriceOverride,
    Provider,
    Server,
    Written,
)
from tokenward.settings.stores import check_store
from tokenward.settings.urls import check_base_url, check_webhook
from tokenward.settings.workloads import check_workloads

USD_MAX: Final = Decimal(1_000_000)
_HEADER: Final = re.compile(r"[A-Za-z0-9-]{1,64}")
_NO_CERTIFICATE_IN: Final = frozenset(
    ("authorization", "client-cert-chain", "cookie", "dpop", "host", "x-api-key", "x-goog-api-key")
)
_GLOB: Final = re.compile(r"[\x21-\x7e]{1,256}")


def check(settings: Written) -> None:
    """ValueError for the first thing that cannot work."""
    _check_server(settings.server)
    _check_network(settings.network)
    check_store(settings.store)
    _check_ledger(settings.ledger, settings.server)
    for place, provider in enumerate(settings.providers):
        _check_provider(provider, f"provider[{place}]")
    names = [provider.name for provider in settings.providers]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"provider: two are named {name!r}; give each its own name")
    _check_singles(settings.providers)
    for model, price in settings.prices.items():
        _check_price(price, f'prices."{model}"')
    _check_alerts(settings.alerts)
    _check_keys(settings.keys)
    _check_policy(settings.policy)
    check_workloads(settings)
    if settings.admin.token is not None:
        check_reference(settings.admin.token, "admin.token")


def _check_server(server: Server) -> None:
    try:
        trusted_proxies(server.trusted_proxies, "")
    except ValueError as error:
        raise ValueError(
            f"server.trusted_proxies: {error}; write networks like 10.0.0.5/32"
        ) from None
    header = server.client_address_header
    if _HEADER.fullmatch(header) is None or header.lower() == "forwarded":
        raise ValueError(
            "server.client_address_header: must be the name of a header that holds addresses, "
            "like x-forwarded-for; Forwarded (RFC 7239) is not understood"
        )
    _check_certificates(server)
    _check_ja4(server)
    _check_public_urls(server.public_urls)
    try:
        ZoneInfo(server.zone)
    except (ValueError, OSError, KeyError):
        raise ValueError(
            f"server.zone: {server.zone[:64]!r} is not a time zone; write one like UTC or "
            "Europe/Berlin"
        ) from None
    if "\x00" in server.data_dir:
        raise ValueError("server.data_dir: is not a path")


def _check_network(network: Network) -> None:
    """Whether the files are there and can be read is seen when the guard starts."""
    for name in network.__struct_fields__:
        value = getattr(network, name)
        if any("\x00" in path for path in ([value] if isinstance(value, str) else value)):
            raise ValueError(f"network.{name}: is not a path")


def _check_certificates(server: Server) -> None:
    """Whether the files are there and fit is seen when the guard starts."""
    if bool(server.tls_certificate) != bool(server.tls_key):
        raise ValueError(
            "server.tls_certificate, server.tls_key: give both, or neither for plain HTTP"
        )
    if server.tls_client_ca and not server.tls_certificate:
        raise ValueError(
            "server.tls_client_ca: without server.tls_certificate no client shows a certificate; "
            "behind a proxy with TLS, name its header: server.client_certificate_header"
        )
    header = server.client_certificate_header
    if not header:
        return
    if _HEADER.fullmatch(header) is None or header.lower() in _NO_CERTIFICATE_IN:
        raise ValueError(
            "server.client_certificate_header: must be the name of a header that holds a client "
            "certificate and nothing else, like client-cert"
        )
    if header.lower() == server.client_address_header.lower():
        raise ValueError(
            "server.client_certificate_header: the same as server.client_address_header"
        )
    if not server.trusted_proxies:
        raise ValueError(
            "server.client_certificate_header: name the proxy that writes it in "
            "server.trusted_proxies; nobody else is believed"
        )


def _check_ja4(server: Server) -> None:
    header = server.ja4_header
    if not header:
        return
    if _HEADER.fullmatch(header) is None or header.lower() in _NO_CERTIFICATE_IN:
        raise ValueError(
            "server.ja4_header: must be the name of a header that holds a JA4 and nothing else, "
            "like x-ja4"
        )
    for name in ("client_address_header", "client_certificate_header"):
        if header.lower() == getattr(server, name).lower():
            raise ValueError(f"server.ja4_header: the same as server.{name}")
    if not server.trusted_proxies:
        raise ValueError(
            "server.ja4_header: name the proxy that writes it in server.trusted_proxies; nobody "
            "else is believed"
        )


def _check_ledger(ledger: Ledger, server: Server) -> None:
    """A hold that ended under a running call would be charged in full, and then settle late."""
    longest_s = server.call_limit_s + server.hangup_drain_s + server.drain_s
    if ledger.hold_ttl_s <= longest_s:
        raise ValueError(
            f"ledger.hold_ttl_s: {ledger.hold_ttl_s:g} s is too short; it must be longer than "
            "server.call_limit_s + server.hangup_drain_s + server.drain_s, together "
            f"{longest_s:g} s"
        )


def _check_provider(provider: Provider, at: str) -> None:
    try:
        check_name(provider.name, "a provider's name")
    except ValueError as error:
        raise ValueError(f"{at}.name: {error}") from None
    try:
        check_base_url(provider.base_url, allow_plain_http=provider.allow_plain_http)
    except ValueError as error:
        raise ValueError(f"{at}.base_url {error}") from None
    if provider.base_url.rstrip("/").endswith("/v1") and provider.path_prefix == "/v1":
        raise ValueError(
            f"{at}.base_url: leave out the /v1 at its end, which comes with the caller's path"
        )
    check_reference(provider.credential, f"{at}.credential")
    for model in provider.models:
        if _GLOB.fullmatch(model) is None:
            raise ValueError(f"{at}.models: a pattern is printable ASCII without spaces")
    default = provider.default_model
    if default and not any(fnmatchcase(default, model) for model in provider.models):
        raise ValueError(f"{at}.default_model: must be one that its models serve")


def _check_singles(providers: tuple[Provider, ...]) -> None:
    """What tells the provider of a call that names no model must be told of one provider alone."""
    for name in ("stored_objects", "default_model"):
        having = [(place, each) for place, each in enumerate(providers) if getattr(each, name)]
        for place, each in having:
            if each.dialect != "openai":
                raise ValueError(
                    f"provider[{place}].{name}: only the openai dialect has such calls"
                )
        if len(having) > 1:
            raise ValueError(
                f"provider[{having[1][0]}].{name}: {having[0][1].name!r} has it already, and of a "
                "call that names no model nobody could tell whose it is"
            )


def _check_price(price: PriceOverride, at: str) -> None:
    for name, amount in price.amounts().items():
        if not amount.is_finite() or not 0 <= amount <= USD_MAX:
            raise ValueError(f"{at}.{name}: must be dollars between 0 and {USD_MAX:,}")


def _check_public_urls(urls: tuple[str, ...]) -> None:
    """Callers sign for these, and tokens name the first as their issuer."""
    for url in urls:
        try:
            normal(url)
        except ValueError:
            raise ValueError(
                f"server.public_urls: {url[:80]!r} is not an address like https://guard.example.com"
            ) from None
        if "?" in url or "#" in url:
            raise ValueError("server.public_urls: an address without ? and #")


def _check_keys(keys: Keys) -> None:
    if not keys.bearer_cap:
        return
    try:
        parse_cap(keys.bearer_cap)
    except ValueError as error:
        raise ValueError(f"keys.bearer_cap: {error}") from None


def _check_policy(policy: Policy) -> None:
    """Of a project that cannot be there no key is ever judged."""
    for name in policy.project:
        try:
            check_name(name, "a project's name")
        except ValueError as error:
            raise ValueError(f"policy.project: {error}") from None


def _check_alerts(alerts: Alerts) -> None:
    if alerts.webhook is None:
        return
    try:
        check_webhook(alerts.webhook)
    except ValueError as error:
        raise ValueError(f"alerts.webhook {error}") from None
