"""Many programs, prompts and conversations behind one key."""

import pytest

from seen_calls import DAY, at, call, learned, lived, tag
from tokenward.detectors import Past
from tokenward.detectors.recent import Recent
from tokenward.kernel.signals import Signals


def codes(recent: Recent, seen: Signals, past: Past, key_kind: str = "") -> list[str]:
    return [sign.code for sign in recent.signs(seen, past, key_kind)]


def program(second: float, number: int) -> Signals:
    return call(at(second=second), client={"fingerprint": tag(number)})


def prompted(second: float, number: int, day: int = DAY, root: int = 0) -> Signals:
    content = {"system": tag(number), "root": tag(root or number)}
    return call(at(day, second), content=content)


def noted(*calls: Signals) -> Recent:
    recent = Recent()
    for each in calls:
        recent.note(each, is_clean=True, is_error=False)
    return recent


@pytest.mark.parametrize(("key_kind", "most"), [("", 4), ("developer", 4), ("app", 3)])
def test_one_program_more_within_the_hour_than_its_kind_of_key_has_is_told(
    key_kind: str, most: int
) -> None:
    recent = noted(*(program(second, second + 1) for second in range(most)))
    assert codes(recent, program(60, 99), lived(), key_kind) == ["sharing:programs"]
    assert codes(recent, program(60, 1), lived(), key_kind) == []
    assert codes(recent, program(3_700, 99), lived(), key_kind) == []


def test_the_owners_own_program_is_not_blamed_for_others() -> None:
    recent = noted(*(program(second, second + 1) for second in range(8)))
    assert codes(recent, call(at(second=9)), lived()) == []


def test_a_key_that_was_always_used_by_many_programs_may_have_one_more() -> None:
    past = Past()
    for day in range(DAY - 5, DAY):
        for number in range(7):
            learned(past, call(at(day, number), client={"fingerprint": tag(number + 1)}))
    recent = noted(*(program(second, second + 1) for second in range(6)))
    assert codes(recent, program(60, 99), past) == []
    recent = noted(*(program(second, second + 1) for second in range(8)))
    assert codes(recent, program(60, 99), past) == ["sharing:programs"]


def test_many_system_prompts_within_ten_minutes_are_told_of_a_key_with_one() -> None:
    recent = noted(*(prompted(second, second + 1) for second in range(10)))
    assert codes(recent, prompted(60, 99), lived(), "app") == ["sharing:prompts"]
    assert codes(recent, prompted(700, 99), lived(), "app") == []
    assert codes(recent, call(at(second=60)), lived(), "app") == []


def test_many_system_prompts_are_unknown_to_a_young_key() -> None:
    recent = noted(*(prompted(second, second + 1) for second in range(20)))
    assert codes(recent, prompted(60, 99), Past(), "app") == []
    assert codes(recent, prompted(60, 99), lived(days=2), "app") == []
    assert codes(recent, prompted(60, 99), lived(days=3), "app") == ["sharing:prompts"]


def test_a_program_that_writes_a_prompt_for_every_call_never_looks_shared() -> None:
    past, recent = Past(), Recent()
    for day in range(DAY, DAY + 6):
        for second in range(40):
            seen = prompted(second, day * 100 + second, day)
            assert codes(recent, seen, past, "app") == [], day - DAY
            recent.note(seen, is_clean=True, is_error=False)
            learned(past, seen, "app")


def interleaved(count: int) -> list[Signals]:
    turns = [prompted(number, number + 1) for number in range(count)]
    return turns + [prompted(60 + number, number + 1) for number in range(count)]


def test_nine_conversations_at_once_under_as_many_prompts_are_not_one_developer() -> None:
    recent, past = noted(*interleaved(9)), lived()
    assert codes(recent, prompted(130, 1), past, "developer") == ["sharing:conversations"]
    assert "sharing:conversations" not in codes(recent, prompted(130, 1), past, "app")
    assert "sharing:conversations" not in codes(recent, prompted(900, 1), past, "developer")


def test_one_conversation_after_the_other_is_one_developer() -> None:
    one_by_one = [prompted(number // 3, number // 3 + 1) for number in range(60)]
    found = codes(noted(*one_by_one), prompted(21, 99), lived(), "developer")
    assert "sharing:conversations" not in found


def test_many_conversations_of_one_coding_agent_are_one_developer() -> None:
    calls = [prompted(number, 1 + number % 3, root=number % 12 + 50) for number in range(48)]
    assert codes(noted(*calls), prompted(50, 1, root=50), lived(), "developer") == []
