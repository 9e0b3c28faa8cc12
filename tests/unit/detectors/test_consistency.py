"""Layers that cannot belong together, of programs that the owner does not use."""

from seen_calls import at, call, learned, lived, tag
from tokenward.detectors import Past, consistency
from tokenward.kernel.signals import Signals

WRONG = ("it says that it is Python but its headers are in the order of Go",)


def relay(**more: object) -> Signals:
    return call(at(), client={"fingerprint": tag(9), "contradictions": WRONG, **more})


def test_a_contradiction_is_told_in_its_own_words_and_needs_no_history() -> None:
    for past in (Past(), lived()):
        (sign,) = consistency.score(relay(), past, "")
        assert (sign.kind, sign.code, sign.reason) == ("E2", "client:contradiction", WRONG[0])
        assert sign.weight > 4


def test_an_oddity_weighs_less_than_a_contradiction() -> None:
    contradiction, oddity = consistency.score(relay(oddities=("an empty referer",)), Past(), "")
    assert oddity.code == "client:oddity"
    assert 0 < oddity.weight < contradiction.weight


def test_a_program_without_either_is_not_told() -> None:
    assert consistency.score(relay(contradictions=()), Past(), "") == []


def test_a_program_that_the_owner_uses_may_be_odd() -> None:
    past = Past()
    for second in range(6):
        learned(past, call(at(second=second), client={"fingerprint": tag(9)}))
    assert consistency.score(relay(), past, "") == []


def test_at_most_three_sentences_are_told() -> None:
    (sign,) = consistency.score(relay(contradictions=tuple("abcdef")), Past(), "")
    assert sign.reason == "a; b; c"
