"""`tokenward incident` without a guard: the same admin API, in the command's own process."""

import asyncio
from typing import Any

import pytest

from ledger_world import PATIENCE_S
from tokenward.kernel.incidents import Evidence, Incident
from tokenward.machine import RealClock
from tokenward.store.sqlite import SqliteStore
from unit.cli.command import Shell

NOON_MS = 1_768_478_400_000
OFFICE = "origin:4f2a@DE-64496"
LONG = "a program that this key never had, " * 6 + "and a bell: \x07"


def accused(shell: Shell, **changes: Any) -> str:
    """A key with an incident that froze it; its id. The incident is `inc_1`."""
    key = shell.json("key", "create", "--project", "demo", "--cap", "none")["id"]
    values: dict[str, Any] = {
        "id": "inc_1",
        "subject": f"key:{key}",
        "opened_ms": NOON_MS + 2_000,
        "first_sign_ms": NOON_MS,
        "stopped_ms": NOON_MS + 2_000,
        "actions": ("challenge",),
        "evidence": (
            Evidence(kind="E2", detector="novelty", reason=LONG, at_ms=NOON_MS, request_id="r1"),
            Evidence(kind="E1", detector="probe", reason="a known probe", at_ms=NOON_MS + 1_000),
        ),
        "cost_before_stop_nusd": 1_230_000_000,
        "calls_before_stop": 1,
        "against": ("the key is a day old",),
        "undo": "If it was you, say so.",
    }
    incident = Incident(**{**values, **changes})

    async def accuse() -> None:
        folder = shell.folder / "data"
        store = await SqliteStore.open(folder, clock=RealClock(), commit_limit_s=PATIENCE_S)
        assert await store.keys.accuse(key, incident, (OFFICE,), freeze=True)
        await store.close()

    asyncio.run(accuse())
    return str(key)


def test_no_incident_is_told_plainly(shell: Shell) -> None:
    assert shell.json("incident", "list") == []
    assert shell("incident", "list").out.startswith("No incidents")


@pytest.mark.parametrize("verb", ["show", "undo", "confirm"])
@pytest.mark.parametrize("name", ["inc_0", "../keys", "inc_0?x", "é"])
def test_an_unknown_incident_is_refused(shell: Shell, verb: str, name: str) -> None:
    done = shell("incident", verb, name, "--json")
    assert (done.status, done.error["code"]) in {(1, "incident:unknown"), (1, "route:unknown")}


def test_an_odd_limit_is_wrong_usage(shell: Shell) -> None:
    assert shell("incident", "list", "--limit", "0", "--json").error["code"] == "request:invalid"


def test_an_incident_is_told_as_a_story(shell: Shell) -> None:
    key = accused(shell)
    told = shell("incident", "show", "inc_1").out
    assert told.startswith(f"inc_1  key:{key}  open, nobody has judged it yet\n")
    parts = [
        "first sign   2026-01-15T12:00:00Z",
        "stopped      2026-01-15T12:00:02Z",
        "1 call, $1.23",
        "Evidence",
        "E1 proof",
        "probe: a known probe",
        "E2 identity",
        "novelty: a program that this key never had",
        "What speaks against a theft",
        "the key is a day old",
        "What was done",
        "challenge, freeze",
        f"barred: {OFFICE}",
        "What can be done",
        "If it was you, say so.",
        "tokenward incident undo inc_1",
        "tokenward incident confirm inc_1",
    ]
    places = [told.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
    assert "\x07" not in told
    assert "and a bell: ? (r1)" in " ".join(told.split())
    assert max(map(len, told.splitlines())) <= 100
    (row,) = shell("incident", "list").out.splitlines()[1:]
    assert "challenge, freeze" in row


def test_undo_lets_the_key_work_again_and_says_what_is_cleared(shell: Shell) -> None:
    key = accused(shell)
    assert shell.json("key", "show", key)["state"] == "frozen"
    done = shell("incident", "undo", "inc_1")
    assert (done.status, done.err) == (0, "")
    assert "undone as a false alarm" in done.out
    assert OFFICE in done.out
    seen = shell.json("key", "show", key)
    assert (seen["state"], seen["cleared"], seen["barred"]) == ("live", [OFFICE], [])
    assert shell.json("incident", "undo", "inc_1")["state"] == "false_alarm"
    assert "tokenward incident" not in shell("incident", "show", "inc_1").out
    refused = shell("incident", "confirm", "inc_1")
    assert (refused.status, refused.out) == (1, "")
    assert "false alarm" in refused.err


def test_confirm_says_what_is_still_to_be_done(shell: Shell) -> None:
    key = accused(shell)
    done = shell("incident", "confirm", "inc_1")
    assert (done.status, done.err) == (0, "")
    assert f"tokenward key rotate {key}" in " ".join(done.out.split())
    assert shell.json("incident", "confirm", "inc_1")["state"] == "confirmed"
    told = shell("incident", "show", "inc_1").out
    assert "incident undo" in told
    assert "incident confirm" not in told


def test_what_is_revoked_cannot_be_undone(shell: Shell) -> None:
    accused(shell, actions=("family revoked",), undo="", against=())
    refused = shell("incident", "undo", "inc_1", "--json")
    assert (refused.status, refused.error["code"]) == (1, "incident:final")
    told = shell("incident", "show", "inc_1").out
    assert "cannot be undone" in told
    assert "incident undo" not in told
    assert "speaks against" not in told
