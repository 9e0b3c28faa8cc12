"""What evidence may do: held against the table of docs/explanation/evidence.md."""

from math import log

import msgspec
import pytest

from tokenward.detectors import Opinion
from tokenward.kernel.incidents import PACE
from tokenward.pipeline.judging import Judged
from tokenward.policy import Case, Rules, Standing, decide
from tokenward.policy.verdict import Finding, model_thing, origin_thing

RULES = Rules()
ORIGIN = "0123456789abcdef@AS64500"
NOBODY = Standing()


def finding(kind: str = "E2", weight: float = 5.0, reason: str = "the program is new") -> Finding:
    return Finding(kind=kind, detector="novelty", reason=reason, weight=weight)


def case(total: float, *findings: Finding, **more: object) -> Case:
    return Case(
        origin=ORIGIN,
        model="gpt-5-mini",
        total=total,
        findings=findings or (finding(),),
        **more,  # type: ignore[arg-type]  # the test names fields of Case
    )


def test_thresholds_are_the_accepted_rates_a_key_month() -> None:
    assert RULES.challenge_at == pytest.approx(log(6 / 0.01))
    assert RULES.freeze_at == pytest.approx(log(6 / 0.001))
    assert Rules(false_challenges=0.001).challenge_at > RULES.challenge_at


def test_little_evidence_does_nothing_and_is_told() -> None:
    verdict = decide(case(RULES.challenge_at - 0.01), NOBODY, RULES)
    assert verdict.action == "allow"
    assert not verdict.is_refused
    assert verdict.findings[0].reason == "the program is new"


def test_enough_evidence_challenges_its_origin_alone() -> None:
    verdict = decide(case(RULES.challenge_at), NOBODY, RULES)
    assert (verdict.action, verdict.things) == ("challenge", (origin_thing(ORIGIN),))
    assert verdict.opens
    assert "tokenward incident undo" in verdict.undo


def test_any_strength_of_one_class_from_one_origin_never_freezes() -> None:
    assert decide(case(500.0), NOBODY, RULES).action == "challenge"


def test_identity_freezes_when_it_repeats() -> None:
    before = Standing(barred=(("origin:somebody@else", "inc_1"),))
    assert decide(case(RULES.freeze_at), before, RULES).action == "freeze"
    assert decide(case(RULES.freeze_at - 0.01), before, RULES).action == "challenge"
    held = Standing(barred=(("model:gpt-5", "inc_1"),))
    assert decide(case(RULES.freeze_at), held, RULES).action == "challenge", (
        "a model is no stranger"
    )


def test_two_classes_freeze_but_use_is_never_the_second() -> None:
    purpose = case(RULES.freeze_at, finding("E2"), finding("E3", reason="foreign answers"))
    assert decide(purpose, NOBODY, RULES).action == "freeze"
    weak = case(RULES.freeze_at, finding("E2"), finding("E3", weight=1.0))
    assert decide(weak, NOBODY, RULES).action == "challenge"
    use = case(RULES.freeze_at, finding("E2"), finding("E4", reason="many calls"))
    assert decide(use, NOBODY, RULES).action == "challenge"


def test_while_one_stranger_is_unexplained_the_next_needs_less() -> None:
    before = Standing(barred=(("origin:somebody@else", "inc_1"),))
    assert decide(case(log(20)), before, RULES).action == "challenge"
    assert decide(case(log(20) - 0.01), before, RULES).action == "allow"
    assert decide(case(log(20), is_familiar=True), before, RULES).action == "allow"
    assert decide(case(log(20)), NOBODY, RULES).action == "allow"


def test_use_never_helps_to_freeze() -> None:
    before = Standing(barred=(("origin:somebody@else", "inc_1"),))
    use = finding("E4", weight=3.0, reason="many calls")
    assert decide(case(RULES.freeze_at + 2, finding(), use), before, RULES).action == "challenge"
    assert decide(case(RULES.freeze_at + 3, finding(), use), before, RULES).action == "freeze"


def test_what_is_barred_stays_refused_under_its_own_incident() -> None:
    standing = Standing(barred=((origin_thing(ORIGIN), "inc_7"),))
    verdict = decide(case(-20.0), standing, RULES)
    assert (verdict.action, verdict.incident) == ("challenge", "inc_7")
    assert verdict.is_refused
    assert not verdict.opens, "one incident, not one a call"


def test_what_was_cleared_is_not_asked_about_again() -> None:
    standing = Standing(cleared=(origin_thing(ORIGIN),))
    assert decide(case(500.0), standing, RULES).action == "allow"


SUSPECT = Standing(suspect_calls=RULES.suspect_calls)


