"""How often does an owner do something new, and how does a thief differ? The tables of novelty.

Rates are a peer's: probabilities a day of use, before a key has shown its own. They are judgement
informed by docs/explanation/evidence.md, not fitted to captured theft, of which no public data
exists; `tokenward lab evaluate` shows what they lead to.
"""

from typing import Final

from msgspec import Struct


class Habit(Struct, frozen=True, kw_only=True, gc=False):
    """One thing that a key is seen with. `given` names the habit that must be new for this one to
    say anything: a country cannot change while the network stays. `within` names the one that must
    not: in a new network every neighbourhood is new. `rates` are by key kind: ("", developer, app,
    public); with `given` they are shares of the days on which that one was new.
    `moved` is its probability of being new when the owner moved (`moved_service`, where it is not
    the same for a service that did), `thief` when it is a thief."""

    name: str
    label: str
    given: str = ""
    within: str = ""
    rates: tuple[float, float, float, float]
    moved: float
    moved_service: float | None = None
    thief: float


HABITS: Final = (
    Habit(name="place", label="network", rates=(0.02, 0.06, 0.01, 0.01), moved=0.99, thief=0.98),
    Habit(name="country", label="country", given="place", rates=(0.15,) * 4, moved=0.2, thief=0.75),
    Habit(
        name="network_kind",
        label="kind of network",
        given="place",
        rates=(0.15, 0.25, 0.1, 0.1),
        moved=0.2,
        thief=0.6,
    ),
    Habit(
        name="block",  # a cloud is one network, and thieves rent where owners do
        label="part of the network",
        within="place",
        rates=(0.08, 0.12, 0.06, 0.06),
        moved=0.4,
        thief=0.93,
    ),
    Habit(
        name="client",
        label="program",
        rates=(0.015, 0.03, 0.008, 0.008),
        moved=0.2,
        moved_service=0.1,  # it takes its program along
        thief=0.9,
    ),
    Habit(
        name="family",
        label="kind of program",
        given="client",
        rates=(0.35, 0.4, 0.3, 0.3),
        moved=0.3,
        thief=0.75,
    ),
    Habit(name="model", label="model", rates=(0.02, 0.05, 0.012, 0.012), moved=0.04, thief=0.6),
    Habit(
        name="dearer",
        label="dearer model",
        given="model",
        rates=(0.3,) * 4,
        moved=0.3,
        thief=0.75,
    ),
    Habit(name="route", label="route", rates=(0.008, 0.02, 0.005, 0.005), moved=0.02, thief=0.15),
    Habit(name="system", label="system prompt", rates=(0.2, 0.4, 0.1, 0.1), moved=0.25, thief=0.97),
    Habit(name="tools", label="set of tools", rates=(0.06, 0.2, 0.03, 0.03), moved=0.1, thief=0.7),
    # How long requests are says little of an owner that is seen for weeks: of ServeGen's keys half
    # shift their mean by more than a third within two. In steps of eight times it says something.
    Habit(
        name="size",
        label="length of the request",
        rates=(0.03, 0.05, 0.02, 0.03),
        moved=0.15,
        thief=0.35,
    ),
    # What stands in code does not change from call to call.
    Habit(
        name="limit",
        label="output limit",
        rates=(0.02, 0.04, 0.01, 0.01),
        moved=0.15,
        thief=0.55,
    ),
    Habit(name="script", label="script", rates=(0.01, 0.02, 0.01, 0.05), moved=0.02, thief=0.25),
    Habit(name="harness", label="agent", rates=(0.005, 0.03, 0.002, 0.002), moved=0.01, thief=0.2),
)
BY_NAME: Final = {habit.name: habit for habit in HABITS}
NONE: Final = "-"
"""The value of a chat that has no system prompt, or no tools: a habit too."""
POPULAR: Final = {
    "openai-python": 0.25,
    "requests": 0.15,
    "openai-node": 0.1,
    "anthropic-python": 0.1,
    "curl": 0.1,
    "go": 0.1,
    "litellm": 0.08,
    "httpx": 0.06,
    "aiohttp": 0.06,
    "node-fetch": 0.06,
}
"""How likely a thief happens to call with the very program that the owner uses, by its family."""
POPULAR_ELSE: Final = 0.03
COMMON_NONE: Final = {"system": 0.4, "tools": 0.6, "harness": 0.8, "limit": 0.6}
"""How likely a thief's call has none of it, which a key without any cannot tell from its own."""
EARLY_DAYS: Final = 12.0
"""A young key is still finding its shape: its first day is this much more changeable, the tenth
twice as much as usual."""
PRIOR_DAYS: Final = 10.0
"""How many days of its own a key must have been seen for its own rate to count as much."""
EARLY_CALLS: Final = 5
"""Before so many clean calls there is no past to speak of: novelty is unknown."""
KNOWN_DAYS: Final = 2
"""A value is usual when it was seen on so many earlier days, or on the key's first day of use."""
