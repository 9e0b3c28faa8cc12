"""Who calls, for `scoring.py`: keys with ways of their own, and strangers who have none of them.

Heads are those recorded of real programs (`tests/data/clients`), in versions drawn anew: so many
that a guard cannot keep what it concluded of each. Texts are words in English, each call's its own.
Nothing here is timed.
"""

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from tokenward.detectors.past import DAY_MS
from tokenward.keys.records import KeyRecord

CLIENTS: Final = Path(__file__).parents[1] / "tests" / "data" / "clients"
PATH: Final = "/v1/chat/completions"
MODELS: Final = ("gpt-5-mini", "gpt-5-nano", "gpt-4.1-mini", "gpt-4o-mini")
DEAR_MODEL: Final = "gpt-5-pro"
STEP_MS: Final = (20_000, 90_000)
"""From one call of a key to its next."""
SHORT_TURNS: Final = 5
LONG_TURNS: Final = 80
LONG_CHARS: Final = 600
WORST_TURNS: Final = 10_000
WORST_CHARS: Final = 48
HOSTILE_BYTES: Final = 200_000
HOSTILE_HEADERS: Final = 150
_FAMILIES: Final = {
    "openai-python-2": 30, "openai-python-async": 10, "openai-node": 20, "litellm": 10,
    "langchain-openai": 10, "httpx": 6, "requests": 6, "aiohttp": 4, "node-fetch": 4,
}  # fmt: skip
_SPACED: Final = ("requests", "aiohttp")
"""They write JSON as `json.dumps` does; the others without blanks, and not in ASCII alone."""
_VERSION: Final = re.compile(rb"\d+\.\d+\.\d+")
_SAID: Final = (
    "the order was sent on Monday and nobody has seen it since then could you please look where "
    "it is now or tell us whom we may ask about a refund because our customer waits for a reply"
)
MIXTURE: Final = {"short": 0.9, "long": 0.08, "stranger": 0.02}
LIVED_DAYS: Final = 30
TODAY: Final = 20_600
"""A day of 2026."""
_KINDS: Final = (
    (0.70, {"programs": 1, "networks": 1, "models": 1, "prompts": 2}),
    (0.25, {"programs": 3, "networks": 4, "models": 3, "prompts": 16}),
    (0.05, {"programs": 4, "networks": 16, "models": 4, "prompts": 16}),
)
RICH: Final = {"programs": 3, "networks": 4, "models": 3, "prompts": 16}
Messages = list[dict[str, str]]
Headers = tuple[tuple[bytes, bytes], ...]


@dataclass(frozen=True, slots=True)
class Program:
    """How it writes heads and bodies."""

    headers: Headers
    wire_names: tuple[bytes, ...]
    is_spaced: bool

    def body(self, document: dict[str, Any]) -> bytes:
        """As this program writes it."""
        if self.is_spaced:
            return json.dumps(document).encode()
        return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


@dataclass(frozen=True, slots=True)
class Way:
    """What a key is used for, with what and from where: the first three bytes of an address."""

    program: Program
    network: str
    model: str
    system: str
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """A call as it comes to the guard. `heard` takes the answer, for the key's next call."""

    key: KeyRecord
    at_ms: int
    address: str
    headers: Headers
    wire_names: tuple[bytes, ...]
    body: bytes
    heard: Callable[[str], None]


