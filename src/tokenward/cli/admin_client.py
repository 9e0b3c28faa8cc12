"""How a command reaches the admin API: over HTTP in a running guard, or in this process.

Whoever holds the lock of the data folder counts the money. If that is nobody, the command takes
the lock and runs the same admin app here; if it is a guard, the command goes to the address in
`guard.json`. So one set of shapes and one code path serve both, and a file left behind by a
crash is never trusted with the admin token.
"""

import asyncio
import http.client
import re
import secrets
import time
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from typing import Any, Final
from urllib.parse import parse_qsl, quote, urlencode

import msgspec

from tokenward.cli import guard_file
from tokenward.cli.guard_file import GuardAddress
from tokenward.kernel.errors import Fault, SettingsError, StoreHeldError
from tokenward.kernel.secret import Secret
from tokenward.settings import Settings, resolve_secret

PREFIX: Final = "/admin/v1"
ANSWER_BYTES_MAX: Final = 64 * 1024 * 1024
FIND_WAIT_S: Final = 5.0
FIND_PAUSE_S: Final = 0.1
_NEXT: Final = re.compile(r'<\?([^>]*)>; rel="next"')


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """A request to the admin API: `path` below its prefix, `wait_s` for the whole answer."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    query: Mapping[str, Any] = field(default_factory=dict)
    wait_s: float = 30.0

    def encoded_body(self) -> bytes:
        """The JSON body, b"" without one."""
        return b"" if self.body is None else msgspec.json.encode(self.body)

    def encoded_query(self) -> str:
        """The query, with true and false as JSON writes them."""
        return urlencode(
            {
                name: str(value).lower() if isinstance(value, bool) else value
                for name, value in self.query.items()
            }
        )


@dataclass(frozen=True, slots=True)
class Said:
    """The answer: its status and its JSON value; `following` asks for the next page of a list."""

    status: int
    value: Any
    following: Command | None = None

    def joined(self, more: "Said") -> "Said":
        """The list or the rows so far, with their next page; or what was said in its place."""
        if more.status >= 400:
            return more
        if isinstance(self.value, list):
            return replace(more, value=self.value + more.value)
        rows = self.value["rows"] + more.value["rows"]
        return replace(more, value={**self.value, "rows": rows})


class LostError(Fault):
    """Raised when a command reached the guard and its answer did not come back whole."""


class _NobodyAnswersError(Exception):
    """Nothing listens at the address: the command was certainly not carried out."""


def ask_guard(settings: Settings, environ: Mapping[str, str], command: Command) -> Said:
    """Carry the command out, wherever the records are open; a list that comes in pages whole.

    Waits a little where another command holds the lock or a guard is just starting. Raises
    StoreHeldError if the holder cannot be reached, LostError if its answer got lost. Records of
    many machines are held by nobody: a guard on this one is asked first, which then knows at once.
    """
    give_up_s = time.monotonic() + FIND_WAIT_S
    while True:
        address = guard_file.read(settings.data_dir) if settings.store.records else None
        if address is None:
            try:
                return asyncio.run(_here(settings, environ, command))
            except StoreHeldError:
                address = guard_file.read(settings.data_dir)
        if address is not None:
            try:
                return _over_http(address, _token(settings, environ), command)
            except _NobodyAnswersError:
                if settings.store.records:
                    guard_file.remove(settings.data_dir, address.pid)
                    continue
        if time.monotonic() > give_up_s:
            raise StoreHeldError(
                f"A tokenward process holds {settings.data_dir}, but it does not answer"
                + (f" at {address.url}" if address else "")
                + ". If a guard is starting, wait; else see which process it is and end it."
            )
        time.sleep(FIND_PAUSE_S)


def _token(settings: Settings, environ: Mapping[str, str]) -> Secret:
    reference = settings.admin.token or "none"
    token = resolve_secret(reference, settings.base_dir, environ, "admin.token")
    if token is None:
        raise SettingsError("A guard is running, and without admin.token it takes no commands.")
    return token


async def _here(settings: Settings, environ: Mapping[str, str], command: Command) -> Said:
    """The admin app in this process. Whoever may open the data folder needs no other token, so
    the door gets one that lives as long as the command."""
    from tokenward.app import open_office
    from tokenward.http.admin.door import AdminDoor

    token = Secret(secrets.token_hex(32), "admin token of one command")
    async with open_office(settings, environ) as office:
        guard_file.remove(settings.data_dir)  # whoever wrote it holds no lock, or is gone
        door = AdminDoor(office, token)
        said = await in_process(door, token, command)
        while said.following is not None:
            said = said.joined(await in_process(door, token, said.following))
        return said


def _over_http(address: GuardAddress, token: Secret, command: Command) -> Said:
    said = over_http(address, token, command)
    while said.following is not None:
        said = said.joined(over_http(address, token, said.following))
    return said


async def in_process(app: Any, token: Secret, command: Command) -> Said:
    """One request to an ASGI app, without a socket."""
    status, link = 0, ""
    answer = bytearray()
    scope = {
        "type": "http",
        "method": command.method,
        "path": PREFIX + command.path,
        "raw_path": (PREFIX + quote(command.path)).encode(),
        "query_string": command.encoded_query().encode(),
        "headers": [(b"authorization", b"Bearer " + token.reveal().encode())],
        "client": None,
    }

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": command.encoded_body()}

    async def send(message: MutableMapping[str, Any]) -> None:
        nonlocal status, link
        status = message.get("status", status)
        link = dict(message.get("headers", ())).get(b"link", link.encode()).decode()
        answer.extend(message.get("body", b""))

    try:
        async with asyncio.timeout(command.wait_s):
            await app(scope, receive, send)
    except TimeoutError:
        raise LostError(f"The command did not end within {command.wait_s:g} s.") from None
    return Said(status, msgspec.json.decode(bytes(answer)), _following(command, link))


def over_http(address: GuardAddress, token: Secret, command: Command) -> Said:
    """One request to the running guard."""
    from tokenward.cli import guard_line

    line = guard_line.to(address, command.wait_s)
    target = PREFIX + quote(command.path)
    query = command.encoded_query()
    try:
        line.connect()
    except OSError as error:
        line.close()
        raise _NobodyAnswersError from error
    try:
        line.request(
            command.method,
            f"{target}?{query}" if query else target,
            body=command.encoded_body(),
            headers={
                "authorization": f"Bearer {token.reveal()}",
                "content-type": "application/json",
            },
        )
        answer = line.getresponse()
        text = answer.read(ANSWER_BYTES_MAX + 1)
        if len(text) > ANSWER_BYTES_MAX:
            raise LostError("The guard's answer is too long; ask for less with --limit or --since")
        link = answer.getheader("link", "")
        return Said(answer.status, msgspec.json.decode(text), _following(command, link))
    except (OSError, http.client.HTTPException, msgspec.DecodeError) as error:
        raise LostError(
            f"The guard at {address.url} took the command but its answer did not arrive "
            f"({type(error).__name__}). Look whether it took effect before you repeat it."
        ) from None
    finally:
        line.close()


def _following(command: Command, link: str) -> Command | None:
    """The same for the next page, if there is a link to it."""
    found = _NEXT.fullmatch(link)
    return None if found is None else replace(command, query=dict(parse_qsl(found[1])))
