"""What a seed draws before anything happens: how many of everything, and which faults there are.

Every world has other features on (swarm testing): where everything happens at once, one fault
hides what another would show. A plan can be written down and read again, so that a shrunk one can
be kept as a line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random

FEATURES = (
    # what callers do
    "stream", "hang_up", "retry", "slow_reader", "bound",
    # what the provider does
    "rejects", "breaks", "dawdles", "no_usage", "overbills", "unreachable",
    # what the admin does
    "freezes", "revokes", "caps", "credit",
    # what the thief does
    "copied_key", "replay",
    # what breaks
    "gateway_crash", "keeper_crash", "stop", "clock_step", "drift", "skew", "cut", "lag", "loss",
    "slow_disk", "full_disk", "crash_in_commit",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One world. `gateways` 0: the guard and its file are one process, as by `tokenward serve`."""

    seed: int
    gateways: int
    callers: int
    keys: int
    caps: int
    seconds: int
    features: frozenset[str]

    def has(self, feature: str) -> bool:
        """Whether the feature is on."""
        assert feature in FEATURES, feature
        return feature in self.features

    def rng(self, name: str) -> Random:
        """Chance of one actor: what another draws does not change it."""
        return Random(f"{self.seed}/{name}")

    def __str__(self) -> str:
        sizes = " ".join(f"{name}={getattr(self, name)}" for name in SIZES)
        named = ",".join(feature for feature in FEATURES if feature in self.features)
        return f"{self.seed} {sizes} features={named or 'none'}"

    def smaller(self) -> "Iterator[Plan]":
        """Plans with one thing less, the largest cuts first."""
        for name, least in SIZES.items():
            size = getattr(self, name)
            for less in dict.fromkeys((least, (size + least) // 2, size - 1)):
                if least <= less < size:
                    yield replace(self, **{name: less})
        for feature in FEATURES:
            if feature in self.features:
                yield replace(self, features=self.features - {feature})


SIZES = {"gateways": 0, "callers": 1, "keys": 1, "caps": 0, "seconds": 2}
"""The names of the sizes and the least of each."""


def draw(seed: int) -> Plan:
    """The plan of a seed."""
    rng = Random(f"{seed}/plan")
    share = rng.choice((0.15, 0.35, 0.6))
    return Plan(
        seed=seed,
        gateways=rng.choice((0, 0, 1, 2, 2, 3, 4)),
        callers=rng.randint(2, 6),
        keys=rng.randint(1, 3),
        caps=rng.randint(1, 4),
        seconds=rng.randint(5, 15),
        features=frozenset(feature for feature in FEATURES if rng.random() < share),
    )


def read(text: str) -> Plan:
    """A seed, or a seed and what is different from what it draws, as `str(plan)` writes it."""
    seed, *changes = text.split()
    plan = draw(int(seed))
    for change in changes:
        name, _, value = change.partition("=")
        if name == "features":
            named = frozenset(value.split(",")) - {"none"}
            assert named <= set(FEATURES), named - set(FEATURES)
            plan = replace(plan, features=named)
        else:
            assert name in SIZES, name
            plan = replace(plan, **{name: int(value)})
    return plan
