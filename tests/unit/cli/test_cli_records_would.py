"""`tokenward records --would`: what an operator who only observes learns before enforcing."""

import asyncio
from typing import Any

import pytest

from ledger_world import PATIENCE_S, ask, charge, kept, taken
from tokenward.kernel.events import Record
from tokenward.machine import RealClock
from tokenward.store.sqlite import SqliteStore
from unit.cli.command import Shell

HOUR_MS = 3_600_000
MODEL = "E2 novelty: the model 'gpt-5' is new to this key, in {} days of use"
PROGRAM = "E2 novelty: the program (go) is new to this key, in {} days of use"


def made(shell: Shell, project: str = "demo") -> str:
    return str(shell.json("key", "create", "--project", project, "--cap", "none")["id"])


def keep(shell: Shell, *records: dict[str, Any]) -> None:
    """Records of calls, each an hour older than the one before; each of a key is paid for."""

    async def write() -> None:
        clock = RealClock()
        store = await SqliteStore.open(
            shell.folder / "data", clock=clock, commit_limit_s=PATIENCE_S
        )
        now_ms = clock.now_ms()
        count = len(await store.records.recent("", 0, 10_000))
        for number, values in enumerate(records):
            at_ms = now_ms - number * HOUR_MS
            record = {"ts": at_ms, "request_id": f"req_{count}_{number}", "project": "demo"}
            store.records.write_record(Record(**{**record, **values}))
            if values.get("key"):
                wish = ask(key=values["key"], project="demo", account="default", at_ms=at_ms)
                hold = taken(await store.ledger.hold(wish))
                await store.ledger.settle(hold, charge(), at_ms)
        assert len(await kept(store, count + len(records))) == count + len(records)
        await store.close()

    asyncio.run(write())


def test_where_nothing_would_have_been_stopped_it_says_so_and_where_to_look(shell: Shell) -> None:
    keep(shell, {"key": made(shell)}, {"status": 403, "refusal": "stepup:required"})
    value = shell.json("records", "--would")
    assert value == {"keys": [], "looked_at": 2, "is_whole": True}
    said = shell("records", "--would").out
    assert said.startswith("No call would have been stopped in this time.")
    assert "tokenward incident list" in said
    assert "There is more" not in said


def test_each_key_says_how_many_calls_by_whom_and_why(shell: Shell) -> None:
    bot, quiet, other = made(shell), made(shell), made(shell)
    thief = {"key": bot, "would": "challenge", "client": "go", "network": "AS64500"}
    keep(
        shell,
        {**thief, "evidence": (MODEL.format(15), PROGRAM.format(15)), "cost_nusd": 7},
        {**thief, "evidence": (MODEL.format(14),), "cost_nusd": 5},
        {**thief, "evidence": (PROGRAM.format(14),)},
        {"key": bot, "would": "hold", "model": "gpt-5", "evidence": (MODEL.format(14),)},
        {"key": bot, "client": "openai-python", "cost_nusd": 1_000},
        {"key": quiet, "evidence": ("E2 novelty: a network of old",)},
        {"key": other, "would": "hold", "client": "curl", "model": "o9"},
        {"key": other, "would": "challenge", "client": "curl"},
    )
    first, second = shell.json("records", "--would")["keys"]
    assert (first["key"], first["project"], first["calls"]) == (bot, "demo", 5)
    assert first["would"] == {"challenge": 3, "hold": 1}
    assert first["cost_nusd"] == 12
    assert first["callers"] == ["go in AS64500", "an unknown program in an unknown network"]
    assert first["first"] < first["last"]
    assert first["reasons"] == [
        "the model 'gpt-5' is new to this key, in 15 days of use",
        "the program (go) is new to this key, in 15 days of use",
    ]
    assert (second["key"], second["would"]) == (other, {"hold": 1, "challenge": 1})
    assert second["reasons"] == ["the model 'o9' is dearer than those of this key"]
    screen = shell("records", "--would").out
    assert f"{bot}   demo      challenge 3, hold 1          5" in screen
    assert f"{bot}: go in AS64500, an unknown program in an unknown network: the model" in screen
    assert f"\n{other}: curl in an unknown network: the model 'o9' is dearer than" in screen
    assert "6 of 8 requests would have been stopped, of 2 keys." in screen
    assert quiet not in screen


