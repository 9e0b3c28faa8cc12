"""What the doctor sees from outside: secrets, disk, providers, prices, networks, policy."""

import importlib.util
import shutil
import stat
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from tokenward.cli.init import ADMIN_TOKEN, MASTER_KEY, PEPPER
from tokenward.http.admin.office import Check
from tokenward.kernel.errors import SettingsError
from tokenward.settings import Settings, resolve_secret
from tokenward.settings.judgement import modes_by_project
from tokenward.settings.shape import Policy

DISK_BYTES_MIN: Final = 512 * 1024 * 1024
RENEW_WITHIN: Final = timedelta(days=7)
SHOWN_MAX: Final = 5
_DAY: Final = "%Y-%m-%d"
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_GLOB_SIGNS: Final = frozenset("*?[")


@dataclass(frozen=True, slots=True)
class Modes:
    """What evidence may do, `enforce` or `observe`; and in projects with rules of their own."""

    mode: str
    by_project: Mapping[str, str]


def examine(settings: Settings, environ: Mapping[str, str]) -> Iterator[Check]:
    """Every check that needs no records."""
    try:
        yield _secrets(settings, environ)
    except PermissionError as error:
        why = f"this user may not look at {error.filename}; run tokenward as the user who owns it"
        yield _bad("secrets", why)
    if settings.data_dir.is_dir():
        yield _disk(settings.data_dir)
    yield _prices(settings)
    yield _networks(settings)
    if settings.server.tls_certificate:
        yield _tls(settings)


def _secrets(settings: Settings, environ: Mapping[str, str]) -> Check:
    """The folder and every secret in it are there and closed, and the admin token is found."""
    folder = settings.data_dir
    names = (PEPPER, MASTER_KEY) + ((ADMIN_TOKEN,) if (folder / ADMIN_TOKEN).exists() else ())
    for path in (folder, *(folder / name for name in names)):
        if not path.exists():
            return _bad("secrets", f"there is no {path}; make it: tokenward init")
        if stat.S_IMODE(path.stat().st_mode) & _OTHERS:
            return _bad("secrets", f"others can read {path}; close it: chmod go= {path}")
    try:
        token = resolve_secret(
            settings.admin.token or "none", settings.base_dir, environ, "admin.token"
        )
    except SettingsError as error:
        return _bad("secrets", f"{error}")
    if token is None:
        return _bad("secrets", "admin.token is not set, and no guard starts without it")
    return _good("secrets", f"{folder} and what it keeps are closed to others")


def _disk(path: Path) -> Check:
    free_bytes = shutil.disk_usage(path).free
    why = f"{free_bytes // 2**20:,} MiB are free"
    if free_bytes < DISK_BYTES_MIN:
        return _bad("disk", f"{why}; when it is full, every call is refused")
    return _good("disk", why)


def check_credentials(settings: Settings, environ: Mapping[str, str]) -> Check:
    """As this shell sees them; a running guard has fetched its own when it started."""
    if not settings.providers:
        return _bad("providers", "there is none; add a [[provider]] to the settings")
    missing = []
    for provider in settings.providers:
        try:
            resolve_secret(
                provider.credential, settings.base_dir, environ, f"provider {provider.name}"
            )
        except SettingsError as error:
            missing.append(f"{error}")
    if missing:
        return _bad("providers", "; ".join(missing))
    names = ", ".join(provider.name for provider in settings.providers)
    return _good("providers", f"{names}: every credential is there")


def _prices(settings: Settings) -> Check:
    """Only exact names can be looked up; a pattern's models show when they are called."""
    from tokenward.settings.served import price_book

    try:
        book = price_book(settings)
    except SettingsError as error:
        return _bad("prices", f"{error}")
    now_ms = time.time_ns() // 1_000_000
    unpriced = [
        f"{model} of {provider.name}"
        for provider in settings.providers
        for model in provider.models
        if not _GLOB_SIGNS & set(model)
        and book.find(
            provider.prices_from
            or book.source_for(provider.name, provider.dialect, provider.base_url),
            model,
            now_ms,
        )
        is None
    ]
    if unpriced:
        return _bad(
            "prices",
            f"no price for {', '.join(unpriced)}: keys with a cap cannot use them; "
            "add them under [prices]",
        )
    return _good("prices", "every model that is named exactly has a price")


def _networks(settings: Settings) -> Check:
    """Every file is opened and tried, as the guard does when it starts."""
    from tokenward.app.geography import empty_lists, networks

    try:
        networks(settings)
        empty = empty_lists(settings)
    except SettingsError as error:
        return _bad("networks", f"{error}")
    network = settings.network
    has_table = importlib.util.find_spec("iptocc") is not None
    lists = len(network.datacenters) + len(network.vpns) + len(network.tor)
    known = [
        f"countries {_yes(network.country_db or has_table)}",
        f"systems {_yes(network.asn_db)}",
        f"kinds {_yes(network.kind_db or len(empty) < lists)}",
    ]
    why = f"known of callers: {', '.join(known)}"
    if not (network.country_db or has_table):
        why += "; less theft is seen without: pip install 'tokenward[network]'"
    if empty:
        name = "names" if len(empty) == 1 else "name"
        why += (
            f"; {', '.join(empty)} {name} no network: get it anew, or take it out of the settings"
        )
    return _good("networks", why)


def _yes(known: object) -> str:
    return "yes" if known else "no"


def check_policy(policy: Policy, running: Modes | None) -> Check:
    """What evidence does in the guard that runs, or would do without one. Never fails: an operator
    may want to look on first, and `serve --observe` means what it says."""
    written = Modes(policy.mode, modes_by_project(policy))
    if running is None or running == written:
        return _good("policy", _said(written))
    only = running.mode == "observe" and written.mode != "observe"
    return _good(
        "policy",
        f"in the guard that runs {_said(running)}. By the settings {_said(written)}: to apply "
        f"them, start the guard again{', without --observe' if only else ''}",
    )


def _said(modes: Modes) -> str:
    acts = "evidence is only observed" if modes.mode == "observe" else "evidence acts"
    own = [f"{name} ({mode})" for name, mode in sorted(modes.by_project.items())]
    more = f" and {len(own) - SHOWN_MAX} more" if len(own) > SHOWN_MAX else ""
    if not own:
        return acts
    return f"{acts}; projects with rules of their own: {', '.join(own[:SHOWN_MAX])}{more}"


def _tls(settings: Settings) -> Check:
    """The guard's own certificate and the files beside it. A running guard shows the certificate
    that it found when it started."""
    from tokenward.http.tls import own_certificate
    from tokenward.settings.tls import tls_context

    try:
        tls_context(settings)
        own = own_certificate(settings.base_dir / settings.server.tls_certificate)
    except SettingsError as error:
        return _bad("tls", f"{error}")
    now = datetime.now(UTC)
    if now < own.not_valid_before_utc:
        return _bad("tls", f"the certificate is not valid before {own.not_valid_before_utc:{_DAY}}")
    ends = f"{own.not_valid_after_utc:{_DAY}}"
    if now > own.not_valid_after_utc:
        return _bad("tls", f"the certificate expired on {ends}: callers turn away from it")
    if now + RENEW_WITHIN > own.not_valid_after_utc:
        return _bad("tls", f"the certificate ends on {ends}; renew it and start the guard again")
    return _good("tls", f"certificate and key fit, until {ends}")


def _good(name: str, why: str) -> Check:
    return Check(name=name, ok=True, why=why)


def _bad(name: str, why: str) -> Check:
    return Check(name=name, ok=False, why=why)
