"""Conversations that go on from answers which this key was never given."""

from seen_calls import at, call, lived, tag
from tokenward.detectors import Past
from tokenward.detectors.recent import Recent
from tokenward.detectors.signs import Sign
from tokenward.kernel.signals import Signals

LONG_AGO = at() - 2 * 3_600_000
RELAY = {"fingerprint": tag(0xA2)}


def talk(second: float, root: int, *answers: int, family: int = 0xA2) -> Signals:
    content = {"root": tag(root), "answers": tuple(tag(answer) for answer in answers)}
    return call(at(second=second), content=content, client={"fingerprint": tag(family)})


def foreign(recent: Recent, seen: Signals, past: Past | None = None) -> list[Sign]:
    signs = recent.signs(seen, past or lived(), "app")
    return [sign for sign in signs if sign.code == "sharing:foreign"]


def played(recent: Recent, *calls: Signals) -> list[Sign]:
    found = []
    for each in calls:
        found += foreign(recent, each)
        recent.note(each, is_clean=True, is_error=False)
    return found


def test_the_third_conversation_that_was_spoken_elsewhere_is_told() -> None:
    recent = Recent(since_ms=LONG_AGO)
    assert played(recent, talk(0, 1, 101), talk(1, 2, 102)) == []
    (sign,) = played(recent, talk(2, 3, 103))
    assert sign.kind == "E3"
    assert "3 of 3 conversations" in sign.reason


def test_turns_of_one_conversation_count_once() -> None:
    recent = Recent(since_ms=LONG_AGO)
    assert played(recent, *(talk(turn, 1, *range(100 + turn, 99, -1)) for turn in range(9))) == []


def test_conversations_that_this_key_answered_show_nothing() -> None:
    recent, answers = Recent(since_ms=LONG_AGO), list[int]()
    for second in range(200):
        root = second % 20
        history = [answer for answer in reversed(answers) if answer % 20 == root]
        assert played(recent, talk(second, root + 1, *history)) == []
        answers.append(1_000 + second + (root - (1_000 + second)) % 20)
        recent.serve(tag(answers[-1]), at(second=second))


def test_half_of_the_conversations_must_be_foreign() -> None:
    recent = Recent(since_ms=LONG_AGO)
    for root in range(1, 5):
        recent.serve(tag(200 + root), at())
        played(recent, talk(root, root, 200 + root))
    found = [played(recent, talk(10 + root, 50 + root, 300 + root)) for root in range(4)]
    assert [len(signs) for signs in found] == [0, 0, 0, 1]


def test_answers_that_came_back_make_it_stronger() -> None:
    never, before = Recent(since_ms=LONG_AGO), Recent(since_ms=LONG_AGO)
    before.serve(tag(7), at())
    played(before, talk(0, 90, 7))
    calls = [talk(root, root, 100 + root) for root in range(1, 4)]
    assert played(before, *calls)[0].weight > played(never, *calls)[0].weight + 1


def test_examples_in_the_prompt_are_the_same_everywhere_and_do_not_count() -> None:
    recent = Recent(since_ms=LONG_AGO)
    assert played(recent, *(talk(root, root, 11, 12, 13) for root in range(1, 60))) == []


def test_examples_before_a_foreign_history_do_not_hide_it() -> None:
    recent = Recent(since_ms=LONG_AGO)
    played(recent, *(talk(root, root, 11, 12) for root in range(1, 6)))
    assert played(recent, *(talk(9, 50 + root, 500 + root, 11, 12) for root in range(9)))


def test_a_process_that_just_began_knows_nothing() -> None:
    recent = Recent(since_ms=at())
    assert played(recent, *(talk(root, root, 100 + root) for root in range(1, 30))) == []
    for answer in range(30):
        recent.serve(tag(answer), at(second=30))
    assert played(recent, *(talk(60 + root, root, 200 + root) for root in range(1, 30))) == []


def test_a_busy_key_is_judged_after_a_quarter_of_an_hour_and_a_quiet_one_after_an_hour() -> None:
    busy, quiet = Recent(since_ms=at()), Recent(since_ms=at())
    for answer in range(20):
        busy.serve(tag(answer), at())
    calls = [talk(1_000 + root, root, 100 + root) for root in range(1, 5)]
    assert played(busy, *calls)
    assert played(quiet, *calls) == []
    assert played(quiet, *(talk(3_700 + root, root, 100 + root) for root in range(1, 5)))


def test_a_key_with_more_answers_than_are_remembered_is_unknown() -> None:
    recent = Recent(since_ms=LONG_AGO)
    for answer in range(3_000):
        recent.serve(tag(2**40 + answer), at(second=answer / 10))
    assert played(recent, *(talk(300 + root, root, 100 + root) for root in range(1, 9))) == []


def test_a_key_that_several_gateways_serve_is_unknown() -> None:
    recent = Recent(since_ms=LONG_AGO, is_shared=True)
    assert played(recent, *(talk(root, root, 100 + root) for root in range(1, 30))) == []


def test_another_programs_conversations_do_not_dilute_a_relays() -> None:
    recent = Recent(since_ms=LONG_AGO)
    for root in range(1, 9):
        recent.serve(tag(200 + root), at())
        played(recent, talk(root, root, 200 + root, family=0xA1))
    assert played(recent, *(talk(10 + root, 50 + root, 300 + root) for root in range(3)))


def test_the_owners_conversation_is_not_blamed_for_a_pools() -> None:
    recent = Recent(since_ms=LONG_AGO)
    played(recent, *(talk(root, root, 100 + root) for root in range(1, 9)))
    recent.serve(tag(7), at(second=10))
    assert foreign(recent, talk(20, 90, 7)) == []
    assert foreign(recent, talk(20, 91)) == []
    assert foreign(recent, talk(20, 92, 999))
