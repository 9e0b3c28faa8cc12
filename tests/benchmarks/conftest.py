"""The benchmarks, run tiny: what they report and count is looked at, never a time."""

from collections.abc import Iterator

import pytest
from benchmarks.rig import Rig, running_relay, running_rig


@pytest.fixture(scope="session", autouse=True)
def patience() -> Iterator[None]:
    """A machine full of tests has a late disk now and then; a measurement of one says so itself."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TOKENWARD_LEDGER__COMMIT_LIMIT_S", "20")
        yield


@pytest.fixture(scope="session")
def rig(patience: None) -> Iterator[Rig]:
    """A guard, a relay and their provider, for measurements of one process."""
    with running_rig(is_pinned=False) as running, running_relay(running):
        yield running
