"""How is a key shown? The JSON shapes that scripts and the admin API read (times RFC 3339)."""

from collections.abc import Sequence

import msgspec

from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.moments import rfc3339
from tokenward.keys.life import Created
from tokenward.keys.records import KeyRecord


def show_created(created: Created, caps: Sequence[JsonObject]) -> JsonObject:
    """`key create`, `key rotate`, `key enrol`: the one place where a key's text is shown.

    `caps` are the rows of `cap list` that stand on this key.
    """
    record, code, enrolment = created.record, created.code, created.record.enrolment
    return {
        "id": record.id,
        "key": created.key.reveal(),
        "account": record.account,
        "project": record.project,
        "name": record.name,
        "caps": [*caps],
        "created_at": rfc3339(record.created_ms),
        "expires_at": rfc3339(record.expires_ms),
        "bind": record.caveats.bind,
        "holder": record.holder,
        "enrolment_code": None if code is None else code.reveal(),
        "enrolment_until": rfc3339(None if enrolment is None else enrolment.until_ms),
    }


def show_key(record: KeyRecord, now_ms: int) -> JsonObject:
    """One row of `key list`, and `key show`. `old_secret_until`: the end of the longest grace
    that runs, None when only the newest secret works. `barred` are things of it that an incident
    stopped, `cleared` those that were barred by mistake."""
    graces_ms = [old.until_ms for old in record.old_secrets if now_ms < old.until_ms]
    return {
        "id": record.id,
        "state": record.shown_state(now_ms),
        "account": record.account,
        "project": record.project,
        "name": record.name,
        "bind": record.caveats.bind,
        "holder": record.holder,
        "caveats": msgspec.json.decode(msgspec.json.encode(record.caveats)),
        "created_at": rfc3339(record.created_ms),
        "expires_at": rfc3339(record.expires_ms),
        "last_used_at": rfc3339(record.last_used_ms),
        "old_secret_until": rfc3339(max(graces_ms, default=None)),
        "frozen_why": record.frozen_why,
        "revoked_why": record.revoked_why,
        "cleared": [*record.cleared],
        "barred": [{"thing": bar.thing, "incident": bar.incident} for bar in record.barred],
    }
