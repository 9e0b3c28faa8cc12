"""The JSON shapes that scripts read."""

from ledger_world import NOON_MS, cap
from tokenward.ledger.present import show_cap, show_usage
from tokenward.ledger.records import CapStatus, UsageRow


def test_a_cap_is_shown_with_where_it_stands() -> None:
    one = cap("key:k1", "20.00/day", model="gpt-*", zone="Asia/Tokyo", throttles=True)
    status = CapStatus(cap=one, window_start_ms=0, spent=5, held=2, resets_ms=NOON_MS, running=1)
    assert show_cap(status) == {
        "subject": "key:k1", "model": "gpt-*", "window": "day", "unit": "nusd",
        "limit": 20_000_000_000, "spent": 5, "held": 2, "resets_at": "2026-01-15T12:00:00.000Z",
        "zone": "Asia/Tokyo", "throttles": True,
    }  # fmt: skip


def test_usage_is_shown_with_its_sums() -> None:
    rows = [
        UsageRow(
            by=by, cost_nusd=3, calls=2, input_tokens=5, output_tokens=7, cached_tokens=1,
            estimates=1,
        )
        for by in ("k1", "k2")
    ]  # fmt: skip
    shown = show_usage(rows, 0, NOON_MS)
    assert (shown["since"], shown["until"]) == (
        "1970-01-01T00:00:00.000Z", "2026-01-15T12:00:00.000Z",
    )  # fmt: skip
    assert (shown["cost_nusd"], shown["calls"]) == (6, 4)
    assert (shown["input_tokens"], shown["output_tokens"]) == (10, 14)
    assert shown["estimates"] == 2, "calls that cost what was held, not what they were"
    assert [row["by"] for row in shown["rows"]] == ["k1", "k2"]  # type: ignore[union-attr, index, call-overload]  # it is JSON
