"""What the admin API answers, and the command line prints with --json. Times are RFC 3339.

Amounts are integer nano-dollars, named `…_nusd`; a cap's `limit`, `spent` and `held` count in its
`unit`. The rooms make keys, caps and usage (`present.py`); the tests hold them against this.
"""

from typing import TypedDict

from tokenward.http.admin.office import Check
from tokenward.keys.records import Caveats


class AccountShape(TypedDict):
    """Who pays. `credit_nusd` null: never had prepaid credit, so it does not limit."""

    name: str
    created_at: str
    credit_nusd: int | None


class ProjectShape(TypedDict):
    """What keys are for, and which account pays for it."""

    name: str
    account: str
    created_at: str


class CreditShape(TypedDict):
    """All prepaid money the account was ever given."""

    account: str
    credit_nusd: int


class CapShape(TypedDict):
    """A hard limit and where it stands. `resets_at` null: it never starts anew."""

    subject: str
    model: str
    window: str
    unit: str
    limit: int
    spent: int
    held: int
    resets_at: str | None
    zone: str
    throttles: bool


class CreatedShape(TypedDict):
    """A new key or a new secret; `key` is shown here only, and so is `enrolment_code`, with which
    its holder enrols before `enrolment_until`."""

    id: str
    key: str
    account: str
    project: str
    name: str
    caps: list[CapShape]
    created_at: str
    expires_at: str | None
    bind: str
    holder: str
    enrolment_code: str | None
    enrolment_until: str | None


class BarShape(TypedDict):
    """What of a key an incident stopped: `origin:…` or `model:…`; or slowed: `pace:suspects`."""

    thing: str
    incident: str


class KeyShape(TypedDict):
    """A key without its secret. `old_secret_until`: until when a rotated secret still works;
    `holder`: the thumbprint of who holds a bound key, "" until somebody enrolled; `cleared`: what
    was barred by mistake and is not barred again."""

    id: str
    state: str
    account: str
    project: str
    name: str
    bind: str
    holder: str
    caveats: Caveats
    created_at: str
    expires_at: str | None
    last_used_at: str | None
    old_secret_until: str | None
    frozen_why: str
    revoked_why: str
    cleared: list[str]
    barred: list[BarShape]


class StoppedShape(KeyShape):
    """A key after a freeze or a revocation; `calls_cut` running calls were ended by it."""

    calls_cut: int


class RemovedShape(TypedDict):
    """Whether there was something to remove."""

    removed: bool


class ReconciledShape(TypedDict):
    """How many counters were wrong and are rebuilt."""

    corrected: int


class UsageRowShape(TypedDict):
    """What one key, project, account, model or day used; `estimates` of its calls were charged
    the whole hold, because what they really cost could not be known."""

    by: str
    cost_nusd: int
    calls: int
    input_tokens: int
    output_tokens: int
    cached_tokens: int
    estimates: int


class UsageShape(TypedDict):
    """What was spent in [since, until)."""

    since: str
    until: str
    cost_nusd: int
    calls: int
    input_tokens: int
    output_tokens: int
    estimates: int
    rows: list[UsageRowShape]


class EventShape(TypedDict):
    """Something to hear of; `number` counts up, so that a reader can go on after the last."""

    number: int
    at: str
    kind: str
    subject: str
    facts: dict[str, str | int | None]


EvidenceShape = TypedDict(
    "EvidenceShape",
    {
        "class": str,
        "detector": str,
        "reason": str,
        "value": float | None,
        "at": str | None,
        "request_id": str,
    },
)
"""What a detector said: its class E1 to E4, and how strongly (null: it is certain)."""


class IncidentShape(TypedDict):
    """What was stopped, when, and on which evidence. `…_before_stop` is what is known to have been
    called and spent between the first sign and the stop. `things` of the key were barred by it;
    `against` is what speaks against a theft, `undo` what would undo what was done ("" once nothing
    can or need), `who` in plain words who called."""

    id: str
    subject: str
    state: str
    opened_at: str | None
    first_sign_at: str | None
    stopped_at: str | None
    actions: list[str]
    evidence: list[EvidenceShape]
    cost_before_stop_nusd: int
    calls_before_stop: int
    things: list[str]
    against: list[str]
    undo: str
    who: str


class DoctorShape(TypedDict):
    """What the guard found when it looked at itself. `head` is the ledger's last entry, as
    number and hash, where an audit proved it; else null."""

    ok: bool
    checks: list[Check]
    head: str | None


class StatusShape(TypedDict):
    """Which process answers here. `mode` is what evidence may do in it, `enforce` or `observe`,
    `project_modes` the same of each project with rules of its own: as it was started, whatever the
    settings say by now."""

    version: str
    pid: int
    now: str
    zone: str
    running_calls: int
    mode: str
    project_modes: dict[str, str]
