"""What happened in a world, as whoever stands outside of it saw it: events in their order."""

from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple


class Event(NamedTuple):
    """Something that happened at `at_s` of true time. `what` it was says which `facts` it has."""

    at_s: float
    where: str
    what: str
    facts: dict[str, Any]

    def __getattr__(self, name: str) -> Any:
        try:
            return self.facts[name]
        except KeyError:
            raise AttributeError(name) from None

    def __str__(self) -> str:
        told = " ".join(f"{name}={value}" for name, value in self.facts.items())
        return f"{self.at_s:9.4f}  {self.where:<8} {self.what:<16} {told}"


class History:
    """Everything that happened, and which faults really fired."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.fired: Counter[str] = Counter()

    def note(self, at_s: float, where: str, what: str, /, **facts: Any) -> Event:
        """Add an event."""
        event = Event(at_s, where, what, facts)
        self.events.append(event)
        return event

    def fire(self, feature: str) -> None:
        """A feature did something that the product could notice."""
        self.fired[feature] += 1

    def of(self, *kinds: str) -> Iterator[Event]:
        """Events of these kinds, in order."""
        return (event for event in self.events if event.what in kinds)

    def story(self) -> str:
        """For people."""
        return "\n".join(str(event) for event in self.events)
