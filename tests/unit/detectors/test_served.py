"""What a key was given is remembered in few bytes."""

import random
import sys

from tokenward.detectors.served import ANSWERS_MAX, Served


def answers(count: int, seed: int = 1) -> list[int]:
    rng = random.Random(seed)
    return [rng.getrandbits(64) for _ in range(count)]


def test_the_newest_answers_are_never_missed() -> None:
    served, given = Served(0), answers(5_000)
    for index, answer in enumerate(given):
        served.add(answer, index)
        assert served.has(given[max(0, index - ANSWERS_MAX + 1)])


def test_few_others_are_taken_for_served() -> None:
    served = Served(0)
    for answer in answers(2 * ANSWERS_MAX):
        served.add(answer, 0)
    wrong = sum(served.has(answer) for answer in answers(4_000, seed=2))
    assert wrong < 4_000 * 0.1


def test_it_says_since_when_nothing_is_forgotten() -> None:
    served = Served(5)
    for index, answer in enumerate(answers(2 * ANSWERS_MAX + 1)):
        served.add(answer, 1_000 + index)
        if index == 2 * ANSWERS_MAX - 1:
            assert served.reaches_ms == 5
    assert served.reaches_ms == 1_000 + ANSWERS_MAX


def test_it_takes_two_kilobytes_and_nothing_before_the_first_answer() -> None:
    served = Served(0)
    assert not served.has(1)
    assert _bytes(served) < 200
    for answer in answers(10_000):
        served.add(answer, 0)
    assert _bytes(served) < 2_300


def _bytes(served: Served) -> int:
    return sum(sys.getsizeof(getattr(served, name)) for name in ("_new", "_old"))
