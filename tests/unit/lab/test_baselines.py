"""What simpler rules let through."""

from tokenward.kernel.signals import Network, Signals
from tokenward.lab.baselines import Cap, compare
from tokenward.lab.thief import Theft

USD = 1_000_000_000


def _plan(calls: int, every_s: float, cost_usd: float, place: str = "AS9") -> list[Theft]:
    return [
        Theft(
            0,
            Signals(at_ms=int(turn * every_s * 1_000), network=Network(place=place)),
            int(cost_usd * USD),
            False,
        )
        for turn in range(calls)
    ]


def test_without_a_guard_all_is_lost() -> None:
    lets = compare(_plan(100, 1, 1.0), [{"AS1"}], Cap(10 * USD, 0), 10 * USD)
    assert (lets["nothing"].calls, lets["nothing"].cost_nusd) == (100, 100 * USD)
    assert not lets["nothing"].caught


def test_a_cap_leaves_what_the_owner_has_not_spent() -> None:
    lets = compare(_plan(100, 1, 1.0), [{"AS1"}], Cap(10 * USD, 4 * USD), 10 * USD)
    assert (lets["cap"].calls, lets["cap"].cost_nusd) == (6, 6 * USD)


def test_a_cap_begins_anew_each_day() -> None:
    lets = compare(_plan(4, 43_200, 6.0), [set()], Cap(10 * USD, 0), 10 * USD)
    assert lets["cap"].calls == 2


def test_a_new_network_is_refused_and_a_known_one_is_not() -> None:
    known = compare(_plan(5, 1, 1.0), [{"AS9"}], Cap(USD, 0), USD)["new_network"]
    new = compare(_plan(5, 1, 1.0), [{"AS1"}], Cap(USD, 0), USD)["new_network"]
    assert (known.calls, known.caught, new.calls, new.caught) == (5, False, 0, True)


def test_a_static_limit_counts_calls_and_money() -> None:
    fast = compare(_plan(300, 0.1, 0.0), [set()], Cap(USD, 0), USD)["static_limit"]
    dear = compare(_plan(10, 1, 1.0), [set()], Cap(8 * USD, 0), 8 * USD)["static_limit"]
    assert fast.calls == 60
    assert dear.cost_nusd == 1 * USD