def test_a_suspect_goes_on_slowly_and_only_calls_above_its_pace_are_refused() -> None:
    within = decide(case(log(20)), Standing(suspect_calls=29), RULES)
    assert (within.action, within.is_suspect, within.is_refused) == ("allow", True, False)
    above = decide(case(log(20)), SUSPECT, RULES)
    assert (above.action, above.things) == ("throttle", (PACE, origin_thing(ORIGIN)))
    assert above.opens
    assert above.findings[0].reason == "the program is new"
    assert "tokenward incident undo" in above.undo


def test_who_is_no_suspect_is_never_slowed() -> None:
    slowed = Standing(suspect_calls=99, barred=((PACE, "inc_3"),))
    for innocent in (
        case(log(20) - 0.01),
        case(log(20), is_familiar=True),
        case(log(20), is_cold=True),
    ):
        for standing in (SUSPECT, slowed):
            verdict = decide(innocent, standing, RULES)
            assert (verdict.action, verdict.is_suspect) == ("allow", False)


def test_a_suspect_that_was_cleared_goes_at_full_speed_and_the_next_one_does_not() -> None:
    standing = Standing(suspect_calls=99, cleared=(origin_thing(ORIGIN), PACE))
    assert decide(case(log(20)), standing, RULES).action == "allow"
    other = msgspec.structs.replace(case(log(20)), origin="another@AS9")
    assert decide(other, standing, RULES).action == "throttle"


def test_while_suspects_are_slowed_it_is_under_one_incident_and_nobody_learns_from_them() -> None:
    slowed = Standing(suspect_calls=30, barred=((PACE, "inc_3"),))
    verdict = decide(case(log(20)), slowed, RULES)
    assert (verdict.action, verdict.incident, verdict.opens) == ("throttle", "inc_3", False)
    within = decide(case(log(20)), Standing(barred=((PACE, "inc_3"),)), RULES)
    assert (within.action, within.is_slowed) == ("allow", True)
    assert not Judged(Opinion(origin=ORIGIN), within).is_clean
    assert decide(case(RULES.challenge_at), slowed, RULES).action == "challenge"


def test_slowed_suspects_are_no_reason_to_freeze_for_the_next_stranger() -> None:
    slowed = Standing(barred=((PACE, "inc_3"),))
    assert decide(case(RULES.freeze_at + 9), slowed, RULES).action == "challenge"


def test_observing_slows_nobody() -> None:
    verdict = decide(case(log(20)), SUSPECT, Rules(mode="observe"))
    assert (verdict.action, verdict.is_refused) == ("throttle", False)


DEARER = "the model costs 8 times as much"


def test_a_dearer_model_is_held_and_from_a_stranger_its_origin_too() -> None:
    friend = decide(case(-3.0, dearer=DEARER, is_familiar=True), NOBODY, RULES)
    assert (friend.action, friend.things) == ("hold", (model_thing("gpt-5-mini"),))
    assert friend.why == DEARER
    stranger = decide(case(-3.0, dearer=DEARER), NOBODY, RULES)
    assert stranger.things == (origin_thing(ORIGIN), model_thing("gpt-5-mini"))
    at_home = decide(case(-3.0, dearer=DEARER, is_usual_place=True), NOBODY, RULES)
    assert at_home.things == (model_thing("gpt-5-mini"),), "another program of the owner's"


def test_a_challenge_that_asks_for_a_dearer_model_too_is_undone_by_one_undo() -> None:
    asked = case(RULES.challenge_at, dearer=DEARER)
    verdict = decide(asked, NOBODY, RULES)
    assert verdict.action == "challenge"
    assert decide(asked, Standing(cleared=verdict.things), RULES).action == "allow"


@pytest.mark.parametrize(
    ("standing", "rules", "is_declared"),
    [
        (Standing(cleared=(model_thing("gpt-5-mini"),)), RULES, False),
        (NOBODY, Rules(holds_dearer_models=False), False),
        (NOBODY, RULES, True),
    ],
)
def test_a_dearer_model_that_is_meant_passes(
    standing: Standing, rules: Rules, is_declared: bool
) -> None:
    asked = case(-3.0, dearer=DEARER, is_familiar=True, is_declared=is_declared)
    assert decide(asked, standing, rules).action == "allow"


def test_observing_says_what_it_would_do_and_refuses_nothing() -> None:
    verdict = decide(case(500.0), NOBODY, Rules(mode="observe"))
    assert (verdict.action, verdict.acts) == ("challenge", False)
    assert not verdict.is_refused
    assert not verdict.opens


def test_a_model_of_any_length_is_a_thing_that_can_be_kept() -> None:
    assert len(model_thing("m" * 5_000)) <= 256
    assert len(origin_thing("o" * 5_000)) <= 256
