"""The process of a guard."""

from collections.abc import Callable, Mapping

from tokenward.app.house import House
from tokenward.app.stores import open_store
from tokenward.http.door import Door
from tokenward.http.gateway import Receive, Scope, Send
from tokenward.http.protocol import ConnectionLimits
from tokenward.http.server import run
from tokenward.kernel.errors import Fault
from tokenward.machine import tune_interpreter
from tokenward.settings import Settings
from tokenward.settings.own_secrets import read_admin_token, read_pepper
from tokenward.settings.tls import tls_context
from tokenward.store.high_water import HighWater, check_not_past


def serve(
    settings: Settings, environ: Mapping[str, str], on_ready: Callable[[str, int], None]
) -> None:
    """Run the guard until SIGTERM. Raises SettingsError or StoreError instead of starting badly."""
    read_pepper(settings)  # the first thing that is missing where nothing was made yet
    admin_token = read_admin_token(settings, environ)
    tls = tls_context(settings)
    house: House | None = None
    door: Door | None = None

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        nonlocal house, door
        if door is None:  # the first message is the lifespan's: the store needs the running loop
            house = await open_house(settings, environ)
            door = house.door(admin_token)
        await door(scope, receive, send)

    def be_ready(host: str, port: int) -> None:
        assert house is not None, "the lifespan's first message came before"
        house.listen_on(host, port)
        tune_interpreter()
        on_ready(host, port)

    run(
        app,
        settings.server.host,
        settings.server.port,
        drain_s=settings.server.drain_s,
        limits=ConnectionLimits(),
        on_ready=be_ready,
        tls=tls,
    )


async def open_house(settings: Settings, environ: Mapping[str, str]) -> House:
    """A wired guard over the store that the settings name. Raises what makes it unsafe to start:
    a setting, a store that is away, records from the past."""
    mark = HighWater(settings.data_dir)
    store = await open_store(settings, environ)
    try:
        await check_not_past(store.books, mark.read())
        return House(settings, environ, store, mark)
    except Fault:
        await store.close()
        raise
