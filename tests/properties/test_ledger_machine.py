"""Any order of holds, endings, caps, crashes and jumps of time agrees with the second opinion."""

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import run_state_machine_as_test

from chance import FROM_SEED, fresh_seed, soak
from ledger_machine import LedgerMachine


@pytest.mark.req("F-1")
@pytest.mark.parametrize(("runs", "steps"), [(25, 30), soak(4_000, 50, limit_s=3_600)])
def test_the_ledger_agrees_with_the_second_opinion_whatever_happens(runs: int, steps: int) -> None:
    run_state_machine_as_test(
        seed(fresh_seed())(LedgerMachine),
        settings=settings(FROM_SEED, max_examples=runs, stateful_step_count=steps),
    )
