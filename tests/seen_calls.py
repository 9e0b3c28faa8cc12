"""Calls as the detectors see them, a key's past, and hostile signals: for tests of detectors."""

from typing import Any

from hypothesis import strategies as st
from msgspec.structs import replace

from tokenward.detectors import Past, learn, look
from tokenward.detectors.past import DAY_MS
from tokenward.kernel.signals import Asked, Client, Content, Network, Signals

DAY = 20_000
"""The day on which tests begin."""


def at(day: int = DAY, second: float = 0.0) -> int:
    """A moment, as Unix ms."""
    return day * DAY_MS + int(second * 1000)


def tag(number: int) -> str:
    """A hash."""
    return f"{number:016x}"


OWN = Signals(
    at_ms=at(),
    client=Client(family="openai-python", fingerprint=tag(0xA1)),
    network=Network(
        place="AS100", country="DE", asn=100, kind="datacenter", block="203.0.113.0/24"
    ),
    content=Content(system=tag(0xB1), root=tag(0xC1), size=400),
    asked=Asked(model="small", level=100, route="chat", output_limit=256),
)
"""A call of the owner's."""


def call(moment: int, **parts: dict[str, Any]) -> Signals:
    """The owner's call at a moment, with other values in its parts."""
    changed = {name: replace(getattr(OWN, name), **values) for name, values in parts.items()}
    return replace(OWN, at_ms=moment, **changed)


def lived(days: int = 10, calls: int = 6, key_kind: str = "") -> Past:
    """The past of a key that did the same every day until the day before `DAY`."""
    past = Past()
    for day in range(DAY - days, DAY):
        for second in range(calls):
            learned(past, call(at(day, second)), key_kind)
    return past


def learned(past: Past, seen: Signals, key_kind: str = "") -> Past:
    """The past, taught one clean call."""
    learn(seen, past, look(seen, past, key_kind))
    return past


TEXTS = st.one_of(
    st.sampled_from(["", "-", "DE", tag(0xA1), "0x" + "f" * 14, "\ud800", "\x00", "x" * 500]),
    st.text(max_size=40),
    st.text(alphabet=st.characters(codec=None), max_size=200),
)
NUMBERS = st.one_of(st.integers(), st.integers(-5, 60), st.just(2**70), st.just(-(2**70)))
MOMENTS = st.one_of(st.integers(at(), at() + 4_000_000), NUMBERS)
LISTS = st.lists(TEXTS, max_size=12).map(tuple)
HOSTILE = st.builds(
    Signals,
    at_ms=MOMENTS,
    client=st.builds(
        Client,
        family=TEXTS,
        claimed=TEXTS,
        version=TEXTS,
        fingerprint=TEXTS,
        contradictions=LISTS,
        oddities=LISTS,
    ),
    network=st.builds(
        Network,
        place=TEXTS,
        country=TEXTS,
        asn=NUMBERS,
        kind=TEXTS,
        block=TEXTS,
        position=st.none() | st.tuples(st.floats(), st.floats(), st.floats()),
    ),
    content=st.builds(
        Content,
        system=TEXTS,
        tools=TEXTS,
        root=TEXTS,
        script=TEXTS,
        probe=st.sampled_from(["", "greeting", "model_name"]),
        is_sure=st.booleans(),
        harness=TEXTS,
        answers=LISTS,
        size=NUMBERS,
    ),
    asked=st.builds(
        Asked,
        model=TEXTS,
        level=st.none() | st.integers(-400, 400),
        route=TEXTS | st.sampled_from(["models", "list_models"]),
        output_limit=st.none() | NUMBERS,
    ),
)
"""Whatever a caller might bring about."""
