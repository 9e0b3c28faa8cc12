"""Opening a connection: who is there, may it be trusted with proofs, does it know our functions?"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.store.valkey.address import Address, Target
from tokenward.store.valkey.library import LOAD_FUNCTIONS, LOAD_SCRIPT, NAME, Calls
from tokenward.store.valkey.link import Link
from tokenward.store.valkey.resp import Reply, ServerSaidError, pack

NAME_OF_CLIENT: Final = b"tokenward"
L = TypeVar("L", bound=Link)
Facts = dict[str, str]
"""What `INFO` says, by field."""


async def dial(make: Callable[[], L], address: Address, target: Target, limit_s: float) -> L:
    """An open connection that may ask. Raises `StoreError`; takes `limit_s` at most."""
    loop, link = asyncio.get_running_loop(), make()
    connecting: Awaitable[object]
    if address.path:
        connecting = loop.create_unix_connection(lambda: link, address.path)
    else:
        connecting = loop.create_connection(
            lambda: link, address.host, address.port, ssl=target.tls
        )
    try:
        async with asyncio.timeout(limit_s):
            await connecting
            await _introduce(link, target)
    except TimeoutError:
        link.close()
        raise StoreBusyError(_away(address, f"no connection within {limit_s:g} s")) from None
    except OSError as error:
        raise StoreError(_away(address, f"{error.strerror or error}")) from error
    except ServerSaidError as error:
        link.close()
        raise StoreError(f"{address}: {error}") from error
    except BaseException:
        link.close()
        raise
    return link


def _away(address: Address, why: str) -> str:
    return f"the Valkey server at {address} cannot be reached: {why}"


async def _introduce(link: Link, target: Target) -> None:
    if target.password is not None:
        word = target.password.reveal().encode()
        await link.send(pack(b"AUTH", *([target.user.encode()] if target.user else []), word))
    if target.database:
        await link.send(pack(b"SELECT", b"%d" % target.database))
    await link.send(pack(b"CLIENT", b"SETNAME", NAME_OF_CLIENT))


async def ask_facts(link: Link) -> Facts:
    """What the server says about itself."""
    return read_facts(await link.send(pack(b"INFO")))


def read_facts(reply: Reply) -> Facts:
    """`INFO`, by field."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""
    pairs = (line.partition(":") for line in text.splitlines())
    return {name: value.strip() for name, colon, value in pairs if colon}


def why_unfit(facts: Facts) -> str:
    """Why this server must not keep what only a primary that forgets nothing may keep; "" if it
    may. What it evicted it forgot without a trace, and a used proof would be good again."""
    if facts.get("role") != "master":
        return "it is a replica"
    if facts.get("loading", "0") != "0":
        return "it still loads its data"
    return why_forgetful(facts)


def why_forgetful(facts: Facts) -> str:
    """Why used proofs may be evicted; "" if they cannot."""
    policy = facts.get("maxmemory_policy", "")
    if facts.get("maxmemory", "0") == "0" or policy == "noeviction":
        return ""
    return (
        f"maxmemory-policy is {policy!r}: where memory is short it forgets used proofs, which "
        "would be good again. Set maxmemory-policy to noeviction (and maxmemory high enough)"
    )


async def load_library(link: Link) -> None:
    """Have the server know our functions, or the same as a script where it has none."""
    try:
        await link.send(LOAD_FUNCTIONS)
    except ServerSaidError as error:
        if "already exists" in error.text and NAME in error.text:
            return
        if "unknown command" not in error.text.lower():
            raise
        script = await link.send(LOAD_SCRIPT)
        if not isinstance(script, bytes):
            raise StoreError(f"{link.address}: it took no script") from error
        link.calls = Calls(script.decode("ascii"))
