"""`tokenward incident` without a guard: the same admin API, in the command's own process."""

import asyncio
from typing import Any

import pytest

from ledger_world import PATIENCE_S
from tokenward.kernel.incidents import PACE, Evidence, Incident
from tokenward.keys.accusation import key_of
from tokenward.machine import RealClock
from tokenward.policy.verdict import UNDO
from tokenward.store.sqlite import SqliteStore
from unit.cli.command import Shell

NOON_MS = 1_768_478_400_000
INC = "inc_4fXk81Lm2QaZ"
OTHER = "inc_0000000000Zz"
WHO = 'anthropic-python ("Anthropic/Python 2.11.0") from 81.2.69.160 (network DE:81.2.0.0/16)'
THIRD = "inc_0000000000Zy"
OFFICE = "origin:4f2a@DE-64496"
CAFE = "origin:91bc@BR-28573"
LONG = "a program that this key never had, " * 6 + "and a bell: \x07"


def accused(shell: Shell, **changes: Any) -> str:
    """A key with an incident that froze it; its id. The incident is `INC`."""
    key = shell.json("key", "create", "--project", "demo", "--cap", "none")["id"]
    values: dict[str, Any] = {
        "id": INC,
        "subject": f"key:{key}",
        "opened_ms": NOON_MS + 2_000,
        "first_sign_ms": NOON_MS,
        "stopped_ms": NOON_MS + 2_000,
        "actions": ("challenge",),
        "evidence": (
            Evidence(
                kind="E2", detector="novelty", reason=LONG, value=2.71, at_ms=NOON_MS,
                request_id="r1",
            ),
            Evidence(kind="E1", detector="probe", reason="a known probe", at_ms=NOON_MS + 1_000),
        ),
        "cost_before_stop_nusd": 1_230_000_000,
        "calls_before_stop": 1,
        "against": ("the key is a day old",),
        "undo": "If it was you, say so.",
        "who": WHO,
    }  # fmt: skip
    incident = Incident(**{**values, **changes})

    _keep(shell, incident, (OFFICE,))
    return str(key)


def accuse(shell: Shell, key: str, name: str, things: tuple[str, ...]) -> None:
    """One more incident of this key."""
    incident = Incident(id=name, subject=f"key:{key}", opened_ms=NOON_MS, first_sign_ms=NOON_MS)
    _keep(shell, incident, things)


def _keep(
    shell: Shell, incident: Incident, things: tuple[str, ...], *, freeze: bool = True
) -> None:
    async def keep() -> None:
        folder = shell.folder / "data"
        store = await SqliteStore.open(folder, clock=RealClock(), commit_limit_s=PATIENCE_S)
        assert await store.keys.accuse(key_of(incident), incident, things, freeze=freeze)
        await store.close()

    asyncio.run(keep())


def test_no_incident_is_told_plainly(shell: Shell) -> None:
    assert shell.json("incident", "list") == []
    assert shell("incident", "list").out.startswith("No incidents")


@pytest.mark.parametrize("verb", ["show", "undo", "confirm"])
def test_an_unknown_incident_is_refused(shell: Shell, verb: str) -> None:
    done = shell("incident", verb, INC, "--json")
    assert (done.status, done.error["code"]) == (1, "incident:unknown")


@pytest.mark.parametrize("verb", ["show", "undo", "confirm"])
@pytest.mark.parametrize("name", ["", "inc_", "../keys", INC[4:], INC[:-1] + "é"])
def test_what_is_no_id_of_an_incident_is_wrong_usage(shell: Shell, verb: str, name: str) -> None:
    done = shell("incident", verb, name)
    assert (done.status, done.out) == (2, "")
    assert "inc_ and 12 letters and digits, see: tokenward incident list" in done.err


def test_an_odd_limit_is_wrong_usage(shell: Shell) -> None:
    assert shell("incident", "list", "--limit", "0", "--json").error["code"] == "request:invalid"


def test_an_incident_is_told_as_a_story(shell: Shell) -> None:
    key = accused(shell)
    told = shell("incident", "show", INC).out
    assert told.startswith(f"{INC}  key:{key}  open, nobody has judged it yet\n")
    parts = [
        "who          anthropic-python",
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
        f"tokenward incident undo {INC}",
        f"tokenward incident confirm {INC}",
    ]
    places = [told.find(part) for part in parts]
    assert -1 not in places, parts[places.index(-1)]
    assert places == sorted(places)
    assert "\x07" not in told
    assert "and a bell: ? (15 to 1) (r1)" in " ".join(told.split())
    assert WHO in " ".join(told.split())
    assert told.count("incident undo") == 1
    assert "If it was you" not in told
    assert max(map(len, told.splitlines())) <= 100
    (row,) = shell("incident", "list").out.splitlines()[1:]
    for cell in ("  open  ", f"  {WHO}  ", "  challenge, freeze  ", "  E2 a program that"):
        assert cell in row
    assert row.endswith("… +1")
    assert shell.json("incident", "list")[0]["who"] == shell.json("incident", "show", INC)["who"]