@dataclass(slots=True)
class Caller:
    """A key and its owner's ways. `talk` goes on from call to call and has at most so many
    `turns` of so many `chars`."""

    rng: random.Random
    key: KeyRecord
    ways: tuple[Way, ...]
    now_ms: int
    turns: int = SHORT_TURNS
    chars: int = 120
    talk: Messages = field(default_factory=list)
    way: Way | None = None

    def call(self) -> Spoken:
        """The next one: most go on with a conversation, the others begin one."""
        rng = self.rng
        if self.way is None or (self.turns == SHORT_TURNS and len(self.talk) >= self.turns):
            self.begin(rng.choice(self.ways))
        assert self.way is not None
        self.talk.append({"role": "user", "content": text(rng, self.chars)})
        del self.talk[2 : max(2, len(self.talk) - self.turns + 2)]  # as agents forget
        return self._spoken(self.way, self.talk, self._address(self.way))

    def begin(self, way: Way) -> None:
        """A new conversation."""
        self.way, self.talk = way, []

    def fill(self) -> list[str]:
        """Have talked for long: the conversation's newest answers, as they were given."""
        while len(self.talk) < self.turns - 1:
            self.talk.append({"role": "user", "content": text(self.rng, self.chars)})
            self.talk.append({"role": "assistant", "content": text(self.rng, self.chars)})
        return [each["content"] for each in self.talk[1::2][-16:]]

    def hostile_call(self) -> Spoken:
        """The same in a head that somebody made to hurt: nothing of it was seen before."""
        spoken, rng = self.call(), self.rng
        long = rng.randbytes(HOSTILE_BYTES)
        names = [b"user-agent", b"x-stainless-lang", b"cookie"]
        names += [
            b"x-%d-%s" % (at, rng.randbytes(32).hex().encode()) for at in range(HOSTILE_HEADERS)
        ]
        made = [(name, long if at < 3 else rng.randbytes(64)) for at, name in enumerate(names)]
        kept = [pair for pair in spoken.headers if pair[0] not in names[:3]]
        headers = (*made, *kept)
        wire_names = tuple(name.title() for name, _ in headers)
        return _with_head(spoken, headers, wire_names)

    def stolen_call(self) -> Spoken:
        """Somebody else's call: another program in another network, with another prompt, who asks
        a dearer model. It begins a conversation that is none of the owner's."""
        rng = self.rng
        way = Way(program(rng), network(rng), DEAR_MODEL, text(rng, 300), (f"t{rng.random()}",))
        self._step()
        talk = [{"role": "user", "content": text(rng, self.chars)}]
        return self._spoken(way, talk, f"{way.network}{rng.randrange(1, 255)}", lambda _: None)

    def _address(self, way: Way) -> str:
        """One of a few, and one time in twenty a new one of the same network."""
        is_new = self.rng.random() < 0.05
        return f"{way.network}{self.rng.randrange(1, 255 if is_new else 4)}"

    def _step(self) -> None:
        self.now_ms += self.rng.randrange(*STEP_MS)

    def _spoken(
        self,
        way: Way,
        talk: Messages,
        address: str,
        heard: Callable[[str], None] | None = None,
    ) -> Spoken:
        self._step()
        document = {
            "model": way.model,
            "messages": [{"role": "system", "content": way.system}, *talk],
        }
        if way.tools:
            document["tools"] = [
                {"type": "function", "function": {"name": name, "parameters": {}}}
                for name in way.tools
            ]
        return Spoken(
            key=self.key,
            at_ms=self.now_ms,
            address=address,
            headers=way.program.headers,
            wire_names=way.program.wire_names,
            body=way.program.body(document),
            heard=heard or self._hear,
        )

    def _hear(self, answer: str) -> None:
        self.talk.append({"role": "assistant", "content": answer})


def _with_head(spoken: Spoken, headers: Headers, wire_names: tuple[bytes, ...]) -> Spoken:
    return Spoken(
        key=spoken.key,
        at_ms=spoken.at_ms,
        address=spoken.address,
        headers=headers,
        wire_names=wire_names,
        body=spoken.body,
        heard=spoken.heard,
    )


def ways(
    rng: random.Random, *, programs: int, networks: int, models: int, prompts: int
) -> tuple[Way, ...]:
    """A way for each prompt."""
    all_programs = [program(rng) for _ in range(programs)]
    all_networks = [network(rng) for _ in range(networks)]
    all_models = MODELS[:models]
    return tuple(
        Way(
            all_programs[at % programs],
            all_networks[at % networks],
            all_models[at % models],
            text(rng, 600),
            tuple(f"tool_{rng.randrange(10**6)}" for _ in range(rng.choice((0, 0, 8)))),
        )
        for at in range(prompts)
    )


