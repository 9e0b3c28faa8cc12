"""A customer's tab: what the client was told, the guard wrote down and the provider billed.

Each call is tagged with the key's id, so the lines of the bill find their way back.
"""

import json
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from guard import GuardProcess
from standin import StandinProcess

CAP = "5.00/day"
CAUGHT_UP_S = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """What one call used, as people count it: `input` holds `cached` and `written`, `output`
    holds `reasoning`."""

    input: int = 0
    cached: int = 0
    written: int = 0
    output: int = 0
    reasoning: int = 0


def recorded(record: dict[str, Any]) -> Tokens:
    """Of a record of the guard; what is zero is left out there."""
    return Tokens(
        input=record.get("input_tokens", 0),
        cached=record.get("cached_tokens", 0),
        written=record.get("cache_write_tokens", 0),
        output=record.get("output_tokens", 0),
        reasoning=record.get("reasoning_tokens", 0),
    )


def billed(line: dict[str, Any]) -> Tokens:
    """Of a line of the provider's bill, whose input buckets do not overlap."""
    written = line["cache_write"] + line["cache_write_1h"]
    return Tokens(
        input=line["input"] + line["input_audio"] + line["cached"] + written,
        cached=line["cached"],
        written=written,
        output=line["output"] + line["output_image"],
        reasoning=line["reasoning"],
    )


class Tab:
    """One new key and everything that is known of it, everywhere."""

    def __init__(
        self, guard: GuardProcess, standin: StandinProcess, *caps: str, **wishes: Any
    ) -> None:
        self._guard = guard
        self._standin = standin
        wishes = {"project": "clients", "caps": caps or (CAP,), **wishes}
        made = self.admin("POST", "/keys", wishes)
        self.key_id: str = made["id"]
        self.key: str = made["key"]
        self.enrolment_code: str = made.get("enrolment_code") or ""

    def admin(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """A request to the admin API; its value."""
        request = urllib.request.Request(
            f"{self._guard.base_url}/admin/v1{path}",
            data=None if body is None else json.dumps(body).encode(),
            headers={"authorization": f"Bearer {self._guard.admin_token}"},
            method=method,
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def script(self, behaviour: str = "") -> dict[str, str]:
        """Headers that tell the stand-in how to answer, and whose call it is."""
        return {"x-standin": f"tag={self.key_id}" + (f"; {behaviour}" if behaviour else "")}

    def lines(self) -> list[dict[str, Any]]:
        """What the provider charges for this key."""
        lines = self._standin.get("bill?last=2000")["lines"]
        return [line for line in lines if line["tag"] == self.key_id]

    def records(self, count: int) -> list[dict[str, Any]]:
        """The guard's records of this key, oldest first, as soon as there are `count`;
        AssertionError when there are more, or too few for too long."""
        return self._recorded(f"key={self.key_id}", count, lambda _record: True)

    def named(self, request_id: str, tries: int) -> list[dict[str, Any]]:
        """The records of all tries of one call, whosever key it came with."""
        return self._recorded(
            "limit=1000", tries, lambda record: record["request_id"] == request_id
        )

    def _recorded(
        self, query: str, count: int, is_meant: Callable[[dict[str, Any]], bool]
    ) -> list[dict[str, Any]]:
        until = time.monotonic() + CAUGHT_UP_S
        while True:
            found = [each for each in self.admin("GET", f"/records?{query}") if is_meant(each)]
            assert len(found) <= count, found
            if len(found) == count:
                return found[::-1]
            assert time.monotonic() < until, f"{len(found)} of {count} calls are recorded"
            time.sleep(0.02)

    def spent_nusd(self) -> int:
        """What the cap says, with nothing held."""
        (cap,) = self.admin("GET", f"/caps?subject=key:{self.key_id}")
        assert cap["held"] == 0
        return int(cap["spent"])

    def usage(self) -> dict[str, Any]:
        """The row of this key in the usage report."""
        rows = self.admin("GET", "/usage?by=key")["rows"]
        (row,) = [row for row in rows if row["by"] == self.key_id]
        return dict(row)

    def settle(self, *seen: Tokens, free: int = 0) -> list[dict[str, Any]]:
        """Hold the bill, the records, the usage report and the cap against what the client saw,
        call by call, and make sure that `free` more calls cost nothing; the records that cost."""
        all_records, lines = self.records(len(seen) + free), self.lines()
        records = [record for record in all_records if record.get("cost_nusd")]
        assert {record["outcome"] for record in all_records} == {"complete"}
        assert [recorded(record) for record in records] == list(seen)
        assert [billed(line) for line in lines] == list(seen)
        costs = [record["cost_nusd"] for record in records]
        assert costs == [line["cost_nusd"] for line in lines]
        assert not any(record.get("is_estimate") or record.get("doubts") for record in records)
        usage = self.usage()
        assert usage["calls"] == len(seen)
        assert usage["cost_nusd"] == self.spent_nusd() == sum(costs)
        assert usage["input_tokens"] == sum(each.input for each in seen)
        assert usage["output_tokens"] == sum(each.output for each in seen)
        assert usage["cached_tokens"] == sum(each.cached for each in seen)
        return records
