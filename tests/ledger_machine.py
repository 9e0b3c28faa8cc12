"""Holds, endings, caps, crashes and jumps of time in any order, beside a second opinion."""

import asyncio
import shutil
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
)

from ledger_model import Call, LedgerModel
from ledger_world import NOON_MS, MovingClock, ask, cap, charge, open_sqlite
from tokenward.kernel.bound import CostBound
from tokenward.ledger.records import Hold, Unit, Window
from tokenward.store.sqlite import SqliteStore

OWNERS = {"k1": ("p1", "a1"), "k2": ("p1", "a1"), "k3": ("p2", "a1"), "k4": ("p3", "a2")}
SUBJECTS = [
    *(f"key:{key}" for key in OWNERS), "project:p1", "project:p2", "account:a1", "account:a2",
]  # fmt: skip
SHM = Path("/dev/shm")

bounds = st.builds(
    lambda fixed, each, tokens, low, more, choices: CostBound(
        fixed, each, tokens, low, low + more, choices
    ),
    st.integers(0, 40_000), st.sampled_from([0, 1, 700, 3_000]), st.integers(0, 30),
    st.integers(0, 5), st.integers(0, 20), st.integers(1, 3),
)  # fmt: skip
picks = st.integers(0, 10**6)


class LedgerMachine(RuleBasedStateMachine):
    """The real store beside the model; a crash reopens a copy of the files as they lie there."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(dir=SHM if SHM.is_dir() else None))
        self.runner = asyncio.Runner()
        self.clock = MovingClock()
        self.model = LedgerModel()
        self.holds: dict[int, Hold] = {}
        self.lives = 0
        self.store: SqliteStore = self.run(open_sqlite(self.root / "0", self.clock))
        for account in ("a1", "a2"):
            self.run(self.store.books.create_account(account, NOON_MS))

    def run(self, work: Any) -> Any:
        async def waited() -> Any:
            return await work

        return self.runner.run(waited())

    def pick(self, number: int) -> tuple[Hold, Call]:
        ids = sorted(self.holds)
        chosen = ids[number % len(ids)]
        return self.holds[chosen], self.model.calls[chosen]

    @rule(key=st.sampled_from(sorted(OWNERS)), bound=bounds, is_mini=st.booleans())
    def hold(self, key: str, bound: CostBound, is_mini: bool) -> None:
        project, account = OWNERS[key]
        wish = ask(
            bound,
            key=key,
            project=project,
            account=account,
            model="gpt-mini" if is_mini else "o3",
            at_ms=self.clock.at_ms,
        )
        expected = self.model.largest(wish)
        answer = self.run(self.store.ledger.hold(wish))
        if expected is None:
            could = self.model.largest(wish, ignore_held=True)
            assert answer.code == ("cap:reached" if could is None else "cap:held")
            return
        assert isinstance(answer, Hold), answer
        assert answer.output_tokens == expected
        assert answer.amount_nusd == bound.cost_nusd(expected)
        assert answer.tokens == bound.tokens(expected)
        self.holds[answer.id] = answer
        self.model.calls[answer.id] = Call(wish, answer.amount_nusd, answer.tokens)

    @precondition(lambda self: self.holds)
    @rule(number=picks, nusd=st.integers(0, 130), tokens=st.integers(0, 130), guess=st.booleans())
    def settle(self, number: int, nusd: int, tokens: int, guess: bool) -> None:
        hold, call = self.pick(number)
        cost = (hold.amount_nusd * nusd // 100, hold.tokens * tokens // 100)
        done = self.run(
            self.store.ledger.settle(hold, charge(*cost, is_estimate=guess), self.clock.at_ms)
        )
        if call.state == "open":
            call.state = "settled"
            call.posted = (hold.amount_nusd, hold.tokens) if guess else cost
        elif not guess:
            call.posted = (max(call.posted[0], cost[0]), max(call.posted[1], cost[1]))
        assert (done.state, done.cost_nusd) == (call.state, call.posted[0])

    @precondition(lambda self: self.holds)
    @rule(number=picks)
    def void(self, number: int) -> None:
        hold, call = self.pick(number)
        done = self.run(self.store.ledger.void(hold, "test", self.clock.at_ms))
        if call.state == "open":
            call.state = "voided"
        assert (done.state, done.cost_nusd) == (call.state, call.posted[0])

    @rule(
        subject=st.sampled_from(SUBJECTS), limit=st.integers(0, 400),
        window=st.sampled_from(Window),
        unit=st.sampled_from(Unit), is_narrow=st.booleans(),
    )  # fmt: skip
    def set_cap(
        self, subject: str, window: Window, limit: int, unit: Unit, is_narrow: bool
    ) -> None:
        limit = limit % 12 if unit is Unit.REQUESTS else limit
        wish = cap(
            subject, "0/day", limit=limit, window=window, unit=unit,
            model="gpt-*" if is_narrow else "",
        )  # fmt: skip
        self.run(self.store.ledger.set_cap(wish))
        self.model.set_cap(wish, self.clock.at_ms)

    @precondition(lambda self: self.model.caps)
    @rule(number=picks)
    def remove_cap(self, number: int) -> None:
        keys = sorted(key for key in self.model.caps if key[3] != "credit")
        if keys:
            chosen = keys[number % len(keys)]
            assert self.run(self.store.ledger.remove_cap(*chosen))
            del self.model.caps[chosen]

    @rule(account=st.sampled_from(["a1", "a2"]), amount=st.integers(1, 300))
    def add_credit(self, account: str, amount: int) -> None:
        self.model.add_credit(account, amount, self.clock.at_ms)
        self.run(self.store.ledger.add_credit(account, amount, self.clock.at_ms, "test"))

    @rule(step_ms=st.sampled_from([1, 7_000, 61_000, 599_999, 3_600_000, 90_000_000]))
    def pass_time(self, step_ms: int) -> None:
        self.clock.at_ms += step_ms

    @rule()
    def sweep(self) -> None:
        expired = self.run(self.store.ledger.sweep(self.clock.at_ms))
        late = [
            hold
            for hold in self.holds.values()
            if self.model.calls[hold.id].state == "open" and hold.expires_ms <= self.clock.at_ms
        ]
        assert expired == len(late)
        for hold in late:
            self.expire(hold)

    def expire(self, hold: Hold) -> None:
        call = self.model.calls[hold.id]
        call.state, call.posted = "expired", (hold.amount_nusd, hold.tokens)

    @rule()
    def crash(self) -> None:
        """What is on the disk is all that is left; who was running is presumed to have spent."""
        self.lives += 1
        copy = self.root / f"{self.lives}"
        shutil.copytree(self.root / f"{self.lives - 1}", copy)
        self.run(self.store.close())
        self.store = self.run(open_sqlite(copy, self.clock))
        orphans = [h for h in self.holds.values() if self.model.calls[h.id].state == "open"]
        assert self.store.orphans == len(orphans)
        for hold in orphans:
            self.expire(hold)

    @rule()
    def reconcile(self) -> None:
        assert self.run(self.store.books.reconcile(self.clock.at_ms)) == 0

    @invariant()
    def every_cap_stands_where_the_second_opinion_says(self) -> None:
        for status in self.run(self.store.ledger.caps(self.clock.at_ms)):
            one = status.cap
            unit = "credit" if one.id.startswith("credit:") else one.unit.value
            mine, since = self.model.caps[one.subject, one.model, one.window.value, unit]
            assert one.limit == mine.limit
            assert (status.spent, status.held) == self.model.standing(mine, since, self.clock.at_ms)

    def teardown(self) -> None:
        try:
            assert self.run(self.store.books.audit()) == []
            rows = self.run(self.store.books.usage("account", 0, 2**60))
            posted = sum(call.posted[0] for call in self.model.calls.values())
            assert sum(row.cost_nusd for row in rows) == posted
        finally:
            self.run(self.store.close())
            self.runner.close()
            shutil.rmtree(self.root)
