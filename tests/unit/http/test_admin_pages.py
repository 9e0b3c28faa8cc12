"""Whatever is listed, the guard reads and shows one page at a time."""

import re
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs

import pytest

import crowds
from tokenward.http.admin.door import AdminDoor
from tokenward.http.admin.routes import ROUTES
from tokenward.kernel.secret import Secret
from tokenward.keys.workload_rules import Rule
from unit.http.admin_world import TOKEN, Answer, World

CROWD = 2_300
ALL_TIME = "since=2026-01-01T00:00:00Z"
PAGE_MAX = 1000


class Weighed:
    """A part of the store, and how many rows each of its answers had."""

    def __init__(self, part: Any, rows: list[int]) -> None:
        self._part = part
        self._rows = rows

    def __getattr__(self, name: str) -> Any:
        """The part's method, whose answers are weighed."""

        async def ask(*values: Any) -> Any:
            answer = await getattr(self._part, name)(*values)
            self._rows.append(len(answer) if isinstance(answer, list) else 1)
            return answer

        return ask


@pytest.fixture
async def rows(world: World) -> list[int]:
    """What each question to the store brought, once there are thousands of everything."""
    first = await world.make_key(project="p1", account="a1")
    crowd = (crowds.keys, crowds.caps, crowds.accounts, crowds.entries)
    crowds.write(world.store, *(some(CROWD) for some in crowd))
    rows: list[int] = []
    rule = Rule(name="r", kind="oidc", key_id=first["id"], issuer="https://a", algorithms=())
    office = replace(
        world.office,
        keys=Weighed(world.store.keys, rows),
        ledger=Weighed(world.store.ledger, rows),
        books=Weighed(world.store.books, rows),
        records=Weighed(world.store.records, rows),
        incidents=Weighed(world.store.incidents, rows),
        rules=(rule,),
    )
    world.door = AdminDoor(office, Secret(TOKEN, "admin token"))
    return rows


def following(answer: Answer) -> str:
    """The query of the next page, "" after the last."""
    link = answer.headers.get(b"link", b"").decode()
    found = re.fullmatch(r'<\?([^<>\s]+)>; rel="next"', link)
    assert bool(found) == bool(link), link
    return found[1] if found else ""


async def pages(world: World, path: str, query: str = "") -> list[Any]:
    """Every page of a list, by the links."""
    found = []
    while True:
        answer = await world.ask("GET", path, query=query)
        assert answer.status == 200, answer.value
        found.append(answer.value)
        query = following(answer)
        if not query:
            return found


@pytest.mark.usefixtures("rows")
async def test_links_lead_through_every_key_once_while_keys_come_and_go(world: World) -> None:
    listed, query, made = [], "limit=250", 0
    while query:
        answer = await world.ask("GET", "/keys", query=query)
        listed += [key["id"] for key in answer.value]
        assert len(answer.value) <= 250
        query = following(answer)
        await world.make_key(project="p1", account="a1")
        made += 1
        stopped = crowds.names(CROWD)[(len(listed) + 3) % CROWD]
        assert (await world.ask("POST", f"/keys/{stopped}/revoke", {})).status == 200
    assert len(set(listed)) == len(listed)
    assert listed[:CROWD] == crowds.names(CROWD)
    assert made > 9


async def test_a_list_that_is_not_asked_for_in_pages_is_one_all_the_same(
    world: World, rows: list[int]
) -> None:
    for path, count in (("/keys", CROWD + 1), ("/caps", CROWD), ("/accounts", CROWD + 1)):
        found = await pages(world, path)
        assert [len(page) for page in found] == [PAGE_MAX, PAGE_MAX, count - 2 * PAGE_MAX]
    assert sum(rows) >= 3 * CROWD


async def test_no_question_of_an_admin_reads_more_than_a_page_at_a_time(
    world: World, rows: list[int]
) -> None:
    for row in ROUTES:
        if row.method == "GET":
            path = row.path.replace("{id}", crowds.names(1)[0]).replace("{name}", "p1")
            await world.ask("GET", path)
    await world.ask("GET", "/usage", query=f"by=key&{ALL_TIME}")
    await world.ask("GET", "/doctor", query="audit=1")
    for subject in ("project:p1", "account:a1", "account:none", "key:" + crowds.names(1)[0]):
        await world.ask("PUT", "/caps", {"subject": subject, "cap": "5.00/day"})
    await world.ask("POST", "/accounts/a1/credit", {"amount": "1.00"})
    assert max(rows) == PAGE_MAX


async def test_the_doctor_counts_keys_without_reading_them(world: World, rows: list[int]) -> None:
    checks = {c["name"]: c for c in (await world.ask("GET", "/doctor")).value["checks"]}
    assert f"{CROWD + 1} in all, {CROWD + 1} live" in checks["keys"]["why"]
    assert checks["workload"]["ok"]
    assert max(rows) == 1


@pytest.mark.usefixtures("rows")
async def test_usage_shows_its_rows_in_pages_and_the_whole_sum_on_each(world: World) -> None:
    found = await pages(world, "/usage", f"by=model&{ALL_TIME}")
    assert [page["calls"] for page in found] == [CROWD] * 3
    assert len({page["until"] for page in found}) == 1, "the same time on every page"
    assert len({row["by"] for page in found for row in page["rows"]}) == CROWD
    whole = (await world.ask("GET", "/usage", query=ALL_TIME)).value
    assert (whole["calls"], whole["cost_nusd"], whole["rows"]) == (CROWD, 3 * CROWD, [])


@pytest.mark.usefixtures("rows")
async def test_a_link_keeps_what_was_asked_for(world: World) -> None:
    for cap in ("1.00/day", "2.00/hour", "3.00/week"):
        await world.ask("PUT", "/caps", {"subject": "account:a1", "cap": cap})
    answer = await world.ask("GET", "/caps", query="subject=account:a1&limit=2")
    query = following(answer)
    assert parse_qs(query)["subject"] == ["account:a1"]
    rest = await world.ask("GET", "/caps", query=query)
    assert [cap["window"] for cap in [*answer.value, *rest.value]] == ["day", "hour", "week"]
    assert not following(rest)


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/keys", "limit=0", 400),
        ("/keys", "limit=1001", 400),
        ("/keys", "after=NoSuchKey012", 400),
        ("/keys", "after=5.%00", 400),
        ("/accounts", "after=nobody", 400),
        ("/caps", "after=cap:1", 400),
        ("/caps", "after=9999999999999999.cap:1", 400),
        ("/usage", "by=key&after=k1", 400),
        ("/usage", "by=key&after=row:%00", 400),
        ("/projects/nothing", "", 404),
    ],
)
async def test_a_page_that_cannot_be_is_refused(
    world: World, path: str, query: str, status: int
) -> None:
    answer = await world.ask("GET", path, query=query)
    assert answer.status == status
    assert "code" in answer.error
