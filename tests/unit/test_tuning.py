"""A process that serves has its interpreter set for it."""

import gc
import sys
from collections.abc import Iterator

import pytest

from tokenward.machine import SWITCH_S, tune_interpreter


@pytest.fixture
def usual() -> Iterator[None]:
    """The interpreter of the tests stays as it was."""
    switch_s, thresholds = sys.getswitchinterval(), gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*thresholds)
    sys.setswitchinterval(switch_s)


@pytest.mark.usefixtures("usual")
def test_threads_take_turns_often_and_what_was_loaded_is_not_walked_again() -> None:
    before = gc.get_threshold()
    tune_interpreter()
    assert sys.getswitchinterval() == pytest.approx(SWITCH_S)
    assert gc.get_freeze_count() > 0
    assert gc.get_threshold()[0] > before[0]
