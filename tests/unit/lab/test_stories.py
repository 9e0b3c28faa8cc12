"""The stories: all that are asked for, each one readable, each one ending as it should."""

from collections.abc import Sequence

import pytest

from tokenward.detectors.fusion import Opinion
from tokenward.detectors.past import Past
from tokenward.detectors.recent import Recent
from tokenward.kernel.signals import Signals
from tokenward.lab.catalogue import OUTPUT_USD
from tokenward.lab.changes import CHANGES
from tokenward.lab.evaluation import is_within, story_value
from tokenward.lab.playing import Played, play_story
from tokenward.lab.population import KINDS
from tokenward.lab.stories import Story, StoryError, load_stories, story_names
from tokenward.pipeline.judging import Judged
from tokenward.policy.rules import Rules, Standing
from tokenward.policy.verdict import Verdict

THEFTS = {
    "public_repo", "resale_pool", "relay_panel", "v1_dear_models", "v2_four_models",
    "v3_seventyfold", "cloned_laptop", "insider_other_machine", "stolen_ci_key", "slow_drip",
    "poisoning", "agent_on_support_key", "hydra", "wrapped_bot",
}  # fmt: skip
CHANGED = {
    "sdk_upgrade", "new_region", "launch_day_x30", "new_model", "batch_job", "travel",
    "key_rotation", "team_behind_nat", "ci_bursts", "provider_outage_retries",
}  # fmt: skip
STORIES = load_stories()
SEEDS = 2


def blind(call: Signals, past: Past, recent: Recent, standing: Standing, rules: Rules) -> Judged:
    """A judge that sees nothing."""
    return Judged(Opinion(origin=call.origin), Verdict())


def _plays(story: Story, seeds: int = SEEDS) -> Sequence[Played]:
    return [play_story(story, seed) for seed in range(seeds)]


def test_there_is_a_story_for_all_that_is_asked_for() -> None:
    assert set(story_names()) == THEFTS | CHANGED
    assert {story.name for story in STORIES if story.benign} == CHANGED


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_story_is_whole(story: Story) -> None:
    assert story.key.kind in KINDS
    assert story.expected.why
    assert story.source
    assert bool(story.steps) != story.benign
    assert {turn.change for turn in story.turns} <= CHANGES.keys()
    asked = {model for step in story.steps for model in step.models} | {*story.key.models}
    assert asked - {"same"} <= OUTPUT_USD.keys()


@pytest.mark.parametrize("story", STORIES, ids=lambda story: story.name)
def test_a_story_ends_as_it_should(story: Story) -> None:
    plays = _plays(story, 5)
    assert sum(is_within(story, play) for play in plays) >= 3, plays


@pytest.mark.parametrize("name", ["public_repo", "v1_dear_models", "resale_pool", "hydra"])
def test_a_judge_that_always_allows_catches_nothing(name: str) -> None:
    (story,) = load_stories([name])
    plays = [play_story(story, seed, blind) for seed in range(SEEDS)]
    value = story_value(story, plays)
    assert value["caught"] == 0
    assert value["by"] == []
    assert value["cost_nusd"] == value["baselines"]["cap"]["cost_nusd"]


@pytest.mark.parametrize("story", [each for each in STORIES if each.benign], ids=lambda s: s.name)
def test_where_nothing_is_stolen_nothing_is_caught(story: Story) -> None:
    value = story_value(story, _plays(story))
    assert value["caught"] == value["calls"] == value["cost_nusd"] == 0


def test_the_same_seed_tells_the_same_story() -> None:
    (story,) = load_stories(["public_repo"])
    assert play_story(story, 7) == play_story(story, 7)
    assert play_story(story, 7).baselines != play_story(story, 8).baselines or (
        play_story(story, 7) != play_story(story, 8)
    )


@pytest.mark.req("K-7")
@pytest.mark.parametrize("name", ["v1_dear_models", "v2_four_models", "v3_seventyfold"])
def test_the_known_victims_lose_less_than_one_part_in_twenty(name: str) -> None:
    (story,) = load_stories([name])
    for play in _plays(story, 4):
        assert play.caught
        assert play.cost_nusd * 20 <= play.baselines["nothing"].cost_nusd


def test_a_victims_damage_is_the_reported_one() -> None:
    damage = {"v1_dear_models": 194.96, "v2_four_models": 67.18, "v3_seventyfold": 1_771}
    for story in load_stories(damage):
        lost = play_story(story, 0).baselines["nothing"].cost_nusd / 1e9
        assert lost == pytest.approx(damage[story.name], rel=0.01)


def test_an_unknown_story_is_an_error_that_names_the_nearest() -> None:
    with pytest.raises(StoryError, match="did you mean 'public_repo'"):
        load_stories(["public_rep"])
