"""Usage, events, records and the doctor behind the admin door, each as the document says."""

import json
from dataclasses import replace
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tokenward.http.admin.door import AdminDoor
from tokenward.http.admin.office import Check
from tokenward.http.admin.openapi import document
from tokenward.http.admin.route import PREFIX
from tokenward.http.admin.routes import ROUTES
from tokenward.kernel.incidents import Evidence, Incident
from tokenward.kernel.secret import Secret
from tokenward.keys.workload_rules import Rule
from unit.http.admin_world import TOKEN, Answer, World

DOCUMENT = json.loads(json.dumps(document(ROUTES)))
HOUR_MS = 3_600_000


def conforms(method: str, path: str, answer: Answer) -> Any:
    """The answer's value, after it was held against the document."""
    operation = DOCUMENT["paths"][PREFIX + path][method.lower()]
    schema = operation["responses"][str(answer.status)]["content"]["application/json"]["schema"]
    Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer.value)
    return answer.value


async def test_every_answer_has_the_shape_that_the_document_promises(world: World) -> None:
    made = await world.ask(
        "POST", "/keys", {"project": "demo", "caps": ["5.00/day"], "models": ["gpt-*"], "rpm": 9}
    )
    key = conforms("POST", "/keys", made)["id"]
    await world.spend(key, 1_000)
    evidence = Evidence(kind="E1", detector="refresh", reason="refresh:reused", at_ms=1)
    incident = Incident(
        id=key, subject=f"key:{key}", opened_ms=2, first_sign_ms=1, evidence=(evidence,)
    )
    await world.store.database.submit(lambda: world.store.incidents.open(incident))
    wishes: list[tuple[str, str, Any, str]] = [
        ("GET", "/status", None, ""),
        ("GET", "/doctor", None, "audit=true"),
        ("POST", "/accounts", {"name": "acme"}, ""),
        ("GET", "/accounts", None, ""),
        ("POST", "/accounts/{name}/credit", {"amount": "5.00"}, ""),
        ("GET", "/projects/{name}", None, ""),
        ("GET", "/keys", None, ""),
        ("GET", "/keys/{id}", None, ""),
        ("POST", "/keys/{id}/freeze", {}, ""),
        ("POST", "/keys/{id}/unfreeze", {}, ""),
        ("POST", "/keys/{id}/rotate", {"grace": "1h"}, ""),
        ("POST", "/keys/{id}/enrol", {"bind": "dpop"}, ""),
        ("POST", "/keys/{id}/revoke", {}, ""),
        ("PUT", "/caps", {"subject": "project:demo", "cap": "5req/hour"}, ""),
        ("GET", "/caps", None, ""),
        ("DELETE", "/caps", None, "subject=project:demo&window=hour&unit=requests"),
        ("POST", "/caps/reconcile", {}, ""),
        ("GET", "/incidents", None, ""),
        ("GET", "/incidents/{id}", None, ""),
        ("POST", "/incidents/{id}/confirm", {}, ""),
        ("POST", "/incidents/{id}/undo", {}, ""),
        ("GET", "/usage", None, "by=key"),
        ("GET", "/events", None, ""),
        ("GET", "/records", None, ""),
    ]
    for method, path, body, query in wishes:
        name = "demo" if "projects" in path else "acme"
        filled = path.replace("{id}", key).replace("{name}", name)
        answer = await world.ask(method, filled, body, query)
        assert answer.status < 300, (method, path, answer.value)
        conforms(method, path, answer)
    asked = {("POST", "/keys"), ("GET", "/openapi.json"), *((m, p) for m, p, _, _ in wishes)}
    assert asked == {(row.method, row.path) for row in ROUTES}


async def test_usage_sums_what_was_posted_and_groups_it(world: World) -> None:
    first = (await world.make_key(project="one"))["id"]
    second = (await world.make_key(project="two"))["id"]
    await world.spend(first, 1_000)
    await world.spend(first, 500)
    await world.spend(second, 250)
    totals = (await world.ask("GET", "/usage")).value
    assert (totals["cost_nusd"], totals["calls"], totals["rows"]) == (1_750, 3, [])
    by_key = (await world.ask("GET", "/usage", query="by=key")).value
    assert by_key["cost_nusd"] == 1_750
    costs = {row["by"]: (row["cost_nusd"], row["calls"]) for row in by_key["rows"]}
    assert costs == {first: (1_500, 2), second: (250, 1)}
    by_project = (await world.ask("GET", "/usage", query="by=project")).value
    assert {row["by"] for row in by_project["rows"]} == {"one", "two"}


