"""A second opinion: what the ledger must say, added up the slow and obvious way.

Shares no arithmetic with the ledger: windows come from calendar fields, balances are summed over
all calls ever made each time somebody asks.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fnmatch import fnmatchcase

from tokenward.ledger.records import Cap, HoldAsk, Unit, Window


@dataclass
class Call:
    """A call that was granted, from hold to end. `posted` in nano-dollars and tokens."""

    ask: HoldAsk
    nusd: int
    tokens: int
    state: str = "open"
    posted: tuple[int, int] = (0, 0)

    def amount(self, unit: Unit, nusd: int, tokens: int, calls: int) -> int:
        return {Unit.NUSD: nusd, Unit.TOKENS: tokens, Unit.REQUESTS: calls}[unit]

    def spent(self, unit: Unit) -> int:
        counts = self.state in ("settled", "expired")
        return self.amount(unit, *self.posted, calls=int(counts))

    def held(self, unit: Unit) -> int:
        return self.amount(unit, self.nusd, self.tokens, 1) if self.state == "open" else 0


@dataclass
class LedgerModel:
    """All calls and all caps. A cap counts calls taken from its `since` on."""

    calls: dict[int, Call] = field(default_factory=dict)
    caps: dict[tuple[str, str, str, str], tuple[Cap, datetime]] = field(default_factory=dict)

    def set_cap(self, cap: Cap, now_ms: int) -> None:
        since = start_of(cap.window, now_ms)
        key = (cap.subject, cap.model, cap.window.value, cap.unit.value)
        self.caps[key] = (cap, self.caps[key][1] if key in self.caps else since)

    def add_credit(self, account: str, amount: int, now_ms: int) -> None:
        key = (f"account:{account}", "", "total", "credit")
        old, since = self.caps.get(key, (None, moment(now_ms)))
        cap = Cap(
            id=f"credit:{account}",
            subject=f"account:{account}",
            window=Window.TOTAL,
            unit=Unit.NUSD,
            limit=amount + (old.limit if old else 0),
            created_ms=0,
        )
        self.caps[key] = (cap, since)

    def applying(self, ask: HoldAsk) -> list[tuple[Cap, datetime]]:
        subjects = {f"key:{ask.key}", f"project:{ask.project}", f"account:{ask.account}"}
        return [
            (cap, since)
            for cap, since in self.caps.values()
            if cap.subject in subjects
            and (not cap.model or fnmatchcase(ask.model, cap.model))
            and moment(ask.at_ms) >= since
        ]

    def standing(self, cap: Cap, since: datetime, at_ms: int) -> tuple[int, int]:
        """Spent and held in the window of `at_ms`."""
        window = start_of(cap.window, at_ms)
        calls = [
            call
            for call in self.calls.values()
            if any(cap is one for one, _ in self.applying(call.ask))
            and start_of(cap.window, call.ask.at_ms) == window
        ]
        return sum(c.spent(cap.unit) for c in calls), sum(c.held(cap.unit) for c in calls)

    def largest(self, ask: HoldAsk, *, ignore_held: bool = False) -> int | None:
        """The largest output limit that fits, by trying every one from the top."""
        bound = ask.bound
        room = []
        for cap, since in self.applying(ask):
            spent, held = self.standing(cap, since, ask.at_ms)
            room.append((cap.unit, cap.limit - spent - (0 if ignore_held else held)))
        for output in range(bound.output_max, bound.output_min - 1, -1):
            need = {
                Unit.NUSD: bound.cost_nusd(output),
                Unit.TOKENS: bound.tokens(output),
                Unit.REQUESTS: 1,
            }
            if all(need[unit] <= left for unit, left in room):
                return output
        return None


def moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)


def start_of(window: Window, at_ms: int) -> datetime:
    """Where the window of a moment starts, in UTC, by calendar fields."""
    at = moment(at_ms)
    if window is Window.TOTAL:
        return datetime(1970, 1, 1, tzinfo=UTC)
    at = at.replace(second=0, microsecond=0)
    if window is Window.MINUTE:
        return at
    at = at.replace(minute=0)
    if window is Window.HOUR:
        return at
    at = at.replace(hour=0)
    if window is Window.DAY:
        return at
    return at - timedelta(days=at.weekday()) if window is Window.WEEK else at.replace(day=1)
