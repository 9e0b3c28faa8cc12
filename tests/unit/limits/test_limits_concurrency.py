"""Calls that run at once."""

from tokenward.kernel.refusals import Refusal
from tokenward.limits.concurrency import Concurrency, Slot


def entered(outcome: Slot | Refusal) -> Slot:
    assert isinstance(outcome, Slot)
    return outcome


def test_the_limit_holds_and_a_place_given_back_is_free_again() -> None:
    concurrency = Concurrency()
    slots = [entered(concurrency.enter("k", 2)) for _ in range(2)]
    refusal = concurrency.enter("k", 2)
    assert isinstance(refusal, Refusal)
    assert (refusal.code, refusal.status) == ("concurrency:exceeded", 429)
    assert (refusal.should_retry, refusal.retry_after_s) == (True, 1)
    assert dict(refusal.facts) == {"limit": 2, "running": 2}
    slots[0].leave()
    assert concurrency.running("k") == 1
    entered(concurrency.enter("k", 2))


def test_leaving_twice_gives_back_one_place() -> None:
    concurrency = Concurrency()
    first, second = (entered(concurrency.enter("k", 5)) for _ in range(2))
    first.leave()
    first.leave()
    assert concurrency.running("k") == 1
    second.leave()
    assert concurrency.running("k") == 0


def test_a_refused_call_takes_no_place() -> None:
    concurrency = Concurrency()
    slot = entered(concurrency.enter("k", 1))
    for _ in range(10):
        assert isinstance(concurrency.enter("k", 1), Refusal)
    slot.leave()
    assert concurrency.running("k") == 0


def test_keys_do_not_share_places_and_no_limit_counts_too() -> None:
    concurrency = Concurrency()
    entered(concurrency.enter("a", 1))
    entered(concurrency.enter("b", 1))
    for _ in range(100):
        entered(concurrency.enter("c", None))
    assert concurrency.running("c") == 100


def test_only_keys_that_run_take_memory() -> None:
    concurrency = Concurrency()
    slots = [entered(concurrency.enter(f"key{number}", 1)) for number in range(1_000)]
    assert len(concurrency) == 1_000
    for slot in slots:
        slot.leave()
    assert len(concurrency) == 0