async def test_usage_ends_before_until_and_begins_with_since(world: World) -> None:
    await world.spend((await world.make_key())["id"], 1_000)
    world.clock.ahead_ms = 2 * HOUR_MS
    assert (await world.ask("GET", "/usage", query="since=1h")).value["calls"] == 0
    assert (await world.ask("GET", "/usage", query="since=3h&until=1h")).value["calls"] == 1
    moment = "2020-01-01T00:00:00Z"
    early = (await world.ask("GET", "/usage", query=f"since={moment}&until={moment}")).value
    assert early["calls"] == 0
    assert early["since"].startswith("2020-01-01T00:00:00")


@pytest.mark.parametrize(
    "query", ["by=week", "since=yesterday", "since=2026-01-01", "until=2026-13-01T00:00:00Z"]
)
async def test_a_time_or_group_that_cannot_be_is_refused(world: World, query: str) -> None:
    answer = await world.ask("GET", "/usage", query=query)
    assert (answer.status, answer.error["code"]) == (400, "request:invalid")


async def test_events_are_numbered_and_read_on_after_the_last(world: World) -> None:
    key = (await world.make_key())["id"]
    for action in ("freeze", "unfreeze", "revoke"):
        await world.ask(
            "POST", f"/keys/{key}/{action}", {"why": "x"} if action != "unfreeze" else {}
        )
    events = (await world.ask("GET", "/events")).value
    kinds = [event["kind"] for event in events]
    assert kinds == ["key:created", "key:frozen", "key:unfrozen", "key:revoked"]
    rest = (await world.ask("GET", "/events", query=f"after={events[1]['number']}&limit=1")).value
    assert rest == [events[2]]


@pytest.mark.parametrize("after", [-1, 2**63])
async def test_a_number_that_no_event_can_have_is_refused(world: World, after: int) -> None:
    answer = await world.ask("GET", "/events", query=f"after={after}")
    assert answer.status == 400
    assert "after" in answer.error["message"]


async def test_the_doctor_is_as_well_as_its_worst_finding(world: World) -> None:
    well = (await world.ask("GET", "/doctor", query="audit=1")).value
    assert well["ok"], well
    world.checks.append(Check(name="upstream", ok=False, why="it does not answer"))
    ill = (await world.ask("GET", "/doctor")).value
    assert not ill["ok"]
    assert {"name": "upstream", "ok": False, "why": "it does not answer"} in ill["checks"]


async def test_the_doctor_sees_a_clock_that_was_set_back(world: World) -> None:
    await world.make_key()
    world.clock.ahead_ms = -HOUR_MS
    checks = {c["name"]: c for c in (await world.ask("GET", "/doctor")).value["checks"]}
    assert not checks["clock"]["ok"]


async def test_the_doctor_names_keys_that_end_soon_and_that_nobody_uses(world: World) -> None:
    soon = (await world.make_key(expires="2d"))["id"]
    checks = {c["name"]: c for c in (await world.ask("GET", "/doctor")).value["checks"]}
    assert soon in checks["keys"]["why"]
    old = (await world.make_key())["id"]
    world.clock.ahead_ms = 91 * 24 * HOUR_MS
    checks = {c["name"]: c for c in (await world.ask("GET", "/doctor")).value["checks"]}
    assert old in checks["keys"]["why"]
    assert checks["keys"]["ok"]


async def workload_checks(
    world: World, *key_ids: str, sees_certificates: bool = False
) -> list[dict[str, Any]]:
    """What the doctor says of rules `r0`, `r1`, …, one for each of these keys."""
    rules = tuple(
        Rule(name=f"r{n}", kind="oidc", key_id=key_id, issuer="https://a.example", algorithms=())
        for n, key_id in enumerate(key_ids)
    )
    office = replace(world.office, rules=rules, sees_certificates=sees_certificates)
    world.door = AdminDoor(office, Secret(TOKEN, "admin token"))
    value = conforms("GET", "/doctor", await world.ask("GET", "/doctor"))
    found = [check for check in value["checks"] if check["name"] == "workload"]
    assert value["ok"] == all(check["ok"] for check in found)
    return found


async def test_the_doctor_says_nothing_of_workloads_where_there_are_no_rules(world: World) -> None:
    assert await workload_checks(world) == []


