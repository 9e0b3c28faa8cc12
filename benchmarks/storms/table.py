"""The last results of each peer side by side: `python -m benchmarks storms --table`."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

Row = Mapping[str, Any]
DOLLAR: Final = 10**9
PHASES: Final = ("before", "during", "after")


def table(folder: Path) -> str:
    """All tables of what lies in a folder of results; of a storm that was repeated, the last."""
    found: dict[tuple[str, str], Row] = {}
    settings: dict[str, Row] = {}
    for file in sorted(folder.glob("storms-*.jsonl")):
        for line in file.read_text("utf-8").splitlines():
            row = json.loads(line)
            if "peer" in row:
                settings[row["peer"]] = row
            else:
                found[row["storm"], file.stem.removeprefix("storms-")] = row
    return "\n".join(
        (
            *_settings(settings.values()),
            *_of("storm, gateway", BUDGET, found, lambda row: "harmed" in row),
            *_of("storm, gateway", REVOCATION, found, lambda row: "trials" in row),
            *_of("store, gateway", OUTAGE, found, lambda row: "during" in row),
        )
    )


def _settings(rows: Iterable[Row]) -> Iterable[str]:
    for row in rows:
        about = (f"{name}: {row[name]}" for name in ("settings", "database") if name in row)
        machine = f"{row['machine']['cpu']}, {row['machine']['cores']} cores"
        counted = f"{row['gateways']} gateway processes, seed {row['seed']}"
        yield f"- **{row['peer']}**: {row['gateway']}; {'; '.join(about)}; {counted}; {machine}"


def _of(
    head: str,
    columns: Mapping[str, Callable[[Row], str]],
    found: Mapping[tuple[str, str], Row],
    is_one: Callable[[Row], bool],
) -> Iterable[str]:
    rows = {name: row for name, row in sorted(found.items()) if is_one(row)}
    if rows:
        yield f"\n| {head} | {' | '.join(columns)} |"
        yield "|---" * (len(columns) + 1) + "|"
    for (storm, peer), row in rows.items():
        yield f"| {storm}, {peer} | {' | '.join(show(row) for show in columns.values())} |"


def _dollars(name: str) -> Callable[[Row], str]:
    return lambda row: "" if row.get(name) is None else f"{row[name] / DOLLAR:.4f}"


def _share(name: str, of: str) -> Callable[[Row], str]:
    """Dollars, and how much that is of something."""
    return lambda row: f"{row[name] / DOLLAR:.4f} ({row[name] / max(row[of], 1):.1%})"


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items()) or "none"


def _fitting(row: Row) -> str:
    fitting = row["fitting"]
    if not fitting["asked"]:
        return "nothing left"
    return f"{fitting['answers'].get('ok', 0)} of {fitting['asked']}"


def _spread(name: str) -> Callable[[Row], str]:
    def show(row: Row) -> str:
        spread = row.get(name, {"count": 0})
        return f"{spread['p50']} / {spread['p95']} / {spread['max']}" if spread["count"] else ""

    return show


def _phase(phase: str) -> Callable[[Row], str]:
    return lambda row: _counts(row[phase]["answers"])


def _slowest(row: Row) -> str:
    times_ms = [row[phase]["longest_503_ms"] for phase in PHASES]
    return str(max((each for each in times_ms if each is not None), default=""))


BUDGET: Final[dict[str, Callable[[Row], str]]] = {
    "calls": lambda row: str(row["calls"]),
    "harmed": lambda row: str(row["harmed"]),
    "answers": lambda row: _counts(row["answers"]),
    "budget, $": _dollars("budget_nusd"),
    "billed, $": _dollars("billed_nusd"),
    "over it, $": _share("overspend_nusd", "budget_nusd"),
    "written down, $": _dollars("written_nusd"),
    "lost, $": _share("lost_nusd", "billed_nusd"),
    "written above the bill, $": _share("overcharged_nusd", "billed_nusd"),
    "still held, $": _dollars("held_nusd"),
    "fitting calls answered": _fitting,
}
REVOCATION: Final[dict[str, Callable[[Row], str]]] = {
    "trials": lambda row: str(row["trials"]),
    "last call forwarded by others, ms (p50 / p95 / max)": _spread("last_forwarded_others_ms"),
    "of these, last one begun, ms": _spread("last_begun_others_ms"),
    "by one that was frozen": _spread("last_forwarded_frozen_ms"),
    "by one that was cut off": _spread("last_forwarded_cut_ms"),
    "revocation refused at first": lambda row: str(row.get("trials_with_refused_revocation", "")),
    "running streams ended": _spread("streams_end_ms"),
    "answers to calls begun later than 1 s": lambda row: _counts(
        row["answers_to_calls_begun_later_than_1_s"]
    ),
}
OUTAGE: Final[dict[str, Callable[[Row], str]]] = {
    "before": _phase("before"),
    "during": _phase("during"),
    "after": _phase("after"),
    "longest wait for a 503, ms": _slowest,
    "over budget, $": _share("overspend_nusd", "budget_nusd"),
    "lost, $": _share("lost_nusd", "billed_nusd"),
    "fitting calls answered": _fitting,
}
