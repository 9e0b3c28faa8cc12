"""What a call shows of its caller: facts without an opinion. Unknown is "" or None, never a guess.

Rooms meet here: `signals/` makes these, `detectors/` weigh them, the record keeps them.
"""

from math import log2
from typing import Final

from msgspec import Struct

NETWORK_KINDS = ("", "private", "residential", "datacenter", "vpn", "tor")
KEY_KINDS = ("", "developer", "app", "public")
"""What a key is for, as its project's settings say; "" where they say nothing."""
LEVELS_A_DOUBLING: Final = 4


def price_level(output_pico_usd: int) -> int | None:
    """The price of a token of output, in pico-dollars, as `Asked.level`: four steps a doubling."""
    return round(log2(output_pico_usd) * LEVELS_A_DOUBLING) if output_pico_usd > 0 else None


class Client(Struct, frozen=True, kw_only=True, gc=False):
    """Which program called. `family` is what its layers show ("openai-python", "go", "curl" …),
    `claimed` what its headers say it is, `version` as claimed. `fingerprint` is 16 hex digits,
    the same for every call of a program and through its upgrades. `contradictions` are plain
    sentences about layers that cannot belong together, `oddities` about what no SDK sends."""

    family: str = ""
    claimed: str = ""
    version: str = ""
    fingerprint: str = ""
    contradictions: tuple[str, ...] = ()
    oddities: tuple[str, ...] = ()
    serializer: str = ""
    ja4: str = ""


class Network(Struct, frozen=True, kw_only=True, gc=False):
    """From where. `place` names the network as the same one in later calls: its autonomous system
    where that is known, else kind, country and prefix. `block` is the neighbourhood of the address
    within it (/24 or /48), "" for private ones. `kind` is one of `NETWORK_KINDS`. `position` is
    where on earth a database puts it: latitude and longitude in degrees, and by how many km that
    may be off; None where nobody says so."""

    place: str = ""
    country: str = ""
    asn: int = 0
    owner: str = ""
    kind: str = ""
    block: str = ""
    position: tuple[float, float, float] | None = None


class Content(Struct, frozen=True, kw_only=True, gc=False):
    """What was said, as keyed hashes (16 hex digits, "" where there is nothing to hash).

    `root` is of the system prompt and the first user turn, `prefix` of the system prompt's
    beginning. `probe` names the known probe that the call is, `is_sure` says that no application
    sends such a thing by chance. `harness` names a coding agent. `answers` are hashes of the
    history's assistant turns, newest first. `size` is of the whole body, in bytes.
    """

    system: str = ""
    tools: str = ""
    root: str = ""
    prefix: str = ""
    script: str = ""
    probe: str = ""
    is_sure: bool = False
    harness: str = ""
    answers: tuple[str, ...] = ()
    size: int = 0


class Asked(Struct, frozen=True, kw_only=True, gc=False):
    """What was asked for. `level` is the model's price (`price_level`), None without one.
    `is_declared`: the key's owner named this very model."""

    model: str = ""
    level: int | None = None
    is_declared: bool = False
    route: str = ""
    output_limit: int | None = None
    stream: bool = False


class Signals(Struct, frozen=True, kw_only=True, gc=False):
    """One call. `unknown` names the families that could not be read (they broke). `proof` is what
    the caller showed to be the key's holder: `dpop` or `mtls`, "" for a bearer key."""

    at_ms: int
    request_id: str = ""
    client: Client = Client()
    network: Network = Network()
    content: Content = Content()
    asked: Asked = Asked()
    unknown: tuple[str, ...] = ()
    proof: str = ""

    @property
    def origin(self) -> str:
        """The sub-stream's name within its key: one program in one network."""
        return f"{self.client.fingerprint or '-'}@{self.network.place or '-'}"
