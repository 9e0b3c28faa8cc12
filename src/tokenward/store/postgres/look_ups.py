"""Looking keys up: everything that is asked for while one question is under way is the next one.

So a gateway that starts cold under load, or is shown a flood of keys that nobody has, asks one
question at a time, and each key once in it.
"""

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from tokenward.kernel.errors import StoreBusyError, StoreError
from tokenward.keys.records import Caveats, KeyRecord
from tokenward.store.key_rows import read_key
from tokenward.store.postgres.database import Database

AT_ONCE_MAX: Final = 500
WAITING_MAX: Final = 10_000
_KEYS_NOW: Final = (
    "SELECT change, id, digest, account, project, name, state, caveats, created_ms, expires_ms, "
    "last_used_ms, frozen_why, revoked_why, old_secrets, holder, enrolment, cleared, barred "
    "FROM book LEFT JOIN keys ON id = ANY(%s)"
)

Found = tuple[KeyRecord | None, int]
"""A key, and the last change that this includes."""


def shut_key(row: tuple[Any, ...]) -> KeyRecord:
    """What is to be done with a key whose row cannot be read: what runs on it ends."""
    return KeyRecord(
        id=row[0],
        digest=b"",
        account=row[2],
        project=row[3],
        name=row[4],
        state="revoked" if row[5] == "revoked" else "frozen",
        caveats=Caveats(),
        created_ms=row[7],
        frozen_why="its record cannot be read",
    )


class LookUps:
    """Lives on one event loop."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._loop = asyncio.get_running_loop()
        self._wanted: dict[str, asyncio.Future[Found]] = {}
        self._task: asyncio.Task[None] | None = None

    async def find(self, key_id: str) -> Found:
        """The key as it is at some moment after this was asked. Raises `StoreError`."""
        answer = self._wanted.get(key_id)
        if answer is None:
            if len(self._wanted) >= WAITING_MAX:
                raise StoreBusyError("too many keys wait to be looked up")
            answer = self._wanted[key_id] = self._loop.create_future()
            if self._task is None or self._task.done():
                self._task = self._loop.create_task(self._ask())
        return await asyncio.shield(answer)

    async def _ask(self) -> None:
        while self._wanted:
            asked = {
                key_id: self._wanted.pop(key_id) for key_id in list(self._wanted)[:AT_ONCE_MAX]
            }
            try:
                _answer(asked, await self._database.fetch(_KEYS_NOW, (list(asked),)))
            except Exception as error:  # noqa: BLE001 - also our own bug: nobody waits for ever
                _fail(asked.values(), error)
            except BaseException:
                left = [*asked.values(), *self._wanted.values()]
                self._wanted.clear()
                _fail(left, StoreError("keys are not looked up any more: this guard is stopping"))
                raise


def _answer(asked: dict[str, "asyncio.Future[Found]"], rows: list[tuple[Any, ...]]) -> None:
    as_of: int = rows[0][0]
    for row in rows:
        if row[1] is None:
            continue
        try:
            found = read_key(row[1:]), as_of
        except StoreError as error:
            _fail([asked.pop(row[1])], error)
        else:
            asked.pop(row[1]).set_result(found)
    for answer in asked.values():
        answer.set_result((None, as_of))


def _fail(answers: Iterable["asyncio.Future[Found]"], error: Exception) -> None:
    for answer in answers:
        if not answer.done():
            answer.set_exception(error)
            answer.exception()  # seen: who asked may be gone
