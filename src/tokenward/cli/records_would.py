"""`tokenward records --would`: whose calls would have been stopped where evidence is observed."""

import re
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from tokenward.cli.desk import Desk
from tokenward.cli.screen import moment, plural, printable, table
from tokenward.http.admin.reports import LIST_MAX

KEYS_MAX: Final = 200
"""Each is a question of its own."""
REASONS_MAX: Final = 3
_NUMBER: Final = re.compile(r"(?<![\w.'-])[\d,]+(?![\w.'-])")
"""That stands alone, and in no name of a model or a network."""
CALLERS_MAX: Final = 3
NONE: Final = (
    "No call would have been stopped in this time. That is told where evidence is only observed "
    '([policy] mode = "observe"); what was stopped: tokenward incident list'
)


def look(desk: Desk, key_id: str, since: str) -> dict[str, Any]:
    """What `--json` prints: `keys`, those with most such calls first; `looked_at` records in all;
    `is_whole` False where there are more than the admin API gives."""
    found = _recent(desk, key_id, since)
    if key_id or len(found) < LIST_MAX:
        return _told(found, is_whole=len(found) < LIST_MAX)
    rows = desk.ask("GET", "/usage", query={"by": "key", "since": since})["rows"]
    used = [row["by"] for row in sorted(rows, key=lambda row: -row["calls"])]
    by_key = {each: _recent(desk, each, since) for each in used[:KEYS_MAX]}
    known = {each["request_id"] for records in by_key.values() for each in records}
    rest = [each for each in found if each["request_id"] not in known]
    is_whole = len(used) <= KEYS_MAX and all(len(each) < LIST_MAX for each in by_key.values())
    return _told([*rest, *(each for records in by_key.values() for each in records)], is_whole)


def _recent(desk: Desk, key_id: str, since: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = desk.ask(
        "GET", "/records", query={"key": key_id, "since": since, "limit": LIST_MAX}
    )
    return found


def _told(records: list[dict[str, Any]], is_whole: bool) -> dict[str, Any]:
    calls = Counter(record.get("key", "") for record in records)
    by_key: dict[str, list[dict[str, Any]]] = {}  # what was refused anyway would not miss a call
    for record in records:
        if record.get("would") and record.get("verdict") != "refuse":
            by_key.setdefault(record.get("key", ""), []).append(record)
    keys = [_of_key(key, would, calls[key]) for key, would in by_key.items()]
    keys.sort(key=lambda key: (-sum(key["would"].values()), key["key"]))
    return {"keys": keys, "looked_at": len(records), "is_whole": is_whole}


def _of_key(key: str, would: list[dict[str, Any]], calls: int) -> dict[str, Any]:
    """`would` are its calls that would have been stopped, newest first, at least one."""
    moments = sorted(record["ts"] for record in would)
    return {
        "key": key,
        "project": would[0].get("project", ""),
        "calls": calls,
        "would": dict(Counter(record["would"] for record in would).most_common()),
        "first": moments[0],
        "last": moments[-1],
        "cost_nusd": sum(record.get("cost_nusd", 0) for record in would),
        "callers": _commonest(map(_caller, would), CALLERS_MAX),
        "reasons": _commonest((each for record in would for each in _reasons(record)), REASONS_MAX),
    }


def _commonest(texts: Iterable[str], most: int) -> list[str]:
    """The newest of each sort, for texts that come newest first: the same is said in 14 days of
    use, and in 15 the day after."""
    sorts = Counter[str]()
    newest: dict[str, str] = {}
    for text in texts:
        sort = _NUMBER.sub("#", text)
        sorts[sort] += 1
        newest.setdefault(sort, text)
    return [newest[sort] for sort, _ in sorts.most_common(most)]


def _caller(record: dict[str, Any]) -> str:
    program, network = record.get("client"), record.get("network")
    return f"{program or 'an unknown program'} in {network or 'an unknown network'}"


def _reasons(record: dict[str, Any]) -> list[str]:
    """The signs, without their class and detector; of a key without a past there are none, and a
    dearer model is held all the same."""
    signs = [each.partition(": ")[2] or each for each in record.get("evidence", ())]
    model = repr(record.get("model", ""))
    if record["would"] == "hold" and not any(model in sign for sign in signs):
        return [f"the model {model} is dearer than those of this key", *signs]
    return signs


def show(value: dict[str, Any]) -> str:
    """The same for people."""
    keys = value["keys"]
    partly = (
        ""
        if value["is_whole"]
        else (
            f"\nThere is more: of each of at most {KEYS_MAX} keys the newest {LIST_MAX:,} requests "
            "were looked at. Ask for one key with --key ID, or for less with --since 24h."
        )
    )
    if not keys:
        return NONE + partly
    rows = [
        (
            key["key"] or "-",
            key["project"] or "-",
            ", ".join(f"{action} {count:,}" for action, count in key["would"].items()),
            f"{key['calls']:,}",
            moment(key["first"]),
            moment(key["last"]),
        )
        for key in keys
    ]
    heads = ("KEY", "PROJECT", "WOULD", ">OF CALLS", "FIRST", "LAST")
    why = [printable(": ".join(filter(None, _why(key)))) for key in keys]
    stopped = sum(sum(key["would"].values()) for key in keys)
    of = plural(value["looked_at"], "request")
    end = (
        f"{stopped:,} of {of} would have been stopped, of {plural(len(keys), 'key')}. Where it is "
        "enforced, the first one opens an incident, and those like it wait until somebody judges "
        "it."
    )
    return "\n".join([table(heads, rows), "", *why, "", end + partly])


def _why(key: dict[str, Any]) -> tuple[str, str, str]:
    return key["key"] or "-", ", ".join(key["callers"]), "; ".join(key["reasons"])