async def test_the_doctor_finds_rules_whose_key_gives_tokens_well(world: World) -> None:
    ids = [(await world.make_key(bind=bind))["id"] for bind in ("none", "dpop", "dpop+body")]
    (check,) = await workload_checks(world, *ids)
    assert check["ok"], "a key that waits for its holder, or has none, still stands for workloads"
    assert "rules: 3" in check["why"]


async def test_the_doctor_names_each_rule_whose_key_cannot_be_used(world: World) -> None:
    wishes: list[dict[str, str]] = [{}, {}, {"expires": "2d"}, {}]
    ids = [(await world.make_key(**wish))["id"] for wish in wishes]
    await world.ask("POST", f"/keys/{ids[0]}/freeze", {"why": "a test"})
    await world.ask("POST", f"/keys/{ids[1]}/revoke", {"why": "a test"})
    world.clock.ahead_ms = 3 * 24 * HOUR_MS
    (check,) = await workload_checks(world, *ids, "NoSuchKey012")
    assert not check["ok"]
    said = check["why"].split("; rule ")
    assert [finding.removeprefix("rule ")[:2] for finding in said] == ["r0", "r1", "r2", "r4"]
    for finding, words in zip(
        said,
        (
            f"tokenward key unfreeze {ids[0]}",
            f"{ids[1]} is revoked",
            f"{ids[2]} is expired",
            "no key NoSuchKey012",
        ),
        strict=True,
    ):
        assert words in finding


async def test_the_doctor_knows_a_rule_whose_key_asks_for_what_nobody_can_show(
    world: World,
) -> None:
    key_id = (await world.make_key(bind="mtls"))["id"]
    (check,) = await workload_checks(world, key_id)
    assert not check["ok"]
    assert f"{key_id} is bound by certificate" in check["why"]
    (check,) = await workload_checks(world, key_id, sees_certificates=True)
    assert check["ok"], check


async def test_of_many_rules_that_cannot_work_the_doctor_names_the_first(world: World) -> None:
    (check,) = await workload_checks(world, *["NoSuchKey012"] * 7)
    assert "rule r4: " in check["why"]
    assert check["why"].endswith(" and 2 more")
    assert "r5" not in check["why"]


async def test_an_audit_tells_the_head_and_holds_a_kept_one_against_the_chain(
    world: World,
) -> None:
    key = (await world.make_key())["id"]
    kept = (await world.ask("GET", "/doctor", query="audit=true")).value["head"]
    await world.spend(key, 1_000)
    again = (await world.ask("GET", "/doctor", query=f"audit=true&head={kept}")).value
    assert again["ok"], again
    assert again["head"] != kept
    assert int(again["head"].split(":")[0]) > int(kept.split(":")[0])
    (ledger,) = (check for check in again["checks"] if check["name"] == "ledger")
    assert "those of the head you kept" in ledger["why"]
    assert (await world.ask("GET", "/doctor")).value["head"] is None


async def test_a_kept_head_that_is_not_in_the_chain_fails_the_audit(world: World) -> None:
    await world.make_key()
    head = (await world.ask("GET", "/doctor", query="audit=true")).value["head"]
    number, _, digest = head.partition(":")
    other = digest.translate(str.maketrans("0123456789abcdef", "123456789abcdef0"))
    for kept, why in (
        (f"{number}:{other}", "differs from the one that was kept elsewhere"),
        (f"{int(number) + 5}:{digest}", "is gone"),
    ):
        value = (await world.ask("GET", "/doctor", query=f"audit=true&head={kept}")).value
        assert (value["ok"], value["head"]) == (False, None)
        (ledger,) = (check for check in value["checks"] if check["name"] == "ledger")
        assert why in ledger["why"]


@pytest.mark.parametrize("query", ["head=1:00&audit=true", "head=1:" + "0" * 64, "head=x"])
async def test_a_head_that_cannot_be_proven_is_refused(world: World, query: str) -> None:
    answer = await world.ask("GET", "/doctor", query=query)
    assert (answer.status, answer.error["code"]) == (400, "request:invalid")


@pytest.mark.parametrize("name", ["since", "until"])
@pytest.mark.parametrize("moment", ["9999-12-31T23:59:59-14:00", "0001-01-01T00:00:00%2B14:00"])
async def test_moments_at_the_ends_of_time_are_taken_as_the_nearest_that_can_be_written(
    world: World, name: str, moment: str
) -> None:
    answer = await world.ask("GET", "/usage", query=f"{name}={moment}")
    assert answer.status == 200, answer.value
    assert answer.value[name] in ("9999-12-31T23:59:59.000Z", "1970-01-01T00:00:00.000Z")