def test_one_key_and_a_time_can_be_asked_for(shell: Shell) -> None:
    one, other = made(shell), made(shell)
    seen = {"would": "challenge"}
    keep(shell, {**seen, "key": one}, {**seen, "key": other}, {}, {**seen, "key": one})
    assert shell.json("records", "--would", "--key", one)["keys"][0]["calls"] == 2
    assert shell.json("records", "--would", "--key", one)["looked_at"] == 2
    late = shell.json("records", "--would", "--since", "90m")
    assert {each["key"]: each["calls"] for each in late["keys"]} == {one: 1, other: 1}
    assert shell.json("records", "--would")["looked_at"] == 4, "seven days, not one"


def test_a_week_is_looked_at_and_not_a_day(shell: Shell) -> None:
    key = made(shell)
    keep(shell, *[{}] * 30, {"key": key, "would": "freeze"})
    (found,) = shell.json("records", "--would")["keys"]
    assert (found["would"], found["reasons"]) == ({"freeze": 1}, [])
    assert f"\n{key}: an unknown program in an unknown network\n" in shell("records", "--would").out
    assert len(shell.json("records", "--limit", "100")) < 31


def test_behind_many_calls_of_others_a_key_is_found_all_the_same(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tokenward.cli.records_would.LIST_MAX", 5)
    busy, stolen, refused = made(shell), made(shell), made(shell)
    keep(
        shell,
        {"would": "challenge", "project": "other"},
        *[{"key": busy}] * 4,
        *[{"key": stolen, "would": "challenge"}] * 2,
        {"key": refused},
    )
    value = shell.json("records", "--would")
    assert {each["key"]: each["would"] for each in value["keys"]} == {
        stolen: {"challenge": 2},
        "": {"challenge": 1},
    }
    assert (value["looked_at"], value["is_whole"]) == (8, True), "each once"
    keep(shell, *[{"key": busy, "would": "hold"}] * 6)
    value = shell.json("records", "--would")
    assert value["is_whole"] is False
    assert {each["key"]: each["would"] for each in value["keys"]}[busy].keys() == {"hold"}
    assert "There is more: " in shell("records", "--would").out
    monkeypatch.setattr("tokenward.cli.records_would.LIST_MAX", 50)
    monkeypatch.setattr("tokenward.cli.records_would.KEYS_MAX", 1)
    assert shell.json("records", "--would")["is_whole"] is True, "all came at once"
    monkeypatch.setattr("tokenward.cli.records_would.LIST_MAX", 12)
    value = shell.json("records", "--would")
    assert value["is_whole"] is False, "some keys were left out"


@pytest.mark.parametrize("more", [("--otel",), ("--limit", "5")])
def test_what_does_not_go_with_it_is_wrong_usage(shell: Shell, more: tuple[str, ...]) -> None:
    done = shell("records", "--would", *more)
    assert (done.status, done.out) == (2, "")
    assert "leave out --limit and --otel" in done.err


def test_records_of_a_day_at_most_fifty_are_still_what_is_listed_without_it(shell: Shell) -> None:
    keep(shell, *[{"ts": RealClock().now_ms()}] * 60)
    assert len(shell.json("records")) == 50
    assert len(shell.json("records", "--limit", "55")) == 55


def test_calls_that_were_refused_anyway_are_left_out(shell: Shell) -> None:
    key, lost = made(shell), made(shell)
    refused = {"would": "throttle", "verdict": "refuse", "status": 404, "refusal": "route:unknown"}
    sent = {"would": "throttle", "verdict": "allow", "status": 502, "refusal": "provider:no_answer"}
    keep(shell, {**refused, "key": key}, {**sent, "key": key}, {**refused, "key": lost})
    value = shell.json("records", "--would")
    assert {each["key"]: each["would"] for each in value["keys"]} == {key: {"throttle": 1}}
    assert (value["keys"][0]["calls"], value["looked_at"]) == (2, 3)
