"""One key's bookkeeping: who teaches, what is barred, what an undo clears."""

from tokenward.kernel.signals import Asked, Client, Content, Network, Signals
from tokenward.lab.ward import Ward
from tokenward.policy.rules import Rules

DAY_MS = 86_400_000
HOME = Network(place="AS1", country="DE", asn=1, kind="datacenter")
AWAY = Network(place="AS2", country="VN", asn=2, kind="vpn")
OWNER = Client(family="openai-python", fingerprint="0" * 16)
THIEF = Client(family="go", fingerprint="f" * 16)


def _call(day: int, network: Network = HOME, client: Client = OWNER, **asked: object) -> Signals:
    return Signals(
        at_ms=(20_000 + day) * DAY_MS,
        client=client,
        network=network,
        content=Content(system=network.place, root="1" * 16, script="latin"),
        asked=Asked(**{"model": "small-1", "level": 20, "route": "chat"} | asked),  # type: ignore[arg-type]  # names of fields
    )


def _ward(mode: str = "enforce") -> Ward:
    ward = Ward(Rules(mode=mode, key_kind="app"))
    for day in range(20):
        for _ in range(3):
            assert ward.ask(_call(day)).action == "allow"
    return ward


def test_a_stranger_is_challenged_and_stays_barred_and_teaches_nothing() -> None:
    ward = _ward()
    first = ward.ask(_call(21, AWAY, THIEF, model="large-1"))
    assert first.opens
    again = ward.ask(_call(21, AWAY, THIEF))
    assert again.is_refused
    assert not again.opens
    assert AWAY.place not in ward.past.values["place"]
    assert ward.ask(_call(21)).action == "allow"


def test_what_the_owner_clears_is_not_asked_about_again() -> None:
    ward = _ward()
    verdict = ward.ask(_call(21, AWAY, THIEF, model="large-1"))
    ward.undo(verdict)
    assert ward.barred == ()
    assert ward.ask(_call(21, AWAY, THIEF)).action == "allow"
    assert AWAY.place in ward.past.values["place"]


def test_a_dearer_model_is_held_for_the_owner_too_until_cleared() -> None:
    ward = _ward()
    held = ward.ask(_call(21, model="large-1", level=40))
    assert held.action == "hold"
    assert ward.ask(_call(21)).action == "allow"
    ward.undo(held)
    assert ward.ask(_call(21, model="large-1", level=40)).action == "allow"


def test_a_frozen_key_answers_nobody() -> None:
    ward = _ward()
    ward.is_frozen = True
    assert ward.ask(_call(21)).is_refused


def test_observing_refuses_nothing() -> None:
    ward = _ward("observe")
    verdict = ward.ask(_call(21, AWAY, THIEF, model="large-1"))
    assert verdict.action != "allow"
    assert not verdict.is_refused
    assert AWAY.place not in ward.past.values["place"]
