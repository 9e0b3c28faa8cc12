"""Wires between a guard and what it needs that are slow, half closed or break in mid-sentence. Slow
is worse than dead: whoever waits is told so in time, nothing is sent that was not held for, no
money stays held, and nothing must be started anew."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from books import billed, ended, underpaid
from caller import Caller, Told, admin, calling, cap_of, chat, claude, new_key
from gateways import Gateways, booked_in, open_holds, running_gateways
from guard import GuardProcess, provider_settings, running_guard
from postgres_server import PostgresServer, why_not
from pressing import Press
from standin import StandinProcess
from valkey_server import running_server
from wires import DRIPPING, ENDED, LATE, NONE, TORN, Wire, running_wire

CAP_NUSD = 90_000_000_000
CALLERS = 12
TOLD_S = 5.0
"""In which a caller hears that a store is away; the guard's own limit is below one second."""
BURIED_S = 60.0
CALL_LIMIT_S = 8
ENDINGS = (b"message_stop", b"[DONE]")
PATIENT = "two seconds late"
"""Of a provider that is no fault."""

on_postgres = pytest.mark.skipif(bool(why_not()), reason=why_not())


class Stores:
    """Two guards, and the wires between them and their stores."""

    def __init__(
        self, gateways: Gateways, postgres: PostgresServer, database: str, wires: dict[str, Wire]
    ) -> None:
        self.gateways, self.postgres, self.database = gateways, postgres, database
        self.wires = wires
        self._turn = self._accounts = 0

    @property
    def first(self) -> GuardProcess:
        return self.gateways.all[0]

    def next_url(self) -> str:
        """One after the other."""
        self._turn += 1
        return self.gateways.all[self._turn % len(self.gateways.all)].base_url

    def next_account(self) -> str:
        """A fresh name."""
        self._accounts += 1
        return f"wires-{self.first.pid}-{self._accounts}"


@pytest.fixture(scope="module")
def stores(
    postgres: PostgresServer,
    standin: StandinProcess,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stores]:
    folder = tmp_path_factory.mktemp("wires")
    with (
        running_server(folder / "valkey") as valkey,
        running_wire(postgres.port) as to_postgres,
        running_wire(valkey.port) as to_valkey,
    ):
        wires = {"postgres": to_postgres, "valkey": to_valkey}
        ports = {name: wire.port for name, wire in wires.items()}
        running = running_gateways(folder, standin, postgres, valkey, 2, ports=ports)
        with running as (gateways, database):
            yield Stores(gateways, postgres, database, wires)


HARMS = {
    "two seconds late": (LATE, LATE),
    "questions drip": (DRIPPING, NONE),
    "answers drip": (NONE, DRIPPING),
    "half closed by the guard": (ENDED, NONE),
    "half closed by the far end": (NONE, ENDED),
    "questions torn": (TORN, NONE),
    "answers torn": (NONE, TORN),
}
CASES = [(which, harm) for which in ("postgres", "valkey") for harm in HARMS]


@contextmanager
def harmed(wires: list[Wire], harm: str) -> Iterator[None]:
    """And it is felt."""
    up, down = HARMS[harm]
    for wire in wires:
        wire.struck = 0
        wire.harm(up=up, down=down)
    try:
        yield
    finally:
        for wire in wires:
            wire.heal()
    assert all(wire.struck > 0 for wire in wires)