def program(rng: random.Random) -> Program:
    """A program in some version. New versions are common, old ones are not."""
    name = rng.choices(list(_FAMILIES), list(_FAMILIES.values()))[0]
    said = dict(_recorded(name))
    changed: dict[bytes, bytes] = {}
    for header in (b"user-agent", b"x-stainless-runtime-version"):
        for version in _VERSION.findall(said.get(header, b"")):
            major = version.partition(b".")[0]
            behind = 60 - min(60, int(rng.expovariate(0.2)))
            changed[version] = b"%s.%d.%d" % (major, behind, rng.randrange(3))
    headers = []
    for header, value in _recorded(name):
        for version, other in changed.items():
            value = value.replace(version, other)
        headers.append((header, value))
    return Program(tuple(headers), _wire_names(name), name in _SPACED)


def network(rng: random.Random) -> str:
    """The first three bytes of a public IPv4 address, with their points."""
    first = rng.choice(
        [each for each in range(2, 223) if each not in (10, 100, 127, 169, 172, 192)]
    )
    return f"{first}.{rng.randrange(256)}.{rng.randrange(256)}."


def text(rng: random.Random, chars: int) -> str:
    """Words, each time others."""
    start = rng.randrange(len(_soup()) - chars)
    return f"{rng.getrandbits(40):x} {_soup()[start : start + chars - 11]}"


@cache
def _soup() -> str:
    dice = random.Random(1)
    words = _SAID.split()
    return " ".join(dice.choice(words) for _ in range(50_000))


@cache
def _call(name: str) -> tuple[tuple[bytes, bytes], ...]:
    calls = json.loads((CLIENTS / f"{name}.json").read_text("utf-8"))["calls"]
    first = next(call for call in calls if call["path"] == PATH)
    return tuple((header.encode(), value.encode()) for header, value in first["headers"])


@cache
def _recorded(name: str) -> Headers:
    return tuple((header.lower(), value) for header, value in _call(name))


@cache
def _wire_names(name: str) -> tuple[bytes, ...]:
    return tuple(header for header, _ in _call(name))


class Cases:
    """The keys of each case, and who calls next."""

    def __init__(self, rng: random.Random, *, keys: int, mixed_keys: int) -> None:
        self._rng = rng
        self._drawn = 0
        rich = partial(self._callers, keys, ((1.0, RICH),))
        self._callers_of = {
            "familiar": rich(),
            "familiar_50_kb": rich(turns=LONG_TURNS, chars=LONG_CHARS),
            "stranger": rich(),
            "worst_800_kb": rich(turns=WORST_TURNS, chars=WORST_CHARS)[:2],
            "hostile_head": rich(),
            "mixture": self._callers(mixed_keys, _KINDS),
        }
        self._long = self._callers(max(2, mixed_keys // 10), _KINDS, LONG_TURNS, LONG_CHARS)

    def callers(self) -> Iterator[Caller]:
        """All of them."""
        for callers in (*self._callers_of.values(), self._long):
            yield from callers

    def next_call(self, case: str) -> Spoken:
        """Of this case."""
        caller = self._rng.choice(self._callers_of[case])
        if case == "mixture":
            kind = self._rng.choices(list(MIXTURE), list(MIXTURE.values()))[0]
            if kind == "long":
                return self._rng.choice(self._long).call()
            return caller.stolen_call() if kind == "stranger" else caller.call()
        if case == "stranger":
            return caller.stolen_call()
        return caller.hostile_call() if case == "hostile_head" else caller.call()

    def _callers(
        self,
        count: int,
        kinds: Sequence[tuple[float, dict[str, int]]],
        turns: int = SHORT_TURNS,
        chars: int = 120,
    ) -> list[Caller]:
        callers = []
        for _ in range(count):
            self._drawn += 1
            has = self._rng.choices([has for _, has in kinds], [share for share, _ in kinds])[0]
            callers.append(
                Caller(
                    rng=self._rng,
                    key=_key(self._drawn),
                    ways=ways(self._rng, **has),
                    now_ms=TODAY * DAY_MS + self._rng.randrange(DAY_MS // 12),
                    turns=turns,
                    chars=chars,
                )
            )
        return callers


def _key(number: int) -> KeyRecord:
    created_ms = (TODAY - LIVED_DAYS) * DAY_MS
    return KeyRecord(
        id=f"bench{number:07}",
        digest=b"",
        account="default",
        project="bench",
        created_ms=created_ms,
    )
