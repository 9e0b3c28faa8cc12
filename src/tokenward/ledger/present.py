"""How are caps and usage shown? The JSON shapes that scripts and the admin API read."""

from collections.abc import Sequence

from tokenward.kernel.json_text import JsonObject
from tokenward.kernel.moments import rfc3339
from tokenward.ledger.records import CapStatus, UsageRow


def show_cap(status: CapStatus) -> JsonObject:
    """One row of `cap list`; `limit`, `spent` and `held` count in `unit`."""
    cap = status.cap
    return {
        "subject": cap.subject,
        "model": cap.model,
        "window": cap.window.value,
        "unit": cap.unit.value,
        "limit": cap.limit,
        "spent": status.spent,
        "held": status.held,
        "resets_at": rfc3339(status.resets_ms),
        "zone": cap.zone,
        "throttles": cap.throttles,
    }


def show_usage(
    rows: Sequence[UsageRow], since_ms: int, until_ms: int, total: UsageRow | None = None
) -> JsonObject:
    """`usage`: the sums and the rows behind them; `total`, where these are not all rows."""
    summed = rows if total is None else (total,)
    return {
        "since": rfc3339(since_ms),
        "until": rfc3339(until_ms),
        "cost_nusd": sum(row.cost_nusd for row in summed),
        "calls": sum(row.calls for row in summed),
        "input_tokens": sum(row.input_tokens for row in summed),
        "output_tokens": sum(row.output_tokens for row in summed),
        "estimates": sum(row.estimates for row in summed),
        "rows": [
            {
                "by": row.by,
                "cost_nusd": row.cost_nusd,
                "calls": row.calls,
                "input_tokens": row.input_tokens,
                "output_tokens": row.output_tokens,
                "cached_tokens": row.cached_tokens,
                "estimates": row.estimates,
            }
            for row in rows
        ],
    }
