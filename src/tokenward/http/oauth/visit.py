"""One request to the token service, as its handlers see it."""

from dataclasses import dataclass, field

from tokenward.kernel.events import Record
from tokenward.keys.records import KeyRecord


@dataclass(slots=True, kw_only=True)
class Visit:
    """`path` is raw, as it came. `certificate` is the thumbprint of the caller's TLS certificate,
    "" without one. `record` is written at the end, whatever it was."""

    method: str
    path: str
    header_list: tuple[tuple[bytes, bytes], ...]
    headers: dict[bytes, bytes]
    certificate: str
    record: Record
    form: dict[str, str] = field(default_factory=dict)

    @property
    def at_ms(self) -> int:
        """When it came, Unix ms."""
        return self.record.ts

    def know(self, key: KeyRecord) -> None:
        """Whose key it is about."""
        self.record.key = key.id
        self.record.account = key.account
        self.record.project = key.project

    def suspect(self, reason: str) -> None:
        """A sign of theft."""
        self.record.evidence += (f"E1 {reason}",)
