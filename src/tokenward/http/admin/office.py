"""What the admin door works with; `app.py` puts it together."""

import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

import msgspec

from tokenward.kernel.clock import Clock
from tokenward.kernel.events import Record
from tokenward.kernel.ids import Dice
from tokenward.kernel.incidents import Incident
from tokenward.kernel.refusals import Refusal
from tokenward.kernel.secret import Secret
from tokenward.keys.interfaces import KeyStore
from tokenward.keys.workload_rules import Rule
from tokenward.ledger.interfaces import Books, Ledger
from tokenward.pipeline.running import RunningCall


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing the doctor looked at. `why` says what was found and, if not ok, what to do."""

    name: str
    ok: bool
    why: str


class Running(Protocol):
    """The calls under way."""

    def of(self, key_id: str) -> frozenset[RunningCall]:
        """The key's running calls."""
        ...

    def cut_key(self, key_id: str, reason: Refusal) -> int:
        """Cut every running call of the key; how many there were."""
        ...

    def count(self) -> int:
        """Calls under way now."""
        ...


class Records(Protocol):
    """One record a request."""

    async def recent(self, key: str, since_ms: int, limit: int) -> list[Record]:
        """Records since then, newest first, of one key or (with "") of all."""
        ...


class Incidents(Protocol):
    """What was stopped, and why."""

    async def recent(self, limit: int, state: str = "", subject: str = "") -> list[Incident]:
        """The newest first, at most 1,000; with `state` or `subject` only those."""
        ...

    async def find(self, incident_id: str) -> Incident | None:
        """The one with this id."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Office:
    """Everything an admin command may touch. `zone` is the time zone of caps that name none;
    `bearer_cap` the cap of keys that name none and are bound to nobody ("": none); `rules` say
    which keys stand for workloads; `sees_certificates`: callers can show one to this guard;
    `mode` is what evidence may do here (`enforce` or `observe`), `project_modes` the same of
    projects with rules of their own; `check` looks at what only this process can see (its
    credentials, prices, settings); `pid` is the process to end when the guard should."""

    keys: KeyStore
    ledger: Ledger
    books: Books
    records: Records
    incidents: Incidents
    running: Running
    pepper: Secret = field(repr=False)
    clock: Clock
    dice: Dice
    zone: str
    bearer_cap: str
    rules: tuple[Rule, ...]
    sees_certificates: bool
    check: Callable[[], Awaitable[list[Check]]] = field(repr=False)
    mode: str = "enforce"
    project_modes: Mapping[str, str] = field(default_factory=dict)
    pid: int = field(default_factory=os.getpid)
