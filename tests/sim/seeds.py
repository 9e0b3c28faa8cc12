"""Run worlds by their seeds, and make a bad one small."""

import logging
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sim.checker import complaints
from sim.loop import DeadlockError
from sim.plan import FEATURES, Plan
from sim.world import Outcome, World

MEMORY = Path("/dev/shm")
"""A disk that costs nothing, where there is one."""
KEPT = Path(__file__).with_name("seeds.txt")


@dataclass(slots=True)
class Tally:
    """What many worlds had in them."""

    worlds: int = 0
    fired: Counter[str] = field(default_factory=Counter)
    """In how many worlds a feature was on and did something."""
    idle: Counter[str] = field(default_factory=Counter)
    """In how many it was on and did nothing: those tested nothing of it."""
    calls: int = 0
    forwarded: int = 0

    def add(self, outcome: Outcome) -> None:
        """One more."""
        self.worlds += 1
        self.calls += len(outcome.calls)
        self.forwarded += sum(1 for _ in outcome.history.of("forwarded"))
        for feature in FEATURES:
            if outcome.history.fired[feature]:
                self.fired[feature] += 1
            elif outcome.plan.has(feature):
                self.idle[feature] += 1

    def __str__(self) -> str:
        fired = ", ".join(f"{name} {self.fired[name]}" for name in FEATURES)
        return f"{self.worlds} worlds, {self.calls} calls, {self.forwarded} sent; fired: {fired}"


def judge(plan: Plan, tally: Tally | None = None) -> tuple[list[str], str]:
    """What is wrong with a world, and its story."""
    log = logging.getLogger("tokenward")
    level, _ = log.level, log.setLevel(logging.CRITICAL)  # what it complains of is meant
    folder = Path(tempfile.mkdtemp(prefix="sim-", dir=MEMORY if MEMORY.is_dir() else None))
    world = World(plan, folder)
    try:
        outcome = world.run()
    except (AssertionError, DeadlockError) as error:
        return [f"{type(error).__name__}: {error}", *world.loop.failures], world.history.story()
    finally:
        log.setLevel(level)
        shutil.rmtree(folder, ignore_errors=True)
    if tally is not None:
        tally.add(outcome)
    return complaints(outcome), outcome.history.story()


def shrink(plan: Plan) -> Plan:
    """The smallest plan found that is still bad, one thing less at a time."""
    smaller: Iterable[Plan] = plan.smaller()
    for less in smaller:
        if judge(less)[0]:
            return shrink(less)
    return plan


def kept() -> list[str]:
    """Plans that were bad once, as `read` understands them."""
    lines = (line.partition("#")[0].strip() for line in KEPT.read_text("utf-8").splitlines())
    return [line for line in lines if line]
