"""What a key was seen with in some minutes becomes what it was seen with for weeks, and lasts."""

from tokenward.detectors.fusion import learn, look
from tokenward.detectors.merging import merge
from tokenward.detectors.past import DAY_MS, Past, pack, unpack
from tokenward.kernel.signals import Asked, Client, Content, Network, Signals
from tokenward.lab.drill.ageing import aged

TODAY = 20_000


def _call(place: str = "home") -> Signals:
    return Signals(
        at_ms=TODAY * DAY_MS + 1_000,
        client=Client(family="requests", fingerprint="0" * 16),
        network=Network(place=place),
        content=Content(system="1" * 16),
        asked=Asked(model="m", level=10, route="chat"),
    )


def _learned() -> Past:
    past = Past()
    for _ in range(8):
        learn(_call(), past, look(_call(), past))
    return past


def test_each_value_was_seen_on_every_day_up_to_today() -> None:
    past = unpack(aged(pack(_learned()), 30))
    assert past is not None
    assert (past.first, past.last, past.days) == (TODAY - 29, TODAY, 30)
    assert past.earlier_days(TODAY) == 29
    seen = [each for values in past.values.values() for each in values.values()]
    assert len(seen) >= 4
    assert {(each.first, each.last, each.days) for each in seen} == {(TODAY - 29, TODAY, 30)}


def test_a_fold_with_the_young_past_keeps_the_old_one() -> None:
    young = pack(_learned())
    old = aged(young, 30)
    assert unpack(merge(young, old)) == unpack(merge(old, young)) == unpack(old)
    assert unpack(old) != unpack(young)


def test_a_stranger_weighs_more_against_an_old_key() -> None:
    young, old = _learned(), unpack(aged(pack(_learned()), 30))
    assert old is not None
    assert look(_call("elsewhere"), old).log_e > look(_call("elsewhere"), young).log_e
    assert look(_call(), old).is_usual


def test_what_is_no_past_stays_as_it_is() -> None:
    assert aged(b"nonsense", 30) == b"nonsense"
    assert aged(pack(Past()), 30) == pack(Past())
    assert aged(pack(_learned()), 1) == pack(_learned())
