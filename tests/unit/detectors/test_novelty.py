"""What is new to a key, how much that says, and what does not become usual."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from seen_calls import DAY, OWN, at, call, learned, lived, tag
from tokenward.detectors import Past, look, novelty
from tokenward.detectors.habits import COMMON_NONE, HABITS
from tokenward.detectors.past import Seen
from tokenward.detectors.values import steps_of, values_of
from tokenward.kernel.signals import KEY_KINDS


def codes(past: Past, **parts: dict[str, object]) -> set[str]:
    return {sign.code for sign in novelty.score(call(at(), **parts), past, "")}


def test_a_key_with_four_calls_is_unknown_and_one_with_five_is_not() -> None:
    assert novelty.score(call(at()), lived(days=1, calls=4), "") == []
    assert novelty.score(call(at()), lived(days=1, calls=5), "") != []


def test_the_owner_as_always_shows_nothing_new() -> None:
    assert {code.split(":")[1] for code in codes(lived())} == {"usual"}


@pytest.mark.parametrize(
    ("parts", "new"),
    [
        ({"network": {"place": "AS9"}}, {"place:new"}),
        ({"client": {"fingerprint": tag(9)}}, {"client:new"}),
        ({"asked": {"model": "other"}}, {"model:new"}),
        ({"asked": {"route": "images"}}, {"route:new"}),
        ({"content": {"system": tag(9)}}, {"system:new"}),
        ({"content": {"tools": tag(9)}}, {"tools:new"}),
        ({"content": {"harness": "agent"}}, {"harness:new"}),
        ({"network": {"place": "AS9", "country": "BR"}}, {"place:new", "country:new"}),
    ],
)
def test_each_habit_tells_what_is_new(parts: dict[str, dict[str, object]], new: set[str]) -> None:
    assert {code for code in codes(lived(), **parts) if code.endswith(":new")} == new


def test_a_country_says_nothing_where_the_network_is_usual() -> None:
    assert "country:new" not in codes(lived(), network={"country": "BR"})


def test_what_cannot_be_known_says_nothing() -> None:
    found = codes(lived(), client={"fingerprint": "", "family": ""}, network={"place": ""})
    assert not {code for code in found if code.startswith(("client", "family", "place"))}


def test_only_a_clearly_dearer_model_is_dearer() -> None:
    assert "dearer:new" in codes(lived(), asked={"model": "m", "level": 102})
    assert "dearer:no" in codes(lived(), asked={"model": "m", "level": 101})
    assert not codes(lived(), asked={"model": "m", "level": None}) & {"dearer:new", "dearer:no"}


@pytest.mark.parametrize("habit", ["place", "model", "route", "script"])
def test_a_value_that_is_a_dash_is_a_value_like_any_other(habit: str) -> None:
    parts = {
        "place": {"network": {"place": "-"}},
        "model": {"asked": {"model": "-"}},
        "route": {"asked": {"route": "-"}},
        "script": {"content": {"script": "-"}},
    }[habit]
    past = lived()
    past.values.setdefault(habit, {}).setdefault("another", Seen(DAY - 10, DAY - 1, 10))
    assert f"{habit}:new" in codes(past, **parts)


def test_a_value_is_usual_after_two_earlier_days_and_not_by_many_calls_of_one() -> None:
    past, abroad = lived(), {"place": "AS9"}
    for second in range(200):
        learned(past, call(at(second=second), network=abroad))
    assert "place:new" in codes(past, network=abroad)
    tomorrow = call(at(DAY + 1), network=abroad)
    assert any(sign.code == "place:new" for sign in novelty.score(tomorrow, past, ""))
    learned(past, tomorrow)
    after = call(at(DAY + 2), network=abroad)
    assert any(sign.code == "place:usual" for sign in novelty.score(after, past, ""))


@given(days=st.integers(1, 60), kind=st.sampled_from(KEY_KINDS))
def test_news_weigh_more_the_longer_a_key_was_the_same(days: int, kind: str) -> None:
    def weight(past: Past) -> float:
        signs = novelty.score(call(at(), network={"place": "AS9"}), past, kind)
        (sign,) = [sign for sign in signs if sign.code == "place:new"]
        return sign.thief / sign.ordinary

    assert weight(lived(days + 1)) >= weight(lived(days))


def test_a_key_that_has_news_often_is_told_less() -> None:
    restless = Past()
    for day in range(DAY - 10, DAY):
        for second in range(5):
            learned(restless, call(at(day, second), content={"system": tag(day)}))
    odds = [
        next(
            s
            for s in novelty.score(call(at(), content={"system": tag(7)}), past, "app")
            if s.code == "system:new"
        ).ordinary
        for past in (restless, lived())
    ]
    assert odds[0] > 4 * odds[1]


def test_every_habit_that_can_be_absent_has_its_odds() -> None:
    assert set(COMMON_NONE) <= {habit.name for habit in HABITS}
    bare = call(
        at(),
        content={"tools": "", "system": "", "harness": ""},
        asked={"output_limit": None},
    )
    absent = values_of(bare)
    assert {name for name, value in absent.items() if value == "-"} == set(COMMON_NONE)
    assert OWN.content.root


def test_another_part_of_the_same_cloud_is_new_and_another_cloud_says_it_once() -> None:
    assert {"place:usual", "block:new"} <= codes(lived(), network={"block": "198.51.100.0/24"})
    elsewhere = codes(lived(), network={"place": "AS9", "block": "198.51.100.0/24"})
    assert "place:new" in elsewhere
    assert not {"block:new", "block:usual"} & elsewhere


def test_who_calls_from_everywhere_in_its_cloud_is_not_suspected_for_it() -> None:
    past = Past()
    for day in range(DAY - 30, DAY):
        for number in range(3):
            learned(past, call(at(day, number), network={"block": f"203.0.{day % 199}.{number}"}))
    rented = call(at(), network={"block": "198.51.100.0/24"})
    weight = [
        next(s.weight for s in novelty.score(rented, each, "app") if s.code == "block:new")
        for each in (lived(30), past)
    ]
    assert weight[0] > 0.8
    assert weight[1] < 0.7


@pytest.mark.parametrize(
    ("number", "step"),
    [(None, ""), (0, ""), (-5, ""), (1, "0"), (7, "0"), (8, "1"), (63, "1"), (64, "2"), (512, "3"),
     (2**70, "12")],
)  # fmt: skip
def test_lengths_count_in_steps_of_eight_times(number: int | None, step: str) -> None:
    assert steps_of(number) == step


def test_a_length_that_is_eight_times_as_long_and_another_limit_are_new() -> None:
    seen = call(at(), content={"size": 40_000}, asked={"output_limit": 16_000})
    signs = {sign.code: sign for sign in novelty.score(seen, lived(), "app")}
    assert "length of the request (32,768 or more) is new" in signs["size:new"].reason
    assert "output limit (4,096 or more) is new" in signs["limit:new"].reason
    assert {"size:usual", "limit:usual"} <= codes(
        lived(), content={"size": 511}, asked={"output_limit": 300}
    )


def test_what_takes_only_words_does_not_lack_a_system_prompt() -> None:
    embeds = call(at(), content={"system": ""}, asked={"route": "embeddings", "output_limit": None})
    assert not {"system", "tools", "harness", "limit"} & set(values_of(embeds))
    assert "system" in values_of(call(at(), content={"system": ""}))


def test_a_habit_that_was_never_seen_is_unknown_and_begins_with_what_it_shows_first() -> None:
    """A guard that learned to see more, or was given a database, suspects nobody for it."""
    past = lived()
    del past.values["block"]
    assert not {"block:new", "block:usual"} & {s.code for s in novelty.score(call(at()), past, "")}
    learned(past, call(at()))
    thief = {"block": "198.51.100.0/24"}
    learned(past, call(at(DAY, 60), network=thief))
    assert not {"block:new", "block:usual"} & codes(past, network=thief), "unknown for the day"
    later = call(at(DAY + 1))
    assert "block:usual" in {sign.code for sign in novelty.score(later, past, "")}
    assert look(later, past).is_usual
    other = call(at(DAY + 1), network={"block": "192.0.2.0/24"})
    assert "block:new" in {sign.code for sign in novelty.score(other, past, "")}


def test_a_key_that_never_had_a_public_network_or_a_system_prompt_has_one_for_the_first_time() -> (
    None
):
    past = lived()
    for habit in ("place", "country", "network_kind", "block", "system", "tools", "harness"):
        past.values.pop(habit, None)
    thief = call(
        at(), network={"place": "AS9", "country": "SG", "kind": "vpn"}, content={"system": tag(9)}
    )
    for second in range(3):
        shown = {sign.code for sign in novelty.score(thief, past, "")}
        assert {"place:new", "country:new", "network_kind:new", "system:new"} <= shown
        learned(past, replace(thief, at_ms=at(DAY, second)))
