"""The same machine on PostgreSQL: a crash is a gateway that is gone without a word."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import seed, settings
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from chance import FROM_SEED, fresh_seed, soak
from engines import PATIENCE_S, fresh_database
from ledger_machine import LedgerMachine
from ledger_model import LedgerModel
from ledger_world import NOON_MS, MovingClock
from postgres_server import PostgresServer
from tokenward.kernel.secret import Secret
from tokenward.store.postgres.store import PostgresStore


def machine_on(server: PostgresServer) -> type[RuleBasedStateMachine]:
    """The machine, each run in a database of its own."""

    class PostgresLedgerMachine(LedgerMachine):
        def __init__(self) -> None:
            RuleBasedStateMachine.__init__(self)
            self.root = Path(tempfile.mkdtemp())
            self.runner = asyncio.Runner()
            self.clock = MovingClock()
            self.model = LedgerModel()
            self.holds = {}
            self.database = self.run(fresh_database(server))
            self.store: Any = self.run(self.open())
            for account in ("a1", "a2"):
                self.run(self.store.books.create_account(account, NOON_MS))

        async def open(self) -> PostgresStore:
            return await PostgresStore.open(
                Secret(server.url(self.database), "url"),
                self.root,
                clock=self.clock,
                commit_limit_s=PATIENCE_S,
            )

        @rule()
        def crash(self) -> None:
            """Another gateway takes over; the first one was taken for dead before it said so."""
            gone = self.store
            self.run(gone.feed.stop())
            self.store = self.run(self.open())
            orphans = [h for h in self.holds.values() if self.model.calls[h.id].state == "open"]
            assert self.store.orphans == len(orphans)
            for hold in orphans:
                self.expire(hold)
            self.run(gone.close())

        def teardown(self) -> None:
            super().teardown()
            server.drop(self.database)
            shutil.rmtree(self.root, ignore_errors=True)

    return PostgresLedgerMachine


@pytest.mark.req("F-1")
@pytest.mark.parametrize(("runs", "steps"), [(6, 25), soak(500, 50, limit_s=3_600)])
def test_the_ledger_on_postgresql_agrees_with_the_second_opinion(
    postgres: PostgresServer, runs: int, steps: int
) -> None:
    run_state_machine_as_test(
        seed(fresh_seed())(machine_on(postgres)),
        settings=settings(FROM_SEED, max_examples=runs, stateful_step_count=steps),
    )
