"""`make demo` shows what it says: each theft ends as it should, and the bill agrees."""

import json
import os
import subprocess
import sys

import pytest

from unit.cli.command import PATIENT


@pytest.mark.slow
@pytest.mark.req("B-1")
@pytest.mark.req("K-8")
@pytest.mark.req("K-9")
def test_the_demonstration_stops_each_theft_and_the_bill_agrees() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tokenward", "--json", "demo", "--seconds", "6", "--headless"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        env={**os.environ, **PATIENT},
    )
    assert done.returncode == 0, done.stderr
    shown = json.loads(done.stdout)
    guarded, bound, bare = shown["guarded"], shown["bound"], shown["unguarded"]
    watched = shown["watched"]
    assert (watched["calls"], watched["bill_nusd"]) == (0, 0), "held before it costs"
    assert watched["refused"] > 0
    assert watched["incident"].startswith("inc_")
    assert (bound["calls"], bound["bill_nusd"]) == (0, 0)
    assert bound["refused"] > 0
    assert 0 < guarded["bill_nusd"] <= guarded["ledger_nusd"] <= guarded["cap_nusd"]
    assert guarded["held_nusd"] == 0
    assert guarded["stopped_after_s"] is not None
    assert bare["bill_nusd"] > guarded["cap_nusd"]
    assert shown["audit_ok"]
