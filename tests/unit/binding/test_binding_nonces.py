import pytest

from holder import b64
from tokenward.binding.interfaces import Epoch
from tokenward.binding.nonces import SPAN_MS, Nonces

NOW_MS = 1_795_000_000_000 // SPAN_MS * SPAN_MS
EPOCH = Epoch(bytes(range(32)), 0)


def nonces_of(epoch: Epoch) -> Nonces:
    return Nonces(lambda: epoch)


def test_a_nonce_is_fresh_for_its_five_minutes_and_the_next_five() -> None:
    nonces = nonces_of(EPOCH)
    nonce = nonces.current(NOW_MS)
    for later_ms in (0, 1, SPAN_MS - 1, SPAN_MS, 2 * SPAN_MS - 1):
        assert nonces.is_fresh(nonce, NOW_MS + later_ms, EPOCH)
    for later_ms in (2 * SPAN_MS, 3 * SPAN_MS, 1000 * SPAN_MS):
        assert not nonces.is_fresh(nonce, NOW_MS + later_ms, EPOCH)


def test_a_nonce_of_later_is_not_fresh_yet() -> None:
    """A clock that was put back: what was handed out before must be asked for again."""
    nonces = nonces_of(EPOCH)
    assert not nonces.is_fresh(nonces.current(NOW_MS), NOW_MS - 1, EPOCH)


def test_every_process_with_the_secret_knows_it_and_none_without() -> None:
    nonce = nonces_of(EPOCH).current(NOW_MS)
    assert nonces_of(EPOCH).is_fresh(nonce, NOW_MS + SPAN_MS, EPOCH)
    other = Epoch(bytes(32), 0)
    assert not nonces_of(other).is_fresh(nonce, NOW_MS, other)


def test_a_nonce_is_the_same_until_the_next_one() -> None:
    nonces = nonces_of(EPOCH)
    first = nonces.current(NOW_MS)
    assert nonces.current(NOW_MS + SPAN_MS - 1) == first
    assert nonces.current(NOW_MS + SPAN_MS) != first
    assert nonces.current(NOW_MS) == first


@pytest.mark.parametrize(
    "nonce", ["", "x", "é", "\ud800", "?", b64(bytes(24)), "A" * 10_000, "A" * 32 + "="]
)
def test_what_is_not_ours_is_not_fresh_and_no_fault(nonce: str) -> None:
    assert not nonces_of(EPOCH).is_fresh(nonce, NOW_MS, EPOCH)


def test_a_nonce_with_one_character_changed_is_not_ours() -> None:
    nonces = nonces_of(EPOCH)
    nonce = nonces.current(NOW_MS)
    for at, sign in enumerate(nonce):
        changed = nonce[:at] + ("A" if sign != "A" else "B") + nonce[at + 1 :]
        assert not nonces.is_fresh(changed, NOW_MS, EPOCH)


def test_a_short_secret_is_our_own_bug() -> None:
    with pytest.raises(AssertionError):
        nonces_of(Epoch(bytes(31), 0)).current(NOW_MS)


def test_when_another_epoch_begins_its_nonces_are_handed_out_and_the_old_ones_are_not_fresh() -> (
    None
):
    """Also while the guard runs: the epoch is read anew each time."""
    epochs = [EPOCH]
    nonces = Nonces(lambda: epochs[-1])
    before = nonces.current(NOW_MS)
    epochs.append(Epoch(bytes(32), NOW_MS))
    after = nonces.current(NOW_MS)
    assert after != before
    assert nonces.is_fresh(after, NOW_MS, nonces.epoch)
    assert not nonces.is_fresh(before, NOW_MS, nonces.epoch)
    assert nonces.is_fresh(before, NOW_MS, EPOCH), "judged in one epoch, whatever begins meanwhile"
