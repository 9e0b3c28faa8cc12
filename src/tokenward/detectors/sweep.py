"""Is somebody trying out, over several calls, what the key can do?

Class E2, as `probe.py`, whose name it bears: a probe is seen in one call, a sweep in several.
Cold start: a sweep and a listing are told of a key without a history too, with the same odds;
failures at first are unknown then, for whoever sets up a key fails at first.
"""

from typing import Final

from tokenward.detectors.novelty import is_cold, is_usual
from tokenward.detectors.odds import Odds, of_kind, weighed
from tokenward.detectors.past import DAY_MS, Past, short
from tokenward.detectors.probe import HISTORY_CALLS, NAME
from tokenward.detectors.rows import Rows, is_within, number
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import Signals

SWEEP_MS: Final = 60_000
SWEEP_MODELS: Final = 4
OUTPUT_TINY: Final = 50
LISTED_MS: Final = 5_000
ERRORS_FIRST: Final = 3
KEPT_MS: Final = 3_600_000
"""What an origin has shown is held against it for so long: the costly call may come later."""
TRIALS_MAX: Final = 16
ORIGINS_MAX: Final = 16
LISTS: Final = frozenset(("models", "list_models"))
"""Operations that list models."""

# Health checks of a gateway in front of several models, and a developer who looks which of them
# answer: both come with a new installation rather than on ordinary days. Channel tests of resale
# panels and pools of stolen keys (one-api, new-api, oai-reverse-proxy) do nothing else, a lone
# thief seldom.
SWEEP: Final = {
    "": Odds(ordinary=0.005, moved=0.02, thief=0.25),
    "developer": Odds(ordinary=0.01, moved=0.03, thief=0.25),
    "app": Odds(ordinary=0.003, moved=0.01, thief=0.25),
    "public": Odds(ordinary=0.002, moved=0.01, thief=0.25),
}
# Chat programs that list with one library and chat with another exist; installing one is rare.
LISTED: Final = {
    "": Odds(ordinary=0.003, moved=0.015, thief=0.15),
    "developer": Odds(ordinary=0.01, moved=0.03, thief=0.15),
    "app": Odds(ordinary=0.001, moved=0.005, thief=0.15),
    "public": Odds(ordinary=0.001, moved=0.005, thief=0.15),
}
# Of an owner's new installations one in twenty to ten fails three times before it works; ordinary
# days have no new installation. Thieves' tools send requests that are meant to fail.
ERRORS: Final = {
    "": Odds(ordinary=0.01, moved=0.07, thief=0.3),
    "developer": Odds(ordinary=0.02, moved=0.1, thief=0.3),
    "app": Odds(ordinary=0.005, moved=0.05, thief=0.3),
    "public": Odds(ordinary=0.005, moved=0.05, thief=0.3),
}


class Trials:
    """The last small or failed calls by origin and model, and what 16 origins began with: at most
    1 kB of numbers."""

    __slots__ = ("_is_telling", "_listed_at", "_lister", "_origins", "_trials")

    def __init__(self) -> None:
        self._trials = Rows(TRIALS_MAX, 3)  # origin and model, origin, ms
        self._origins = Rows(ORIGINS_MAX, 5)  # origin, errors at first, worked, swept ms, listed ms
        self._listed_at, self._lister = -LISTED_MS - 1, ""
        self._is_telling = False

    def note(
        self, call: Signals, programs: Rows, now: int, *, is_clean: bool, is_error: bool
    ) -> None:
        """A call is over; `programs` are those before it."""
        name = short(call.origin)
        origin = number(name)
        at = self._origins.find(origin)
        _, errors, worked, swept, listed = (
            self._origins.row(at) if at >= 0 else (origin, 0, 0, 0, 0)
        )
        if self._is_after_listing(call, programs, now):
            listed = now
        if call.asked.route in LISTS:
            self._listed_at, self._lister = now, short(call.client.fingerprint)
        elif is_error and not worked:
            errors = min(errors + 1, 255)
        elif is_clean and not is_error:
            worked = 1
        if (is_error or _is_tiny(call)) and call.asked.model:
            self._trials.put(_trial(name, call), origin, now)
            if self._models(origin, now) >= SWEEP_MODELS:
                swept = now
        self._origins.put(origin, errors, worked, swept, listed)
        self._is_telling |= bool(swept or listed) or errors >= ERRORS_FIRST

    def signs(
        self, call: Signals, past: Past, key_kind: str, programs: Rows, now: int
    ) -> tuple[Sign, ...]:
        """The listing, and the stronger of sweep and failures: they are the same calls twice."""
        if (
            not self._is_telling
            and self._trials.count < SWEEP_MODELS - 1
            and now - self._listed_at > LISTED_MS
        ):
            return ()
        name = short(call.origin)
        at = self._origins.find(number(name))
        _, errors, _, swept, listed = self._origins.row(at) if at >= 0 else (0, 0, 0, 0, 0)
        found = []
        models = self._models_with(call, name, now)
        if models >= SWEEP_MODELS or (swept and is_within(swept, now, KEPT_MS)):
            reason = (
                f"{max(models, SWEEP_MODELS)} or more models were tried within a minute, each with "
                f"at most {OUTPUT_TINY} tokens of output or an error"
            )
            found.append(weighed("E2", NAME, "probe:sweep", reason, of_kind(SWEEP, key_kind)))
        elif errors >= ERRORS_FIRST and _is_stranger(name, past):
            reason = f"the first {errors} calls from here all failed"
            found.append(weighed("E2", NAME, "probe:errors", reason, of_kind(ERRORS, key_kind)))
        is_listed = bool(listed) and is_within(listed, now, KEPT_MS)
        if is_listed or self._is_after_listing(call, programs, now):
            client = past.values.get("client", {}).get(short(call.client.fingerprint))
            if not is_usual(client, past, now // DAY_MS):
                reason = (
                    "one program listed the models, and within "
                    f"{LISTED_MS // 1000} seconds another one, never seen before, called"
                )
                found.append(weighed("E2", NAME, "probe:listed", reason, of_kind(LISTED, key_kind)))
        return tuple(found)

    def _is_after_listing(self, call: Signals, programs: Rows, now: int) -> bool:
        """Another program listed the models a moment ago, and this one is new here."""
        program = short(call.client.fingerprint)
        return (
            bool(program and self._lister)
            and program != self._lister
            and 0 <= now - self._listed_at <= LISTED_MS
            and call.asked.route not in LISTS
            and programs.find(number(program)) < 0
        )

    def _models(self, origin: int, now: int) -> int:
        return sum(
            whose == origin and is_within(then, now, SWEEP_MS) for _, whose, then in self._trials
        )

    def _models_with(self, call: Signals, name: str, now: int) -> int:
        """How many models this origin has tried, with this call."""
        models = self._models(number(name), now)
        if not (_is_tiny(call) and call.asked.model):
            return models
        at = self._trials.find(_trial(name, call))
        is_counted = at >= 0 and is_within(self._trials.row(at)[2], now, SWEEP_MS)
        return models + (not is_counted)


def _is_tiny(call: Signals) -> bool:
    limit = call.asked.output_limit
    return limit is not None and limit <= OUTPUT_TINY


def _trial(name: str, call: Signals) -> int:
    return (number(name) * 31 + number(short(call.asked.model))) % 2**64


def _is_stranger(name: str, past: Past) -> bool:
    """The key has a history, and this origin has none in it."""
    origin = past.origins.get(name)
    return not is_cold(past) and (origin is None or origin.calls < HISTORY_CALLS)
