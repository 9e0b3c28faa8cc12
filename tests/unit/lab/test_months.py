"""Honest key-months: few alarms, each one with its cause."""

from tokenward.detectors.fusion import Opinion
from tokenward.detectors.past import Past
from tokenward.detectors.recent import Recent
from tokenward.kernel.signals import Signals
from tokenward.lab.evaluation import cause, evaluate, months_value
from tokenward.lab.months import FalseAlarm, play_month
from tokenward.pipeline.judging import Judged
from tokenward.policy.rules import Rules, Standing
from tokenward.policy.verdict import Verdict

MONTHS = 200


def wary(call: Signals, past: Past, recent: Recent, standing: Standing, rules: Rules) -> Judged:
    """A judge that challenges everybody."""
    origin = f"origin:{call.origin}"
    is_barred = bool(standing.incident_of(origin))
    verdict = Verdict(
        action="challenge", acts=True, things=(origin,), incident="1" if is_barred else ""
    )
    return Judged(Opinion(origin=call.origin), verdict)


def test_honest_owners_are_hardly_ever_stopped() -> None:
    found = months_value(MONTHS, seed=1)
    assert found["freeze"]["months"] <= 2
    assert found["challenge"]["months"] <= 8
    assert found["challenge"]["months"] < found["new_network"]["months"] / 3


def test_a_judge_that_challenges_everybody_has_no_clean_month() -> None:
    found = months_value(10, seed=1, judge=wary)
    assert found["challenge"]["months"] == 10
    assert found["alarms"]


def fierce(call: Signals, past: Past, recent: Recent, standing: Standing, rules: Rules) -> Judged:
    """A judge that freezes everybody once."""
    origin = f"origin:{call.origin}"
    if origin in standing.cleared:
        return Judged(Opinion(origin=call.origin), Verdict())
    verdict = Verdict(action="freeze", acts=True, things=(origin,))
    return Judged(Opinion(origin=call.origin), verdict)


def test_a_frozen_owner_says_so_and_goes_on() -> None:
    months = [play_month(seed, fierce) for seed in range(20)]
    alarms = [alarm for month in months for alarm in month.alarms]
    assert {alarm.action for alarm in alarms} == {"freeze"}
    assert len(alarms) > len({alarm.seed for alarm in alarms})  # another origin, another day


def test_the_same_seed_gives_the_same_month() -> None:
    assert play_month(11) == play_month(11)


def test_a_cause_is_what_changed_on_the_day_or_the_newest_before() -> None:
    def alarm(*changes: str) -> str:
        return cause(
            FalseAlarm(
                seed=1,
                kind="app",
                declared=True,
                day=3,
                past_days=9,
                action="challenge",
                changes=changes,
                signs=(),
            )
        )

    assert alarm("travel", "new prompt", "move (2 d before)") == "new prompt + travel"
    assert alarm("move (2 d before)") == "move (2 d before)"
    assert alarm() == "nothing new lately"


def test_progress_is_told_once_for_each_month() -> None:
    told: list[int] = []
    value = evaluate([], 1, 3, 1, lambda: told.append(1))
    assert len(told) == value["false_alarms"]["key_months"] == 3
