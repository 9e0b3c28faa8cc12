"""Fixtures for the official packages."""

import pytest

from guard import GuardProcess
from standin import StandinProcess
from tab import Tab


@pytest.fixture
def tab(guard: GuardProcess, standin: StandinProcess) -> Tab:
    """A new key and what becomes of it."""
    return Tab(guard, standin)
