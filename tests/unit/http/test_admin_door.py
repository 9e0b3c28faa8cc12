"""The admin door: who may enter, and what it does with what it cannot read."""

import asyncio
import json
from pathlib import Path

import pytest

from ledger_world import PATIENCE_S
from tokenward.http.admin.door import FAILED_LOGINS_WAITING_MAX
from tokenward.http.admin.reading import BODY_BYTES_MAX
from tokenward.http.admin.route import PREFIX, Route
from tokenward.http.admin.routes import ROUTES
from tokenward.kernel.secret import Secret
from tokenward.store.sqlite import SqliteStore
from unit.http.admin_world import TOKEN, MovingClock, World

METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW")
STRANGE_PATHS = (
    "/admin/",
    "/admin/v1",
    "/admin/v1/",
    "/admin/v1//keys",
    "/admin/v1/keys/",
    "/admin/v1/KEYS",
    "/admin/v1/../v1/keys",
    "/admin/v1/nothing",
    "/admin/v2/keys",
    "/admin/v1%2fkeys",
    "/admin/v1/%6beys",
    "/admin/v1/keys%2f0123456789ab",
    "/admin/v1/keys/0123456789ab%2Ffreeze",
    "/admin/v1/keys/..",
    "/admin/v1/keys/.",
    "/admin/v1/keys/%2e%2e",
    "/admin/v1/keys/%2e",
    "/admin/v1/keys/a%2fb",
    "/admin/v1/keys/a%5cb",
    "/admin/v1/keys/%ff",
)


def _filled(path: str) -> str:
    return PREFIX + path.replace("{id}", "0123456789ab").replace("{name}", "acme")


@pytest.mark.req("S-1")
@pytest.mark.parametrize("row", ROUTES, ids=lambda row: f"{row.method} {row.path}")
async def test_every_route_and_method_needs_the_admin_token(world: World, row: Route) -> None:
    for method in METHODS:
        answer = await world.send(method, _filled(row.path), token=None)
        assert (answer.status, answer.error["code"]) == (401, "admin:unauthorized")


@pytest.mark.req("S-1")
@pytest.mark.parametrize("path", STRANGE_PATHS)
async def test_unknown_paths_tell_a_stranger_nothing_and_an_admin_404(
    world: World, path: str
) -> None:
    assert (await world.send("GET", path, token=None)).status == 401
    known = await world.send("GET", path)
    assert (known.status, known.error["code"]) == (404, "route:unknown")


@pytest.mark.req("S-1")
async def test_a_parameter_is_the_one_thing_that_is_decoded_and_only_once(world: World) -> None:
    made = await world.make_key()
    masked = await world.ask("GET", f"/keys/tw_sk_{made['id']}%E2%80%A6")
    assert (masked.status, masked.value["id"]) == (200, made["id"])
    spelled = "".join(f"%{ord(sign):02x}" for sign in made["id"])
    assert (await world.ask("GET", f"/keys/{spelled}")).value["id"] == made["id"]
    twice = await world.ask("GET", f"/keys/{spelled.replace('%', '%25')}")
    assert (twice.status, twice.error["code"]) == (400, "request:invalid")


@pytest.mark.req("S-1")
@pytest.mark.req("K-10")
@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"Bearer",
        b"Bearer ",
        b"Bearer wrong",
        b"Basic " + TOKEN.encode(),
        TOKEN.encode(),
        b"Bearer " + TOKEN.encode()[:-1],
        b"Bearer " + TOKEN.encode() + b"x",
        b"Bearer " + TOKEN.encode() + b" x",
        b"Bearer None",
        b"Bearer \xff\x00",
    ],
)
async def test_nothing_but_the_whole_token_opens_the_door(world: World, value: bytes) -> None:
    answer = await world.send("GET", "/admin/v1/status", raw=[(b"authorization", value)])
    assert answer.status == 401
    assert answer.headers[b"www-authenticate"].startswith(b"Bearer")


@pytest.mark.req("S-1")
async def test_an_api_key_never_opens_the_door(world: World) -> None:
    made = (await world.ask("POST", "/keys", {"project": "p"})).value
    for name in (b"authorization", b"x-api-key", b"api-key", b"x-goog-api-key"):
        value = made["key"].encode()
        value = b"Bearer " + value if name == b"authorization" else value
        assert (await world.send("GET", "/admin/v1/keys", raw=[(name, value)])).status == 401


async def test_the_token_given_twice_is_refused(world: World) -> None:
    right = (b"authorization", b"Bearer " + TOKEN.encode())
    answer = await world.send("GET", "/admin/v1/status", raw=[right, right])
    assert answer.status == 401


async def test_wrong_tokens_wait_and_only_a_few_at_once(world: World) -> None:
    crowd = FAILED_LOGINS_WAITING_MAX + 5
    wrong = [world.send("GET", "/admin/v1/status", token="wrong") for _ in range(crowd)]
    *answers, right = await asyncio.gather(*wrong, world.send("GET", "/admin/v1/status"))
    statuses = [answer.status for answer in answers]
    assert statuses.count(401) == FAILED_LOGINS_WAITING_MAX
    assert statuses.count(429) == 5
    assert right.status == 200
    assert (await world.send("GET", "/admin/v1/status", token="wrong")).status == 401