@pytest.mark.slow
@on_postgres
@pytest.mark.req("K-2", "O-2", "O-4", "F-1")
@pytest.mark.parametrize(("which", "harm"), [*CASES, ("postgres and valkey", "two seconds late")])
async def test_behind_a_bad_wire_calls_are_refused_in_time_and_pass_again_when_it_is_good(
    stores: Stores, standin: StandinProcess, which: str, harm: str
) -> None:
    """Half of the callers need Valkey too; the others go on without it."""
    wires = [stores.wires[each] for each in which.split(" and ")]
    account = stores.next_account()
    await admin(stores.first, "POST", "/accounts", name=account)
    await admin(stores.first, "PUT", "/caps", subject=f"account:{account}", cap="90.00/total")
    _, limited = await new_key(
        stores.first, account=account, project=account, rpm=1_000_000, concurrency=5_000
    )
    _, plain = await new_key(stores.first, account=account, project=account)
    async with Press(account, [limited, plain], CALLERS, stores.next_url) as press:
        await press.passes(20)
        with harmed(wires, harm):
            await press.refuses(40)
            if which == "valkey":
                await press.passes(20)
        await press.passes(40)
    assert press.slowest_refusal_s < TOLD_S, press
    async with asyncio.timeout(BURIED_S):
        while open_holds(stores.postgres, stores.database):
            await asyncio.sleep(0.2)
    cap = await cap_of(stores.first, f"account:{account}")
    ledger = booked_in(stores.postgres, stores.database)
    press.check(standin.bill(), ledger, CAP_NUSD, cap["spent"])
    examined = await admin(stores.first, "GET", "/doctor?audit=true")
    assert examined["ok"], [each for each in examined["checks"] if not each["ok"]]
    for guard in stores.gateways.all:
        async with calling(guard.base_url) as caller:
            assert (await caller.call(limited, claude(), "output_tokens=5")).status == 200
    print(press)


# -- the wire to the provider ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def behind(
    standin: StandinProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[GuardProcess, Wire]]:
    """A guard, and the wire between it and its provider."""
    with running_wire(int(standin.base_url.rpartition(":")[2])) as wire:
        settings = provider_settings(f"http://127.0.0.1:{wire.port}")
        settings += f"\n[server]\ncall_limit_s = {CALL_LIMIT_S}\n"
        environ = {"PROVIDER_KEY": standin.credential}
        with running_guard(tmp_path_factory.mktemp("behind"), settings, environ) as guard:
            yield guard, wire


@pytest.mark.slow
@pytest.mark.req("M-5", "M-7", "F-1")
@pytest.mark.parametrize("harm", HARMS)
async def test_behind_a_bad_wire_to_the_provider_every_call_ends_and_none_costs_less_than_its_bill(
    behind: tuple[GuardProcess, Wire], standin: StandinProcess, harm: str
) -> None:
    guard, wire = behind
    key_id, key = await new_key(guard, "5.00/day")
    shapes = {"stream": claude(), "document": claude(stream=False), "chat": chat()}
    first = harm.replace(" ", "-")

    async def call(caller: Caller, moment: str) -> dict[str, Told]:
        names = {f"{first}-{moment}-{shape}": shapes[shape] for shape in shapes}
        calls = (
            caller.call(
                key, shape, f"chunks=3; output_tokens=30; tag={name}",
                headers={"x-request-id": name},
            )
            for name, shape in names.items()
        )  # fmt: skip
        return dict(zip(names, await asyncio.gather(*calls), strict=True))

    async with calling(guard.base_url) as caller:
        before = await call(caller, "before")
        with harmed([wire], harm):
            told = await call(caller, "harmed")
        after = await call(caller, "after")
    well = [*before.values(), *after.values(), *(told.values() if harm == PATIENT else ())]
    assert all(each.status == 200 and seems_whole(each) for each in well), well
    if harm != PATIENT:
        assert not any(seems_whole(each) for each in told.values()), told
    ledger = await ended(guard.folder / "data", *before, *told, *after)
    bill = billed(line for line in standin.bill()["lines"] if line["tag"] in ledger)
    assert underpaid(bill, ledger) == {}
    assert all(ledger[name].cost_nusd == bill[name] for name in (*before, *after))
    cap = await cap_of(guard, f"key:{key_id}")
    assert cap["held"] == 0
    assert (await admin(guard, "GET", "/doctor?audit=true"))["ok"]


def seems_whole(told: Told) -> bool:
    """Whether a caller would take it for all that there is."""
    if told.headers.get("content-type", "").startswith("text/event-stream"):
        return any(end in told.body for end in ENDINGS) and b"event: error" not in told.body
    return told.is_whole and told.error == {}
