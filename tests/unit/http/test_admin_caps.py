"""Caps and accounts behind the admin door."""

import pytest

from unit.http.admin_world import World


async def test_a_cap_is_set_listed_changed_and_removed(world: World) -> None:
    wish = {"subject": "project:demo", "cap": "20.00/day"}
    made = await world.ask("PUT", "/caps", wish)
    assert made.status == 200
    assert made.value["limit"] == 20_000_000_000
    assert (made.value["window"], made.value["unit"]) == ("day", "nusd")
    raised = (await world.ask("PUT", "/caps", {**wish, "cap": "25.00/day"})).value
    assert (await world.ask("GET", "/caps")).value == [raised]
    assert (await world.ask("GET", "/caps", query="subject=project:other")).value == []
    query = "subject=project:demo&window=day"
    assert (await world.ask("DELETE", "/caps", query=query)).value == {"removed": True}
    assert (await world.ask("DELETE", "/caps", query=query)).value == {"removed": False}


async def test_a_cap_can_be_narrowed_to_models_placed_in_a_zone_and_throttle(
    world: World,
) -> None:
    made = await world.ask(
        "PUT",
        "/caps",
        {
            "subject": "project:demo",
            "cap": "1000tok/hour",
            "model": "gpt-5-*",
            "zone": "Europe/Berlin",
            "throttle": True,
        },
    )
    assert made.value["model"] == "gpt-5-*"
    assert made.value["zone"] == "Europe/Berlin"
    assert made.value["throttles"] is True
    query = "subject=project:demo&window=hour&unit=tokens"
    assert (await world.ask("DELETE", "/caps", query=query)).value == {"removed": False}
    query += "&model=gpt-5-*"
    assert (await world.ask("DELETE", "/caps", query=query)).value == {"removed": True}


async def test_a_cap_on_a_key_takes_every_form_of_the_key(world: World) -> None:
    made = await world.make_key()
    for name in (made["id"], f"tw_sk_{made['id']}…", made["key"]):
        answer = await world.ask("PUT", "/caps", {"subject": f"key:{name}", "cap": "1.00/day"})
        assert answer.value["subject"] == f"key:{made['id']}"


@pytest.mark.parametrize(
    "wish",
    [
        {"subject": "demo", "cap": "1.00/day"},
        {"subject": "team:demo", "cap": "1.00/day"},
        {"subject": "key:short", "cap": "1.00/day"},
        {"subject": "project:", "cap": "1.00/day"},
        {"subject": "project:größe", "cap": "1.00/day"},
        {"subject": "project:a/b", "cap": "1.00/day"},
        {"subject": "project:..", "cap": "1.00/day"},
        {"subject": "account:" + "x" * 65, "cap": "1.00/day"},
        {"subject": "key:0123456789a-", "cap": "1.00/day"},
        {"subject": "project:demo", "cap": "1.00"},
        {"subject": "project:demo", "cap": "-1.00/day"},
        {"subject": "project:demo", "cap": "1.00/day", "zone": "Mars/Olympus"},
        {"subject": "project:demo", "cap": "1.00/day", "model": "two words"},
    ],
)
async def test_a_cap_that_cannot_be_is_refused(world: World, wish: dict[str, str]) -> None:
    answer = await world.ask("PUT", "/caps", wish)
    assert (answer.status, answer.error["code"]) == (400, "request:invalid")
    assert (await world.ask("GET", "/caps")).value == []


@pytest.mark.parametrize("subject", ["key:0123456789ab", "account:nobody"])
async def test_a_cap_that_would_hold_nobody_is_refused(world: World, subject: str) -> None:
    answer = await world.ask("PUT", "/caps", {"subject": subject, "cap": "1.00/day"})
    assert (answer.status, answer.error["code"]) == (404, "cap:nobody")


async def test_the_default_account_can_be_capped_before_it_is_used(world: World) -> None:
    answer = await world.ask("PUT", "/caps", {"subject": "account:default", "cap": "1.00/day"})
    assert answer.status == 200


async def test_an_account_is_created_once_and_credit_adds_up(world: World) -> None:
    made = await world.ask("POST", "/accounts", {"name": "acme"})
    assert (made.status, made.value["credit_nusd"]) == (201, None)
    again = await world.ask("POST", "/accounts", {"name": "acme"})
    assert (again.status, again.error["code"]) == (409, "account:exists")
    for total in (50_000_000_000, 100_000_000_000):
        answer = await world.ask("POST", "/accounts/acme/credit", {"amount": "50.00"})
        assert answer.value == {"account": "acme", "credit_nusd": total}
    (account,) = (await world.ask("GET", "/accounts")).value
    assert (account["name"], account["credit_nusd"]) == ("acme", 100_000_000_000)


@pytest.mark.parametrize("amount", ["0", "-5", "fifty", "0.0000000001", "1e30", "NaN"])
async def test_credit_that_is_no_amount_is_refused(world: World, amount: str) -> None:
    await world.ask("POST", "/accounts", {"name": "acme"})
    answer = await world.ask("POST", "/accounts/acme/credit", {"amount": amount})
    assert answer.status == 400
    (account,) = (await world.ask("GET", "/accounts")).value
    assert account["credit_nusd"] is None


async def test_credit_for_nobody_is_404(world: World) -> None:
    answer = await world.ask("POST", "/accounts/acme/credit", {"amount": "50.00"})
    assert (answer.status, answer.error["code"]) == (404, "account:unknown")


@pytest.mark.req("F-3")
async def test_counters_can_be_rebuilt_with_one_command(world: World) -> None:
    await world.make_key(caps=["5.00/day"])
    assert (await world.ask("POST", "/caps/reconcile", {})).value == {"corrected": 0}
