"""Opens what a guard keeps, on this machine or on many."""

import hmac
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from tokenward.http.admin.office import Check, Office
from tokenward.kernel.errors import SettingsError, StoreError
from tokenward.kernel.secret import Secret
from tokenward.machine import RealClock, RealDice
from tokenward.pipeline.running import RunningCalls
from tokenward.settings import Settings
from tokenward.settings.judgement import modes_by_project
from tokenward.settings.own_secrets import read_pepper
from tokenward.settings.stores import hot_url, records_url
from tokenward.settings.tls import sees_certificates
from tokenward.settings.workloads import rules_of
from tokenward.store.high_water import HighWater, check_not_past
from tokenward.store.interfaces import Store
from tokenward.store.sqlite import SqliteStore
from tokenward.store.valkey.checks import check_servers

if TYPE_CHECKING:
    from tokenward.store.postgres.store import PostgresStore


PIN: Final = b"which pepper the records were made with"


async def open_store(
    settings: Settings,
    environ: Mapping[str, str],
    *,
    serves: bool = True,
    is_alone: bool = False,
) -> Store:
    """The records and the hot state, as the settings say; with `serves` False for one command
    beside the gateways that run, or, with `is_alone`, only while none does. Raises StoreError,
    SettingsError."""
    thresholds = tuple(sorted(round(share * 1000) for share in settings.alerts.thresholds))
    records = records_url(settings, environ)
    if records is not None:
        pepper = read_pepper(settings).reveal().encode()
        return await _postgres_store().open(
            records,
            settings.data_dir,
            clock=RealClock(),
            hot_url=hot_url(settings, environ),
            hot_tls=_hot_tls(settings),
            thresholds=thresholds,
            commit_limit_s=settings.ledger.commit_limit_s,
            serves=serves,
            is_alone=is_alone,
            pins={"pepper": hmac.digest(pepper, PIN, "sha256")},
        )
    return await SqliteStore.open(
        settings.data_dir,
        clock=RealClock(),
        thresholds=thresholds,
        commit_limit_s=settings.ledger.commit_limit_s,
    )


def _hot_tls(settings: Settings) -> ssl.SSLContext | None:
    """Trust in a private certificate authority, where one is named."""
    name = settings.store.hot_ca_file
    if name is None:
        return None
    try:
        return ssl.create_default_context(cafile=settings.base_dir / name)
    except (OSError, ssl.SSLError) as error:
        raise SettingsError(f"store.hot_ca_file: {name} cannot be read: {error}") from None


def _postgres_store() -> "type[PostgresStore]":
    """Only where it is asked for: its driver is an extra."""
    try:
        from tokenward.store.postgres.store import PostgresStore
    except ImportError as error:
        raise SettingsError(
            f"store.records: PostgreSQL needs more than is installed ({error.name} is missing). "
            "Install it: pip install 'tokenward[postgres]'"
        ) from None
    return PostgresStore


@asynccontextmanager
async def open_office(settings: Settings, environ: Mapping[str, str]) -> AsyncIterator[Office]:
    """The records without a guard, for one admin command. Raises StoreError, SettingsError."""
    its_pepper = read_pepper(settings)
    store = await open_store(settings, environ, serves=False)
    try:
        check = partial(_check, settings, environ, store)
        yield office(settings, store, RunningCalls(), its_pepper, check)
    finally:
        await store.close()


def office(
    settings: Settings,
    store: Store,
    running: RunningCalls,
    its_pepper: Secret,
    check: Callable[[], Awaitable[list[Check]]],
) -> Office:
    """What admin commands work with, in a running guard or without one."""
    return Office(
        keys=store.keys,
        ledger=store.ledger,
        books=store.books,
        records=store.records,
        incidents=store.incidents,
        running=running,
        pepper=its_pepper,
        clock=RealClock(),
        dice=RealDice(),
        zone=settings.server.zone,
        bearer_cap=settings.keys.bearer_cap,
        rules=rules_of(settings),
        sees_certificates=sees_certificates(settings),
        check=check,
        mode=settings.policy.mode,
        project_modes=modes_by_project(settings.policy),
    )


async def _check(settings: Settings, environ: Mapping[str, str], store: Store) -> list[Check]:
    """What keeps a guard from starting on these records."""
    return [await check_past(settings, store), *await check_hot(settings, environ)]


async def check_hot(settings: Settings, environ: Mapping[str, str]) -> list[Check]:
    """Whether the servers of hot state are set up so that what the guard promises holds; nothing
    where there are none."""
    url = hot_url(settings, environ)
    if url is None:
        return []
    limit_s = settings.ledger.commit_limit_s
    found = await check_servers(url, RealClock(), limit_s=limit_s, tls=_hot_tls(settings))
    return [Check(name=each.name, ok=each.ok, why=each.why) for each in found]


async def check_past(settings: Settings, store: Store) -> Check:
    """Whether the records hold all that this data folder has seen."""
    try:
        await check_not_past(store.books, HighWater(settings.data_dir).read())
    except StoreError as past:
        return Check(name="past", ok=False, why=f"{past}")
    return Check(name="past", ok=True, why="the records hold all that was seen")
