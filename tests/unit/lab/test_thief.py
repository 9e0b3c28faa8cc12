"""The thief's plan: made once, whatever is done about it, and as its story says."""

import pytest

from tokenward.lab.catalogue import dice
from tokenward.lab.population import draw_owner
from tokenward.lab.stories import load_stories
from tokenward.lab.thief import Theft, plan_theft

START_MS = 20_100 * 86_400_000


def _plan(name: str, seed: int = 1) -> list[Theft]:
    (story,) = load_stories([name])
    owner = draw_owner(dice("thief", seed), story.key.kind, story.key.models, story.key.program)
    return plan_theft(story, owner, dice("plan", seed), START_MS)


def test_the_trial_comes_before_the_use_and_costs_next_to_nothing() -> None:
    plan = _plan("public_repo")
    kinds = [theft.is_probe for theft in plan]
    assert kinds == sorted(kinds, reverse=True)
    trial = sum(theft.cost_nusd for theft in plan if theft.is_probe)
    assert trial < min(theft.cost_nusd for theft in plan if not theft.is_probe)


def test_the_plan_is_in_order_of_time_at_the_storys_pace() -> None:
    plan = _plan("v1_dear_models")
    times = [theft.call.at_ms for theft in plan]
    assert times == sorted(times)
    burst_s = (times[-1] - times[1]) / 1_000
    assert burst_s == pytest.approx(3_600, rel=0.05)


def test_a_pool_takes_its_keys_in_turn_with_mostly_foreign_answers() -> None:
    plan = _plan("resale_pool")
    assert {theft.key for theft in plan} == set(range(5))
    sold = [theft.call for theft in plan if not theft.is_probe]
    foreign = sum(bool(call.content.answers) for call in sold) / len(sold)
    assert foreign == pytest.approx(0.8, abs=0.06)
    assert len({call.content.system for call in sold}) == 20


def test_a_pool_sells_from_where_it_checked() -> None:
    assert len({theft.call.origin for theft in _plan("resale_pool")}) == 1


def test_a_clone_shows_its_owners_program_and_network() -> None:
    (story,) = load_stories(["cloned_laptop"])
    owner = draw_owner(dice("clone"), story.key.kind, story.key.models)
    (user, job) = owner.users[0], owner.users[0].jobs[0]
    for theft in plan_theft(story, owner, dice("plan"), START_MS):
        assert theft.call.client == job.client
        assert theft.call.network == user.places[0]


def test_a_greeting_is_never_a_sure_probe() -> None:
    probes = {
        (theft.call.content.probe, theft.call.content.is_sure)
        for seed in range(30)
        for theft in _plan("stolen_ci_key", seed)
        if theft.is_probe
    }
    assert probes == {("greeting", False), ("states", True), ("no_output", True)}
