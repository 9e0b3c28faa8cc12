"""What is said when money is missing: which cap, what is spent, what is only held, what to do."""

from typing import Final

from tokenward.kernel.money import NUSD_MAX, NUSD_PER_USD, format_usd
from tokenward.ledger.cap_text import format_amount, format_cap, show_subject
from tokenward.ledger.records import Cap, Standing, Unit, Window
from tokenward.ledger.windows import show_wall

CREDIT_ID: Final = "credit:"
"""The id of an account's prepaid credit starts so."""
_ADJECTIVES: Final = {
    Window.MINUTE: "minute",
    Window.HOUR: "hourly",
    Window.DAY: "daily",
    Window.WEEK: "weekly",
    Window.MONTH: "monthly",
    Window.TOTAL: "total",
}


def say_reached(standing: Standing, needed: int) -> str:
    """The cap stays in the way also when every running call has ended."""
    cap = standing.cap
    means = f"this call needs {format_amount(needed, cap.unit)}"
    reached = f"reached its {_name(cap)} ({_split(standing)}); {means}"
    return f"{show_subject(cap.subject)} {reached}. {_way_out(standing)}"


def say_held(standing: Standing, needed: int) -> str:
    """The call would fit if the running calls ended at nothing."""
    cap = standing.cap
    waits = f"this call needs {format_amount(needed, cap.unit)} and fits when some of them end"
    whole = f"has its {_name(cap)} reserved by running calls ({_split(standing)}); {waits}"
    return f"{show_subject(cap.subject)} {whole}. Try again in a few seconds."


def say_max_call(key: str, limit_nusd: int, needed_nusd: int) -> str:
    """One call may cost more than the key's caveat allows."""
    return (
        f"This call may cost {format_usd(needed_nusd)}, and {show_subject(f'key:{key}')} may spend "
        f"at most {format_usd(limit_nusd)} on one call. Send less or ask for fewer output tokens."
    )


def say_unpriced(model: str, subject: str) -> str:
    """A model without a price meets a cap in money."""
    return (
        f"The model {model!r} has no price, and {show_subject(subject)} has a cap in money. "
        f'Give it one in tokenward.toml under [prices]: "{model}" = '
        "{ input_usd_per_mtok = 0.10, output_usd_per_mtok = 0.40 }"
    )


def _name(cap: Cap) -> str:
    if cap.id.startswith(CREDIT_ID):
        return f"prepaid credit of {format_usd(cap.limit)}"
    on_model = f" on {cap.model}" if cap.model else ""
    return f"{_ADJECTIVES[cap.window]} cap of {format_amount(cap.limit, cap.unit)}{on_model}"


def _split(standing: Standing) -> str:
    spent = format_amount(standing.spent, standing.cap.unit)
    if not standing.running:
        return f"spent {spent}, held nothing"
    held = format_amount(standing.held, standing.cap.unit)
    calls = "1 running call" if standing.running == 1 else f"{standing.running:,} running calls"
    return f"spent {spent}, held {held} by {calls}"


def _way_out(standing: Standing) -> str:
    cap = standing.cap
    if cap.id.startswith(CREDIT_ID):
        return f"Add more: tokenward credit add {cap.subject.partition(':')[2]} 50.00"
    least = NUSD_PER_USD // 100 if cap.unit is Unit.NUSD else 1
    more = min(NUSD_MAX, cap.limit + max(cap.limit // 4, least))
    narrowed = f" --model '{cap.model}'" if cap.model else ""
    command = f"tokenward cap set {cap.subject} {format_cap(more, cap.unit, cap.window)}{narrowed}"
    if standing.resets_ms is None:
        return f"It never resets; raise it: {command}"
    return f"Resets {_reset(cap, standing.resets_ms)}, or raise it: {command}"


def _reset(cap: Cap, resets_ms: int) -> str:
    """`00:00 UTC` for windows up to a day, else with the date; in the cap's own time zone."""
    date, clock = show_wall(cap.zone, resets_ms)
    is_short = cap.window in (Window.MINUTE, Window.HOUR, Window.DAY)
    return f"{clock} {cap.zone}" if is_short else f"{date} {clock} {cap.zone}"