def test_a_list_can_be_of_one_state_and_of_one_key(shell: Shell) -> None:
    first = accused(shell)
    second = accused(shell, id=OTHER)
    shell.json("incident", "undo", OTHER)

    def found(*words: str) -> list[str]:
        return [each["id"] for each in shell.json("incident", "list", *words)]

    assert found() == [OTHER, INC]
    assert found("--state", "open") == [INC]
    assert found("--state", "undone") == [OTHER]
    assert found("--key", second) == [OTHER]
    assert found("--key", first, "--state", "undone") == []
    told = shell("incident", "list", "--key", first, "--state", "undone").out
    assert told == "No such incidents; all: tokenward incident list\n"
    (row,) = shell("incident", "list", "--state", "undone").out.splitlines()[1:]
    assert "  undone  " in row
    assert "false_alarm" not in row
    assert found("--state", shell.json("incident", "show", OTHER)["state"]) == [OTHER]
    assert shell("incident", "list", "--state", "done").status == 2
    assert shell("incident", "list", "--key", "x").status == 2


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "a reason\n"),
        (0.0, "a reason (1 to 1)"),
        (0.4, "a reason (1.5 to 1)"),
        (2.3, "a reason (10 to 1)"),
        (7.6, "a reason (1,998 to 1)"),
        (9.3, "a reason (over 10,000 to 1)"),
        (5_000.0, "a reason (over 10,000 to 1)"),
        (-1.0, "a reason (1 to 2.7)"),
        (-800.0, "a reason (1 to over 10,000)"),
    ],
)
def test_evidence_is_told_with_its_odds(shell: Shell, value: float | None, told: str) -> None:
    seen = Evidence(kind="E2", detector="novelty", reason="a reason", value=value, at_ms=NOON_MS)
    accused(shell, evidence=(seen,))
    assert told in shell("incident", "show", INC).out


def test_names_are_never_broken_over_lines(shell: Shell) -> None:
    name = "claude-opus-5-5-of-" + "a-very-long-deployment-" * 8 + "name"
    seen = Evidence(kind="E2", detector="novelty", reason=f"the model {name}", at_ms=NOON_MS)
    accused(shell, evidence=(seen,))
    assert f"{name}\n" in shell("incident", "show", INC).out


def test_undo_lets_the_key_work_again_and_says_what_is_cleared(shell: Shell) -> None:
    key = accused(shell)
    assert shell.json("key", "show", key)["state"] == "frozen"
    done = shell("incident", "undo", INC)
    assert (done.status, done.err) == (0, "")
    assert "undone as a false alarm" in done.out
    assert OFFICE in done.out
    seen = shell.json("key", "show", key)
    assert (seen["state"], seen["cleared"], seen["barred"]) == ("live", [OFFICE], [])
    assert shell.json("incident", "undo", INC)["state"] == "false_alarm"
    again = shell("incident", "undo", INC)
    assert (again.status, again.out) == (0, f"Incident {INC} was undone already.\n")
    told = shell("incident", "show", INC).out
    assert "tokenward incident" not in told
    assert "Nothing: it was undone." in told
    refused = shell("incident", "confirm", INC)
    assert (refused.status, refused.out) == (1, "")
    assert "false alarm" in refused.err


def test_confirm_says_what_is_still_to_be_done(shell: Shell) -> None:
    key = accused(shell)
    done = shell("incident", "confirm", INC)
    assert (done.status, done.err) == (0, "")
    assert f"tokenward key rotate {key}" in " ".join(done.out.split())
    assert shell.json("incident", "confirm", INC)["state"] == "confirmed"
    again = shell("incident", "confirm", INC)
    assert (again.status, again.out) == (0, f"Incident {INC} was confirmed already.\n")
    told = shell("incident", "show", INC).out
    assert "incident undo" in told
    assert "incident confirm" not in told


def test_what_is_revoked_cannot_be_undone(shell: Shell) -> None:
    accused(shell, actions=("family revoked",), undo="", against=())
    refused = shell("incident", "undo", INC, "--json")
    assert (refused.status, refused.error["code"]) == (1, "incident:final")
    told = shell("incident", "show", INC).out
    assert "cannot be undone" in told
    assert "incident undo" not in told
    assert "speaks against" not in told


