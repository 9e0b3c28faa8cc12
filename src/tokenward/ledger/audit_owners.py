"""Does a parent equal its children: keys their project, projects their account?"""

from collections import Counter
from collections.abc import Iterable, Mapping

import msgspec

from tokenward.ledger.chain import POSTING_KINDS, Entry
from tokenward.ledger.notes import KeyNote
from tokenward.ledger.records import Finding
from tokenward.ledger.statement import StatedKey


class OwnerAudit:
    """Adds up what each key, project and account spent, each by itself."""

    def __init__(self) -> None:
        self._keys: Counter[str] = Counter()
        self._projects: Counter[str] = Counter()
        self._accounts: Counter[str] = Counter()
        self._credits: Counter[str] = Counter()
        self._owners: dict[str, tuple[str, str]] = {}
        self._states: dict[str, str] = {}

    def see(self, entry: Entry) -> Iterable[Finding]:
        """Count one entry; a key that changes its owner is a finding."""
        if entry.kind in POSTING_KINDS:
            self._keys[entry.key] += entry.nusd
            self._projects[entry.project] += entry.nusd
            self._accounts[entry.account] += entry.nusd
            owners = (entry.project, entry.account)
            if self._owners.setdefault(entry.key, owners) != owners:
                yield _finding(f"key {entry.key}", f"entry {entry.seq} is of another project")
        elif entry.kind == "credit":
            self._credits[entry.account] += entry.nusd
        elif entry.kind.startswith("key_"):
            self._states[entry.key] = msgspec.json.decode(entry.detail, type=KeyNote).state

    def conclude(
        self,
        keys: Mapping[str, StatedKey],
        projects: Mapping[str, str],
        credits_nusd: Mapping[str, int],
    ) -> Iterable[Finding]:
        """Add children up to their parents, by what the store says of who owns whom."""
        by_project: Counter[str] = Counter()
        by_account: Counter[str] = Counter()
        for key, nusd in self._keys.items():
            by_project[keys[key].project if key in keys else self._owners[key][0]] += nusd
        seen = dict(self._owners.values())
        for project, nusd in self._projects.items():
            by_account[projects[project] if project in projects else seen[project]] += nusd
        yield from _differences("project", by_project, self._projects)
        yield from _differences("account", by_account, self._accounts)
        for account in sorted(credits_nusd.keys() | self._credits.keys()):
            if credits_nusd.get(account, 0) != self._credits[account]:
                yield _finding(f"account {account}", "its credit is not the sum of its entries")
        for key, state in self._states.items():
            stated = keys[key].state if key in keys else "gone"
            if stated != state:
                yield _finding(f"key {key}", f"it is {stated}, and its entries made it {state}")
        for key in keys.keys() - self._states.keys():
            yield _finding(f"key {key}", "no entry says that it was created")


def _differences(kind: str, summed: Counter[str], stated: Counter[str]) -> Iterable[Finding]:
    for name in sorted(summed.keys() | stated.keys()):
        if summed[name] != stated[name]:
            yield _finding(
                f"{kind} {name}", f"it spent {stated[name]} nusd, its children {summed[name]}"
            )


def _finding(subject: str, why: str) -> Finding:
    return Finding(check="owners", subject=subject, why=why)