@pytest.mark.req("K-10")
def test_an_empty_token_cannot_be_used(world: World) -> None:
    with pytest.raises(AssertionError):
        type(world.door)(world.office, Secret("", "admin token"))


@pytest.mark.req("S-2")
async def test_the_host_header_decides_nothing(world: World) -> None:
    for host in (b"evil/admin/v1/keys#@", b"localhost/../admin", b"", b"127.0.0.1"):
        shut = await world.send("GET", "/admin/v1/keys", token=None, raw=[(b"host", host)])
        assert shut.status == 401
        bearer = (b"authorization", b"Bearer " + TOKEN.encode())
        opened = await world.send("GET", "/admin/v1/keys", raw=[(b"host", host), bearer])
        assert opened.status == 200


async def test_a_method_that_is_not_offered_is_405_and_names_those_that_are(world: World) -> None:
    answer = await world.ask("DELETE", "/keys")
    assert (answer.status, answer.error["code"]) == (405, "route:method")
    assert answer.headers[b"allow"] == b"GET, POST"


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"{", "Expecting"),
        (b"[]", "not a JSON object"),
        (b'{"project":"p","project":"q"}', "twice"),
        (b'{"project":"p","unknown":1}', "unknown"),
        (b'{"project":1}', "Expected `str`"),
        (b"{}", "project"),
        (b'{"project":"p","rpm":1.5}', "Expected `int"),
        (b'{"project":"p","rpm":NaN}', "NaN"),
        (b'{"project":"p\\u0000"}', "cannot be a project"),
        (b'{"project":"p"}\x00', "data"),
        (b"\xff", "UTF-8"),
        (b'{"project":"p","bind":"rope"}', "unknown; use none, dpop"),
    ],
)
async def test_what_cannot_be_read_is_400_and_makes_nothing(
    world: World, body: bytes, why: str
) -> None:
    answer = await world.send("POST", "/admin/v1/keys", body=body)
    assert (answer.status, answer.error["code"]) == (400, "request:invalid")
    assert why in answer.error["message"]
    assert (await world.ask("GET", "/keys")).value == []


@pytest.mark.parametrize("query", ["limit=x", "limit=1&limit=2", "nobody=1", "limit", "limit=0"])
async def test_queries_are_read_as_strictly(world: World, query: str) -> None:
    answer = await world.send("GET", "/admin/v1/events", query=query)
    assert (answer.status, answer.error["code"]) == (400, "request:invalid")


@pytest.mark.parametrize(
    ("method", "path", "body", "query", "told"),
    [
        ("DELETE", "/caps", b"", "subject=project:p&window=" + "x" * 50_000, "window"),
        ("DELETE", "/caps", b"", "subject=project:p&window=day&" + "x" * 50_000 + "=1", "unknown"),
        ("GET", "/usage", b"", "since=" + "9" * 50_000, ""),
        ("GET", "/usage", b"", "x" * 50_000, ""),
        ("GET", "/events", b"", "limit=" + "x" * 50_000, "limit"),
        ("PUT", "/caps", json.dumps({"x" * 50_000: 1}).encode(), "", "unknown"),
        ("PUT", "/caps", b'{"subject":"project:p","cap":"1/day","zone":"%s"}' % (b"z" * 50_000),
         "", "zone"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_without_repeating_it_at_length(
    world: World, method: str, path: str, body: bytes, query: str, told: str
) -> None:
    answer = await world.send(method, "/admin/v1" + path, body=body, query=query)
    assert (answer.status, answer.error["code"]) == (400, "request:invalid")
    assert len(answer.error["message"]) < 500
    assert told in answer.error["message"]


async def test_a_name_of_the_path_cannot_be_given_again(world: World) -> None:
    answer = await world.ask("POST", "/keys/0123456789ab/freeze", {"id": "ba9876543210"})
    assert answer.status == 400
    query = await world.send("POST", "/admin/v1/keys", body=b'{"project":"p"}', query="rpm=1")
    assert query.status == 400


async def test_a_body_above_64_kib_is_413(world: World) -> None:
    body = json.dumps({"project": "p", "name": "x" * BODY_BYTES_MAX}).encode()
    answer = await world.send("POST", "/admin/v1/keys", body=body)
    assert (answer.status, answer.error["code"]) == (413, "request:too_large")


async def test_every_answer_carries_an_id_and_is_never_cached(world: World) -> None:
    mine = await world.send(
        "GET",
        "/admin/v1/status",
        raw=[(b"authorization", b"Bearer " + TOKEN.encode()), (b"X-Request-Id", b"mine-1")],
    )
    assert mine.headers[b"x-request-id"] == b"mine-1"
    assert mine.headers[b"cache-control"] == b"no-store"
    refused = await world.ask("GET", "/keys/0123456789ab")
    assert refused.error["request_id"].encode() == refused.headers[b"x-request-id"]
    assert refused.error["request_id"].startswith("req_")


async def test_a_store_that_cannot_be_read_is_503_in_plain_words(tmp_path: Path) -> None:
    clock = MovingClock()
    store = await SqliteStore.open(tmp_path, clock=clock, commit_limit_s=PATIENCE_S)
    world = World(store, clock)
    await store.close()
    answer = await world.ask("GET", "/keys")
    assert answer.status == 503
    assert answer.error["code"] == "store:unavailable"
    assert answer.error["message"]
