"""Incidents as an admin sees and judges them."""

from typing import Any

from tokenward.kernel.incidents import Evidence, Incident
from unit.http.admin_world import World

OFFICE, OPUS = "origin:4f2a@DE-64496", "model:claude-opus-4"


async def accuse(world: World, key: str, *, freeze: bool = True, **changes: Any) -> str:
    """An incident of this key; its id."""
    now_ms = world.clock.now_ms()
    evidence = Evidence(kind="E2", detector="novelty", reason="a new network", at_ms=now_ms)
    values: dict[str, Any] = {
        "id": f"inc_{key}", "subject": f"key:{key}", "opened_ms": now_ms, "first_sign_ms": now_ms,
        "actions": ("challenge",), "evidence": (evidence,),
        "against": ("the key is a day old",), "undo": "say that it was you",
        "who": "curl from 192.0.2.7",
    }  # fmt: skip
    incident = Incident(**{**values, **changes})
    assert await world.store.keys.accuse(key, incident, (OFFICE, OPUS), freeze=freeze)
    return incident.id


async def key_of(world: World, key: str) -> dict[str, Any]:
    shown: dict[str, Any] = (await world.ask("GET", f"/keys/{key}")).value
    return shown


async def test_an_incident_tells_what_it_barred_what_speaks_against_it_and_what_undoes_it(
    world: World,
) -> None:
    key = (await world.make_key())["id"]
    name = await accuse(world, key)
    shown = (await world.ask("GET", f"/incidents/{name}")).value
    assert shown["things"] == [OFFICE, OPUS]
    assert shown["against"] == ["the key is a day old"]
    assert shown["undo"] == "say that it was you"
    assert shown["who"] == "curl from 192.0.2.7"
    assert shown["actions"] == ["challenge", "freeze"]
    assert (await world.ask("GET", "/incidents")).value == [shown]
    seen = await key_of(world, key)
    assert seen["barred"] == [{"thing": OFFICE, "incident": name}]
    assert (seen["state"], seen["frozen_why"]) == ("frozen", f"incident {name}: a new network")


async def test_undo_gives_everything_back_once_and_can_be_said_again(world: World) -> None:
    key = (await world.make_key())["id"]
    name = await accuse(world, key)
    for _ in range(2):
        done = await world.ask("POST", f"/incidents/{name}/undo", {})
        assert (done.status, done.value["state"]) == (200, "false_alarm")
        seen = await key_of(world, key)
        assert (seen["state"], seen["barred"], seen["cleared"]) == ("live", [], [OFFICE, OPUS])
    refused = await world.ask("POST", f"/incidents/{name}/confirm", {})
    assert (refused.status, refused.error["code"]) == (409, "incident:final")


async def test_confirm_leaves_everything_stopped(world: World) -> None:
    key = (await world.make_key())["id"]
    name = await accuse(world, key, freeze=False)
    before = await key_of(world, key)
    for _ in range(2):
        done = await world.ask("POST", f"/incidents/{name}/confirm", {})
        assert (done.status, done.value["state"]) == (200, "confirmed")
    assert await key_of(world, key) == before


async def test_what_is_revoked_is_not_undone_and_the_refusal_says_so(world: World) -> None:
    key = (await world.make_key())["id"]
    name = await accuse(world, key, actions=("family revoked",))
    refused = await world.ask("POST", f"/incidents/{name}/undo", {})
    assert (refused.status, refused.error["code"]) == (409, "incident:final")
    assert "family revoked" in refused.error["message"]
    assert (await key_of(world, key))["state"] == "frozen"
    assert (await world.ask("POST", f"/incidents/{name}/confirm", {})).status == 200


async def test_an_unknown_incident_is_refused(world: World) -> None:
    for method, rest in (("GET", ""), ("POST", "/undo"), ("POST", "/confirm")):
        body = {} if method == "POST" else None
        answer = await world.ask(method, f"/incidents/inc_0{rest}", body)
        assert (answer.status, answer.error["code"]) == (404, "incident:unknown")


async def test_a_list_can_be_of_one_state_and_of_one_key(world: World) -> None:
    first, second = (await world.make_key())["id"], (await world.make_key())["id"]
    names = [await accuse(world, first), await accuse(world, second)]
    await world.ask("POST", f"/incidents/{names[1]}/confirm", {})
    for query, there in (
        ("state=open", names[:1]),
        ("state=confirmed", names[1:]),
        (f"key={second}", names[1:]),
        (f"key={first}&state=confirmed", []),
    ):
        found = (await world.ask("GET", "/incidents", query=query)).value
        assert [each["id"] for each in found] == there
    await world.ask("POST", f"/incidents/{names[0]}/undo", {})
    for state in ("false_alarm", "undone"):  # as JSON says it, and as people do
        (found,) = (await world.ask("GET", "/incidents", query=f"state={state}")).value
        assert (found["id"], found["state"]) == (names[0], "false_alarm")
    for query in ("state=done", "key=x"):
        refused = await world.ask("GET", "/incidents", query=query)
        assert (refused.status, refused.error["code"]) == (400, "request:invalid")
