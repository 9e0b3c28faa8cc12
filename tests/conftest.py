"""Fixtures for every test."""

from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

import postgres_server
from guard import GuardProcess, provider_settings, running_guard
from postgres_server import PostgresServer, running_postgres
from standin import StandinProcess, running_standin

# No test may fail because the machine was slow.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


@pytest.fixture(scope="session")
def standin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinProcess]:
    """A stand-in provider, one for the whole run of a worker. Tests find their own lines of its
    bill by a tag or reset it first."""
    with running_standin(tmp_path_factory.mktemp("standin")) as process:
        yield process


@pytest.fixture(scope="session")
def guard(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[GuardProcess]:
    """A guard before the stand-in, for all three dialects; shared, so make keys of your own."""
    settings = provider_settings(standin.base_url)
    environ = {"PROVIDER_KEY": standin.credential}
    with running_guard(tmp_path_factory.mktemp("guard"), settings, environ) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server for the whole run of a worker. Tests take databases of their own; one
    that stops or breaks it runs another."""
    if why := postgres_server.why_not():
        pytest.skip(why)  # the wheel has no server for every kind of machine; it says which
    with running_postgres() as server:
        yield server


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """How many worlds of the simulation there were, and how many of them clean."""
    sums: Counter[str] = Counter()
    for outcome in ("passed", "failed"):
        for report in terminalreporter.getreports(outcome):
            sums.update({name: value for name, value in report.user_properties if "worlds" in name})
    if sums:
        terminalreporter.write_line(f"sim: {sums['clean worlds']} of {sums['worlds']} worlds clean")
