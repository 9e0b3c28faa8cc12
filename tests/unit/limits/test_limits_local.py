import pytest

from ledger_world import MovingClock
from tokenward.kernel.refusals import Refusal
from tokenward.limits.interfaces import UNLIMITED, KeyLimits, Place
from tokenward.limits.local import LocalLimiter


@pytest.fixture
def clock() -> MovingClock:
    return MovingClock()


def entered(answer: Place | Refusal) -> Place:
    assert not isinstance(answer, Refusal), answer
    return answer


def refused(answer: Place | Refusal) -> str:
    assert isinstance(answer, Refusal)
    return answer.code


async def test_a_key_without_limits_always_has_a_place(clock: MovingClock) -> None:
    limiter = LocalLimiter(clock)
    for _ in range(1_000):
        entered(await limiter.enter("k", UNLIMITED)).leave()


async def test_what_one_limit_refuses_no_other_counts(clock: MovingClock) -> None:
    limiter, limits = LocalLimiter(clock), KeyLimits(rpm=2, tpm=10, concurrency=1)
    place = entered(await limiter.enter("k", limits))
    assert refused(await limiter.enter("k", limits)) == "concurrency:exceeded"
    place.leave()
    place.leave()
    entered(await limiter.enter("k", limits)).leave()
    assert refused(await limiter.enter("k", limits)) == "rate:exceeded"


async def test_tokens_that_were_used_count_for_a_minute(clock: MovingClock) -> None:
    limiter, limits = LocalLimiter(clock), KeyLimits(tpm=10)
    limiter.use("k", 10)
    assert refused(await limiter.enter("k", limits)) == "rate:exceeded"
    clock.at_ms += 61_000
    entered(await limiter.enter("k", limits))