def slowed(shell: Shell) -> str:
    """A key with an incident that slowed its strangers; its id."""
    key = str(shell.json("key", "create", "--project", "demo", "--cap", "none")["id"])
    incident = Incident(
        id=INC,
        subject=f"key:{key}",
        opened_ms=NOON_MS,
        first_sign_ms=NOON_MS,
        stopped_ms=NOON_MS,
        actions=("throttle",),
        undo=UNDO,
    )
    _keep(shell, incident, (PACE, OFFICE), freeze=False)
    return key


def test_who_was_only_slowed_is_never_said_to_be_barred_or_stopped(shell: Shell) -> None:
    key = slowed(shell)
    way = f"To stop it: tokenward key freeze {key}, or tokenward key rotate {key}"
    told = shell("incident", "show", INC).out
    assert "  slowed       2026-01-15T12:00:00Z" in told
    assert "  slowed: strangers of this key\n" in told
    assert f"  named, not barred: {OFFICE}\n" in told
    assert way in " ".join(told.split())
    assert "stopped" not in told
    assert PACE not in told
    (row,) = shell("key", "list").out.splitlines()[1:]
    assert "  live, strangers slowed  " in row
    assert f"slowed: strangers of this key ({INC})" in shell("key", "show", key).out
    said = " ".join(shell("incident", "confirm", INC).out.split())
    assert said.endswith(f"It was only slowed, and goes on at some calls a minute. {way}")
    assert "stays so" not in said
    assert way in " ".join(shell("incident", "show", INC).out.split())
    said = " ".join(shell("incident", "undo", INC).out.split())
    assert said.endswith(f"Cleared, and not slowed again: {OFFICE}.")


def test_the_way_out_names_its_incident_until_it_was_taken(shell: Shell) -> None:
    slowed(shell)
    assert f"tokenward incident undo {INC}," in shell.json("incident", "show", INC)["undo"]
    assert shell.json("incident", "undo", INC)["undo"] == ""
    told = shell("incident", "show", INC).out
    assert "To stop it" not in told
    assert "Nothing: it was undone." in told


def test_a_key_tells_what_is_barred_of_it_line_by_line_and_whole(shell: Shell) -> None:
    long = "model:" + "m" * 150
    key = accused(shell, things=())
    shell.json("incident", "undo", INC)
    accuse(shell, key, OTHER, (CAFE,))
    accuse(shell, key, THIRD, (long,))
    lines = shell("key", "show", key).out.splitlines()
    at = next(number for number, line in enumerate(lines) if line.startswith("barred"))
    assert lines[at].endswith(f"   {CAFE} ({OTHER})")
    assert lines[at + 1].strip() == f"{long} ({THIRD})"
    assert lines[at + 1].index("model:") == lines[at].index("origin:")
    assert any(line.startswith("cleared") and line.endswith(OFFICE) for line in lines)
    (row,) = shell("key", "list").out.splitlines()[1:]
    assert "  frozen, 2 barred  " in row
    assert shell.json("key", "list")[0]["state"] == "frozen"


def test_unfreezing_says_that_the_incident_is_still_to_be_judged(shell: Shell) -> None:
    key = accused(shell)
    assert shell("key", "unfreeze", key).out == (
        f"Key {key} is live. Incident {INC} is still open: tokenward incident undo {INC}, "
        "or confirm\n"
    )


@pytest.mark.parametrize("why", ["leaked", f"incident {INC}: copied", f"incident {OTHER}: made up"])
def test_unfreezing_says_nothing_of_incidents_that_are_judged_or_not_there(
    shell: Shell, why: str
) -> None:
    key = accused(shell)
    shell.json("incident", "undo", INC)
    shell.json("key", "freeze", key, "--why", why)
    assert shell("key", "unfreeze", key).out == f"Key {key} is live.\n"


def test_the_doctor_counts_the_incidents_that_nobody_has_judged(shell: Shell) -> None:
    def seen() -> dict[str, Any]:
        checks = shell.json("doctor")["checks"]
        (found,) = (check for check in checks if check["name"] == "incidents")
        return dict(found)

    assert seen() == {"name": "incidents", "ok": True, "why": "none is open"}
    accused(shell)
    why = "1 open: tokenward incident list --state open"
    assert seen() == {"name": "incidents", "ok": True, "why": why}
    shell.json("incident", "confirm", INC)
    assert seen()["why"] == "none is open"
